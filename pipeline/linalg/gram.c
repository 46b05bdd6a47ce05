#include "linalg/gram.h"

#include "base/isa.h"
#include "base/mem.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    LANES = 8,
    TILE = 16,
    GROUP = 128, /* columns whose sums and lists stay in the second cache */
    WORD = 32,   /* columns that one word tells of */
    AHEAD = 2    /* lists between asking for a column's sums and using them */
};

int64_t gram_stride(int64_t n)
{
    int64_t ld = (n + LANES - 1) / LANES * LANES;
    return ld % 256 == 0 ? ld + LANES : ld;
}

/* How an instruction set adds: the dense factor in pieces that stay in a cache. A chunk is so many columns of
 * the panel, and each block of its rows is a piece. */
struct way {
    int64_t columns, rows; /* of a piece */
    size_t size;           /* of its elements */
    /* Makes the chunk from columns of k rows, n floats each: `used` of them, then zeros. */
    void (*copy)(const float *x, int64_t n, int64_t k, int64_t used, void *chunk);
    /* One list's part: g[0..width) += sum over the list of value * the piece's row. width: a multiple of
     * LANES, not above `columns`. */
    void (*add)(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value,
                int64_t count);
};

/* ---- pieces of float64 that fit the first cache ---- */

enum { NARROW = 32, NARROW_ROWS = 128 };

static void copy_narrow(const float *x, int64_t n, int64_t k, int64_t used, void *chunk)
{
    double *to = chunk;
    for (int64_t r = 0; r < k; r++, x += n, to += NARROW) {
        for (int64_t i = 0; i < used; i++)
            to[i] = x[i];
        for (int64_t i = used; i < NARROW; i++)
            to[i] = 0;
    }
}

static void add_portable(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value,
                         int64_t count)
{
    for (int64_t t = 0; t < count; t++) {
        const double *x = (const double *)piece + (int64_t)row[t] * NARROW;
        double v = value[t];
        for (int64_t i = 0; i < width; i++)
            g[i] += v * x[i];
    }
}

#if defined(__x86_64__)

/* The multiply is fused here, and below: the product was exact anyway. */
__attribute__((target(ISA_AVX2_TARGET))) static void
add_avx2(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value, int64_t count)
{
    enum { HELD = NARROW / 4 };
    const double *x = piece;
    if (width < NARROW) {
        for (int64_t i = 0; i < width; i += 4) {
            __m256d sum = _mm256_loadu_pd(g + i);
            for (int64_t t = 0; t < count; t++)
                sum = _mm256_fmadd_pd(_mm256_set1_pd(value[t]),
                                      _mm256_loadu_pd(x + (int64_t)row[t] * NARROW + i), sum);
            _mm256_storeu_pd(g + i, sum);
        }
        return;
    }
    __m256d sum[HELD];
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        sum[q] = _mm256_loadu_pd(g + (int64_t)4 * q);
    for (int64_t t = 0; t < count; t++) {
        const double *at = x + (int64_t)row[t] * NARROW;
        __m256d v = _mm256_set1_pd(value[t]);
#pragma GCC unroll 8
        for (int q = 0; q < HELD; q++)
            sum[q] = _mm256_fmadd_pd(v, _mm256_loadu_pd(at + (int64_t)4 * q), sum[q]);
    }
#pragma GCC unroll 8
    for (int q = 0; q < HELD; q++)
        _mm256_storeu_pd(g + (int64_t)4 * q, sum[q]);
}

/* ---- pieces of float32, of as many columns as AVX-512 has registers for, in the second cache ---- */

enum { WIDE = 128, WIDE_ROWS = GRAM_PANEL };

static void copy_wide(const float *x, int64_t n, int64_t k, int64_t used, void *chunk)
{
    float *to = chunk;
    for (int64_t r = 0; r < k; r++, x += n, to += WIDE) {
        memcpy(to, x, (size_t)used * sizeof *to);
        memset(to + used, 0, (size_t)(WIDE - used) * sizeof *to);
    }
}

