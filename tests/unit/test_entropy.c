/* Entropy of a row of logits against closed forms and against the definition in long double, in every type;
 * all instruction sets bit for bit. */
#include "kernels/entropy/entropy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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

/* The form of entropy.h, which does not cancel: as exact where H is tiny. What is below exp(-708) is nothing.
 */
static double reference_of_tiny(const double *x, int64_t n, double temperature)
{
    int64_t top = 0;
    long double s = 0, a = 0;
    for (int64_t j = 0; j < n; j++)
        top = x[j] > x[top] ? j : top;
    for (int64_t j = 0; j < n; j++) {
        long double z = (x[j] - x[top]) / (long double)temperature, p = expl(z);
        if (j == top || z <= -708)
            continue;
        s += p;
        a -= z * p;
    }
    return (double)(log1pl(s) + a / (1 + s));
}

static const enum dtype types[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_F64};
static struct entropy_room rooms[ISA_AVX512 + 1]; /* of each instruction set, so that each makes its tables */

/* With every instruction set there is: they must agree in every bit. */
static enum entropy_fault row(enum dtype type, const void *x, int64_t n, double temperature, double *h,
                              int64_t *at)
{
    enum entropy_fault fault =
        entropy_row(ISA_PORTABLE, type, x, n, temperature, &rooms[ISA_PORTABLE], h, at);
    for (int isa = ISA_PORTABLE + 1; isa <= (int)isa_best(); isa++) {
        double other = -2;
        int64_t other_at = -2;
        assert_int_equal(entropy_row((enum isa)isa, type, x, n, temperature, &rooms[isa], &other, &other_at),
                         fault);
        assert_int_equal(other_at, *at);
        assert_memory_equal(&other, h, sizeof other);
    }
    return fault;
}

