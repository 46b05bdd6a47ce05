/* llama.cpp's file of log-probabilities (llama.h): its header and, where that fits the file, every row. */
#include "fuzzlib.h"

#include "formats/logits/llama.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct llama h;
    fuzz_begin(&f);
    int64_t n = size < LLAMA_HEADER ? (int64_t)size : LLAMA_HEADER;
    err_t code = llama_parse(&h, "f", data, n, (int64_t)size, &f.err);
    if (code == ERR_OK) {
        FUZZ_CHECK(h.rows_start + h.chunks * h.scored * h.row_bytes == (int64_t)size);
        unsigned char *row;
        double *out;
        FUZZ_CHECK(arena_array(&f.arena, "row", h.row_bytes, &row, &f.err) == ERR_OK);
        FUZZ_CHECK(arena_array(&f.arena, "out", h.vocabulary, &out, &f.err) == ERR_OK);
        for (int64_t i = 0; i < h.chunks * h.scored; i++) {
            memcpy(row, data + h.rows_start + i * h.row_bytes, (size_t)h.row_bytes);
            const char *why = llama_row(&h, row, out);
            for (int64_t k = 0; !why && k < h.vocabulary; k++)
                FUZZ_CHECK(out[k] == out[k]);
        }
    }
    fuzz_end(&f, code);
    return 0;
}
