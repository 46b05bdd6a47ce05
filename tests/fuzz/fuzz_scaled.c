/* Weights under scales, packed weights and quantized ones (formats/decoders), of a folder: the input is its
 * config.json; behind a NUL byte, which no such file has, model.safetensors follows. Every tensor is read as
 * numbers. */
#include "fuzzlib.h"

#include "formats/checkpoint.h"

#include <sys/stat.h>

enum { AT_ONCE = 37 };

static char dir[128];
static int fds[2];
static const char *const names[2] = {"config.json", "model.safetensors"};

static void remove_folder(void)
{
    for (int i = 0; i < 2; i++)
        fuzz_unlink(dir, names[i]);
    rmdir(dir);
}

static void make_folder(void)
{
    fuzz_folder(dir, sizeof dir);
    for (int i = 0; i < 2; i++) {
        fds[i] = fuzz_memory_file();
        fuzz_link(fds[i], dir, names[i]);
    }
    atexit(remove_folder);
}

/* All numbers of a tensor, in steps that no block is a multiple of. */
static void read_tensor(struct fuzz *f, struct checkpoint *c, const struct stored_tensor *t)
{
    char out[AT_ONCE * 8], *v;
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(t, AT_ONCE), .most = AT_ONCE};
    if (!decoder_is_number(t) || (t->decoding && t->decoding->problem) ||
        arena_array(&f->arena, "fuzz", s.bytes, &v, &f->err) != ERR_OK)
        return;
    s.v = v;
    for (int64_t i = 0, n; i < t->elements && f->err.code == ERR_OK; i += n) {
        n = min64(t->elements - i, AT_ONCE);
        checkpoint_numbers(c, t, i, n, &s, out, &f->err);
    }
    arena_drop(&f->arena, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct checkpoint c = {0};
    if (!dir[0])
        make_folder();
    const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    fuzz_write(fds[0], data, n);
    fuzz_write(fds[1], end ? end + 1 : data, end ? size - n - 1 : 0);
    fuzz_begin(&f);
    err_t code = checkpoint_open(&c, dir, NULL, &f.arena, &f.err);
    for (int64_t i = 0; code == ERR_OK && i < c.ntensors && f.err.code == ERR_OK; i++) {
        FUZZ_CHECK(checkpoint_find(&c, c.tensors[i].name) == &c.tensors[i]);
        read_tensor(&f, &c, &c.tensors[i]);
    }
    code = f.err.code;
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}
