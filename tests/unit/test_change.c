/* What changed elements add up to: every instruction set against the portable loop, bit for bit, and that
 * against plain arithmetic. */
#include "unitlib.h"

#include "kernels/change/change.h"

#include <math.h>
#include <string.h>

enum { ROOM = 10000, TOLERANCES = 8 };

static const double tolerance[TOLERANCES] = {0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e30};

static void rounded(enum arithmetic a, double *out)
{
    for (int t = 0; t < TOLERANCES; t++)
        out[t] = tolerance_rounded(a, tolerance[t]);
}

static int64_t expected_counts[1 << 16], counts[1 << 16];

/* A block: at once by the reference, by the others in parts, whose sizes do not matter. */
static void add_block(struct change *c, enum isa isa, enum arithmetic a, const void *old_bits,
                      const void *new_bits, int64_t n, const double *limit, int ntolerances,
                      struct change_sizes *sizes)
{
    struct change_lanes lanes = {.sizes = sizes};
    const char *x = old_bits, *y = new_bits;
    int64_t part = isa == ISA_PORTABLE ? n : CHANGE_PART;
    for (int64_t at = 0, now; at < n; at += now, part = part * 3 % (101 * CHANGE_PART)) {
        now = part < n - at ? part : n - at;
        change_add(c, &lanes, isa, a, x + at * arithmetic_bytes(a), y + at * arithmetic_bytes(a), now, limit,
                   ntolerances);
    }
    change_add_lanes(c, &lanes);
}

/* Counts by size too, which the others then follow from in part. */
static void add_sized(struct change *c, int64_t *to, enum isa isa, enum arithmetic a, const void *old_bits,
                      const void *new_bits, int64_t n, const double *limit)
{
    static struct change_sizes sizes;
    change_sizes_begin(&sizes);
    memset(c, 0, sizeof *c);
    memset(to, 0, sizeof counts);
    add_block(c, isa, a, old_bits, new_bits, n, limit, TOLERANCES, &sizes);
    change_sizes_take(&sizes, c, a, to, 0, limit, TOLERANCES);
    assert_true(sizes.least > sizes.most);
}

static void compare(enum arithmetic a, const void *old_bits, const void *new_bits, int64_t n)
{
    static struct change expected, got;
    double limit[TOLERANCES];
    rounded(a, limit);
    memset(&expected, 0, sizeof expected);
    add_block(&expected, ISA_PORTABLE, a, old_bits, new_bits, n, limit, TOLERANCES, NULL);
    assert_int_equal(expected.counts.bit_changed, n);
    add_sized(&got, expected_counts, ISA_PORTABLE, a, old_bits, new_bits, n, limit);
    assert_memory_equal(&got, &expected, sizeof got);
    enum isa isa;
    for (int choice = 1; isa_choice(choice, &isa); choice++) {
        memset(&got, 0, sizeof got);
        add_block(&got, isa, a, old_bits, new_bits, n, limit, TOLERANCES, NULL);
        assert_memory_equal(&got, &expected, sizeof got);
        add_sized(&got, counts, isa, a, old_bits, new_bits, n, limit);
        assert_memory_equal(&got, &expected, sizeof got);
        assert_memory_equal(counts, expected_counts, sizeof counts);
    }
}

/* A weight and the same after a small step, as training leaves them. */
static void moved(uint64_t *seed, uint16_t *x, uint16_t *y)
{
    int exponent = 121;
    while (next_random(seed) % 2 && exponent > 90)
        exponent--;
    *x = (uint16_t)((next_random(seed) & 1) << 15 | (uint64_t)exponent << 7 | (next_random(seed) & 0x7f));
    double by = ldexp((double)(int64_t)(next_random(seed) % 2001 - 1000), -24);
    *y = bf16_from_float(bf16_to_float(*x) + (float)by);
    if (*y == *x)
        *y ^= 1;
}