__attribute__((target("avx512f"))) static void add_avx512(double *g, const void *piece, int64_t width,
                                                          const uint16_t *row, const float *value,
                                                          int64_t count)
{
    enum { HELD = WIDE / LANES };
    const float *x = piece;
    if (width < WIDE) {
        for (int64_t i = 0; i < width; i += LANES) {
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
        sum[q] = _mm512_loadu_pd(g + (int64_t)LANES * q);
    for (int64_t t = 0; t < count; t++) {
        const float *at = x + (int64_t)row[t] * WIDE;
        __m512d v = _mm512_set1_pd(value[t]);
#pragma GCC unroll 16
        for (int q = 0; q < HELD; q++)
            sum[q] = _mm512_fmadd_pd(v, _mm512_cvtps_pd(_mm256_loadu_ps(at + (int64_t)LANES * q)), sum[q]);
    }
#pragma GCC unroll 16
    for (int q = 0; q < HELD; q++)
        _mm512_storeu_pd(g + (int64_t)LANES * q, sum[q]);
}

_Static_assert(sizeof(float) * GRAM_PANEL * WIDE <= GRAM_CHUNK, "a chunk of wide pieces fits");
#endif
_Static_assert(sizeof(double) * GRAM_PANEL * NARROW <= GRAM_CHUNK, "a chunk of narrow pieces fits");
_Static_assert(GRAM_PANEL / NARROW_ROWS <= GRAM_BLOCKS, "lists fit");

static struct way best(void)
{
#if defined(__x86_64__)
    switch (isa_best()) {
    case ISA_AVX512:
        return (struct way){WIDE, WIDE_ROWS, sizeof(float), copy_wide, add_avx512};
    case ISA_AVX2:
        return (struct way){NARROW, NARROW_ROWS, sizeof(double), copy_narrow, add_avx2};
    default:
        break;
    }
#endif
    return (struct way){NARROW, NARROW_ROWS, sizeof(double), copy_narrow, add_portable};
}

/* ---- lists ---- */

/* The lists of a group of `width` columns in one block of k rows, to where `to` points, which is moved behind
 * them. Sorted by length: the inner loop then ends where it ended before, which a processor foresees. Returns
 * how many entries they have. */
static int64_t list_block(const float *x, int64_t n, int64_t k, int64_t width, struct gram_lists *to)
{
    uint32_t nonzero[GRAM_PANEL][GROUP / WORD];
    int64_t count[GROUP] = {0}, place[GRAM_PANEL + 2] = {0}, at[GROUP], total = 0;
    for (int64_t r = 0; r < k; r++)
        for (int64_t c = 0; c < width; c += WORD) {
            uint32_t set = 0;
            for (int64_t i = 0; i < min64(WORD, width - c); i++) {
                uint32_t is = x[r * n + c + i] != 0;
                set |= is << i;
                count[c + i] += is;
            }
            nonzero[r][c / WORD] = set;
        }
    for (int64_t i = 0; i < width; i++)
        place[count[i] + 1]++;
    for (int64_t c = 0; c < k; c++)
        place[c + 1] += place[c];
    for (int64_t i = 0; i < width; i++) {
        int64_t p = place[count[i]]++;
        to->column[p] = (uint16_t)i;
        to->count[p] = (uint16_t)count[i];
    }
    for (int64_t p = 0; p < width; p++) {
        at[to->column[p]] = total;
        total += to->count[p];
    }
    for (int64_t r = 0; r < k; r++)
        for (int64_t c = 0; c < width; c += WORD)
            for (uint32_t left = nonzero[r][c / WORD]; left; left &= left - 1) {
                int64_t i = c + __builtin_ctz(left), p = at[i]++;
                to->row[p] = (uint16_t)r;
                to->value[p] = x[r * n + i];
            }
    to->column += width;
    to->count += width;
    to->row += total;
    to->value += total;
    return total;
}

int64_t gram_list(const float *panel, int64_t k, int64_t n, struct gram_lists *l)
{
    struct gram_lists to = *l;
    int64_t rows = best().rows, total = 0;
    for (int64_t c = 0; c < n; c += GROUP)
        for (int64_t r = 0; r < k; r += rows)
            total += list_block(panel + r * n + c, n, min64(rows, k - r), min64(GROUP, n - c), &to);
    return total;
}

/* ---- the sum ---- */

/* Rows [j, j+width) of the columns of G in one group, of which there are so many, at g; `above` of them lie
 * in the lower triangle there. at: the group's lists, moved behind them. */
static void add_group(const struct way *way, double *g, int64_t ld, int64_t columns, int64_t above,
                      int64_t width, int64_t k, struct gram_lists *at)
{
    const char *piece = at->chunk;
    for (int64_t r = 0; r < k; r += way->rows, piece += (size_t)(way->rows * way->columns) * way->size) {
        for (int64_t t = 0; t < columns; t++) {
            int64_t i = at->column[t], count = at->count[t];
            const double *soon = g + at->column[min64(t + AHEAD, columns - 1)] * ld;
            for (int64_t p = 0; r == 0 && p < width; p += LANES)
                __builtin_prefetch(soon + p);
            if (i < above && count > 0)
                way->add(g + i * ld, piece, width, at->row, at->value, count);
            at->row += count;
            at->value += count;
        }
        at->column += columns;
        at->count += columns;
    }
}

void gram_add(double *g, int64_t n, int64_t ld, const float *panel, int64_t k, const struct gram_lists *l)
{
    struct way way = best();
    int64_t padded = (n + LANES - 1) / LANES * LANES;
    for (int64_t j = 0; j < n; j += way.columns) {
        int64_t width = min64(padded - j, way.columns), end = min64(n, j + way.columns);
        struct gram_lists at = *l;
        way.copy(panel + j, n, k, end - j, l->chunk);
        for (int64_t c = 0; c < end; c += GROUP)
            add_group(&way, g + c * ld + j, ld, min64(GROUP, n - c), end - c, width, k, &at);
    }
}

void gram_transpose(const float *x, int64_t rows, int64_t stride, int64_t from, int64_t cols, float *out)
{
    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        int64_t i1 = min64(i0 + TILE, rows);
        for (int64_t k0 = 0; k0 < cols; k0 += TILE) {
            int64_t k1 = min64(k0 + TILE, cols);
            for (int64_t k = k0; k < k1; k++)
                for (int64_t i = i0; i < i1; i++)
                    out[k * rows + i] = x[i * stride + from + k];
        }
    }
}
