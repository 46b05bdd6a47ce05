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

AVX2 static void add_single(double *g, const void *piece, int64_t width, const uint16_t *row,
                            const float *value, int64_t count)
{
    enum { HELD = GRAM_SINGLE / 8 };
    const float *x = piece;
    float last[GRAM_SINGLE];
    __m256 sum[HELD];
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        sum[q] = _mm256_setzero_ps();
    for (int64_t t = 0; t < count; t++) {
        const float *at = x + (int64_t)row[t] * GRAM_SINGLE;
        __m256 v = _mm256_set1_ps(value[t]);
#pragma GCC unroll 8
        for (int q = 0; q < HELD; q++)
            sum[q] = _mm256_fmadd_ps(v, _mm256_loadu_ps(at + (int64_t)8 * q), sum[q]);
    }
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        _mm256_storeu_ps(last + (int64_t)8 * q, sum[q]);
    for (int64_t i = 0; i < width; i += 4)
        _mm256_storeu_pd(g + i,
                         _mm256_add_pd(_mm256_loadu_pd(g + i), _mm256_cvtps_pd(_mm_loadu_ps(last + i))));
}

const struct gram_loops gram_avx2 = {
    .exact = {.columns = GRAM_SINGLE,
              .rows = GRAM_PANEL,
              .size = sizeof(float),
              .copy = gram_copy_single,
              .add = add_single},
    .general = {.columns = GRAM_NARROW,
                .rows = GRAM_NARROW_ROWS,
                .size = sizeof(double),
                .copy = gram_copy_narrow,
                .add = add},
};

#endif
