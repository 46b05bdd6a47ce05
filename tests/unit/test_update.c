/* Bitmaps, comparing blocks, and how work is cut: every instruction set of this machine against plain loops,
 * parts put together from pieces, windows and shares of layouts for one to nine processes. */
#include "unitlib.h"

#include "elements/bits/bits.h"
#include "compare/layout.h"
#include "compare/update.h"

#include <math.h>
#include <stdio.h>

/* ---- bits ---- */

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

/* One block of n elements, of which about one in `every` differs (0: none, 1: all). */
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
            every && next_random(&seed) % every == 0 ? x ^ 1u << next_random(&seed) % (unsigned)(8 * bytes)
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
    static const unsigned every[] = {0, 1, 2, 7, 100};
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

/* ---- update ---- */

/* Three tensors' blocks, of 131, 64 and 1 elements; the first in two pieces. */
static void parts(void **state)
{
    struct bench *b = *state;
    enum { FIRST = 131, N = FIRST + 64 + 1 };
    uint16_t w0[N], w1[N];
    struct update_part p;
    for (int i = 0; i < N; i++)
        w0[i] = w1[i] = (uint16_t)(0x3f80 + i % 7);
    w1[0] ^= 1, w1[127] ^= 2, w1[128] ^= 4, w1[FIRST - 1] ^= 8, w1[N - 1] ^= 16;
    w0[5] = w1[5] = 0x7f80;                   /* the same Inf */
    w0[6] = 0x7fc0, w1[6] = 0x7fc1;           /* another NaN */
    w0[130] = w1[130] = 0xffc0;               /* the same NaN, in place of a change */
    w0[FIRST + 63] = w1[FIRST + 63] = 0xff80; /* the same -Inf */
    update_part_init(&p, ARITHMETIC_BF16, &b->arena);
    for (int round = 0; round < 2; round++) { /* the buffers serve again */
        assert_int_equal(update_part_start(&p, 7, 10, &b->err), ERR_OK);
        update_part_block(&p, 7);
        assert_int_equal(update_part_add(&p, w0, w1, 128, NULL, &b->err), ERR_OK);
        assert_int_equal(update_part_add(&p, w0 + 128, w1 + 128, 3, NULL, &b->err), ERR_OK);
        update_part_block(&p, 8);
        assert_int_equal(update_part_add(&p, w0 + FIRST, w1 + FIRST, 64, NULL, &b->err), ERR_OK);
        update_part_block(&p, 9);
        assert_int_equal(update_part_add(&p, w0 + N - 1, w1 + N - 1, 1, NULL, &b->err), ERR_OK);
        update_part_block(&p, 10);
        assert_true(p.from == 7 && p.to == 10 && p.nwords == 5 && p.nvalues == 5 && p.nnonfinite == 3);
        assert_true(p.words[0] == 0x41 && p.words[1] == (uint64_t)1 << 63 && p.words[2] == 1 &&
                    p.words[3] == 0 && p.words[4] == 1);
        static const int64_t first_value[] = {0, 4, 4, 5}, nonfinite[] = {5, 130, 3 * 64 + 63};
        static const int from[] = {0, 6, 127, 128, N - 1};
        assert_memory_equal(p.first_value, first_value, sizeof first_value);
        assert_memory_equal(p.nonfinite, nonfinite, sizeof nonfinite);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(((const uint16_t *)p.old_bits)[i], w0[from[i]]);
            assert_int_equal(((const uint16_t *)p.new_bits)[i], w1[from[i]]);
        }
        const uint16_t *bits = p.nonfinite_bits;
        assert_true(bits[0] == 0x7f80 && bits[1] == 0xffc0 && bits[2] == 0xff80);
    }
}

/* ---- layout ---- */

static struct layout make_layout(struct bench *b, const int64_t *elements, int64_t n)
{
    struct layout l = {.ntensors = n};
    assert_int_equal(arena_array(&b->arena, "tensors", n, &l.tensors, &b->err), ERR_OK);
    for (int64_t i = 0; i < n; i++)
        l.tensors[i] =
            (struct layout_tensor){.name = "t", .module = "m", .layer = -1, .elements = elements[i]};
    layout_number(&l);
    return l;
}

