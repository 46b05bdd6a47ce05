#include "gram.h"

#include "isa.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LANES = 8, VECTORS = GRAM_CHUNK / LANES, TILE = 16 };

int64_t gram_stride(int64_t n)
{
    int64_t ld = (n + LANES - 1) / LANES * LANES;
    return ld % 256 == 0 ? ld + LANES : ld;
}

int64_t gram_list(const float *panel, int64_t k, int64_t n, struct gram_lists *l)
{
    int64_t total = 0;
    for (int64_t c0 = 0; c0 < n; c0 += TILE) {
        int64_t width = n - c0 < TILE ? n - c0 : TILE, count[TILE] = {0};
        for (int64_t r = 0; r < k; r++) {
            const float *x = panel + r * n + c0;
            /* Each element is written, and stays where it counts: faster than a branch that cannot be
             * foreseen. */
            for (int64_t i = 0; i < width; i++) {
                int64_t at = (c0 + i) * GRAM_PANEL + count[i];
                l->row[at] = (uint16_t)r;
                l->value[at] = x[i];
                count[i] += x[i] != 0;
            }
        }
        for (int64_t i = 0; i < width; i++) {
            l->count[c0 + i] = count[i];
            total += count[i];
        }
    }
    return total;
}

/* One column's part: g[0..width) += sum over the list of value * the chunk's row. width: a multiple of LANES,
 * GRAM_CHUNK at most. */
typedef void (*add_column)(double *g, const float *chunk, int64_t width, const uint16_t *row,
                           const float *value, int64_t count);

static void add_portable(double *g, const float *chunk, int64_t width, const uint16_t *row,
                         const float *value, int64_t count)
{
    for (int64_t t = 0; t < count; t++) {
        const float *x = chunk + (int64_t)row[t] * GRAM_CHUNK;
        double v = value[t];
        for (int64_t i = 0; i < width; i++)
            g[i] += v * (double)x[i];
    }
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void add_avx2(double *g, const float *chunk, int64_t width,
                                                     const uint16_t *row, const float *value, int64_t count)
{
    enum { HELD = 8 };
    for (int64_t from = 0; from < width; from += 4 * HELD) {
        int64_t held = (width - from) / 4 < HELD ? (width - from) / 4 : HELD;
        if (held < HELD) {
            for (int64_t q = 0; q < held; q++) {
                __m256d sum = _mm256_loadu_pd(g + from + 4 * q);
                for (int64_t t = 0; t < count; t++)
                    sum = _mm256_add_pd(
                        sum, _mm256_mul_pd(_mm256_set1_pd(value[t]),
                                           _mm256_cvtps_pd(_mm_loadu_ps(chunk + (int64_t)row[t] * GRAM_CHUNK +
                                                                        from + 4 * q))));
                _mm256_storeu_pd(g + from + 4 * q, sum);
            }
            continue;
        }
        __m256d sum[HELD];
#pragma GCC unroll 8
        for (int q = 0; q < HELD; q++)
            sum[q] = _mm256_loadu_pd(g + from + (int64_t)4 * q);
        for (int64_t t = 0; t < count; t++) {
            const float *x = chunk + (int64_t)row[t] * GRAM_CHUNK + from;
            __m256d v = _mm256_set1_pd(value[t]);
#pragma GCC unroll 8
            for (int q = 0; q < HELD; q++)
                sum[q] = _mm256_add_pd(sum[q],
                                       _mm256_mul_pd(v, _mm256_cvtps_pd(_mm_loadu_ps(x + (int64_t)4 * q))));
        }
#pragma GCC unroll 8
        for (int q = 0; q < HELD; q++)
            _mm256_storeu_pd(g + from + (int64_t)4 * q, sum[q]);
    }
}

/* The multiply is fused here: the product was exact anyway. */
__attribute__((target("avx512f"))) static void add_avx512(double *g, const float *chunk, int64_t width,
                                                          const uint16_t *row, const float *value,
                                                          int64_t count)
{
    if (width < GRAM_CHUNK) {
        for (int64_t i = 0; i < width; i += LANES) {
            __m512d sum = _mm512_loadu_pd(g + i);
            for (int64_t t = 0; t < count; t++)
                sum = _mm512_fmadd_pd(
                    _mm512_set1_pd(value[t]),
                    _mm512_cvtps_pd(_mm256_loadu_ps(chunk + (int64_t)row[t] * GRAM_CHUNK + i)), sum);
            _mm512_storeu_pd(g + i, sum);
        }
        return;
    }
    __m512d sum[VECTORS];
#pragma GCC unroll 16
    for (int q = 0; q < VECTORS; q++)
        sum[q] = _mm512_loadu_pd(g + (int64_t)LANES * q);
    for (int64_t t = 0; t < count; t++) {
        const float *x = chunk + (int64_t)row[t] * GRAM_CHUNK;
        __m512d v = _mm512_set1_pd(value[t]);
#pragma GCC unroll 16
        for (int q = 0; q < VECTORS; q++)
            sum[q] = _mm512_fmadd_pd(v, _mm512_cvtps_pd(_mm256_loadu_ps(x + (int64_t)LANES * q)), sum[q]);
    }
#pragma GCC unroll 16
    for (int q = 0; q < VECTORS; q++)
        _mm512_storeu_pd(g + (int64_t)LANES * q, sum[q]);
}

#endif

static add_column best(void)
{
#if defined(__x86_64__)
    switch (isa_best()) {
    case ISA_AVX512:
        return add_avx512;
    case ISA_AVX2:
        return add_avx2;
    default:
        break;
    }
#endif
    return add_portable;
}

void gram_add(double *g, int64_t n, int64_t ld, const float *panel, int64_t k, const struct gram_lists *l)
{
    add_column add = best();
    int64_t padded = (n + LANES - 1) / LANES * LANES;
    for (int64_t j = 0; j < n; j += GRAM_CHUNK) {
        int64_t width = padded - j < GRAM_CHUNK ? padded - j : GRAM_CHUNK,
                used = n - j < GRAM_CHUNK ? n - j : GRAM_CHUNK;
        for (int64_t r = 0; r < k; r++) {
            float *to = l->chunk + r * GRAM_CHUNK;
            memcpy(to, panel + r * n + j, (size_t)used * sizeof *to);
            memset(to + used, 0, (size_t)(GRAM_CHUNK - used) * sizeof *to);
        }
        /* Column i of the lower triangle, rows [j, j+width). */
        for (int64_t i = 0; i < j + used; i++)
            add(g + i * ld + j, l->chunk, width, l->row + i * GRAM_PANEL, l->value + i * GRAM_PANEL,
                l->count[i]);
    }
}

void gram_transpose(const float *x, int64_t rows, int64_t stride, int64_t from, int64_t cols, float *out)
{
    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        int64_t i1 = i0 + TILE < rows ? i0 + TILE : rows;
        for (int64_t k0 = 0; k0 < cols; k0 += TILE) {
            int64_t k1 = k0 + TILE < cols ? k0 + TILE : cols;
            for (int64_t k = k0; k < k1; k++)
                for (int64_t i = i0; i < i1; i++)
                    out[k * rows + i] = x[i * stride + from + k];
        }
    }
}
