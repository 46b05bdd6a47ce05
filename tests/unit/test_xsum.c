/* Exact sums against closed forms and against 128-bit fixed point: any order, any grouping, the whole range
 * of doubles. */
#include "unitlib.h"

#include "base/xsum.h"

#include <float.h>
#include <math.h>

static double sum(const double *x, int n)
{
    struct xsum s = {0};
    for (int i = 0; i < n; i++)
        xsum_add(&s, x[i]);
    return xsum_value(&s);
}

/* Found and expected are the same double, sign of zero aside. */
static void same(double found, double expected)
{
    if (!(found == expected))
        fail_msg("found %a, expected %a", found, expected);
}

static void closed_cases(void **state)
{
    (void)state;
    same(sum(NULL, 0), 0);
    same(sum((const double[]){-0.0, 0.0}, 2), 0);
    same(sum((const double[]){0.1}, 1), 0.1);
    same(sum((const double[]){-0x1.fffffffffffffp+3}, 1), -0x1.fffffffffffffp+3);
    /* Cancellation, where ordinary addition loses everything. */
    same(sum((const double[]){1e308, 1, -1e308}, 3), 1);
    same(sum((const double[]){1e16, 1, -1e16, 1e-300}, 4), 1);
    same(sum((const double[]){-DBL_MAX, 0x1p-1074, DBL_MAX}, 3), 0x1p-1074);
    same(sum((const double[]){1e100, -1e100}, 2), 0);
    /* What overflows on the way need not overflow in the end; what does is Inf. */
    same(sum((const double[]){DBL_MAX, DBL_MAX, -DBL_MAX}, 3), DBL_MAX);
    same(sum((const double[]){DBL_MAX, DBL_MAX}, 2), INFINITY);
    same(sum((const double[]){-DBL_MAX, -DBL_MAX}, 2), -INFINITY);
    /* 0.1 is 0x1.999999999999ap-4: ten of them are above 1 by 10 * 0x1.999999999999ap-4 - 1 = 2^-54, which
     * rounds away. */
    double tenths[10];
    for (int i = 0; i < 10; i++)
        tenths[i] = 0.1;
    same(sum(tenths, 10), 1);
}

static void rounds_once(void **state)
{
    (void)state;
    const double half = 0x1p-53; /* of the last bit of 1 */
    same(sum((const double[]){1, half}, 2), 1);
    same(sum((const double[]){1, half, 0x1p-1074}, 3), 1 + 0x1p-52);
    same(sum((const double[]){1, half, -0x1p-1074}, 3), 1);
    same(sum((const double[]){1 + 0x1p-52, half}, 2), 1 + 0x1p-51); /* the tie goes to the even one */
    same(sum((const double[]){1 + 0x1p-52, half, -0x1p-1074}, 3), 1 + 0x1p-52);
    same(sum((const double[]){-1, -half, -0x1p-1074}, 3), -1 - 0x1p-52);
    same(sum((const double[]){-1, -half, 0x1p-1074}, 3), -1);
    same(sum((const double[]){1, -0x1p-54, -0x1p-200}, 3), 1 - 0x1p-53);
}

static void subnormals(void **state)
{
    (void)state;
    double tiny[1000];
    for (int i = 0; i < 1000; i++)
        tiny[i] = 0x1p-1074;
    same(sum(tiny, 1000), 1000 * 0x1p-1074);
    same(sum((const double[]){DBL_MIN, -0x1p-1074}, 2), 0x0.fffffffffffffp-1022);
    same(sum((const double[]){0x0.8p-1022, 0x0.8p-1022}, 2), DBL_MIN);
    same(sum((const double[]){0x0.fffffffffffffp-1022}, 1), 0x0.fffffffffffffp-1022);
    same(sum((const double[]){1, -0x0.123456789abcdp-1022, -1}, 3), -0x0.123456789abcdp-1022);
    /* Every power of two of the range, and back. */
    struct xsum s = {0};
    for (int e = -1074; e < 1023; e++)
        xsum_add(&s, ldexp(1, e));
    xsum_add(&s, 0x1p-1074); /* now 2^1023 to the bit */
    same(xsum_value(&s), 0x1p1023);
    for (int e = -1074; e < 1023; e++)
        xsum_add(&s, -ldexp(1, e));
    same(xsum_value(&s), 0x1p-1074);
}

/* Doubles of 53 bits from 2^-60 to 2^-8 are whole multiples of 2^-112, and 2000 of them fit 128 bits. */
static void against_fixed_point(void **state)
{
    (void)state;
    enum { N = 2000 };
    uint64_t seed = 5;
    for (int round = 0; round < 50; round++) {
        double x[N];
        __int128 exact = 0;
        struct xsum s = {0};
        for (int i = 0; i < N; i++) {
            int64_t mantissa = (int64_t)(next_random(&seed) >> 12 | (uint64_t)1 << 52); /* all 53 bits */
            int shift = (int)(next_random(&seed) % 52);
            if (next_random(&seed) % 2)
                mantissa = -mantissa;
            if (round % 2 && i % 2) /* takes back the one before, but for its last bits */
                x[i] = -x[i - 1] * (1 + 0x1p-50);
            else
                x[i] = ldexp((double)mantissa, shift - 112);
            double whole = ldexp(x[i], 112); /* an integer below 2^106 */
            exact += (__int128)whole;
            xsum_add(&s, x[i]);
        }
        same(xsum_value(&s), ldexp((double)exact, -112));
    }
}