static void usual(void **state)
{
    (void)state;
    static uint16_t x[ROOM], y[ROOM];
    static uint32_t wide_x[ROOM], wide_y[ROOM];
    uint64_t seed = 3;
    for (int i = 0; i < ROOM; i++) {
        moved(&seed, &x[i], &y[i]);
        wide_x[i] = (uint32_t)x[i] << 16 | (uint32_t)(next_random(&seed) & 0xffff);
        wide_y[i] = (uint32_t)y[i] << 16 | (uint32_t)(next_random(&seed) & 0xffff);
    }
    for (int64_t n = 0; n < 200; n++)
        compare(ARITHMETIC_BF16, x + n % 7, y + n % 7, n);
    for (int64_t n = 0; n < 200; n++)
        compare(ARITHMETIC_F32, wide_x + n % 7, wide_y + n % 7, n);
    for (int64_t n = 2000; n < ROOM; n += 997) {
        compare(ARITHMETIC_BF16, x, y, n);
        compare(ARITHMETIC_F32, wide_x, wide_y, n);
    }
}

/* Any bits at all; then usual ones with one odd element in each strip. */
static void odd(void **state)
{
    (void)state;
    static uint16_t x[ROOM], y[ROOM];
    static const uint16_t pairs[][2] = {
        {0x0000, 0x8000}, {0x8000, 0x0000}, {0x7f80, 0xff80}, {0x7fc0, 0x7fc1}, {0x3f80, 0x7f80},
        {0x7f7f, 0xff7f}, {0x0001, 0x0002}, {0x0080, 0x0081}, {0x0000, 0x0001}, {0x3f80, 0xbf80},
        {0x0000, 0x7f7f}, {0x0100, 0x0181}, {0x7fff, 0xffff}, {0xff81, 0x3f80}, {0xff7f, 0x7fff},
        {0x7f7f, 0xff00}, {0xff80, 0x7f80}, {0xffff, 0x0001}};
    uint64_t seed = 5;
    for (int i = 0; i < ROOM; i++) {
        x[i] = (uint16_t)next_random(&seed);
        do
            y[i] = (uint16_t)next_random(&seed);
        while (y[i] == x[i]);
    }
    compare(ARITHMETIC_BF16, x, y, ROOM);
    for (int i = 0; i < ROOM; i++) { /* finite and of every size and sign */
        x[i] = (uint16_t)(next_random(&seed) & 0xbfff);
        do
            y[i] = (uint16_t)(next_random(&seed) & 0xbfff);
        while (y[i] == x[i]);
    }
    compare(ARITHMETIC_BF16, x, y, ROOM);
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        for (int i = 0; i < ROOM; i++)
            moved(&seed, &x[i], &y[i]);
        for (int i = 100 + (int)k; i < ROOM; i += 4096) {
            x[i] = pairs[k][0];
            y[i] = pairs[k][1];
        }
        compare(ARITHMETIC_BF16, x, y, ROOM);
        for (int i = 0; i < 256; i++) { /* nothing else */
            x[i] = pairs[k][0];
            y[i] = pairs[k][1];
        }
        compare(ARITHMETIC_BF16, x, y, 256);
    }
}

/* The same in float32: any bits at all, finite ones of every size and sign, and usual ones with one odd
 * element in each strip. */
