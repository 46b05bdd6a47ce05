/* The share of the energy in the largest coordinates, found by counting, against sorting. */
#include "unitlib.h"

#include "compare/concentration/concentration.h"
#include "compare/concentration/tail.h"
#include "elements/largest/largest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 20000 };

static float before[ROOM], after[ROOM];

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The three shares by sorting. */
static void by_sorting(int64_t n, double *top)
{
    static double square[ROOM];
    static const int64_t part[CONCENTRATION_SHARES] = {1000, 100, 20};
    long double all = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)(after[i] - before[i]);
        square[i] = isfinite(d) ? d * d : 0;
        all += square[i];
    }
    qsort(square, (size_t)n, sizeof *square, descending);
    for (int k = 0; k < CONCENTRATION_SHARES; k++) {
        sum = 0;
        for (int64_t i = 0; i < (n + part[k] - 1) / part[k]; i++)
            sum += square[i];
        top[k] = all > 0 ? (double)(sum / all) : NAN;
    }
}

static void same(const struct concentration *got, const double *expected)
{
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        if (isnan(expected[k]))
            assert_true(isnan(got->top[k]));
        else
            assert_true(fabs(got->top[k] - expected[k]) <= 1e-13 * expected[k]);
}

/* The same figures, to the bit, from the sizes themselves, unless many of one bin are in question. */
static void by_sizes(const struct concentration_cuts *cuts, int64_t n, double squares,
                     const struct concentration *expected)
{
    static uint32_t size[ROOM + LARGEST_SLACK];
    struct concentration got;
    const int64_t found = largest_pack(ISA_PORTABLE, before, after, n, 0, size);
    if (concentration_of_sizes(size, found, cuts, squares, &got))
        assert_memory_equal(&got, expected, sizeof got);
    else
        assert_true(found > 512);
}

/* What a process would do with n elements: count them in the arithmetic, look again where that is f32. */
static void check(struct bench *b, enum arithmetic arithmetic, int64_t n)
{
    struct concentration_counts counts = {.n = NULL};
    static struct concentration_look look;
    struct concentration got;
    struct xsum squares = {.adds = 0};
    double expected[CONCENTRATION_SHARES];
    for (int64_t i = 0; i < n; i++) {
        float d = fabsf(after[i] - before[i]);
        uint32_t bits;
        memcpy(&bits, &d, sizeof bits);
        if (!isfinite(d))
            continue;
        const int64_t bin = bits >> (arithmetic == ARITHMETIC_BF16 ? 16 : CONCENTRATION_REST);
        assert_int_equal(concentration_room(&counts, bin, bin + 1, &b->arena, &b->err), ERR_OK);
        counts.n[bin - counts.first]++;
        xsum_add(&squares, (double)d * (double)d);
    }
    by_sorting(n, expected);
    if (arithmetic == ARITHMETIC_BF16) {
        got = concentration_of_counts(&counts, n);
    } else {
        const struct concentration_cuts cuts = concentration_cuts(&counts, n);
        enum isa isa;
        for (int choice = 0; isa_choice(choice, &isa); choice++) {
            memset(&look, 0, sizeof look);
            concentration_look_add(&look, isa, &cuts, before, after, n / 3);
            concentration_look_add(&look, isa, &cuts, before + n / 3, after + n / 3, n - n / 3);
            got = concentration_of_look(&look, &cuts, xsum_value(&squares));
            same(&got, expected);
            by_sizes(&cuts, n, xsum_value(&squares), &got);
        }
    }
    same(&got, expected);
    arena_drop(&b->arena, counts.n);
}

/* Differences of both types: kind 0 of any size, 1 all equal, 2 mostly none, 3 within one bin of f32, 4 one
 * huge and not finite ones, 5 none. */
static void make(int kind, enum arithmetic arithmetic, uint64_t seed)
{
    for (int i = 0; i < ROOM; i++) {
        uint32_t bits =
            (uint32_t)(next_random(&seed) % 254) << 23 | (uint32_t)(next_random(&seed) & 0x7fffff);
        float d;
        if (kind == 3)
            bits = 0x3f800000 | (uint32_t)(next_random(&seed) & 0x7fff);
        if (arithmetic == ARITHMETIC_BF16)
            bits &= 0xffff0000;
        memcpy(&d, &bits, sizeof d);
        before[i] = 0;
        after[i] = kind == 1 ? -0.25f : kind == 2 ? (i % 300 == 7 ? d : 0) : kind == 5 ? 0 : d;
        if (kind == 4)
            after[i] = i % 5 == 0 ? NAN : i % 7 == 0 ? -INFINITY : i == 4001 ? 0x1p127f : 0x1p-20f;
    }
}

static void sorted(void **state)
{
    struct bench *b = *state;
    for (int arithmetic = 0; arithmetic < ARITHMETIC_COUNT; arithmetic++)
        for (int kind = 0; kind < 6; kind++) {
            make(kind, (enum arithmetic)arithmetic, 17 + (uint64_t)kind);
            static const int64_t sizes[] = {1, 2, 19, 20, 21, 99, 101, 999, 1000, 1001, 5003, ROOM};
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                check(b, (enum arithmetic)arithmetic, sizes[i]);
        }
}

