/* Spectrum against values computed by hand. */
#include "kernels/spectrum/spectrum.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double found, double expected, double error)
{
    if (!(fabs(found - expected) <= error))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static void test_equal_values(void **state)
{
    (void)state;
    const double s[] = {3, 3, 3, 3};
    struct spectrum x;
    spectrum_measure(s, 4, 4, 9, 0, &x);
    assert_int_equal(x.matrix_rank, 4);
    near(x.stable_rank, 4, 1e-14);
    near(x.effective_rank, 4, 1e-14);
    near(x.tolerance, 27 * 0x1p-23, 0);
    near(x.sigma_max, 3, 0);
    near(x.sigma_min, 3, 0);
    assert_int_equal(x.ambiguous, 0);
}

/* Of 1, 1/2, 1/4 ... the 20 largest have all but 4^-20 of the energy, of equal ones their share. */
static void test_top20(void **state)
{
    (void)state;
    double s[50];
    struct spectrum x;
    for (int i = 0; i < 50; i++)
        s[i] = ldexp(3, -i);
    spectrum_measure(s, 50, 50, 60, 0, &x);
    near(x.top20_energy, (1 - ldexp(1, -40)) / (1 - ldexp(1, -100)), 1e-15);
    spectrum_measure(s, 20, 20, 60, 0, &x);
    near(x.top20_energy, 1, 0);
    for (int i = 0; i < 50; i++)
        s[i] = 1e-30;
    spectrum_measure(s, 50, 50, 60, 0, &x);
    near(x.top20_energy, 0.4, 1e-15);
}

static void test_two_values(void **state)
{
    (void)state;
    /* p = 2/3, 1/3: entropy ln 3 - (2/3) ln 2, its exp 3 / 2^(2/3); squares (4 + 1) / 4 */
    const double s[] = {2, 1, 0};
    struct spectrum x;
    spectrum_measure(s, 3, 3, 3, 0, &x);
    assert_int_equal(x.matrix_rank, 2);
    near(x.stable_rank, 1.25, 1e-15);
    near(x.effective_rank, 3 / cbrt(4), 1e-14);
    near(x.top20_energy, 1, 0);
    near(x.sigma_min, 0, 0);
    assert_int_equal(x.ambiguous, 0);
}

static void test_zero_matrix(void **state)
{
    (void)state;
    const double s[] = {0, 0};
    struct spectrum x;
    spectrum_measure(s, 2, 2, 5, 0, &x);
    assert_int_equal(x.matrix_rank, 0);
    assert_int_equal(x.ambiguous, 0);
    near(x.tolerance, 0, 0);
    near(x.stable_rank, 0, 0);
    near(x.effective_rank, 0, 0);
    assert_true(isnan(x.top20_energy));
    spectrum_measure(s, 2, 2, 5, 1e-6, &x);
    assert_int_equal(x.matrix_rank, 0);
    near(x.tolerance, 1e-6, 0);
}

static void test_no_values(void **state)
{
    (void)state;
    struct spectrum x;
    spectrum_measure(NULL, 0, 0, 7, 0, &x);
    assert_int_equal(x.matrix_rank, 0);
    near(x.sigma_max, 0, 0);
}

static void test_single_value(void **state)
{
    (void)state;
    const double s[] = {1e-44};
    struct spectrum x;
    spectrum_measure(s, 1, 1, 1, 0, &x);
    assert_int_equal(x.matrix_rank, 1);
    near(x.stable_rank, 1, 0);
    near(x.effective_rank, 1, 1e-15);
    assert_int_equal(x.ambiguous, 0);
}

/* Above, at and below the tolerance; "above" is strict, as in torch and numpy. */
static void test_tolerance(void **state)
{
    (void)state;
    const double s[] = {8, 4, 2, 1};
    struct spectrum x;
    spectrum_measure(s, 4, 4, 4, 2, &x);
    assert_int_equal(x.matrix_rank, 2);
    near(x.tolerance, 2, 0);
    assert_int_equal(x.ambiguous, 1); /* 2 stands on it */
    spectrum_measure(s, 4, 4, 4, 1.5, &x);
    assert_int_equal(x.matrix_rank, 3);
    assert_int_equal(x.ambiguous, 0);
    spectrum_measure(s, 4, 4, 4, 100, &x);
    assert_int_equal(x.matrix_rank, 0);
}

/* The band: for 128 x 128 the tolerance is 128 units of 2^-23, and 6.66 units on either side of it are
 * doubtful. */
static void test_band(void **state)
{
    (void)state;
    const double unit = 0x1p-23;
    struct {
        double units;
        int64_t matrix_rank;
        int ambiguous;
    } cases[] = {{0, 1, 0},   {121, 1, 0},   {122, 1, 1}, {127.9, 1, 1},
                 {128, 1, 1}, {128.1, 2, 1}, {134, 2, 1}, {135, 2, 0}};
    near(spectrum_tolerance(128, 64, 2), 256 * unit, 0);
    near(spectrum_band(64, 256, 1), 9 * unit, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double s[2] = {1, cases[i].units * unit};
        struct spectrum x;
        spectrum_measure(s, 2, 128, 128, 0, &x);
        assert_int_equal(x.matrix_rank, cases[i].matrix_rank);
        assert_int_equal(x.ambiguous, cases[i].ambiguous);
    }
}

/* An absolute tolerance in the noise of float32: even exact zeros may be counted there. */
static void test_tolerance_in_noise(void **state)
{
    (void)state;
    const double s[] = {1, 0};
    struct spectrum x;
    spectrum_measure(s, 2, 2, 2, 1e-9, &x);
    assert_int_equal(x.matrix_rank, 1);
    assert_int_equal(x.ambiguous, 1);
}

/* No unit of the matrix matters. */
static void test_scale(void **state)
{
    (void)state;
    const double s[] = {5, 3, 0.25, 1e-9};
    double t[4];
    for (int i = 0; i < 4; i++)
        t[i] = s[i] * 0x1p-140;
    struct spectrum x, y;
    spectrum_measure(s, 4, 10, 4, 0, &x);
    spectrum_measure(t, 4, 10, 4, 0, &y);
    assert_int_equal(x.matrix_rank, 3);
    assert_int_equal(y.matrix_rank, 3);
    near(y.stable_rank, x.stable_rank, 0);
    near(y.effective_rank, x.effective_rank, 0);
    near(y.tolerance, x.tolerance * 0x1p-140, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_values),       cmocka_unit_test(test_top20),
        cmocka_unit_test(test_two_values),         cmocka_unit_test(test_zero_matrix),
        cmocka_unit_test(test_no_values),          cmocka_unit_test(test_single_value),
        cmocka_unit_test(test_tolerance),          cmocka_unit_test(test_band),
        cmocka_unit_test(test_tolerance_in_noise), cmocka_unit_test(test_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
