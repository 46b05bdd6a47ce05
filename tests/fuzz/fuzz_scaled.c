/* Weights under scales, packed weights and quantized ones (formats/decoders), of a folder: the input is its
 * config.json; behind a NUL byte, which no such file has, model.safetensors follows. Every tensor is read as
 * numbers. */
#include "mutate.h"
#include "readlib.h"

enum { AT_ONCE = 37 }; /* which no block is a multiple of */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[2] = {DISK "/scaled/config.json", DISK "/scaled/model.safetensors"};
    static int files[2];
    struct fuzz f;
    struct checkpoint c = {0};
    struct fuzz_pair in = fuzz_pair_by_nul(data, size);
    for (int i = 0; i < 2; i++) {
        files[i] = files[i] ? files[i] : disk_file(paths[i]);
        disk_write(files[i], in.data[i], in.size[i]);
    }
    fuzz_begin(&f);
    checkpoint_open(&c, DISK "/scaled", NULL, &f.arena, &f.err);
    for (int64_t i = 0; i < c.ntensors && f.err.code == ERR_OK; i++) {
        FUZZ_CHECK(checkpoint_find(&c, c.tensors[i].name) == &c.tensors[i]);
        fuzz_read_numbers(&f, &c, &c.tensors[i], AT_ONCE);
    }
    checkpoint_close(&c);
    fuzz_end(&f, f.err.code);
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static const struct mutate_way way = {0, 0, {mutate_blindly, mutate_safetensors}};
    return mutate_pair(data, size, max, seed, &way);
}
#endif
