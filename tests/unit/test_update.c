/* Updates, and how work is cut: parts put together from pieces, windows and shares of layouts for one to nine
 * processes. */
#include "unitlib.h"

#include "compare/layout.h"
#include "compare/update.h"

#include <math.h>
#include <stdio.h>

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
    const struct CMUnitTest tests[] = {TEST_BENCH(parts), TEST_BENCH(blocks), TEST_BENCH(shares),
                                       TEST_BENCH(no_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
