/* A folder with an index and two shards (checkpoint.h). The input is the index; behind a NUL byte, which no
 * index has, the first shard may follow. Which format's folder it is, is told by the first ".bin" in it. */
#include "fuzzlib.h"
#include "mutate.h"

#include "formats/checkpoint.h"

/* {"a": 4 x 4 of float32} */
static const char pickle[] = "\x80\x02}X\1\0\0\0a"
                             "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
                             "X\1\0\0\0"
                             "0X\3\0\0\0cpuK\x10tQK\0K\4K\4\x86K\4K\1\x86\x89}tRs.";

static const char *const headers[2] = {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                                       "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"};

/* One folder per format, and its files, the index first. */
static struct folder {
    const char *dir, *paths[3];
    int files[3];
    unsigned char shards[2][1024]; /* the first is as it is here where the input does not bring one */
    size_t sizes[2];
} folders[2] = {
    {.dir = DISK "/0",
     .paths = {DISK "/0/model.safetensors.index.json", DISK "/0/1.safetensors", DISK "/0/2.safetensors"}},
    {.dir = DISK "/1", .paths = {DISK "/1/pytorch_model.bin.index.json", DISK "/1/1.bin", DISK "/1/2.bin"}},
};

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
        for (int k = 0; k < 3; k++)
            x->files[k] = disk_file(x->paths[k]);
        for (int k = 0; k < 2; k++) {
            unsigned char bytes[sizeof pickle + FUZZ_ARCHIVE_MORE];
            x->sizes[k] = shard(i, k, bytes);
            FUZZ_CHECK(x->sizes[k] <= sizeof x->shards[k]);
            memcpy(x->shards[k], bytes, x->sizes[k]);
        }
        disk_write(x->files[2], x->shards[1], x->sizes[1]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct checkpoint c;
    if (!folders[0].files[0])
        make_folders();
    struct fuzz_pair in = fuzz_pair_by_nul(data, size);
    const struct folder *x = &folders[in.size[0] > 0 && memmem(data, in.size[0], ".bin", 4)];
    disk_write(x->files[0], data, in.size[0]);
    if (in.data[1])
        disk_write(x->files[1], in.data[1], in.size[1]);
    else
        disk_write(x->files[1], x->shards[0], x->sizes[0]);
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

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static const struct mutate_way way = {0, 0, {mutate_blindly, mutate_safetensors}};
    return mutate_pair(data, size, max, seed, &way);
}
#endif
