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
        cmocka_unit_test(any_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
