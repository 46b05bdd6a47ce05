/* Sums of squares: every instruction set against the portable loop, bit for bit, and that against long double
 * arithmetic. */
#include "unitlib.h"

#include "compare/norms.h"
#include "kernels/size/size.h"

#include <math.h>
#include <string.h>

enum { ROOM = 5000 };

static uint16_t old16[ROOM], new16[ROOM];
static uint32_t old32[ROOM], new32[ROOM];

/* Weights over many octaves, of which some moved; any bits at all where odd is set. */
static void make(uint64_t seed, int odd)
{
    for (int i = 0; i < ROOM; i++) {
        uint32_t exponent = 90 + (uint32_t)(next_random(&seed) % 40);
        old32[i] = (uint32_t)(next_random(&seed) & 1) << 31 | exponent << 23 |
                   (uint32_t)(next_random(&seed) & 0x7fffff);
        new32[i] = old32[i] ^ (uint32_t)(next_random(&seed) & 0x3ffff);
        if (odd && next_random(&seed) % 64 == 0)
            new32[i] = (uint32_t)next_random(&seed) | 0x7f800000;
        if (odd && next_random(&seed) % 64 == 0)
            old32[i] = (uint32_t)next_random(&seed) | (next_random(&seed) % 2 ? 0x7f800000 : 0);
        old16[i] = (uint16_t)(old32[i] >> 16);
        new16[i] = (uint16_t)(new32[i] >> 16);
    }
}

/* A run: at once by the reference, by the others in two parts. */
static void add_changed(struct size_sums *s, enum isa isa, enum arithmetic a, const void *old_bits,
                        const void *new_bits, int64_t n)
{
    struct size_lanes lanes = {.base = {0}};
    const char *x = old_bits, *y = new_bits;
    const int64_t part = isa == ISA_PORTABLE ? n : n / 3 / SIZE_LANES * SIZE_LANES,
                  bytes = part * arithmetic_bytes(a);
    size_add_changed(&lanes, isa, a, x, y, part);
    size_add_changed(&lanes, isa, a, x + bytes, y + bytes, n - part);
    size_add_lanes(s, &lanes);
}

static void add(struct size_sums *s, enum isa isa, enum arithmetic a, int64_t from, int64_t n)
{
    *s = (struct size_sums){.base = {.adds = 0}};
    if (a == ARITHMETIC_BF16) {
        size_add_base(s, isa, a, old16 + from, n);
        add_changed(s, isa, a, old16 + from, new16 + from, n);
    } else {
        size_add_base(s, isa, a, old32 + from, n);
        add_changed(s, isa, a, old32 + from, new32 + from, n);
    }
    size_normalise(s);
}

