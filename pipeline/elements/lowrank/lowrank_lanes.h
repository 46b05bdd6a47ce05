/* The text of the loops of lowrank.c on vectors of any width: tiles of four rows by three vectors, whose sums
 * stay in registers: all loops over a tile are written out. Included by one file for each instruction set,
 * which first defines LOWRANK_TARGET and LOWRANK_INLINE (what functions begin with, isa.h), WIDE (floats of a
 * vector), vec, and vec_zero, vec_load, vec_store, vec_all (one number in all places), vec_mul and vec_fma.
 * With none defined it is empty. */
#ifndef SINEW_LOWRANK_LANES_H
#define SINEW_LOWRANK_LANES_H

#include "elements/lowrank/lowrank_loops.h"

#ifdef LOWRANK_TARGET

enum { VECTORS = 3, ROWS = 4 };

/* `rows` rows of `vectors` vectors of columns, both constants where it is inlined. */
LOWRANK_INLINE void tile(const int rows, const int vectors, const float *left, int64_t r, const float *right,
                         int64_t stride, float scale, float *out, int64_t step)
{
    vec sum[ROWS][VECTORS];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = vec_zero();
    for (int64_t k = 0; k < r; k++) {
        vec right_k[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            right_k[v] = vec_load(right + k * stride + v * WIDE);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            vec left_k = vec_all(left[i * r + k]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] = vec_fma(left_k, right_k[v], sum[i][v]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            vec_store(out + i * step + v * WIDE, vec_mul(sum[i][v], vec_all(scale)));
}

/* All rows of `vectors` vectors of columns, which stay in the nearest cache meanwhile. */
LOWRANK_INLINE void column(const int vectors, const float *left, int64_t rows, int64_t r, const float *right,
                           int64_t stride, float scale, float *out, int64_t step)
{
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS)
        tile(ROWS, vectors, left + i * r, r, right, stride, scale, out + i * step, step);
    for (; i < rows; i++)
        tile(1, vectors, left + i * r, r, right, stride, scale, out + i * step, step);
}

LOWRANK_TARGET static void rows_lanes(const float *left, int64_t rows, int64_t r, const float *right,
                                      int64_t cols, int64_t stride, float scale, float *out, int64_t step)
{
    int64_t j = 0;
    for (; j + VECTORS * WIDE <= cols; j += VECTORS * WIDE)
        column(VECTORS, left, rows, r, right + j, stride, scale, out + j, step);
    for (; j + WIDE <= cols; j += WIDE)
        column(1, left, rows, r, right + j, stride, scale, out + j, step);
    if (j < cols)
        lowrank_rows_portable(left, rows, r, right + j, cols - j, stride, scale, out + j, step);
}

#endif
#endif
