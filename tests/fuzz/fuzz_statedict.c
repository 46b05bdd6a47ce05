/* The state dict of a torch file (torchfile.h): the input is its data.pkl, in an archive that is in order, so
 * that what is said of tensors and storages is reached. Then every tensor is read. */
#include "fuzzlib.h"

#include "formats/checkpoint.h"
#include "formats/torch/torchfile.h"

static void read_all(struct fuzz *f, const struct torchfile *t, const char *path)
{
    struct stored_file file = {.path = path, .size_bytes = t->size_bytes, .mtime_ns = t->mtime_ns, .fd = -1};
    struct checkpoint c = {.path = path, .nfiles = 1, .files = &file};
    unsigned char buf[4096];
    for (int64_t i = 0; i < t->ntensors; i++) {
        const struct stored_tensor *x = &t->tensors[i];
        int64_t width = dtype_bits(x->dtype) / 8, most = (int64_t)sizeof buf / width;
        int64_t n = x->elements < most ? x->elements : most, span = stored_span(x);
        FUZZ_CHECK(x->offset_bytes >= 0 && span >= 0 && span <= t->size_bytes - x->offset_bytes);
        if (n > 0)
            FUZZ_CHECK(checkpoint_read(&c, x, x->elements - n, n, buf, &f->err) == ERR_OK);
    }
    checkpoint_close(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[FUZZ_PATH];
    struct fuzz f;
    struct torchfile t;
    if (fd < 0)
        fd = fuzz_memory_file();
    fuzz_begin(&f);
    unsigned char *archive;
    FUZZ_CHECK(arena_array(&f.arena, "archive", (int64_t)size + FUZZ_ARCHIVE_MORE, &archive, &f.err) ==
               ERR_OK);
    fuzz_write(fd, archive, fuzz_torch_archive(data, size, archive));
    err_t code = torchfile_open(&t, fuzz_path(fd, path), &f.arena, &f.err);
    if (code == ERR_OK)
        read_all(&f, &t, path);
    fuzz_end(&f, code);
    return 0;
}
