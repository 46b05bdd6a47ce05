/* The histogram of magnitudes: every instruction set against counting one by one. */
#include "unitlib.h"

#include "elements/bits/bits.h"
#include "elements/magnitude/magnitude.h"

#include <string.h>

enum { ROOM = 200000 };

/* Weights as they are: spread over a dozen octaves below 2^top, as bf16 bits. */
static uint16_t weight(uint64_t *x, int top)
{
    int exponent = 127 + top;
    while (next_random(x) % 2 && exponent > 100)
        exponent--;
    return (uint16_t)((next_random(x) & 1) << 15 | (uint64_t)exponent << 7 | (next_random(x) & 0x7f));
}

/* The same counts out of comparing the elements with themselves. */
static void counted_beside(enum isa isa, int bytes, const void *w, int64_t n, const int64_t *expected)
{
    static uint64_t words[ROOM / 64 + 1];
    static unsigned char packed[2][4 * BITS_SLACK];
    static int64_t got[MAGNITUDE_BINS];
    int nonfinite = 0;
    for (int64_t i = 0; i < n; i++)
        nonfinite |= magnitude_bin(bytes == 2 ? ARITHMETIC_BF16 : ARITHMETIC_F32, w, i) >= 0x3fc;
    memset(got, 0, sizeof got);
    struct bits_found f = bits_compare(isa, bytes, w, w, n, words, packed[0], packed[1], got);
    assert_int_equal(f.differ, 0);
    assert_int_equal(f.nonfinite, nonfinite);
    assert_memory_equal(got, expected, sizeof got);
}

static void compare(const uint16_t *w, int64_t n)
{
    static uint32_t wide[ROOM];
    static int64_t expected[MAGNITUDE_BINS], got[MAGNITUDE_BINS];
    memset(expected, 0, sizeof expected);
    for (int64_t i = 0; i < n; i++) {
        expected[(w[i] & 0x7fff) >> 5]++;
        wide[i] = (uint32_t)w[i] << 16 | 0xbeef;
    }
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        for (int a = 0; a < 2; a++) {
            memset(got, 0, sizeof got);
            magnitude_count(isa, a ? ARITHMETIC_F32 : ARITHMETIC_BF16,
                            a ? (const void *)wide : (const void *)w, n, got);
            assert_memory_equal(got, expected, sizeof got);
            counted_beside(isa, a ? 4 : 2, a ? (const void *)wide : (const void *)w, n, expected);
        }
}

static void every_length(void **state)
{
    (void)state;
    static uint16_t w[ROOM];
    uint64_t seed = 7;
    for (int i = 0; i < ROOM; i++)
        w[i] = weight(&seed, -6);
    for (int64_t n = 0; n < 300; n++)
        compare(w + n % 32, n);
    for (int64_t n = 1000; n < 9000; n += 131)
        compare(w, n);
    compare(w, ROOM);
}

/* Windows at both ends of what floats can be, and across the edges where a byte comes round. */
static void every_scale(void **state)
{
    (void)state;
    static uint16_t w[ROOM];
    uint64_t seed = 11;
    for (int top = -100; top <= 127; top += 3) {
        for (int i = 0; i < 5000; i++)
            w[i] = weight(&seed, top);
        compare(w, 5000);
    }
    for (int i = 0; i < 8192; i++)
        w[i] = (uint16_t)next_random(&seed); /* any bits: subnormals, infinities and NaN too */
    compare(w, 8192);
    for (int value = 0; value < 0x10000; value += 0x1fff) { /* all the same */
        for (int i = 0; i < 8192; i++)
            w[i] = (uint16_t)value;
        compare(w, 8192);
    }
}

/* A few elements that lie 64 octaves off look like others in a byte: each in another chunk. */
static void far_ones(void **state)
{
    (void)state;
    static uint16_t w[ROOM];
    uint64_t seed = 13;
    const uint16_t far[] = {0, 0x8000, 0x7f80, 0xffff, 0x0001, 0x1c00, 0x5c00, 0x4080};
    for (int i = 0; i < ROOM; i++)
        w[i] = weight(&seed, -4);
    for (int k = 0; k < 8; k++)
        w[2048 * (2 * k) + 97 * k] = far[k];
    compare(w, ROOM);
    compare(w + 1, ROOM - 1);
}

/* Samples that mislead: the window is where they lie, and everything else below it, far away or not; enough
 * for several runs. */
static void outside(void **state)
{
    (void)state;
    static uint16_t w[ROOM];
    uint64_t seed = 19;
    const int64_t lengths[] = {1024, 65472, 65536, 65600, 131072, 131136 + 7, ROOM};
    for (int below = 0; below < 3; below++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            int64_t n = lengths[k], m = n - n % 64;
            for (int64_t i = 0; i < n; i++)
                w[i] = i % (m / 64) == 0 ? weight(&seed, 3)
                       : below == 0      ? weight(&seed, -12)
                       : below == 1      ? (uint16_t)(next_random(&seed) & 0x80ff) /* subnormal or near it */
                                         : (uint16_t)next_random(&seed);
            compare(w, n);
        }
}

/* Comparing and counting in one pass gives what both give alone. */
static void compared_beside(void **state)
{
    (void)state;
    static uint16_t a[ROOM], b[ROOM], old_bits[2][ROOM + BITS_SLACK], new_bits[2][ROOM + BITS_SLACK];
    static uint64_t words[2][ROOM / 64 + 1];
    static int64_t bins[2][MAGNITUDE_BINS];
    uint64_t seed = 17;
    for (int64_t n = 900; n < 12000; n += 317)
        for (int odd = 0; odd < 3; odd++) {
            for (int64_t i = 0; i < n; i++) {
                a[i] = weight(&seed, -5);
                b[i] = next_random(&seed) % 5 ? a[i] : weight(&seed, -5);
            }
            if (odd)
                a[n / 2] = odd == 1 ? 0 : 0x7fc0;
            struct bits_found f[2];
            memset(bins, 0, sizeof bins);
            for (int k = 0; k < 2; k++)
                f[k] = bits_compare(k ? isa_usable() : ISA_PORTABLE, 2, a, b, n, words[k], old_bits[k],
                                    new_bits[k], bins[k]);
            assert_int_equal(f[0].differ, f[1].differ);
            assert_int_equal(f[0].nonfinite, f[1].nonfinite);
            assert_memory_equal(words[0], words[1], (size_t)bits_words(n) * 8);
            assert_memory_equal(old_bits[0], old_bits[1], (size_t)f[0].differ * 2);
            assert_memory_equal(new_bits[0], new_bits[1], (size_t)f[0].differ * 2);
            assert_memory_equal(bins[0], bins[1], sizeof bins[0]);
        }
}

/* The bin's lower edge, in the type that the bits are. */
static void edges(void **state)
{
    (void)state;
    assert_true(magnitude_bin_lower(0) == 0);
    assert_true(magnitude_bin_lower(127 * 4) == 1);
    assert_true(magnitude_bin_lower(127 * 4 + 2) == 1.5);
    assert_true(magnitude_bin_lower(120 * 4 + 1) == 1.25 / 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length), cmocka_unit_test(every_scale),     cmocka_unit_test(far_ones),
        cmocka_unit_test(outside),      cmocka_unit_test(compared_beside), cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
