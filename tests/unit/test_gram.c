/* The Gram kernel: every instruction set of this processor gives the bits of a plain sum in the order of the
 * rows, at all widths around the vector length, for densities from none to all. */
#include "linalg/gram.h"

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

/* Values of all sizes, so that sums round. */
static float value(uint64_t *state, int density)
{
    uint64_t z = next(state);
    if ((int)(z & 255) >= density)
        return 0;
    float x = (float)((double)(int64_t)z * 0x1p-63);
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

static void compare(int64_t n, int64_t k, int density, const char *isa)
{
    int64_t ld = gram_stride(n);
    assert_true(ld >= n && ld % 8 == 0 && ld % 256 != 0);
    float *panel = calloc((size_t)(n * k) + 1, sizeof *panel);
    double *g = calloc((size_t)(ld * n) + 1, sizeof *g), *expected = calloc((size_t)(ld * n) + 1, sizeof *g);
    struct gram_lists l = {.row = malloc((size_t)(n * GRAM_PANEL) * sizeof *l.row),
                           .value = malloc((size_t)(n * GRAM_PANEL) * sizeof *l.value),
                           .column = malloc((size_t)(n * GRAM_BLOCKS) * sizeof *l.column),
                           .count = malloc((size_t)(n * GRAM_BLOCKS) * sizeof *l.count),
                           .chunk = malloc(GRAM_CHUNK)};
    uint64_t state = (uint64_t)(n * 1000 + k * 10 + density);
    g[ld * n] = 42;
    setenv("SINEW_ISA", isa, 1);
    for (int pass = 0; pass < 2; pass++) {
        int64_t nonzero = 0;
        for (int64_t i = 0; i < n * k; i++) {
            panel[i] = value(&state, density);
            nonzero += panel[i] != 0;
        }
        assert_int_equal(gram_list(panel, k, n, &l), nonzero);
        gram_add(g, n, ld, panel, k, &l);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i; j < n; j++)
                for (int64_t r = 0; r < k; r++)
                    expected[i * ld + j] += (double)panel[r * n + i] * (double)panel[r * n + j];
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++)
            if (memcmp(&g[i * ld + j], &expected[i * ld + j], sizeof *g) != 0)
                fail_msg("%s, n %ld, k %ld, density %d: (%ld, %ld) is %.17g, expected %.17g", isa, (long)n,
                         (long)k, density, (long)j, (long)i, g[i * ld + j], expected[i * ld + j]);
    assert_true(g[ld * n] == 42);
    free(panel);
    free(g);
    free(expected);
    free(l.row);
    free(l.value);
    free(l.column);
    free(l.count);
    free(l.chunk);
}

static void test_bits(void **unused)
{
    (void)unused;
    static const char *const isas[] = {"portable", "avx2", "avx512"};
    static const int64_t orders[] = {1, 2, 7, 8, 9, 33, 127, 128, 129, 200, 256, 300};
    static const int64_t rows[] = {1, 61, 128, 129, GRAM_PANEL};
    static const int densities[] = {0, 1, 40, 256};
    for (size_t a = 0; a < 3; a++)
        for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
            for (size_t d = 0; d < 4; d++)
                for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                    compare(orders[i], rows[r], densities[d], isas[a]);
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
