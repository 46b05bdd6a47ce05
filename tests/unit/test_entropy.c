/* Entropy of a row of logits against closed forms and against the definition in long double, in every type;
 * all instruction sets bit for bit. */
#include "entropylib.h"

static double nats(const double *x, int64_t n, double temperature)
{
    double h = -1;
    int64_t at = -1;
    assert_int_equal(row(DTYPE_F64, x, n, temperature, &h, &at), ENTROPY_FINE);
    return h;
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
    assert_int_equal(row(DTYPE_F64, (const double[]){1, NAN, INFINITY}, 3, 1, &h, &at), ENTROPY_NAN);
    assert_int_equal(at, 1);
    assert_true(isnan(h));
    assert_int_equal(row(DTYPE_F64, (const double[]){NAN, 2, 3}, 3, 1, &h, &at), ENTROPY_NAN);
    assert_int_equal(at, 0);
    assert_int_equal(row(DTYPE_F64, (const double[]){1, -INFINITY, INFINITY, NAN}, 4, 1, &h, &at),
                     ENTROPY_INFINITE);
    assert_int_equal(at, 2);
    assert_int_equal(row(DTYPE_F64, (const double[]){-INFINITY, -INFINITY}, 2, 1, &h, &at), ENTROPY_EMPTY);
    assert_true(isnan(h));
    for (int t = 0; t < 4; t++)
        assert_int_equal(row(types[t], NULL, 0, 1, &h, &at), ENTROPY_EMPTY);
}

/* Of 16 and 32 bits: the conversions are exact, so the reference is that of the converted row. */
enum { MOST = 20000 };

enum kind { NOISE, HOLES, EQUAL, RISING, FALLING, PEAK, NEGATIVE, HUGE_SPREAD, OFFSET, ZEROS, KINDS };

static double draw(enum kind kind, int64_t i, int64_t n, uint64_t *seed)
{
    double u = uniform(seed) + uniform(seed) + uniform(seed) - 1.5;
    switch (kind) {
    case HOLES:
        return i % 7 && uniform(seed) < 0.5 ? -INFINITY : 6 * u;
    case EQUAL:
        return -2.5;
    case RISING: /* each block has a new largest */
        return 30.0 * (double)i / (double)n;
    case FALLING:
        return -30.0 * (double)i / (double)n;
    case PEAK: /* one choice is all but certain */
        return i == n / 3 ? 25 : u;
    case NEGATIVE:
        return -20 + u;
    case HUGE_SPREAD:
        return 30000 * u;
    case OFFSET:
        return 1000 + 4 * u;
    case ZEROS:
        return i % 3 ? 0 : i % 2 ? -0.0 : 1e-40 * u;
    default:
        return 8 * u;
    }
}

static void test_types(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1,    2,    15,   16,   17,   31,   32,    33,    63,   64,
                                    65,   95,   96,   128,  160,  2047, 2048,  2049,  4095, 4096,
                                    4097, 4127, 4159, 4160, 6144, 8192, 12345, 16385, MOST};
    static const double temperatures[] = {1, 0.7, 3};
    double *x = malloc(MOST * sizeof *x), *wide = malloc(MOST * sizeof *wide),
           *out = malloc(MOST * sizeof *out);
    uint64_t seed = 3;
    assert_true(x && wide && out);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (enum kind kind = 0; kind < KINDS; kind++) {
            int64_t n = sizes[s], at = -1;
            double temperature = temperatures[(s + kind) % 3], h = -1;
            for (int64_t i = 0; i < n; i++)
                x[i] = draw(kind, i, n, &seed);
            for (int t = 0; t < 4; t++) {
                /* to the end of the memory, for a sanitizer, and at odd places */
                char *end = (char *)(out + MOST), *from = end - n * (dtype_bits(types[t]) / 8);
                convert(types[t], x, n, from, wide);
                assert_int_equal(row(types[t], from, n, temperature, &h, &at), ENTROPY_FINE);
                double r = reference(wide, n, temperature);
                if (!(fabs(h - r) <= 1e-13 * r + 1e-17 * (kind == PEAK ? 100 : 1)))
                    fail_msg("%s, kind %d, %lld logits: %.17g, expected %.17g", dtype_name(types[t]), kind,
                             (long long)n, h, r);
            }
        }
    free(x);
    free(wide);
    free(out);
}

/* A single likely choice at each place of rows of each small size, among logits of one sign or of both: the
 * largest is found wherever it is. */
static void test_every_place(void **state)
{
    (void)state;
    enum { N = 97 };
    static const int sizes[] = {2, 7, 15, 16, 17, 31, 33, 63, 64, 66, N};
    double x[N], wide[N], out[N], h;
    uint64_t seed = 21;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int n = sizes[k], place = 0; place < n; place++) {
            double offset = 10 * (place % 3 - 1);
            int64_t at;
            for (int i = 0; i < n; i++)
                x[i] = offset + 4 * uniform(&seed);
            x[place] = offset + 8;
            for (int t = 0; t < 4; t++) {
                convert(types[t], x, n, out, wide);
                assert_int_equal(row(types[t], out, n, 1, &h, &at), ENTROPY_FINE);
                near(h, reference(wide, n, 1), 1e-13);
            }
            x[place] = place % 2 ? NAN : -NAN;
            for (int t = 0; t < 4; t++) {
                convert(types[t], x, n, out, wide);
                assert_int_equal(row(types[t], out, n, 1, &h, &at), ENTROPY_NAN);
                assert_int_equal(at, place);
            }
        }
}