/* The same limbs, not only the same value, whatever the order and grouping, once normalised and added up as
 * processes do. */
static void any_order(void **state)
{
    (void)state;
    enum { N = 3000, PARTS = 4 };
    double x[N];
    uint64_t seed = 11;
    for (int i = 0; i < N; i++) {
        x[i] = ldexp((double)(next_random(&seed) >> 11), (int)(next_random(&seed) % 2000) - 1070);
        x[i] = next_random(&seed) % 2 ? -x[i] : x[i];
        if (!isfinite(x[i]))
            x[i] = i;
    }
    double expected = sum(x, N);
    for (int round = 0; round < 20; round++) {
        struct xsum part[PARTS] = {{{0}, 0}}, all = {0};
        for (int i = N - 1; i > 0; i--) {
            int k = (int)(next_random(&seed) % (uint64_t)(i + 1));
            double t = x[i];
            x[i] = x[k];
            x[k] = t;
        }
        for (int i = 0; i < N; i++)
            xsum_add(&part[next_random(&seed) % PARTS], x[i]);
        for (int p = 0; p < PARTS; p++) {
            xsum_normalise(&part[p]);
            for (int i = 0; i < XSUM_LIMBS; i++)
                all.limb[i] += part[p].limb[i];
        }
        double found = xsum_value(&all);
        assert_memory_equal(&found, &expected, sizeof found);
    }
}

static void normalises(void **state)
{
    (void)state;
    struct xsum s = {0};
    for (int i = 0; i < 100000; i++) {
        xsum_add(&s, i % 3 ? 0x1.fffffffffffffp+40 : -0x1.fffffffffffffp-40);
        if (i % 1000 == 0)
            xsum_normalise(&s);
    }
    double before = xsum_value(&s);
    xsum_normalise(&s);
    assert_int_equal(s.adds, 0);
    for (int i = 0; i < XSUM_LIMBS; i++)
        assert_true(s.limb[i] > -(INT64_C(1) << 32) && s.limb[i] < INT64_C(1) << 32);
    same(xsum_value(&s), before);
    /* 66666 large and 33334 small ones, in 128 bits: multiples of 2^-92 below 2^(133 - 92). */
    __int128 large = (__int128)66666 * ((INT64_C(1) << 53) - 1); /* of 2^-12 */
    same(before, ldexp((double)large, -12)); /* the small ones are below half of the last bit of it */
}

/* The normalisation that xsum_add makes by itself, near its limit. */
static void never_overflows(void **state)
{
    (void)state;
    struct xsum s = {.adds = ((int64_t)1 << 29) - 3};
    s.limb[33] = INT64_C(0x1fffffff00000000); /* as that many additions of full limbs leave it */
    double start = xsum_value(&s);
    for (int i = 0; i < 10; i++)
        xsum_add(&s, 1);
    assert_true(s.adds < 10);
    for (int i = 0; i < 10; i++)
        xsum_add(&s, -1);
    same(xsum_value(&s), start);
}

/* n times x is x added n times, and what no loop could add. */
static void times(void **state)
{
    (void)state;
    static const double values[] = {0.1, -3.5, 0x1p-1074, 0x1.fffffffffffffp-1022, 1e300, 0x1.8p40};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (int64_t n = 0; n < 700; n += 1 + n / 3) {
            struct xsum one = {0}, all = {0};
            for (int64_t k = 0; k < n; k++)
                xsum_add(&one, values[i]);
            xsum_add_times(&all, values[i], n);
            same(xsum_value(&all), xsum_value(&one));
        }
    struct xsum s = {0};
    xsum_add_times(&s, 0x1.fffffffffffffp0, INT64_MAX);
    xsum_add_times(&s, -0x1.fffffffffffffp0, INT64_MAX - 1);
    same(xsum_value(&s), 0x1.fffffffffffffp0);
    xsum_add_times(&s, DBL_MAX, (int64_t)1 << 40);
    same(xsum_value(&s), INFINITY);
    xsum_add_times(&s, -DBL_MAX, (int64_t)1 << 40);
    same(xsum_value(&s), 0x1.fffffffffffffp0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_cases),        cmocka_unit_test(rounds_once), cmocka_unit_test(subnormals),
        cmocka_unit_test(against_fixed_point), cmocka_unit_test(any_order),   cmocka_unit_test(normalises),
        cmocka_unit_test(never_overflows),     cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
