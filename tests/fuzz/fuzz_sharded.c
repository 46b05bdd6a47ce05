/* Two shards of a distributed checkpoint in safetensors files (dcp/sharded.c). The input is the length of the
 * first (4 bytes, little-endian), the first, and the second. */
#include "fuzzlib.h"

#include "formats/checkpoint.h"

static const char *const names[2] = {"shard-00001-model-00001-of-00001.safetensors",
                                     "shard-00002-model-00001-of-00001.safetensors"};
static char dir[128];
static int fds[2];

static void remove_folder(void)
{
    for (int i = 0; i < 2; i++)
        fuzz_unlink(dir, names[i]);
    rmdir(dir);
}

static void make_folder(void)
{
    fuzz_folder(dir, sizeof dir);
    atexit(remove_folder);
    for (int i = 0; i < 2; i++) {
        fds[i] = fuzz_memory_file();
        fuzz_link(fds[i], dir, names[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct checkpoint c;
    size_t n = 0;
    if (!dir[0])
        make_folder();
    if (size < 4)
        return 0;
    for (int i = 3; i >= 0; i--)
        n = n << 8 | data[i];
    data += 4;
    size -= 4;
    n = n < size ? n : size;
    fuzz_write(fds[0], data, n);
    fuzz_write(fds[1], data + n, size - n);
    fuzz_begin(&f);
    err_t code = checkpoint_open(&c, dir, NULL, &f.arena, &f.err);
    for (int64_t i = 0; code == ERR_OK && i < c.ntensors; i++) {
        const struct stored_tensor *t = &c.tensors[i];
        char v[8];
        struct err ignored;
        err_clear(&ignored);
        FUZZ_CHECK(t->elements >= 0 && t->file >= 0 && t->file < c.nfiles);
        if (t->elements > 0 && dtype_bits(t->dtype) % 8 == 0) {
            FUZZ_CHECK(checkpoint_read(&c, t, 0, 1, v, &ignored) == ERR_OK);
            FUZZ_CHECK(checkpoint_read(&c, t, t->elements - 1, 1, v, &ignored) == ERR_OK);
        }
    }
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}
