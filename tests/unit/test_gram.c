/* The Gram kernel: every instruction set of this processor gives the same bits, those of a plain sum in the
 * order of the rows unless elements have a rest, at all widths around the vector length, for densities from
 * none to all. */
#include "linalg/gram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15U;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

enum kind {
    WILD,  /* of all sizes, so that sums round and nothing can be split */
    UNITS, /* a few units in the last place of bf16 weights: all on the grid */
    RESTS, /* the same, and now and then one that is far smaller */
    KINDS
};

static float value(uint64_t *state, enum kind kind, int density)
{
    uint64_t z = next(state);
    if ((int)(z & 255) >= density)
        return 0;
    float x = (float)((double)(int64_t)z * 0x1p-63);
    if (kind != WILD) {
        int64_t units = 1 + (int64_t)(z >> 8 & 3);
        double unit = ldexp(1, -14 - (int)(z >> 16 & 3));
        if (kind == RESTS && (z >> 20 & 4095) == 0)
            unit = ldexp(1 + 0x1p-7 * (double)(z >> 32 & 127), -28);
        return (float)((z >> 63 ? -1 : 1) * (double)units * unit);
    }
    switch ((z >> 8) & 7) {
    case 0:
        return x * 1e20F;
    case 1:
        return x * 1e-30F;
    case 2:
        return x * 1e-40F; /* subnormal */
    default:
        return x;
    }
}

struct sums {
    double *g;         /* what gram_add made */
    double *plain;     /* the plain sum in the order of the rows, in double */
    long double *most; /* sums of absolute values, and of what is exact enough to judge by */
    long double *exact;
    int64_t n, ld;
};

/* Two panels of k rows; judge: with the sums to judge by. Returns how many of them were split; *rests: how
 * many elements had one. */
static int add_panels(struct sums *s, int64_t k, enum kind kind, int density, int judge, int64_t *rests)
{
    int64_t n = s->n, ld = s->ld;
    float *panel = calloc((size_t)(n * k) + 1, sizeof *panel),
          *kept = calloc((size_t)(n * k) + 1, sizeof *kept);
    struct gram_lists l = {.row = malloc((size_t)(n * GRAM_PANEL) * sizeof *l.row),
                           .value = malloc((size_t)(n * GRAM_PANEL) * sizeof *l.value),
                           .column = malloc((size_t)(n * GRAM_BLOCKS) * sizeof *l.column),
                           .count = malloc((size_t)(n * GRAM_BLOCKS) * sizeof *l.count),
                           .chunk = malloc(GRAM_CHUNK),
                           .rest = malloc((size_t)(n + 1) * sizeof *l.rest),
                           .squares = malloc((size_t)n * sizeof *l.squares),
                           .rounder = malloc((size_t)n * sizeof *l.rounder),
                           .nonzero = malloc((size_t)n * sizeof *l.nonzero)};
    uint64_t state = (uint64_t)(n * 1000 + k * 10 + density);
    int split = 0;
    *rests = 0;
    for (int pass = 0; pass < 2; pass++) {
        int64_t nonzero = 0;
        for (int64_t i = 0; i < n * k; i++) {
            kept[i] = panel[i] = value(&state, kind, density);
            nonzero += panel[i] != 0;
        }
        int64_t listed = gram_list(panel, k, n, &l);
        assert_true(l.split ? listed <= nonzero && listed >= nonzero - l.nrests : listed == nonzero);
        assert_true(l.split || memcmp(panel, kept, (size_t)(n * k) * sizeof *kept) == 0);
        gram_add(s->g, n, ld, panel, k, &l);
        split += l.split;
        *rests += l.nrests;
        for (int64_t i = 0; i < n && judge; i++)
            for (int64_t j = i; j < n; j++)
                for (int64_t r = 0; r < k; r++) {
                    double product = (double)kept[r * n + i] * (double)kept[r * n + j];
                    s->plain[i * ld + j] += product;
                    s->exact[i * ld + j] += product;
                    s->most[i * ld + j] += fabs(product);
                }
    }
    free(panel);
    free(kept);
    free(l.row);
    free(l.value);
    free(l.column);
    free(l.count);
    free(l.chunk);
    free(l.rest);
    free(l.squares);
    free(l.rounder);
    free(l.nonzero);
    return split;
}

