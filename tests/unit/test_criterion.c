/* When an element counts as updated: against the definition, element by element in double, for all criteria
 * and both arithmetics, what is not finite included; and flags as bits, wherever they begin. */
#include "unitlib.h"

#include "elements/bits/bits.h"
#include "kernels/change/criterion.h"

#include <math.h>
#include <string.h>

enum { N = 9001 }; /* more than are compared at once */

static double value(enum arithmetic a, const void *bits, int i)
{
    return a == ARITHMETIC_BF16 ? bf16_to_float(((const uint16_t *)bits)[i]) : ((const float *)bits)[i];
}

static int expected(const struct criterion *c, const void *old_bits, const void *new_bits, int i)
{
    if (c->kind == CRITERION_BITS)
        return c->arithmetic == ARITHMETIC_BF16
                   ? ((const uint16_t *)old_bits)[i] != ((const uint16_t *)new_bits)[i]
                   : ((const uint32_t *)old_bits)[i] != ((const uint32_t *)new_bits)[i];
    double a = value(c->arithmetic, old_bits, i), b = value(c->arithmetic, new_bits, i);
    float rounded = (float)b - (float)a;
    if (c->arithmetic == ARITHMETIC_BF16)
        rounded = bf16_to_float(bf16_from_float(rounded));
    double size = fabs((double)rounded);
    if (isnan(size) || isinf(size))
        return 1;
    return c->kind == CRITERION_ABSOLUTE ? size > c->tolerance : size > c->eta * fmax(fabs(a), fabs(b));
}

static void flags(void **state)
{
    (void)state;
    static uint32_t x[N], y[N];
    static uint8_t flag[N + 7];
    static const double tolerances[] = {0, 1e-5, 1e-3};
    uint64_t seed = 19;
    for (int a = 0; a < 2; a++) {
        enum arithmetic arithmetic = a ? ARITHMETIC_F32 : ARITHMETIC_BF16;
        for (int i = 0; i < N;
             i++) { /* one in eight any bits at all, the others after a small step or none */
            uint32_t bits = (uint32_t)next_random(&seed), step = (uint32_t)(next_random(&seed) % 5);
            if (i % 8)
                bits = (bits & 0x83ffffff) | 0x38000000;
            if (a) {
                x[i] = bits;
                y[i] = i % 8 ? bits + step * (1u << i % 17) : (uint32_t)next_random(&seed);
            } else {
                ((uint16_t *)x)[i] = (uint16_t)(bits >> 16);
                ((uint16_t *)y)[i] = (uint16_t)(i % 8 ? (bits >> 16) + step : next_random(&seed));
            }
        }
        for (int kind = CRITERION_ABSOLUTE; kind <= CRITERION_RELATIVE; kind++)
            for (size_t t = 0; t < sizeof tolerances / sizeof *tolerances; t++) {
                struct criterion c = {.kind = (enum criterion_kind)kind,
                                      .arithmetic = arithmetic,
                                      .tolerance = tolerance_rounded(arithmetic, tolerances[t]),
                                      .eta = 10 * tolerances[t]};
                int set = 0;
                criterion_flags(&c, x, y, N, flag);
                for (int i = 0; i < N; i++) {
                    assert_int_equal(flag[i], expected(&c, x, y, i));
                    set += flag[i];
                }
                assert_true(set > N / 20 && set < N);
                assert_int_equal(criterion_count(&c, x, y, N), set);
            }
    }
}

static void flags_as_bits(void **state)
{
    (void)state;
    enum { ROOM = 200 };
    uint64_t seed = 7;
    for (int64_t at = 0; at < 130; at++)
        for (int64_t n = 0; at + n < 64 * 3; n += 1 + n / 3) {
            uint8_t flag[ROOM + 7], kept[ROOM];
            uint64_t words[4] = {0, 0, 0, 0};
            for (int i = 0; i < n; i++)
                flag[i] = kept[i] = (uint8_t)(next_random(&seed) & 1);
            bits_add_flags(words, at, flag, n);
            for (int64_t i = 0; i < 256; i++)
                assert_int_equal(words[i / 64] >> i % 64 & 1, i >= at && i < at + n ? kept[i - at] : 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags),
        cmocka_unit_test(flags_as_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
