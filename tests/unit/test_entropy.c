/* Entropy of a row of logits against closed forms and against the definition in long double. */
#include "entropy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *state)
{
    return (double)(next(state) >> 11) * 0x1p-53;
}

/* H = ln(sum) - (sum of z exp(z)) / sum, largest logit subtracted, in the 64-bit mantissa of long double. */
static double reference(const double *x, int64_t n, double temperature)
{
    long double top = -INFINITY, s = 0, a = 0;
    for (int64_t j = 0; j < n; j++)
        top = x[j] > top ? x[j] : top;
    for (int64_t j = 0; j < n; j++) {
        if (x[j] == -INFINITY)
            continue;
        long double z = (x[j] - top) / temperature, p = expl(z);
        s += p;
        a += z * p;
    }
    return (double)(logl(s) - a / s);
}

static double nats(const double *x, int64_t n, double temperature)
{
    double h = -1;
    int64_t at = -1;
    assert_int_equal(entropy_row(x, n, temperature, &h, &at), ENTROPY_FINE);
    return h;
}

static void near(double found, double expected, double relative)
{
    assert_true(fabs(found - expected) <= relative * fabs(expected));
}

static void test_closed_forms(void **state)
{
    (void)state;
    double x[1000];
    for (int i = 0; i < 1000; i++)
        x[i] = -3.5;
    for (int n = 1; n <= 1000; n++)
        near(nats(x, n, 0.7), log(n), 1e-15 * n);
    /* Two logits d apart: a coin with p = 1 / (1 + exp(-d)). */
    for (double d = 0; d < 700; d += 0.5) {
        double two[2] = {-d, 0};
        double q = exp(-d);
        near(nats(two, 2, 1), log1p(q) + d * q / (1 + q), 1e-15);
        two[0] = 5;
        two[1] = 5 - d;
        near(nats(two, 2, 1), log1p(q) + d * q / (1 + q), 1e-15);
    }
    assert_true(nats((const double[]){1, -INFINITY, -INFINITY}, 3, 1) == 0);
    near(nats((const double[]){-INFINITY, 2, -INFINITY, 2}, 4, 1), log(2), 1e-15);
}

static void test_against_definition(void **state)
{
    (void)state;
    static const int64_t sizes[] = {2, 7, 8, 9, 48, 1023, 1024, 1025, 2049, 32000, 152064};
    static const double widths[] = {0.01, 1, 8, 40};
    static const double temperatures[] = {0.25, 1, 3};
    double *x = malloc(152064 * sizeof *x);
    uint64_t seed = 11;
    assert_non_null(x);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (size_t t = 0; t < sizeof temperatures / sizeof *temperatures; t++) {
                for (int64_t j = 0; j < sizes[s]; j++)
                    x[j] = uniform(&seed) < 0.1 ? -INFINITY
                                                : (widths[w] * (uniform(&seed) + uniform(&seed) - 1));
                x[sizes[s] / 2] = 0;
                double h = nats(x, sizes[s], temperatures[t]), r = reference(x, sizes[s], temperatures[t]);
                /* The reference cancels where H is small. */
                assert_true(fabs(h - r) <= 1e-13 * r + 1e-17);
            }
    free(x);
}

static void test_faults(void **state)
{
    (void)state;
    double h = 0;
    int64_t at = -1;
    assert_int_equal(entropy_row((const double[]){1, NAN, INFINITY}, 3, 1, &h, &at), ENTROPY_NAN);
    assert_int_equal(at, 1);
    assert_true(isnan(h));
    assert_int_equal(entropy_row((const double[]){NAN, 2, 3}, 3, 1, &h, &at), ENTROPY_NAN);
    assert_int_equal(at, 0);
    assert_int_equal(entropy_row((const double[]){1, -INFINITY, INFINITY, NAN}, 4, 1, &h, &at),
                     ENTROPY_INFINITE);
    assert_int_equal(at, 2);
    assert_int_equal(entropy_row((const double[]){-INFINITY, -INFINITY}, 2, 1, &h, &at), ENTROPY_EMPTY);
    assert_true(isnan(h));
    assert_int_equal(entropy_row(NULL, 0, 1, &h, &at), ENTROPY_EMPTY);
}

/* Extremes of logits and temperature stay finite. */
static void test_extremes(void **state)
{
    (void)state;
    const double wide[3] = {-3.4e38, 3.4e38, 3.4e38}, same[2] = {-3.4e38, -3.4e38},
                 wider[3] = {-1.7e308, 1.7e308, 1.7e308};
    near(nats(wide, 3, 1), log(2), 1e-15);
    near(nats(wider, 3, 1), log(2), 1e-15);
    near(nats(wide, 3, 1e-300), log(2), 1e-15);
    near(nats(same, 2, 1e-300), log(2), 1e-15);
    near(nats(wide, 3, 1e300), log(3), 1e-15);
    assert_true(nats((const double[]){0, -1e-30}, 2, 1e-300) == 0);
}

static void test_interpolate(void **state)
{
    (void)state;
    assert_true(entropy_interpolate(1, 3, 0) == 1);
    assert_true(entropy_interpolate(1, 3, 0.25) == 1.5);
    assert_true(entropy_interpolate(1, 3, 0.75) == 2.5);
    assert_true(entropy_interpolate(0.1, 0.1, 0.3) == 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_forms), cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_faults),       cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_interpolate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