/* Without a split, and where all lies on the grid, the bits of the plain sum; else near the exact one. first:
 * what another instruction set made. */
static void compare(int64_t n, int64_t k, enum kind kind, int density, const char *isa, double **first)
{
    int64_t ld = gram_stride(n), size = ld * n + 1, rests;
    assert_true(ld >= n && ld % 8 == 0 && ld % 256 != 0);
    struct sums s = {calloc((size_t)size, sizeof *s.g),
                     calloc((size_t)size, sizeof *s.plain),
                     calloc((size_t)size, sizeof *s.most),
                     calloc((size_t)size, sizeof *s.exact),
                     n,
                     ld};
    s.g[ld * n] = 42;
    setenv("SINEW_ISA", isa, 1);
    int split = add_panels(&s, k, kind, density, !*first, &rests);
    assert_true(kind == WILD || (kind == RESTS && n * k < 10000) || split == 2);
    assert_true(kind != UNITS || rests == 0);
    assert_true(kind != RESTS || density < 256 || n * k < 100000 || rests > 0);
    int bits = split == 0 || kind == UNITS;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) {
            int64_t at = i * ld + j;
            int ok = *first ? memcmp(&s.g[at], &(*first)[at], sizeof *s.g) == 0
                     : bits
                         ? memcmp(&s.g[at], &s.plain[at], sizeof *s.g) == 0
                         : fabsl(s.g[at] - s.exact[at]) <= 4 * (long double)(2 * k) * 0x1p-53L * s.most[at];
            if (!ok)
                fail_msg("%s, n %ld, k %ld, kind %d, density %d: (%ld, %ld) is %.17g, expected %.17g", isa,
                         (long)n, (long)k, kind, density, (long)j, (long)i, s.g[at], s.plain[at]);
        }
    assert_true(s.g[ld * n] == 42);
    if (*first)
        free(s.g);
    else
        *first = s.g;
    free(s.plain);
    free(s.most);
    free(s.exact);
}

static void test_bits(void **unused)
{
    (void)unused;
    static const char *const isas[] = {"portable", "avx2", "avx512"};
    static const int64_t orders[] = {1, 2, 7, 8, 9, 33, 63, 65, 127, 128, 129, 200, 256, 300};
    static const int64_t rows[] = {1, 61, 128, 129, GRAM_PANEL};
    static const int densities[] = {0, 1, 40, 256};
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
            for (size_t d = 0; d < 4; d++)
                for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                    double *first = NULL;
                    if (kind != WILD && (densities[d] < 2 || rows[r] == 61 || rows[r] == 128))
                        continue;
                    for (size_t a = 0; a < 3; a++)
                        compare(orders[i], rows[r], (enum kind)kind, densities[d], isas[a], &first);
                    free(first);
                }
    unsetenv("SINEW_ISA");
}

static void test_transpose(void **unused)
{
    (void)unused;
    enum { ROWS = 37, STRIDE = 50, FROM = 5, COLS = 41 };
    float x[ROWS * STRIDE], out[COLS * ROWS + 1];
    for (int i = 0; i < ROWS * STRIDE; i++)
        x[i] = (float)i;
    out[COLS * ROWS] = 42;
    gram_transpose(x, ROWS, STRIDE, FROM, COLS, out);
    for (int k = 0; k < COLS; k++)
        for (int i = 0; i < ROWS; i++)
            assert_true(out[k * ROWS + i] == (float)(i * STRIDE + FROM + k));
    assert_true(out[COLS * ROWS] == 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_transpose)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