static void odd_wide(void **state)
{
    (void)state;
    static uint32_t x[ROOM], y[ROOM];
    static const uint32_t pairs[][2] = {
        {0x00000000, 0x80000000}, {0x80000000, 0x00000000}, {0x7f800000, 0xff800000},
        {0x7fc00000, 0x7fc00001}, {0x3f800000, 0x7f800000}, {0x7f7fffff, 0xff7fffff},
        {0x00000001, 0x00000002}, {0x00800000, 0x00800001}, {0x00000000, 0x00000001},
        {0x3f800000, 0xbf800000}, {0x00000000, 0x7f7fffff}, {0xff800001, 0x3f800000},
        {0x7fffffff, 0xffffffff}, {0x3f800000, 0x3f800001}, {0xc0000000, 0x40000000},
        {0x00000000, 0x00800000}, {0x7f7fffff, 0x7f000000}, {0xffffffff, 0x00000001},
        {0x33800000, 0x34000000}, {0x00ffffff, 0x01000000}};
    uint64_t seed = 17;
    for (int i = 0; i < ROOM; i++) {
        x[i] = (uint32_t)next_random(&seed);
        y[i] = (uint32_t)next_random(&seed);
    }
    compare(ARITHMETIC_F32, x, y, ROOM);
    for (int i = 0; i < ROOM; i++) {
        x[i] &= 0xbfffffff;
        y[i] &= 0xbfffffff;
    }
    compare(ARITHMETIC_F32, x, y, ROOM);
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        for (int i = 0; i < ROOM; i++) {
            uint16_t a, b;
            moved(&seed, &a, &b);
            x[i] = (uint32_t)a << 16 | (uint32_t)(next_random(&seed) & 0xffff);
            y[i] = x[i] + 1 + (uint32_t)(next_random(&seed) >> (40 + i % 24));
        }
        compare(ARITHMETIC_F32, x + k, y + k, 4097);
        for (int i = 100 + (int)k; i < ROOM; i += 4096) {
            x[i] = pairs[k][0];
            y[i] = pairs[k][1];
        }
        compare(ARITHMETIC_F32, x, y, ROOM);
        for (int i = 0; i < 256; i++) { /* nothing else */
            x[i] = pairs[k][0];
            y[i] = pairs[k][1];
        }
        compare(ARITHMETIC_F32, x, y, 256);
    }
}

/* The portable loop itself: from known steps, by hand. */
static void by_hand(void **state)
{
    (void)state;
    static struct change c;
    /* 1 -> 1 + 1 ulp (2^-7), 2 -> 1 (128 ulp), -0.5 -> 0.5, inf -> 1, nan -> 1, 0 -> -0 */
    const uint16_t x[] = {0x3f80, 0x4000, 0xbf00, 0x7f80, 0x7fc0, 0x0000};
    const uint16_t y[] = {0x3f81, 0x3f80, 0x3f00, 0x3f80, 0x3f80, 0x8000};
    double limit[2] = {tolerance_rounded(ARITHMETIC_BF16, 0), tolerance_rounded(ARITHMETIC_BF16, 0.5)};
    static struct change_sizes sizes;
    memset(&c, 0, sizeof c);
    memset(counts, 0, sizeof counts);
    change_sizes_begin(&sizes);
    add_block(&c, isa_usable(), ARITHMETIC_BF16, x, y, 6, limit, 2, &sizes);
    change_sizes_take(&sizes, &c, ARITHMETIC_BF16, counts, 0, limit, 2);
    assert_int_equal(counts[0x3f80], 2);
    assert_int_equal(counts[0x3c00], 1);
    assert_int_equal(counts[0], 3); /* what is not finite, and the sign of 0 */
    assert_int_equal(c.counts.bit_changed, 6);
    assert_int_equal(c.counts.nonzero, 5);
    assert_int_equal(c.counts.updated[0], 5);
    assert_int_equal(c.counts.updated[1], 4);
    assert_int_equal(c.counts.nan_count, 1);
    assert_int_equal(c.counts.inf_count, 1);
    assert_int_equal(c.counts.exponents[-7 - CHANGE_EXPONENT_0], 1);
    assert_int_equal(c.counts.exponents[0 - CHANGE_EXPONENT_0], 2);
    assert_int_equal(c.counts.steps[0], 1);
    assert_int_equal(c.counts.steps[1 + 0], 1);
    assert_int_equal(c.counts.steps[1 + 7], 1);
    assert_true(c.max_abs == 1);
    assert_true(xsum_value(&c.counts.sum_abs) == 2 + 1.0 / 128);
    assert_true(xsum_value(&c.counts.sum_squares) == 2 + 1.0 / 16384);
    magnitude_count(isa_usable(), ARITHMETIC_BF16, x, 6, c.counts.bin_updated);
    assert_int_equal(c.counts.bin_updated[127 * 4], 1);
    assert_int_equal(c.counts.bin_updated[126 * 4], 1);
    assert_int_equal(c.counts.bin_updated[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual),
        cmocka_unit_test(odd),
        cmocka_unit_test(odd_wide),
        cmocka_unit_test(by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