static void test_sets(void **state)
{
    (void)state;
    static struct size_sums expected, got;
    enum isa isa;
    for (int odd = 0; odd < 2; odd++)
        for (int a = 0; a < 2; a++) {
            make(7 + (uint64_t)odd, odd);
            for (int64_t n = 0; n <= ROOM - 3; n += n < 200 ? 1 : 1201) {
                enum arithmetic type = a ? ARITHMETIC_F32 : ARITHMETIC_BF16;
                add(&expected, ISA_PORTABLE, type, n % 3, n);
                for (int choice = 1; isa_choice(choice, &isa); choice++) {
                    add(&got, isa, type, n % 3, n);
                    assert_memory_equal(&got, &expected, sizeof got);
                }
            }
        }
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* To 1e-13 of the exact sums, what is not finite on either side left out of all three. */
static void test_sums(void **state)
{
    (void)state;
    struct size_sums s;
    for (int odd = 0; odd < 2; odd++) {
        long double base = 0, delta = 0, gain = 0, all = 0;
        make(99 + (uint64_t)odd, odd);
        for (int i = 0; i < ROOM; i++) {
            long double x = float_of(old32[i]), y = float_of(new32[i]);
            if (!isfinite(float_of(old32[i])) || !isfinite(float_of(new32[i])))
                continue;
            base += x * x;
            delta += (y - x) * (y - x);
            gain += y * y - x * x;
            all += fabsl(y * y - x * x);
        }
        add(&s, isa_usable(), ARITHMETIC_F32, 0, ROOM);
        /* what is taken out again was rounded among the others */
        assert_true(fabsl((long double)xsum_value(&s.base) - base) <= 1e-13L * base);
        assert_true(fabsl((long double)xsum_value(&s.delta) - delta) <= 1e-13L * delta);
        assert_true(fabsl((long double)xsum_value(&s.gain) - gain) <= 1e-13L * all);
    }
}

/* The same however a run is shared out, as long as its parts begin at the same places; and merged. */
static void test_merge(void **state)
{
    (void)state;
    struct size_sums one = {.base = {.adds = 0}}, part, merged = one;
    make(3, 1);
    for (int k = 0; k < 4; k++) {
        size_add_base(&one, isa_usable(), ARITHMETIC_F32, old32 + 1000 * k, 1000);
        add_changed(&one, isa_usable(), ARITHMETIC_F32, old32 + 1000 * k, new32 + 1000 * k, 1000);
    }
    size_normalise(&one);
    for (int k = 3; k >= 0; k--) {
        add(&part, isa_usable(), ARITHMETIC_F32, 1000 * k, 1000);
        size_merge(&merged, &part);
    }
    assert_true(xsum_value(&one.base) == xsum_value(&merged.base));
    assert_true(xsum_value(&one.delta) == xsum_value(&merged.delta));
    assert_true(xsum_value(&one.gain) == xsum_value(&merged.gain));
}

/* Angles that 1 - cos would lose: two vectors of 2^20 ones, one element of which moved by a little. */
static void test_norms(void **state)
{
    (void)state;
    double n = 0x1p20, d = 0x1p-12;
    struct square_sums s = {n, d * d, (1 + d) * (1 + d) - 1};
    struct norms x = norms_of(&s);
    /* sin^2 = |w0|^2 |d|^2 - (w0.d)^2 over |w0|^2 |w1|^2, exactly (n - 1) d^2 / (n (n + 2 d + d^2)) */
    double sin2 = (n - 1) * d * d / (n * (n + 2 * d + d * d)), want = sin2 / (1 + sqrt(1 - sin2));
    assert_true(fabs(x.one_minus_cosine - want) <= 1e-12 * want && x.cosine == 1 - x.one_minus_cosine);
    assert_true(x.base == 1024 && x.delta == d && fabs(x.relative - d / 1024) < 1e-18);
    s = (struct square_sums){0, 4, 4};
    x = norms_of(&s);
    assert_true(x.base == 0 && x.tuned == 2 && x.delta == 2 && isnan(x.relative) && isnan(x.cosine));
    s = (struct square_sums){4, 4, -4}; /* to zero */
    x = norms_of(&s);
    assert_true(x.tuned == 0 && x.relative == 1 && isnan(x.one_minus_cosine));
    s = (struct square_sums){4, 16, 0}; /* to the opposite */
    x = norms_of(&s);
    assert_true(x.cosine == -1 && x.one_minus_cosine == 2);
    s = (struct square_sums){NAN, NAN, NAN};
    x = norms_of(&s);
    assert_true(isnan(x.base) && isnan(x.tuned) && isnan(x.delta) && isnan(x.relative));
}

/* An update that is known by itself adds what the pair w, w + d would, where that sum loses nothing of it;
 * and where it does, d is still all there. */
static void test_exact(void **state)
{
    (void)state;
    const float w[4] = {1, -2, 0.5f, INFINITY}, d[4] = {0.25f, 0.5f, -0.5f, 1},
                sum[4] = {1.25f, -1.5f, 0, INFINITY};
    static struct size_sums exact, pair, tiny;
    memset(&exact, 0, sizeof exact);
    memset(&pair, 0, sizeof pair);
    memset(&tiny, 0, sizeof tiny);
    size_add_exact(&exact, ARITHMETIC_F32, w, d, 4);
    size_add_base(&pair, ISA_PORTABLE, ARITHMETIC_F32, w, 4);
    add_changed(&pair, ISA_PORTABLE, ARITHMETIC_F32, w, sum, 3);
    assert_true(xsum_value(&exact.base) == xsum_value(&pair.base) && xsum_value(&exact.base) == 5.25);
    assert_true(xsum_value(&exact.delta) == xsum_value(&pair.delta));
    assert_true(xsum_value(&exact.gain) == xsum_value(&pair.gain));
    const uint16_t one = 0x3f80, small = 0x2b80; /* 2^-40 */
    size_add_exact(&tiny, ARITHMETIC_BF16, &one, &small, 1);
    assert_true(xsum_value(&tiny.delta) == 0x1p-80 && xsum_value(&tiny.gain) == 0x1p-39 + 0x1p-80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),  cmocka_unit_test(test_sums),  cmocka_unit_test(test_merge),
        cmocka_unit_test(test_norms), cmocka_unit_test(test_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