static void blocks(void **state)
{
    const int64_t B = LAYOUT_BLOCK, elements[] = {0, B + 1, 0, 0, 64, 65, 2 * B, 0};
    struct layout l = make_layout(*state, elements, 8);
    assert_true(l.nblocks == 6 && l.elements == 3 * B + 130 && l.nwords == 3 * B / 64 + 4);
    const struct block expected[] = {{1, 0, B, 0, B / 64},          {1, B, 1, B / 64, 1},
                                     {4, 0, 64, B / 64 + 1, 1},     {5, 0, 65, B / 64 + 2, 2},
                                     {6, 0, B, B / 64 + 4, B / 64}, {6, B, B, 2 * B / 64 + 4, B / 64}};
    for (int64_t b = 0; b < l.nblocks; b++) {
        struct block at = layout_block(&l, b), x = expected[b];
        assert_true(at.tensor == x.tensor && at.first == x.first && at.n == x.n && at.word == x.word &&
                    at.nwords == x.nwords);
    }
    assert_true(layout_window(&l, 0, 1) == 1 && layout_window(&l, 0, B) == 1 &&
                layout_window(&l, 0, B + 1) == 2);
    assert_true(layout_window(&l, 1, B) == 4 && layout_window(&l, 4, 2 * B - 1) == 5 &&
                layout_window(&l, 0, INT64_MAX / 2) == 6);
    assert_true(layout_window_tensors(&l, 0, 4 * B, 1) == 2 && layout_window_tensors(&l, 0, 4 * B, 4) == 3 &&
                layout_window_tensors(&l, 0, 4 * B, 5) == 4 && layout_window_tensors(&l, 5, B, 1) == 6);
}

/* Shares of all windows for np processes are contiguous, in order, cover each block once, and each holds at
 * most an equal share and a block. */
static void check_shares(const struct layout *l, int64_t window, int np)
{
    int64_t b1;
    for (int64_t b0 = 0; b0 < l->nblocks; b0 = b1) {
        int64_t at = b0, total = 0;
        b1 = layout_window_tensors(l, b0, window, 3);
        assert_true(b1 > b0 && b1 <= l->nblocks);
        assert_true(layout_block(l, b1 - 1).tensor - layout_block(l, b0).tensor < 3 || b1 == b0 + 1);
        for (int64_t b = b0; b < b1; b++)
            total += layout_block(l, b).n;
        assert_true(total <= window || b1 == b0 + 1);
        for (int me = 0; me < np; me++) {
            int64_t from, to, held = 0;
            layout_share(l, b0, b1, np, me, &from, &to);
            assert_true(from <= to && to <= b1);
            assert_int_equal(from, at); /* an empty share too stands between its neighbours */
            for (int64_t b = from; b < to; b++)
                held += layout_block(l, b).n;
            assert_true(held * np <= total + (int64_t)LAYOUT_BLOCK * np);
            at = to;
        }
        assert_int_equal(at, b1);
    }
}

static void shares(void **state)
{
    struct bench *b = *state;
    uint64_t seed = 1;
    for (int round = 0; round < 60; round++) {
        int64_t elements[40], n = 1 + (int64_t)(next_random(&seed) % 40);
        for (int64_t i = 0; i < n; i++) {
            uint64_t r = next_random(&seed);
            elements[i] = r % 4 == 0 ? 0 : r % 4 == 1 ? (int64_t)(r >> 8) % 100 : (int64_t)(r >> 8) % 2000000;
        }
        struct layout l = make_layout(b, elements, n);
        for (int np = 1; np <= 9; np++) {
            check_shares(&l, 32 * (int64_t)LAYOUT_BLOCK * np, np);
            check_shares(&l, 1, np);
            check_shares(&l, 3 * (int64_t)LAYOUT_BLOCK, np);
        }
    }
}

static void no_blocks(void **state)
{
    const int64_t none[] = {0, 0};
    struct layout l = make_layout(*state, none, 2);
    int64_t from = -1, to = -1;
    assert_true(l.nblocks == 0 && l.nwords == 0 && l.elements == 0);
    layout_share(&l, 0, 0, 3, 1, &from, &to);
    assert_true(from == 0 && to == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_BENCH(compares), TEST_BENCH(compares_bits_not_values),
                                       TEST_BENCH(narrows),  TEST_BENCH(parts),
                                       TEST_BENCH(blocks),   TEST_BENCH(shares),
                                       TEST_BENCH(no_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
