/* The AVX2 loops of gram.c. The multiply is fused: the product was exact anyway. */
#include "linalg/gram_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

AVX2 static void add(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value,
                     int64_t count)
{
    enum { HELD = GRAM_NARROW / 4 };
    const double *x = piece;
    if (width < GRAM_NARROW) {
        for (int64_t i = 0; i < width; i += 4) {
            __m256d sum = _mm256_loadu_pd(g + i);
            for (int64_t t = 0; t < count; t++)
                sum = _mm256_fmadd_pd(_mm256_set1_pd(value[t]),
                                      _mm256_loadu_pd(x + (int64_t)row[t] * GRAM_NARROW + i), sum);
            _mm256_storeu_pd(g + i, sum);
        }
        return;
    }
    __m256d sum[HELD];
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        sum[q] = _mm256_loadu_pd(g + (int64_t)4 * q);
    for (int64_t t = 0; t < count; t++) {
        const double *at = x + (int64_t)row[t] * GRAM_NARROW;
        __m256d v = _mm256_set1_pd(value[t]);
#pragma GCC unroll 8
        for (int q = 0; q < HELD; q++)
            sum[q] = _mm256_fmadd_pd(v, _mm256_loadu_pd(at + (int64_t)4 * q), sum[q]);
    }
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        _mm256_storeu_pd(g + (int64_t)4 * q, sum[q]);
}

const struct gram_loops gram_avx2 = {
    .columns = GRAM_NARROW,
    .rows = GRAM_NARROW_ROWS,
    .size = sizeof(double),
    .copy = gram_copy_narrow,
    .add = add,
};

#endif
