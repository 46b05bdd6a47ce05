/* A folder with an index and two shards (checkpoint.h). The input is the index; behind a NUL byte, which no
 * index has, the first shard may follow. Which format's folder it is, is told by the first ".bin" in it. */
#include "fuzzlib.h"

#include "formats/checkpoint.h"

#include <sys/stat.h>

/* {"a": 4 x 4 of float32} */
static const char pickle[] = "\x80\x02}X\1\0\0\0a"
                             "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
                             "X\1\0\0\0"
                             "0X\3\0\0\0cpuK\x10tQK\0K\4K\4\x86K\4K\1\x86\x89}tRs.";

static const char *const headers[2] = {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                                       "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"};

/* One folder per format: the links in it, and the files they lead to, the index first. */
static struct folder {
    const char *names[3];
    char dir[128];
    int fds[3];
    unsigned char shard[512]; /* the first, as it is where the input does not bring one */
    size_t shard_bytes;
} folders[2] = {
    {.names = {"model.safetensors.index.json", "1.safetensors", "2.safetensors"}},
    {.names = {"pytorch_model.bin.index.json", "1.bin", "2.bin"}},
};

static void remove_folders(void)
{
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++)
            fuzz_unlink(folders[i].dir, folders[i].names[k]);
        rmdir(folders[i].dir);
    }
}

static size_t shard(int torch, int which, unsigned char *out)
{
    if (torch) {
        char changed[sizeof pickle];
        memcpy(changed, pickle, sizeof pickle);
        changed[8] = (char)('a' + which);
        return fuzz_torch_archive(changed, sizeof pickle - 1, out);
    }
    size_t n = strlen(headers[which]);
    memset(out, 0, 8 + n + 8);
    out[0] = (unsigned char)n;
    memcpy(out + 8, headers[which], n);
    return 8 + n + 8;
}

static void make_folders(void)
{
    for (int i = 0; i < 2; i++) {
        struct folder *x = &folders[i];
        unsigned char bytes[sizeof pickle + FUZZ_ARCHIVE_MORE];
        fuzz_folder(x->dir, sizeof x->dir);
        for (int k = 0; k < 3; k++) {
            x->fds[k] = fuzz_memory_file();
            fuzz_link(x->fds[k], x->dir, x->names[k]);
        }
        fuzz_write(x->fds[2], bytes, shard(i, 1, bytes));
        x->shard_bytes = shard(i, 0, bytes);
        FUZZ_CHECK(x->shard_bytes <= sizeof x->shard);
        memcpy(x->shard, bytes, x->shard_bytes);
    }
    atexit(remove_folders);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct checkpoint c;
    if (!folders[0].dir[0])
        make_folders();
    const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    const struct folder *x = &folders[n > 0 && memmem(data, n, ".bin", 4)];
    fuzz_write(x->fds[0], data, n);
    if (end)
        fuzz_write(x->fds[1], end + 1, size - n - 1);
    else
        fuzz_write(x->fds[1], x->shard, x->shard_bytes);
    fuzz_begin(&f);
    err_t code = checkpoint_open(&c, x->dir, NULL, &f.arena, &f.err);
    for (int64_t i = 0; code == ERR_OK && i < c.ntensors; i++) {
        const struct stored_tensor *t = &c.tensors[i];
        FUZZ_CHECK(t->file >= 0 && t->file < c.nfiles && t->offset_bytes >= 0);
        FUZZ_CHECK(stored_span(t) <= c.files[t->file].size_bytes - t->offset_bytes);
        FUZZ_CHECK(checkpoint_find(&c, t->name) == t);
    }
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}
