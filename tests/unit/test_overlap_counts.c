/* Overlap counts of every instruction set against counting bit by bit, against each other, and against cases
 * worked out by hand. */
#include "kernels/overlap/overlap_counts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t room[OVERLAP_ROOM];

static int bit(const uint64_t *mask, int64_t i)
{
    return (int)(mask[i / 64] >> (i % 64) & 1);
}

/* k masks of nwords words, a stride apart; mask 1 is empty, mask 2 full, the others of different densities.
 */
static void compare(enum isa isa, int k, int64_t nwords, int64_t stride, uint64_t seed)
{
    uint64_t *masks = calloc((size_t)(k * stride + 1), sizeof *masks);
    int64_t npairs = overlap_pairs(k);
    int64_t *own = calloc((size_t)k, sizeof *own), *both = calloc((size_t)npairs + 1, sizeof *both);
    int64_t *exactly = calloc((size_t)k + 1, sizeof *exactly), *want = calloc((size_t)k + 1, sizeof *want);
    assert_true(masks && own && both && exactly && want);
    for (int i = 0; i < k; i++)
        for (int64_t w = 0; w < stride; w++) {
            uint64_t x = next(&seed);
            for (int thin = 0; thin < i % 4; thin++)
                x &= next(&seed);
            masks[i * stride + w] = i == 1 ? 0 : i == 2 ? UINT64_MAX : x;
        }
    exactly[0] = 7;
    overlap_count(isa, masks, stride, k, nwords, room, own, npairs > 0 ? both : NULL, exactly);
    for (int i = 0; i < k; i++) {
        int64_t set = 0;
        for (int64_t b = 0; b < 64 * nwords; b++)
            set += bit(masks + i * stride, b);
        assert_int_equal(own[i], set);
        for (int j = i + 1; j < k; j++) {
            int64_t shared = 0;
            for (int64_t b = 0; b < 64 * nwords; b++)
                shared += bit(masks + i * stride, b) & bit(masks + j * stride, b);
            assert_int_equal(both[overlap_pair(k, i, j)], shared);
        }
    }
    for (int64_t b = 0; b < 64 * nwords; b++) {
        int n = 0;
        for (int i = 0; i < k; i++)
            n += bit(masks + i * stride, b);
        want[n]++;
    }
    assert_int_equal(exactly[0], 7);
    for (int n = 1; n <= k; n++)
        assert_int_equal(exactly[n], want[n]);
    free(masks);
    free(own);
    free(both);
    free(exactly);
    free(want);
}

static void test_against_bits(void **state)
{
    (void)state;
    static const int cells[] = {1, 2, 3, 4, 5, 7, 8, 9, 14, 15, 16, 21, 31, 33, 63};
    static const int64_t words[] = {0, 1, 2, 7, 8, 9, 63, 64, 65, 301};
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        for (size_t c = 0; c < sizeof cells / sizeof *cells; c++)
            for (size_t w = 0; w < sizeof words / sizeof *words; w++)
                compare(isa, cells[c], words[w], words[w] + (int64_t)(c % 3), 1 + c * 100 + w);
}

/* More words than a tile holds. */
static void test_tiles(void **state)
{
    (void)state;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        compare(isa, 2, 8192 + 8192 + 3, 16400, 5);
        compare(isa, 260, 64 + 9, 80, 6);
    }
}

/* What the loops may stumble on: density from none to all, masks that are empty in some strips only, and any
 * of eight places in a cache line to begin at. */
enum { DENSITIES = 6 };

static uint64_t any_word(int density, uint64_t *seed, int64_t w)
{
    uint64_t x = next(seed), y = next(seed);
    switch (density) {
    case 0:
        return x & y;
    case 1:
        return x;
    case 2:
        return UINT64_MAX;
    case 3:
        return w / 600 % 2 ? x | y : 0;
    case 4:
        return w % 97 == 0 ? (uint64_t)1 << (x % 64) : 0;
    default:
        return 0;
    }
}

/* Positions that masks have in common: all; one in 2, 4, ... 256; those of whole words here and there; about
 * one in 32, but in some words all; some in the first thousand words only. */
enum { EVERYWHERE, HALVES = 8, WORDS, BURSTS, BEGINNING, PLACES };

static uint64_t place_word(int place, int64_t w)
{
    uint64_t seed = (uint64_t)w * 1000, x = UINT64_MAX;
    for (int i = 0; i < (place <= HALVES ? place : 5); i++)
        x &= next(&seed);
    if (place == WORDS)
        return w % 3 == 0 ? UINT64_MAX : 0;
    if (place == BURSTS)
        return w % 13 < 2 ? UINT64_MAX : x;
    return place == BEGINNING && w > 1000 ? UINT64_MAX : x;
}

struct counts {
    int64_t *own, *both, *exactly;
};

