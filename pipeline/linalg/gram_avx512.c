/* The AVX-512 loops of gram.c, on pieces of float32, of as many columns as there are registers for, in the
 * second cache. The multiply is fused: the product was exact anyway. */
#include "linalg/gram_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

enum { WIDE = 128, WIDE_ROWS = GRAM_PANEL };

_Static_assert(sizeof(float) * GRAM_PANEL * WIDE <= GRAM_CHUNK, "a chunk of wide pieces fits");

static void copy_wide(const float *x, int64_t n, int64_t k, int64_t used, void *chunk)
{
    float *to = chunk;
    for (int64_t r = 0; r < k; r++, x += n, to += WIDE) {
        memcpy(to, x, (size_t)used * sizeof *to);
        memset(to + used, 0, (size_t)(WIDE - used) * sizeof *to);
    }
}

AVX512 static void add(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value,
                       int64_t count)
{
    enum { HELD = WIDE / GRAM_LANES };
    const float *x = piece;
    if (width < WIDE) {
        for (int64_t i = 0; i < width; i += GRAM_LANES) {
            __m512d sum = _mm512_loadu_pd(g + i);
            for (int64_t t = 0; t < count; t++)
                sum = _mm512_fmadd_pd(_mm512_set1_pd(value[t]),
                                      _mm512_cvtps_pd(_mm256_loadu_ps(x + (int64_t)row[t] * WIDE + i)), sum);
            _mm512_storeu_pd(g + i, sum);
        }
        return;
    }
    __m512d sum[HELD];
#pragma GCC unroll 16
    for (int q = 0; q < HELD; q++)
        sum[q] = _mm512_loadu_pd(g + (int64_t)GRAM_LANES * q);
    for (int64_t t = 0; t < count; t++) {
        const float *at = x + (int64_t)row[t] * WIDE;
        __m512d v = _mm512_set1_pd(value[t]);
#pragma GCC unroll 16
        for (int q = 0; q < HELD; q++)
            sum[q] =
                _mm512_fmadd_pd(v, _mm512_cvtps_pd(_mm256_loadu_ps(at + (int64_t)GRAM_LANES * q)), sum[q]);
    }
#pragma GCC unroll 16
    for (int q = 0; q < HELD; q++)
        _mm512_storeu_pd(g + (int64_t)GRAM_LANES * q, sum[q]);
}

AVX512 static void add_single(double *g, const void *piece, int64_t width, const uint16_t *row,
                              const float *value, int64_t count)
{
    enum { LANES = 16, HELD = WIDE / LANES };
    const float *x = piece;
    float last[WIDE];
    __m512 sum[HELD];
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        sum[q] = _mm512_setzero_ps();
    for (int64_t t = 0; t < count; t++) {
        const float *at = x + (int64_t)row[t] * WIDE;
        __m512 v = _mm512_set1_ps(value[t]);
#pragma GCC unroll 8
        for (int q = 0; q < HELD; q++)
            sum[q] = _mm512_fmadd_ps(v, _mm512_loadu_ps(at + (int64_t)LANES * q), sum[q]);
    }
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        _mm512_storeu_ps(last + (int64_t)LANES * q, sum[q]);
    for (int64_t i = 0; i < width; i += GRAM_LANES)
        _mm512_storeu_pd(g + i,
                         _mm512_add_pd(_mm512_loadu_pd(g + i), _mm512_cvtps_pd(_mm256_loadu_ps(last + i))));
}

const struct gram_loops gram_avx512 = {
    .exact =
        {.columns = WIDE, .rows = WIDE_ROWS, .size = sizeof(float), .copy = copy_wide, .add = add_single},
    .general = {.columns = WIDE, .rows = WIDE_ROWS, .size = sizeof(float), .copy = copy_wide, .add = add},
};

#endif
