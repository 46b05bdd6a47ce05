/* The state dict of a torch file (torchfile.h): the input is its data.pkl, in an archive that is in order, so
 * that what is said of tensors and storages is reached. Then every tensor is read. */
#include "mutate.h"
#include "readlib.h"

#include "formats/torch/torchfile.h"

static const char path[] = DISK "/a.pt";

static void read_all(const struct torchfile *t)
{
    struct stored_file file = {.path = path, .size_bytes = t->size_bytes, .mtime_ns = t->mtime_ns, .fd = -1};
    struct checkpoint c = {
        .path = path, .nfiles = 1, .files = &file, .ntensors = t->ntensors, .tensors = t->tensors};
    for (int64_t i = 0; i < t->ntensors; i++) {
        int64_t span = stored_span(&t->tensors[i]), at = t->tensors[i].offset_bytes;
        FUZZ_CHECK(at >= 0 && span >= 0 && span <= t->size_bytes - at);
    }
    fuzz_read_ends(&c);
    checkpoint_close(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file;
    struct fuzz f;
    struct torchfile t;
    file = file ? file : disk_file(path);
    fuzz_begin(&f);
    fuzz_write_archive(&f, file, data, size);
    err_t code = torchfile_open(&t, path, &f.arena, &f.err);
    if (code == ERR_OK)
        read_all(&t);
    fuzz_end(&f, code);
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t dice = seed | 1;
    return mutate_pickle(data, size, max, &dice);
}
#endif