/* ---- tails: what a pass keeps, against a second look ---- */

enum { MANY = 1 << 20, TURNS = 12 };

static float many_before[MANY], many_after[MANY];

/* kind 0: of about normal distribution; 1: all equal; 2: parts of very different size; 3: few changed. */
static void make_many(int kind, int turn)
{
    uint64_t seed = 77 + (uint64_t)turn;
    for (int i = 0; i < MANY; i++) {
        float sum = -6;
        for (int k = 0; k < 12; k++)
            sum += (float)(next_random(&seed) >> 40) * 0x1p-24F;
        many_before[i] = kind == 0 ? sum : 0;
        many_after[i] = many_before[i] + (kind == 1                  ? 0x1p-9F
                                          : kind == 2                ? ldexpf(sum, -turn)
                                          : kind == 3 && i % 40 != 7 ? 0
                                                                     : 1e-3F * sum);
    }
}

static void count_many(struct bench *b, struct concentration_counts *counts)
{
    assert_int_equal(concentration_room(counts, 0, 1 << 16, &b->arena, &b->err), ERR_OK);
    for (int i = 0; i < MANY; i++) {
        const float d = fabsf(many_after[i] - many_before[i]);
        uint32_t bits;
        memcpy(&bits, &d, sizeof bits);
        counts->n[bits >> CONCENTRATION_REST]++;
    }
}

/* Windows around the cuts: width of bins on either side of where they are, `beside` bins further up. */
static struct concentration_guess around(const struct concentration_cuts *cuts, int64_t width, int64_t beside)
{
    struct concentration_cuts at = *cuts, half[2];
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        at.bin[k] += at.bin[k] < 0 ? 0 : beside;
    half[0] = half[1] = at;
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        half[1].bin[k] += width / 2;
    return concentration_guess(&at, half, (int64_t)1 << 40);
}

/* All turns into one tail, pieces of odd sizes, and into a look. */
static void one_tail(struct bench *b, int kind, enum isa isa, int64_t width, int64_t beside)
{
    static struct concentration_look look, kept;
    struct concentration_counts counts = {.n = NULL};
    struct concentration_tail tail = {.lost = 0}, other = {.lost = 0};
    struct concentration_tail *const tails[] = {&tail, &other};
    for (int turn = 0; turn < TURNS; turn++) {
        make_many(kind, turn);
        count_many(b, &counts);
    }
    const struct concentration_cuts cuts = concentration_cuts(&counts, (int64_t)TURNS * MANY);
    tail.guess = around(&cuts, width, beside);
    other.guess = concentration_guess_known(&cuts);
    memset(&look, 0, sizeof look);
    memset(&kept, 0, sizeof kept);
    for (int turn = 0; turn < TURNS; turn++) {
        make_many(kind, turn);
        concentration_look_add(&look, isa, &cuts, many_before, many_after, MANY);
        for (int from = 0, n; from < MANY; from += n) {
            n = from % 3 ? 99001 : 250000;
            n = n < MANY - from ? n : MANY - from;
            assert_int_equal(concentration_tails_add(tails, turn == 0 ? 2 : 1, isa, many_before + from,
                                                     many_after + from, n, &b->arena, &b->err),
                             ERR_OK);
        }
    }
    assert_int_equal(concentration_tail_holds(&tail, &cuts), beside == 0);
    if (beside == 0) {
        concentration_tail_look(&tail, &cuts, &kept);
        assert_memory_equal(look.within, kept.within, sizeof look.within);
        for (int k = 0; k < CONCENTRATION_SHARES; k++) {
            xsum_normalise(&look.above[k]);
            xsum_normalise(&kept.above[k]);
            assert_true(xsum_value(&look.above[k]) == xsum_value(&kept.above[k]));
        }
        const struct concentration a = concentration_of_look(&look, &cuts, 1e9),
                                   z = concentration_of_look(&kept, &cuts, 1e9);
        assert_memory_equal(&a, &z, sizeof a);
    }
    concentration_tail_drop(&tail, &b->arena);
    concentration_tail_drop(&other, &b->arena);
    arena_drop(&b->arena, counts.n);
}

/* In a list, counted, narrowed first; and beside where the shares end, which is said. */
static void tails(void **state)
{
    struct bench *b = *state;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        one_tail(b, 0, isa, 4, 0);
    for (int kind = 0; kind < 4; kind++)
        one_tail(b, kind, isa_usable(), kind == 1 ? 64 : 30, 0);
    one_tail(b, 0, isa_usable(), 4, 300);
}

/* Of a number of elements that no int holds: nothing overflows, and equal differences share as their numbers
 * do. */
static void many(void **state)
{
    (void)state;
    int64_t n = (int64_t)1 << 42;
    const struct concentration_counts counts = {&n, 0x3f80, 1};
    const struct concentration got = concentration_of_counts(&counts, n);
    assert_true(fabs(got.top[0] - 1e-3) < 1e-12);
    assert_true(fabs(got.top[2] - 5e-2) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(sorted),
        TEST_BENCH(tails),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
