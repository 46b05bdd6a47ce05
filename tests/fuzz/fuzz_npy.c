/* The header of a .npy file (npy.h). */
#include "fuzzlib.h"

#include "formats/logits/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct npy h;
    fuzz_begin(&f);
    int64_t n = (int64_t)size < NPY_MAX_HEADER ? (int64_t)size : NPY_MAX_HEADER;
    err_t code = npy_parse(&h, "f.npy", data, n, (int64_t)size, &f.err);
    if (code == ERR_OK) {
        FUZZ_CHECK(h.elements >= 0 && h.ndim >= 0 && h.ndim <= TENSOR_MAX_NDIM);
        FUZZ_CHECK(h.data_start + h.elements * dtype_bits(h.dtype) / 8 == (int64_t)size);
    }
    fuzz_end(&f, code);
    return 0;
}