static struct counts counts_of(enum isa isa, const uint64_t *masks, int64_t stride, int k, int64_t n)
{
    struct counts c = {calloc((size_t)k, 8), calloc((size_t)overlap_pairs(k) + 1, 8),
                       calloc((size_t)k + 1, 8)};
    assert_true(c.own && c.both && c.exactly);
    overlap_count(isa, masks, stride, k, n, room, c.own, k > 1 ? c.both : NULL, c.exactly);
    return c;
}

static void forget(struct counts *c)
{
    free(c->own);
    free(c->both);
    free(c->exactly);
}

/* Where SINEW_TEST_BRIEF is set, as for an emulated processor, one case of so many is tried. */
static int is_left_out(void)
{
    enum { OF_SO_MANY = 17 };
    static int64_t turn;
    return getenv("SINEW_TEST_BRIEF") && turn++ % OF_SO_MANY != 0;
}

/* Every instruction set against the portable loops; only the n words of each mask may count. */
static void same_counts_at(int place, int k, int64_t n, int64_t begin, int density, uint64_t seed)
{
    if (is_left_out())
        return;
    int64_t stride = n + (int64_t)(seed % 5);
    uint64_t *memory = aligned_alloc(64, (size_t)((begin + k * stride) * 8 + 63) / 64 * 64 + 64);
    assert_non_null(memory);
    uint64_t *masks = memory + begin;
    for (int i = 0; i < k; i++)
        for (int64_t w = 0; w < stride; w++)
            masks[i * stride + w] =
                place_word(place, w) &
                any_word(density < DENSITIES ? density : (i + density) % DENSITIES, &seed, w);
    struct counts want = counts_of(ISA_PORTABLE, masks, stride, k, n);
    enum isa isa;
    for (int choice = 1; isa_choice(choice, &isa); choice++) {
        struct counts got = counts_of(isa, masks, stride, k, n);
        assert_memory_equal(got.own, want.own, (size_t)k * 8);
        assert_memory_equal(got.both, want.both, (size_t)overlap_pairs(k) * 8);
        assert_memory_equal(got.exactly, want.exactly, (size_t)(k + 1) * 8);
        /* The consensus alone, and the pairs alone. */
        memset(got.exactly, 0, (size_t)(k + 1) * 8);
        overlap_consensus(isa, masks, stride, k, n, got.exactly);
        assert_memory_equal(got.exactly, want.exactly, (size_t)(k + 1) * 8);
        memset(got.both, 0, (size_t)overlap_pairs(k) * 8);
        overlap_count(isa, masks, stride, k, n, room, got.own, k > 1 ? got.both : NULL, NULL);
        assert_memory_equal(got.both, want.both, (size_t)overlap_pairs(k) * 8);
        forget(&got);
    }
    forget(&want);
    free(memory);
}

static void same_counts(int k, int64_t n, int64_t begin, int density, uint64_t seed)
{
    same_counts_at(EVERYWHERE, k, n, begin, density, seed);
}

/* All remainders of tiles and adders, and numbers of masks about the powers of two. */
static void test_every_number_of_masks(void **state)
{
    (void)state;
    for (int k = 1; k <= 70; k++)
        for (int density = 0; density <= DENSITIES + 1; density++)
            same_counts(k, 40 + k % 9, k % 8, density, (uint64_t)(k * 10 + density));
    static const int many[] = {127, 128, 129, 254, 255, 256, 257, 511, 513, 1023, 1100};
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        for (int density = 0; density <= DENSITIES; density += 2)
            same_counts(many[i], 11 + (int64_t)i, (int64_t)i % 8, density, 7 + i);
}

/* Every length about the vectors and strips, at every place of a cache line. */
static void test_every_length(void **state)
{
    (void)state;
    for (int64_t n = 0; n <= 80; n++)
        for (int64_t begin = 0; begin < 8; begin++)
            same_counts(6, n, begin, DENSITIES, (uint64_t)(n * 8 + begin));
    static const int64_t about[] = {255, 256, 257, 511, 513, 1023, 1024, 1025, 1559, 1561, 4096, 5003};
    for (size_t i = 0; i < sizeof about / sizeof *about; i++)
        for (int64_t begin = 0; begin < 8; begin += 3)
            for (int density = DENSITIES; density < 2 * DENSITIES; density++)
                same_counts(i % 2 ? 21 : 5, about[i], begin, density, i);
}

/* Masks with few positions in common, which may be left out; numbers of masks, and lengths, about those where
 * the loops do so. */
