/* Entropy of rows of 16-bit logits, whose probabilities are looked up in tables: against the definition in
 * long double; all instruction sets bit for bit. */
#include "entropylib.h"

/* Each finite 16-bit code beside one other logit, and all codes in one row. */
static void test_every_code(void **state)
{
    (void)state;
    static struct entropy_room room;
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
            assert_int_equal(entropy_row(isa_usable(), types[t], pair, 2, 1, &room, &h, NULL), ENTROPY_FINE);
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
        enum isa isa = isa_usable();
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
        cmocka_unit_test(test_extremes_of_codes),
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_small_raises),
        cmocka_unit_test(test_smallest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