/* All but one logit far below the largest: H is tiny, and as exact, relatively, as ever. The reference is the
 * form of entropy.h, which does not cancel. */
static void test_tiny(void **state)
{
    (void)state;
    enum { N = 9000 };
    double *x = malloc(N * sizeof *x), *wide = malloc(N * sizeof *wide), *out = malloc(N * sizeof *out);
    uint64_t seed = 14;
    assert_true(x && wide && out);
    for (double depth = 10; depth < 708; depth += 43.7)
        for (int place = 0; place < N; place += 1499) {
            for (int i = 0; i < N; i++)
                x[i] = -depth - 40 * uniform(&seed);
            x[place] = 0;
            for (int t = 0; t < 4; t++) {
                int64_t at;
                double h;
                convert(types[t], x, N, out, wide);
                assert_int_equal(row(types[t], out, N, 1, &h, &at), ENTROPY_FINE);
                long double s = 0, a = 0;
                for (int i = 0; i < N; i++)
                    if (i != place && wide[i] > -708) {
                        s += expl(wide[i]);
                        a -= wide[i] * expl(wide[i]);
                    }
                double r = (double)(log1pl(s) + a / (1 + s));
                if (!(fabs(h - r) <= 1e-13 * r))
                    fail_msg("%s, the others at %g: %.17g, expected %.17g", dtype_name(types[t]), -depth, h,
                             r);
            }
        }
    free(x);
    free(wide);
    free(out);
}

/* The exponential alone, over its whole range: of two logits d apart H = ln(1 + q) + d q / (1 + q), which for
 * large d is q (1 + d) to the last place. Its error is told in units of 2^-53. */
static void test_exponential(void **state)
{
    (void)state;
    double worst = 0;
    uint64_t seed = 8;
    for (int i = 0; i < 200000; i++) {
        double d = 38 + 670 * uniform(&seed);
        const double two[2] = {0, -d};
        double h;
        assert_int_equal(entropy_row(isa_usable(), DTYPE_F64, two, 2, 1, NULL, &h, NULL), ENTROPY_FINE);
        long double q = expl(-(long double)d), r = log1pl(q) + d * q / (1 + q);
        worst = fmax(worst, (double)fabsl((h - r) / r) * 0x1p53);
    }
    /* exp within 1.2, and the roundings of d q, 1 + s, the quotient, the logarithm and the sum */
    if (!(worst <= 5))
        fail_msg("off by %.2f units of 2^-53", worst);
}

/* A bad logit anywhere is found at its place, the first of several. */
static void test_faults_of_all_types(void **state)
{
    (void)state;
    enum { N = 9000 };
    static const int64_t places[] = {0, 1, 31, 2047, 2048, 4095, 4096, 6143, 8191, 8192, 8970, N - 1};
    static const double bad[] = {NAN, -NAN, INFINITY};
    double *x = malloc(N * sizeof *x), *wide = malloc(N * sizeof *wide), h = 0;
    void *out = malloc(N * sizeof *x);
    uint64_t seed = 5;
    assert_true(x && wide && out);
    for (int t = 0; t < 4; t++)
        for (size_t p = 0; p < sizeof places / sizeof *places; p++)
            for (int b = 0; b < 3; b++) {
                int64_t at = -1;
                for (int64_t i = 0; i < N; i++)
                    x[i] = draw(HOLES, i, N, &seed);
                x[places[p]] = bad[b];
                if (p > 3)
                    x[N - 1] = p % 2 ? NAN : INFINITY;
                int last = places[p] == N - 1;
                convert(types[t], x, N, out, wide);
                assert_int_equal(row(types[t], out, N, 1, &h, &at),
                                 isnan(x[last ? N - 1 : places[p]]) ? ENTROPY_NAN : ENTROPY_INFINITE);
                assert_int_equal(at, places[p]);
                assert_true(isnan(h));
            }
    for (int t = 0; t < 4; t++) {
        int64_t at = -1;
        for (int64_t i = 0; i < N; i++)
            x[i] = -INFINITY;
        convert(types[t], x, N, out, wide);
        assert_int_equal(row(types[t], out, N, 1, &h, &at), ENTROPY_EMPTY);
        assert_int_equal(at, 0);
        x[N - 5] = -3;
        convert(types[t], x, N, out, wide);
        assert_int_equal(row(types[t], out, N, 1, &h, &at), ENTROPY_FINE);
        assert_true(h == 0);
    }
    free(x);
    free(wide);
    free(out);
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
        cmocka_unit_test(test_interpolate),  cmocka_unit_test(test_types),
        cmocka_unit_test(test_every_place),  cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_exponential),  cmocka_unit_test(test_faults_of_all_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