static double nats(const double *x, int64_t n, double temperature)
{
    double h = -1;
    int64_t at = -1;
    assert_int_equal(row(DTYPE_F64, x, n, temperature, &h, &at), ENTROPY_FINE);
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

/* A row in type t, and what it says in float64. */
static void convert(enum dtype t, const double *from, int64_t n, void *out, double *wide)
{
    for (int64_t i = 0; i < n; i++) {
        float f = (float)from[i];
        if (t == DTYPE_BF16) {
            ((uint16_t *)out)[i] = bf16_from_float(f);
            wide[i] = bf16_to_float(((uint16_t *)out)[i]);
        } else if (t == DTYPE_F16) { /* by truncation, which is as good */
            uint32_t bits;
            memcpy(&bits, &f, sizeof bits);
            uint32_t size = bits & 0x7fffffff, half = size >> 13;
            half = size >= 0x7f800000   ? 0x7c00 | (uint32_t)(size > 0x7f800000) << 9
                   : size >= 0x47800000 ? 0x7bff
                   : size < 0x38800000  ? 0
                                        : half - (112 << 10);
            ((uint16_t *)out)[i] = (uint16_t)(half | (bits >> 16 & 0x8000));
            wide[i] = f16_to_float(((uint16_t *)out)[i]);
        } else if (t == DTYPE_F32) {
            ((float *)out)[i] = f;
            wide[i] = f;
        } else
            wide[i] = ((double *)out)[i] = from[i];
    }
}

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

/* Each finite 16-bit code beside one other logit, and all codes in one row. */
static void test_every_code(void **state)
{
    (void)state;
    double h, r;
    int64_t at;
    for (int t = 0; t < 2; t++) {
        uint16_t *all = malloc(65536 * sizeof *all), infinity = types[t] == DTYPE_BF16 ? 0x7f80 : 0x7c00;
        double *wide = malloc(65536 * sizeof *wide);
        int64_t n = 0;
        assert_true(all && wide);
        for (int code = 0; code < 65536; code++) {
            if ((code & 0x7fff) >= infinity)
                continue;
            all[n] = (uint16_t)code;
            wide[n] = types[t] == DTYPE_BF16 ? bf16_to_float(all[n]) : f16_to_float(all[n]);
            /* a pair of logits has a closed form */
            const uint16_t pair[2] = {all[n], 0};
            double d = fabs(wide[n]), q = exp(-d);
            enum isa isa = isa_best();
            assert_int_equal(entropy_row(isa, types[t], pair, 2, 1, &rooms[isa], &h, NULL), ENTROPY_FINE);
            r = log1p(q) + (q > 0 ? d * q / (1 + q) : 0);
            if (!(fabs(h - r) <= 2e-15 * r + 1e-300))
                fail_msg("%s code %d: %.17g, expected %.17g", dtype_name(types[t]), code, h, r);
            n++;
        }
        for (double temperature = 0.25; temperature < 1e5; temperature *= 8) {
            assert_int_equal(row(types[t], all, n, temperature, &h, &at), ENTROPY_FINE);
            r = reference(wide, n, temperature); /* which cancels where H is small */
            assert_true(fabs(h - r) <= 1e-13 * r + 1e-17);
        }
        free(all);
        free(wide);
    }
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
        assert_int_equal(entropy_row(isa_best(), DTYPE_F64, two, 2, 1, NULL, &h, NULL), ENTROPY_FINE);
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

/* Temperatures at which codes that do not occur, but lie beside some that do, would be beyond all numbers. */
static void test_extremes_of_codes(void **state)
{
    (void)state;
    static const double temperatures[] = {0.0169, 0.0183, 0.0338, 0.0366, 1, 1e-20, 1e-30, 1e6};
    for (size_t k = 0; k < sizeof temperatures / sizeof *temperatures; k++)
        for (int bits = 0x3c00; bits < 0x4780; bits += 28) /* BF16 from 2^-7 to 65536, F16 from 1 */
            for (int type = 0; type < 2; type++) {
                enum { N = 160 };
                uint16_t x[N] = {0};
                double wide[N] = {0}, h;
                for (int i = 0; i < N; i += 3) {
                    x[i] = (uint16_t)bits;
                    wide[i] = type ? f16_to_float(x[i]) : bf16_to_float(x[i]);
                }
                int64_t at = -1;
                assert_int_equal(row(type ? DTYPE_F16 : DTYPE_BF16, x, N, temperatures[k], &h, &at),
                                 ENTROPY_FINE);
                double expected = reference(wide, N, temperatures[k]);
                if (!(fabs(h - expected) <= 1e-13 * (1 + expected)))
                    fail_msg("code %x at temperature %g: %.17g nats, expected %.17g", (unsigned)bits,
                             temperatures[k], h, expected);
            }
}

/* Rows whose probabilities are looked up: of few codes and of all, of one sign and of both, with logits of a
 * wider and wider range and with largest ones that come late and again, at temperatures that make of a small
 * step a large one. As the definition has it. */
static void test_tables(void **state)
{
    (void)state;
    enum { BLOCK = 4096, N = 30 * BLOCK + 77, SHAPES = 8, RAISES = 6 };
    static const double temperatures[] = {0.0169, 0.1, 1, 5};
    /* blocks in which the largest is raised by so much */
    static const int raised[RAISES][4] = {{-1}, {0, -1}, {15, -1}, {30, -1}, {5, 6, 17, 29}, {1, 11, 21, 28}};
    uint16_t *x = malloc(N * sizeof *x);
    double *wide = malloc(N * sizeof *wide);
    uint64_t seed = 31;
    assert_true(x && wide);
    for (int shape = 0; shape < SHAPES; shape++)
        for (int raise = 0; raise < RAISES; raise++)
            for (size_t k = 0; k < sizeof temperatures / sizeof *temperatures; k++)
                for (int type = 0; type < 2; type++) {
                    for (int i = 0; i < N; i++) {
                        double u = uniform(&seed) + uniform(&seed) + uniform(&seed) - 1.5, value = 4 * u;
                        if (shape == 1) /* three codes */
                            value = (double)(i % 3) / 4;
                        else if (shape == 2)
                            value = 9 + u;
                        else if (shape == 3)
                            value = -9 + u;
                        else if (shape == 4) /* wider with each block, downwards and towards 0 */
                            value = u < 0 ? -8 * uniform(&seed) * (double)(i / BLOCK) / 30
                                          : ldexp(2 + uniform(&seed), -i / BLOCK);
                        else if (shape == 5 && u < -0.7)
                            value = u < -1 ? -INFINITY : u < -0.8 ? -3e38 : -500;
                        else if (shape == 7) /* hardly above exp(-708) of the largest, where that is raised */
                            value = -340 - 17 * uniform(&seed);
                        double logit = value;
                        convert(types[type], &logit, 1, x + i, wide + i);
                        if (shape ==
                            6) { /* all finite codes; all that are not above 32 where one is to be raised */
                            x[i] = (uint16_t)((unsigned)i * 40503u);
                            wide[i] = type ? f16_to_float(x[i]) : bf16_to_float(x[i]);
                            if (!isfinite(wide[i]) || (raise > 0 && wide[i] > 32))
                                x[i] = 0;
                            wide[i] = type ? f16_to_float(x[i]) : bf16_to_float(x[i]);
                        }
                    }
                    for (int i = 0; i < 4 && raised[raise][i] >= 0; i++) {
                        int at = raised[raise][i] * BLOCK +
                                 (raised[raise][i] < 30 ? (int)(next(&seed) % BLOCK) : 50);
                        double logit = (shape == 7   ? 345
                                        : shape == 6 ? 33
                                        : shape == 2 ? 12
                                        : shape == 3 ? -6
                                                     : 7) +
                                       1.5 * i;
                        convert(types[type], &logit, 1, x + at, wide + at);
                    }
                    int64_t at = -1;
                    double h;
                    assert_int_equal(row(types[type], x, N, temperatures[k], &h, &at), ENTROPY_FINE);
                    double expected = reference_of_tiny(wide, N, temperatures[k]);
                    if (!(fabs(h - expected) <= 1e-13 * expected))
                        fail_msg("%s, shape %d, raised %d, temperature %g: %.17g nats, expected %.17g",
                                 dtype_name(types[type]), shape, raise, temperatures[k], h, expected);
                }
    free(x);
    free(wide);
}

/* The largest becomes a little larger again and again, so that the sums are relative to something else than
 * it: H is as exact as ever, where it is tiny too. The reference is the form of entropy.h. */
static void test_small_raises(void **state)
{
    (void)state;
    enum { BLOCK = 1024, N = 12 * BLOCK };
    uint16_t *x = malloc(N * sizeof *x);
    double *wide = malloc(N * sizeof *wide);
    uint64_t seed = 41;
    assert_true(x && wide);
    for (double step = 0.125; step <= 8; step *= 2)
        for (double depth = 0; depth < 300; depth = 2 * depth + 5)
            for (int type = 0; type < 2; type++) {
                double h;
                int64_t at = -1;
                for (int i = 0; i < N; i++) {
                    double logit = 8 + step * (i / BLOCK) - (i % BLOCK == 100 ? 0 : depth + uniform(&seed));
                    convert(types[type], &logit, 1, x + i, wide + i);
                }
                assert_int_equal(row(types[type], x, N, 1, &h, &at), ENTROPY_FINE);
                near(h, reference_of_tiny(wide, N, 1), 2e-14);
            }
    free(x);
    free(wide);
}

/* All but the largest are as small, relative to it, as counts at all, and lie where sums are relative to
 * something as far from it as can be. */
static void test_smallest(void **state)
{
    (void)state;
    enum { N = 1100 };
    static const double temperatures[] = {1, 0.125, 0.02};
    uint16_t x[N];
    double wide[N], h;
    for (size_t t = 0; t < sizeof temperatures / sizeof *temperatures; t++)
        for (double gap = 600; gap <= 707; gap += gap < 700 ? 10 : 0.5)
            for (int type = 0; type < 2; type++) {
                int64_t at = -1;
                for (int i = 0; i < N; i++) {
                    double logit = (i == N - 1 ? gap / 2 : -gap / 2) * temperatures[t];
                    convert(types[type], &logit, 1, x + i, wide + i);
                }
                if ((wide[N - 1] - wide[0]) / temperatures[t] > 707.5)
                    continue;
                assert_int_equal(row(types[type], x, N, temperatures[t], &h, &at), ENTROPY_FINE);
                near(h, reference_of_tiny(wide, N, temperatures[t]), 2e-13);
            }
}

static void test_interpolate(void **state)
{
    (void)state;
    assert_true(entropy_interpolate(1, 3, 0) == 1);
    assert_true(entropy_interpolate(1, 3, 0.25) == 1.5);
    assert_true(entropy_interpolate(1, 3, 0.75) == 2.5);
    assert_true(entropy_interpolate(0.1, 0.1, 0.3) == 0.1);
}

/* Rows anywhere on the scale, whatever was in the room before: each as the definition has it, and to the bit
 * what it is with a room of its own. The largest lies where sums change to another reference, and next to
 * it; what is below it makes H anything from 1e-13 to 8. */
static void test_room(void **state)
{
    (void)state;
    enum { N = 3000, ROWS = 400 };
    static struct entropy_room fresh;
    static const double temperatures[] = {1, 1, 1, 0.3, 0.125, 0.12, 1e-3, 1e-6},
                        steps[] = {0, 0, 0.25, -0.25, 13, -7};
    uint16_t x[N];
    double wide[N], h, own;
    uint64_t seed = 77;
    for (int r = 0; r < ROWS; r++) {
        double temperature = temperatures[next(&seed) % 8], gap = 30 * uniform(&seed),
               top = 32 * ((double)(next(&seed) % 15) - 7) + steps[next(&seed) % 6];
        int64_t at = -1, n = 2 + (int64_t)(next(&seed) % (N - 2));
        int type = (int)(next(&seed) % 2);
        for (int64_t i = 0; i < n; i++) {
            double logit =
                (top - gap * (i < n / 2 ? 2 : 1) - 10 * uniform(&seed)) * temperature; /* rises on the way */
            if (i == n - n / 4)
                logit = top * temperature;
            convert(types[type], &logit, 1, x + i, wide + i);
        }
        assert_int_equal(row(types[type], x, n, temperature, &h, &at), ENTROPY_FINE);
        for (int k = 0; k < 2; k++)
            fresh.table[k].filled = 0;
        enum isa isa = isa_best();
        assert_int_equal(entropy_row(isa, types[type], x, n, temperature, &fresh, &own, &at), ENTROPY_FINE);
        assert_memory_equal(&h, &own, sizeof h);
        double expected = reference_of_tiny(wide, n, temperature);
        if (!(fabs(h - expected) <= 3e-14 * expected))
            fail_msg("%s, %d logits, largest %g, gap %g: %.17g nats, expected %.17g", dtype_name(types[type]),
                     (int)n, top, gap, h, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_extremes_of_codes),
        cmocka_unit_test(test_interpolate),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_small_raises),
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_faults_of_all_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
