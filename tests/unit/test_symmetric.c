/* Symmetric matrices with known eigenvalues: Q D Q' with Q a product of two Householder reflections, so that
 * nothing is sparse or sorted. */
#include "linalg/symmetric.h"

#include "linalg/definite.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 700, LD = 704, SOME = 250 };

static struct mem mem;
static struct arena arena;
static struct err error;

static int begin(void **unused)
{
    (void)unused;
    mem_init(&mem, 0);
    arena_init(&arena, &mem);
    err_clear(&error);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    arena_release(&arena);
    return mem.live_bytes != 0;
}

/* x := (I - 2 v v'/v'v) x (I - 2 v v'/v'v), v[i] = sin(i * step + 1) */
static void reflect(double *x, int n, double step)
{
    double v[N], w[N], vv = 0, vw = 0;
    for (int i = 0; i < n; i++) {
        v[i] = sin(i * step + 1);
        vv += v[i] * v[i];
    }
    for (int i = 0; i < n; i++) {
        w[i] = 0;
        for (int j = 0; j < n; j++)
            w[i] += x[i * LD + j] * v[j];
        vw += v[i] * w[i];
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            x[i * LD + j] += -2 / vv * (v[i] * w[j] + w[i] * v[j]) + 4 * vw / (vv * vv) * v[i] * v[j];
}

static void make(struct symmetric *s, const double *values, int n)
{
    double *x;
    assert_int_equal(arena_array(&arena, "x", (int64_t)LD * n, &x, &error), ERR_OK);
    for (int i = 0; i < n; i++)
        x[i * LD + i] = values[i];
    reflect(x, n, 0.7);
    reflect(x, n, 2.3);
    assert_int_equal(symmetric_init(s, x, n, LD, &arena, &error), ERR_OK);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* All questions, one after the other, in an order that would show what one leaves behind. near: the tangent
 * is known to be near enough to tell. */
static void questions(const double *values, int n, double bound, double slack, int decided, int near)
{
    struct symmetric s;
    double found[N], sorted[N], largest;
    int above = 0, wider = 0;
    make(&s, values, n);
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    for (int i = 0; i < n; i++) {
        above += values[i] > bound;
        wider += values[i] > bound - slack;
    }
    for (int turn = 0; turn < 2; turn++) {
        struct symmetric_ends ends;
        assert_int_equal(symmetric_ends(&s, turn, &ends, &error), ERR_OK);
        largest = ends.largest;
        assert_true(ends.found && ends.residual <= 1e-6 * largest);
        assert_true(ends.least >= sorted[0] - 1e-12 * largest && ends.least <= largest);
        assert_true(symmetric_none_above(&s, largest) && !symmetric_none_above(&s, largest * (1 - 1e-6)));
        assert_true(fabs(largest - sorted[n - 1]) <= 1e-9 * sorted[n - 1]);
        struct symmetric_count c;
        assert_int_equal(symmetric_above(&s, bound, slack, largest, 1e-10 * largest, &c, &error), ERR_OK);
        assert_int_equal(c.decided, decided);
        if (decided) {
            assert_int_equal(c.above, above);
            assert_true(c.at_most >= wider);
            if (near && wider == above)
                assert_int_equal(c.at_most, above);
            assert_int_equal(c.delayed > 0, above < n);
        }
        assert_int_equal(symmetric_eigenvalues(&s, found, &error), ERR_OK);
        for (int i = 0; i < n; i++)
            assert_true(fabs(found[i] - sorted[i]) <= 1e-12 * sorted[n - 1]);
    }
    arena_reset(&arena);
}

static void test_full(void **unused)
{
    (void)unused;
    double d[N];
    for (int i = 0; i < N; i++)
        d[i] = 1 + i % 17;
    questions(d, N, 0.5, 1e-3, 1, 1);
    questions(d, 1, 0.5, 1e-3, 1, 1);
    questions(d, 65, 0.5, 1e-3, 1, 1);
    questions(d, SOME, 0.5, 1e-3, 1, 1);
    questions(d, 511, 0.5, 1e-3, 1, 1);
    questions(d, 512, 0.5, 1e-3, 1, 1);
    questions(d, 513, 0.5, 1e-3, 1, 1);
}

static void test_some_below(void **unused)
{
    (void)unused;
    double d[N];
    for (int below = 1; below <= 100; below += 33) {
        for (int i = 0; i < N; i++)
            d[i] = i < below ? 1e-4 * i / below : 1 + i % 17;
        questions(d, N, 1e-2, 1e-5, 1, 0);
    }
}

/* One just above the bound, one just below it but within the slack. */
static void test_close(void **unused)
{
    (void)unused;
    double d[N];
    for (int i = 0; i < SOME; i++)
        d[i] = 1 + i % 5;
    d[7] = 1.01e-3;
    d[9] = 0.99e-3;
    questions(d, SOME, 1e-3, 1e-6, 1, 1);
    questions(d, SOME, 1e-3, 1e-4, 1, 1);
}

static void test_too_many_below(void **unused)
{
    (void)unused;
    double d[N];
    for (int i = 0; i < SOME; i++)
        d[i] = i < SOME - 20 ? 0 : i;
    questions(d, SOME, 1, 1e-3, 0, 1);
}

/* A resolution that double arithmetic does not have. */
static void test_unresolved(void **unused)
{
    (void)unused;
    double d[N], largest = 1;
    for (int i = 0; i < SOME; i++)
        d[i] = 1;
    struct symmetric s;
    struct symmetric_count c;
    make(&s, d, SOME);
    assert_int_equal(symmetric_above(&s, 1e-14, 0, largest, 1e-16, &c, &error), ERR_OK);
    assert_int_equal(c.decided, 0);
}

static void test_zero(void **unused)
{
    (void)unused;
    double d[N] = {0};
    struct symmetric s;
    struct symmetric_ends ends = {.largest = 1};
    make(&s, d, 5);
    assert_int_equal(symmetric_ends(&s, 0, &ends, &error), ERR_OK);
    assert_true(ends.found && ends.largest == 0);
}

/* What float32 proves of the smallest and the largest eigenvalue is true, from far away to where it proves
 * nothing; and it does prove what is plain. */
static void proofs(double least, double largest, double unit)
{
    double d[N], e;
    struct symmetric s;
    for (int i = 0; i < SOME; i++)
        d[i] = unit * (i == 7 ? least : i == 11 ? largest : 0.5 * (least + largest));
    make(&s, d, SOME);
    for (double share = 0.25; share < 1.5; share += 0.03125) {
        assert_int_equal(definite_within(&s, 1, -share * unit * least, &e, &error), ERR_OK);
        assert_true(share * unit * least - e <= unit * least * (1 + 1e-12));
        if (share < 0.9 && least > 0.01 * largest)
            assert_true(e < 0.1 * unit * least);
        assert_int_equal(definite_within(&s, -1, (0.75 + share / 4) * unit * largest, &e, &error), ERR_OK);
        assert_true((0.75 + share / 4) * unit * largest + e >= unit * largest * (1 - 1e-12));
        if (share > 1.1)
            assert_true(e < 0.01 * unit * largest);
    }
    double frobenius = 0;
    for (int i = 0; i < SOME; i++)
        frobenius += d[i] / unit * d[i] / unit;
    assert_true(fabs(symmetric_frobenius(&s) / unit / sqrt(frobenius) - 1) <= 1e-8);
    arena_reset(&arena);
}

static void test_proofs(void **unused)
{
    (void)unused;
    static const double leasts[] = {0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9};
    for (size_t i = 0; i < sizeof leasts / sizeof *leasts; i++)
        proofs(leasts[i], 1, 1);
    proofs(0.1, 1, 0x1p-60);
    proofs(0.1, 1, 1e30);
    double none[N] = {0}, e;
    struct symmetric s;
    make(&s, none, 5);
    assert_int_equal(definite_within(&s, 1, 0, &e, &error), ERR_OK);
    assert_true(isinf(e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full, begin, end),
        cmocka_unit_test_setup_teardown(test_some_below, begin, end),
        cmocka_unit_test_setup_teardown(test_close, begin, end),
        cmocka_unit_test_setup_teardown(test_too_many_below, begin, end),
        cmocka_unit_test_setup_teardown(test_unresolved, begin, end),
        cmocka_unit_test_setup_teardown(test_zero, begin, end),
        cmocka_unit_test_setup_teardown(test_proofs, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