static void test_few_positions(void **state)
{
    (void)state;
    static const int cells[] = {11, 12, 13, 21, 64, 65};
    static const int64_t words[] = {1, 7, 33, 260, 1023, 1024, 1025, 3011};
    for (int place = 1; place < PLACES; place++)
        for (size_t c = 0; c < sizeof cells / sizeof *cells; c++)
            for (size_t w = 0; w < sizeof words / sizeof *words; w++)
                same_counts_at(place, cells[c], cells[c] < 64 || w % 2 ? words[w] : 300, (int64_t)(w % 8),
                               w % 3 == 2 ? DENSITIES : (int)(w % 3), c * 100 + w);
    for (int k = 127; k <= 129; k++)
        for (int place = 1; place < PLACES; place += 3)
            same_counts_at(place, k, 700, 1, DENSITIES, (uint64_t)k);
    for (int64_t n = 0; n <= 80; n++)
        same_counts_at(2 + (int)(n % 3), 14, n, n % 8, 1, (uint64_t)n);
}

/* The longest strips and one word less and more, every position set: sums of bytes are at their largest. */
static void test_full(void **state)
{
    (void)state;
    static const int64_t about[] = {255, 256, 257, 767, 768, 769, 800, 1536, 1537};
    for (size_t i = 0; i < sizeof about / sizeof *about; i++)
        for (int k = 1; k <= 13; k += 3)
            same_counts(k, about[i], (int64_t)i % 8, 2, i);
}

/* As many masks as there may be: one of their words. The counters reach every one of their sixteen bits;
 * pairs would be two thousand millions. */
static void test_most_masks(void **state)
{
    (void)state;
    const int k = OVERLAP_MAX_CELLS;
    const int64_t n = 9;
    uint64_t *masks = malloc((size_t)(k * n) * sizeof *masks);
    int64_t *want = calloc((size_t)k + 1, sizeof *want), *exactly = calloc((size_t)k + 1, sizeof *exactly);
    assert_true(masks && want && exactly);
    for (int i = 0; i < k; i++)
        for (int64_t w = 0; w < n; w++) /* bit b of word w is set in the first (64 w + b) * 114 masks */
            for (int64_t b = (masks[i * n + w] = 0); b < 64; b++)
                masks[i * n + w] |= (uint64_t)(i < (64 * w + b) * 114) << b;
    for (int64_t c = 1; c < 64 * n; c++)
        want[c * 114 < k ? c * 114 : k]++;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        memset(exactly, 0, ((size_t)k + 1) * sizeof *exactly);
        overlap_consensus(isa, masks, n, k, n, exactly);
        assert_memory_equal(exactly, want, ((size_t)k + 1) * sizeof *want);
    }
    free(masks);
    free(want);
    free(exactly);
}

static void test_counts_are_added(void **state)
{
    (void)state;
    const uint64_t masks[2] = {0x0f, 0x3c};
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        int64_t own[2] = {10, 20}, both[1] = {30}, exactly[3] = {0, 40, 50};
        overlap_count(isa, masks, 1, 2, 1, room, own, both, exactly);
        assert_int_equal(own[0], 14);
        assert_int_equal(own[1], 24);
        assert_int_equal(both[0], 32);
        assert_int_equal(exactly[1], 44);
        assert_int_equal(exactly[2], 52);
    }
}

static void test_pair_order(void **state)
{
    (void)state;
    int64_t p = 0;
    for (int64_t i = 0; i < 9; i++)
        for (int64_t j = i + 1; j < 9; j++)
            assert_int_equal(overlap_pair(9, i, j), p++);
    assert_int_equal(overlap_pairs(9), p);
    assert_int_equal(overlap_pairs(1), 0);
}

/* The hypergeometric distribution summed term by term, n small. */
static void test_chance(void **state)
{
    (void)state;
    for (int n = 1; n <= 9; n++)
        for (int u1 = 0; u1 <= n; u1++)
            for (int u2 = 0; u2 <= n; u2++) {
                double mean = 0, variance = 0, sum = 0, m1 = 0, m2 = 0;
                overlap_chance(n, u1, u2, &mean, &variance);
                /* All subsets of u2 elements are equally likely; the first u1 elements are the other set. */
                for (int s = 0; s < 1 << n; s++)
                    if (__builtin_popcount((unsigned)s) == u2) {
                        double x = __builtin_popcount((unsigned)s & ((1u << u1) - 1));
                        sum++;
                        m1 += x;
                        m2 += x * x;
                    }
                m1 /= sum;
                m2 /= sum;
                assert_true(fabs(mean - m1) < 1e-13);
                assert_true(fabs(variance - (m2 - m1 * m1)) < 1e-12);
            }
    double mean = 1, variance = 2;
    overlap_chance(0, 0, 0, &mean, &variance);
    assert_true(mean == 1 && variance == 2);
    overlap_chance(700000000000, 100000000000, 140000000000, &mean, &variance); /* a product beyond 2^63 */
    assert_true(fabs(mean / 20000000001 - 1) < 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_bits),     cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_counts_are_added), cmocka_unit_test(test_pair_order),
        cmocka_unit_test(test_chance),           cmocka_unit_test(test_every_number_of_masks),
        cmocka_unit_test(test_every_length),     cmocka_unit_test(test_most_masks),
        cmocka_unit_test(test_few_positions),    cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
