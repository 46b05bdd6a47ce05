/* The plain loops of lowrank.c: the reference. */
#include "elements/lowrank/lowrank_loops.h"

#include <math.h>

void lowrank_rows_portable(const float *left, int64_t rows, int64_t r, const float *right, int64_t cols,
                           int64_t stride, float scale, float *out, int64_t step)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            float sum = 0;
            for (int64_t k = 0; k < r; k++)
                sum = fmaf(left[i * r + k], right[k * stride + j], sum);
            out[i * step + j] = sum * scale;
        }
}

const struct lowrank_loops lowrank_portable = {.rows = lowrank_rows_portable};
