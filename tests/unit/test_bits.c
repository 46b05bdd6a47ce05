/* Bitmaps and comparing blocks: every instruction set of this machine against plain loops. */
#include "unitlib.h"

#include "elements/bits/bits.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 1000, GUARD = 0x5a };

/* Element i of 2 or 4 bytes. */
static uint32_t element(int bytes, const void *v, int64_t i)
{
    return bytes == 2 ? ((const uint16_t *)v)[i] : ((const uint32_t *)v)[i];
}

static void put(int bytes, void *v, int64_t i, uint32_t x)
{
    if (bytes == 2)
        ((uint16_t *)v)[i] = (uint16_t)x;
    else
        ((uint32_t *)v)[i] = x;
}

/* One block of n elements, of which about one in `every` differs (0: none, 1: all, NEARLY_ALL: all but one in
 * 100). */
enum { NEARLY_ALL = 1000 };

static void compare(enum isa isa, int bytes, int64_t n, unsigned every, int nonfinite)
{
    static _Alignas(64) unsigned char a[4 * MOST], b[4 * MOST], back[4 * MOST],
        old_bits[4 * (MOST + BITS_SLACK) + 1], new_bits[4 * (MOST + BITS_SLACK) + 1];
    uint64_t words[MOST / 64 + 2], seed = (uint64_t)n * 8 + every * 2 + (uint64_t)nonfinite;
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t x =
            (uint32_t)next_random(&seed) & (bytes == 2 ? 0xbfffu : 0xbfffffffu); /* an exponent bit is 0 */
        put(bytes, a, i, x);
        put(bytes, b, i,
            every && (every == NEARLY_ALL ? next_random(&seed) % 100 > 0 : next_random(&seed) % every == 0)
                ? x ^ 1u << next_random(&seed) % (unsigned)(8 * bytes)
                : x);
    }
    if (nonfinite) {
        put(bytes, a, n - 1, bytes == 2 ? 0xff80 : 0xff800001u);
        put(bytes, b, n - 1, bytes == 2 ? 0xff80 : 0xff800001u);
    }
    memset(words, GUARD, sizeof words);
    memset(old_bits, GUARD, sizeof old_bits);
    memset(new_bits, GUARD, sizeof new_bits);
    struct bits_found f = bits_compare(isa, bytes, a, b, n, words, old_bits, new_bits, NULL);
    for (int64_t i = 0; i < n; i++) {
        int differs = element(bytes, a, i) != element(bytes, b, i);
        assert_int_equal(words[i / 64] >> i % 64 & 1, differs);
        if (differs) {
            assert_int_equal(element(bytes, old_bits, found), element(bytes, a, i));
            assert_int_equal(element(bytes, new_bits, found), element(bytes, b, i));
            found++;
        }
    }
    assert_int_equal(f.differ, found);
    assert_int_equal(f.nonfinite != 0, nonfinite);
    if (n % 64 != 0)
        assert_int_equal(words[n / 64] >> n % 64, 0);
    assert_int_equal(words[bits_words(n)], 0x5a5a5a5a5a5a5a5au);
    assert_int_equal(old_bits[(found + BITS_SLACK) * bytes], GUARD);
    assert_int_equal(new_bits[(found + BITS_SLACK) * bytes], GUARD);
    for (int portable = 0; portable < 2; portable++) {
        uint64_t first[MOST / 64 + 2] = {0};
        if (portable)
            setenv("SINEW_ISA", "portable", 1);
        assert_int_equal(bits_count(words, bits_words(n)), found);
        assert_int_equal(bits_count_without(words, words, bits_words(n)), 0);
        assert_int_equal(bits_count_without(words, first, bits_words(n)), found);
        first[0] = n > 0 ? words[0] & -words[0] : 0;
        assert_int_equal(bits_count_without(words, first, bits_words(n)), found - (first[0] != 0));
        unsetenv("SINEW_ISA");
    }
    memcpy(back, a, sizeof a);
    assert_int_equal(bits_unpack(bytes, words, n, new_bits, back), found);
    assert_memory_equal(back, b, (size_t)(n * bytes));
    assert_int_equal(bits_unpack(bytes, words, n, old_bits, back), found);
    assert_memory_equal(back, a, (size_t)(n * bytes));
}

static void compares(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0,  1,  15,  16,  17,  31,  32,  33,  63,
                                    64, 65, 127, 128, 129, 200, 640, 999, MOST};
    static const unsigned every[] = {0, 1, 2, 7, 100, NEARLY_ALL};
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        for (int bytes = 2; bytes <= 4; bytes += 2)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (size_t k = 0; k < sizeof every / sizeof *every; k++)
                    for (int nonfinite = 0; nonfinite < 2; nonfinite++)
                        compare(isa, bytes, sizes[s], every[k], nonfinite && sizes[s] > 0);
}

/* Both zeros differ, equal NaNs do not. */
static void compares_bits_not_values(void **state)
{
    (void)state;
    const uint16_t a[] = {0x0000, 0x7fc0, 0x7fc0, 0x8000}, b[] = {0x8000, 0x7fc0, 0x7fc1, 0x8000};
    uint16_t old_bits[4 + BITS_SLACK], new_bits[4 + BITS_SLACK];
    uint64_t word;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        assert_int_equal(bits_compare(isa, 2, a, b, 4, &word, old_bits, new_bits, NULL).differ, 2);
        assert_int_equal(word, 5);
        assert_true(old_bits[0] == 0 && old_bits[1] == 0x7fc0 && new_bits[0] == 0x8000 &&
                    new_bits[1] == 0x7fc1);
    }
}

static void narrows(void **state)
{
    (void)state;
    enum { WORDS = 9 };
    uint64_t seed = 3;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        for (int round = 0; round < 200; round++) {
            uint64_t words[WORDS], narrow[WORDS], keep[WORDS + 1];
            for (int i = 0; i < WORDS; i++)
                words[i] = round % 4 == 0   ? ~(uint64_t)0
                           : round % 4 == 1 ? 0
                                            : next_random(&seed) & next_random(&seed);
            for (int i = 0; i <= WORDS; i++)
                keep[i] = round % 5 == 0 ? ~(uint64_t)0 : round % 5 == 1 ? 0 : next_random(&seed);
            memcpy(narrow, words, sizeof words);
            bits_narrow(isa, narrow, WORDS, keep);
            int64_t value = 0;
            for (int i = 0; i < 64 * WORDS; i++) {
                int set = words[i / 64] >> i % 64 & 1;
                int kept = set && (keep[value / 64] >> value % 64 & 1);
                assert_int_equal(narrow[i / 64] >> i % 64 & 1, kept);
                value += set;
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(compares_bits_not_values),
        cmocka_unit_test(narrows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
