/* The plain loop of transpose.c: the reference. */
#include "elements/transpose/transpose_loops.h"

void transpose_16_portable(const uint16_t *in, int64_t rows, int64_t cols, int64_t in_step, uint16_t *out,
                           int64_t out_step)
{
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++)
            out[c * out_step + r] = in[r * in_step + c];
}

const struct transpose_loops transpose_portable = {.turn = transpose_16_portable};
