/* The loops of lowrank.c for AVX-512: tiles of four rows by three vectors, whose sums stay in registers: all
 * loops over a tile are written out. */
#include "elements/lowrank/lowrank_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { WIDE = 16, VECTORS = 3, ROWS = 4 };

/* `rows` rows of `vectors` vectors of columns, both constants where it is inlined. */
AVX512_INLINE void tile(const int rows, const int vectors, const float *left, int64_t r, const float *right,
                        int64_t stride, float scale, float *out, int64_t step)
{
    __m512 sum[ROWS][VECTORS];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = _mm512_setzero_ps();
    for (int64_t k = 0; k < r; k++) {
        __m512 right_k[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            right_k[v] = _mm512_loadu_ps(right + k * stride + v * WIDE);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            __m512 left_k = _mm512_set1_ps(left[i * r + k]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] = _mm512_fmadd_ps(left_k, right_k[v], sum[i][v]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_ps(out + i * step + v * WIDE, _mm512_mul_ps(sum[i][v], _mm512_set1_ps(scale)));
}

/* All rows of `vectors` vectors of columns, which stay in the nearest cache meanwhile. */
AVX512_INLINE void column(const int vectors, const float *left, int64_t rows, int64_t r, const float *right,
                          int64_t stride, float scale, float *out, int64_t step)
{
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS)
        tile(ROWS, vectors, left + i * r, r, right, stride, scale, out + i * step, step);
    for (; i < rows; i++)
        tile(1, vectors, left + i * r, r, right, stride, scale, out + i * step, step);
}

AVX512 static void rows_avx512(const float *left, int64_t rows, int64_t r, const float *right, int64_t cols,
                               int64_t stride, float scale, float *out, int64_t step)
{
    int64_t j = 0;
    for (; j + VECTORS * WIDE <= cols; j += VECTORS * WIDE)
        column(VECTORS, left, rows, r, right + j, stride, scale, out + j, step);
    for (; j + WIDE <= cols; j += WIDE)
        column(1, left, rows, r, right + j, stride, scale, out + j, step);
    if (j < cols)
        lowrank_rows_portable(left, rows, r, right + j, cols - j, stride, scale, out + j, step);
}

const struct lowrank_loops lowrank_avx512 = {.rows = rows_avx512};

#endif
