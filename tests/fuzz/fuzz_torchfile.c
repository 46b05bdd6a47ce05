/* A whole file that torch.save might have written (torchfile.h). */
#include "fuzzlib.h"

#include "formats/torch/torchfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char path[] = DISK "/a.pt";
    static int file;
    struct fuzz f;
    struct torchfile t;
    file = file ? file : disk_file(path);
    disk_write(file, data, size);
    fuzz_begin(&f);
    err_t code = torchfile_open(&t, path, &f.arena, &f.err);
    for (int64_t i = 0; code == ERR_OK && i < t.ntensors; i++) {
        int64_t span = stored_span(&t.tensors[i]), at = t.tensors[i].offset_bytes;
        FUZZ_CHECK(at >= 0 && span >= 0 && span <= (int64_t)size - at);
    }
    fuzz_end(&f, code);
    return 0;
}
