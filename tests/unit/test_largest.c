/* Large differences picked out: every instruction set against what the definition says, of usual numbers and
 * of any bits, of all lengths and from odd places. */
#include "unitlib.h"

#include "elements/largest/largest.h"

#include <math.h>
#include <string.h>

enum { ROOM = 3000 };

static float before[ROOM], after[ROOM];

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void check(int64_t from, int64_t n, uint32_t least)
{
    static uint32_t expected[ROOM], got[ROOM + LARGEST_SLACK];
    int64_t want = 0;
    for (int64_t i = from; i < from + n; i++) {
        const float d = fabsf(after[i] - before[i]);
        if (isfinite(d) && bits_of(d) >= least)
            expected[want++] = bits_of(d);
    }
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        assert_int_equal(largest_pack(isa, before + from, after + from, n, least, got), want);
        assert_memory_equal(got, expected, (size_t)want * sizeof *got);
    }
}

/* One by one, as the header says it; sums in 128 bits, so that an overflow would show. */
static void check_split(const struct largest_edges *x, const uint32_t *size, int64_t n)
{
    static uint32_t list[LARGEST_MOST + LARGEST_SLACK], got[LARGEST_MOST + LARGEST_SLACK];
    static struct largest_sums expected, sums;
    unsigned __int128 squares[LARGEST_WINDOWS] = {0};
    int64_t listed = 0;
    expected.nodd = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t exponent = size[i] >> 23, by = exponent - (int64_t)x->exponent;
        const uint64_t m = exponent > 0 ? (size[i] & 0x7fffff) | 0x800000 : (size[i] & 0x7fffff) * 2;
        for (int k = 0; k < LARGEST_WINDOWS && x->edge[2 * k] > 0; k++)
            if (size[i] >= x->edge[2 * k]) {
                if (by < 0 || by >= LARGEST_OCTAVES)
                    expected.odd[expected.nodd++] = size[i];
                else
                    squares[k] += (unsigned __int128)(m << by) * (m << by);
                break;
            } else if (size[i] >= x->edge[2 * k + 1]) {
                list[listed++] = size[i];
                break;
            }
    }
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        assert_int_equal(largest_split(isa, x, size, n, got, &sums), listed);
        assert_memory_equal(got, list, (size_t)listed * sizeof *got);
        assert_int_equal(sums.nodd, expected.nodd);
        assert_memory_equal(sums.odd, expected.odd, (size_t)sums.nodd * sizeof *sums.odd);
        for (int k = 0; k < LARGEST_WINDOWS; k++)
            assert_true(squares[k] == sums.squares[k]);
    }
}

static void splits(void **state)
{
    (void)state;
    static uint32_t size[LARGEST_MOST];
    uint64_t seed = 3;
    for (int turn = 0; turn < 4000; turn++) {
        struct largest_edges x = {.exponent = 0};
        const int windows = (int)(next_random(&seed) % (LARGEST_WINDOWS + 1));
        const uint32_t top = (uint32_t)(next_random(&seed) % 255) << 23,
                       span = turn % 3 ? 3 << 23 : 0x7f800000;
        uint32_t at = top + (uint32_t)next_random(&seed) % 0x800000;
        for (int k = 0; k < windows; k++) { /* some touch, some are of one size */
            x.edge[2 * k] = at + 1;
            at -= (uint32_t)next_random(&seed) % (at / 64 + 1);
            x.edge[2 * k + 1] = at;
            x.exponent = at >> 23;
            at -= k % 2 ? 0 : (uint32_t)next_random(&seed) % (at / 64 + 1);
            at -= at > 0;
        }
        const int64_t n = turn % 5 ? (int64_t)(next_random(&seed) % 70) : LARGEST_MOST;
        for (int64_t i = 0; i < n; i++) {
            uint32_t one =
                turn % 7 ? at + (uint32_t)next_random(&seed) % span : (at >> 23 << 23) + (4U << 23) - 1;
            size[i] = one < LARGEST_INFINITE ? one : LARGEST_INFINITE - 1;
        }
        check_split(&x, size, n);
    }
}

static void every_length(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < ROOM; i++) {
        before[i] = (float)((double)next_random(&seed) * 0x1p-64 - 0.5);
        after[i] = before[i] + (float)ldexp((double)next_random(&seed) * 0x1p-64 - 0.5, -20);
    }
    for (int64_t n = 0; n < 100; n++)
        check(n % 9, n, bits_of(0x1p-22F));
    for (int e = -40; e < -18; e++)
        check(1, ROOM - 1, bits_of((float)ldexp(1, e)));
}

static void any_bits(void **state)
{
    (void)state;
    static const uint32_t least[] = {0, 1, 0x00800000, 0x3f800000, 0x7f7fffff, LARGEST_INFINITE};
    uint64_t seed = 9;
    for (int i = 0; i < ROOM; i++) {
        const uint32_t a = (uint32_t)next_random(&seed), b = i % 5 ? (uint32_t)next_random(&seed) : a;
        memcpy(&before[i], &a, sizeof a);
        memcpy(&after[i], &b, sizeof b);
    }
    for (size_t k = 0; k < sizeof least / sizeof *least; k++)
        check(0, ROOM, least[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length),
        cmocka_unit_test(splits),
        cmocka_unit_test(any_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
