/* A torch distributed checkpoint of one file beside its metadata. The input is the length of the metadata (4
 * bytes, little-endian), the metadata, and the file. What opens is read to its end: every piece lies in its
 * file. */
#include "fuzzlib.h"

#include "formats/checkpoint.h"

static const char *const names[2] = {".metadata", "__0_0.distcp"};
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

/* At most so many elements of each tensor: one may say more than any file holds. */
static void read_some(struct checkpoint *c, struct fuzz *f)
{
    enum { MOST = 4096 };
    char *buf;
    struct err ignored;
    err_clear(&ignored);
    if (arena_array(&f->arena, "fuzz.elements", MOST * 8, &buf, &ignored) != ERR_OK)
        return;
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        int64_t n = t->elements < MOST ? t->elements : MOST;
        FUZZ_CHECK(t->elements >= 0 && t->file >= 0 && t->file < c->nfiles);
        FUZZ_CHECK(checkpoint_read(c, t, 0, n, buf, &ignored) == ERR_OK);
        FUZZ_CHECK(checkpoint_read(c, t, t->elements - n, n, buf, &ignored) == ERR_OK);
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
    if (code == ERR_OK)
        read_some(&c, &f);
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}
