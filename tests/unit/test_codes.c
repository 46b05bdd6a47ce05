/* Codes of eight and four bits: every code against its definition in arithmetic, and every instruction set
 * against products that are taken one by one, in runs and groups that begin and end anywhere. */
#include "unitlib.h"

#include "elements/codes/codes.h"

#include <math.h>

/* The definition, in words of arithmetic. */
static double defined(enum codes kind, int code)
{
    static const struct {
        int mantissa, bias;
    } of[CODES_KINDS] = {[CODES_E4M3] = {3, 7},
                         [CODES_E5M2] = {2, 15},
                         [CODES_E4M3FNUZ] = {3, 8},
                         [CODES_E5M2FNUZ] = {2, 16},
                         [CODES_E2M1] = {1, 1}};
    const int bits = codes_bits(kind), sign = code >> (bits - 1), m = of[kind].mantissa;
    const int magnitude = code & ((1 << (bits - 1)) - 1), exponent = magnitude >> m;
    const double fraction = (magnitude & ((1 << m) - 1)) / (double)(1 << m);
    double x =
        exponent == 0 ? ldexp(fraction, 1 - of[kind].bias) : ldexp(1 + fraction, exponent - of[kind].bias);
    if (kind == CODES_E4M3 && magnitude == 0x7f)
        x = NAN;
    if (kind == CODES_E5M2 && exponent == 31)
        x = fraction > 0 ? NAN : INFINITY;
    if ((kind == CODES_E4M3FNUZ || kind == CODES_E5M2FNUZ) && code == 0x80)
        return NAN;
    return sign ? -x : x;
}

static void test_values(void **state)
{
    (void)state;
    for (int kind = 0; kind < CODES_KINDS; kind++)
        for (int code = 0; code < 1 << codes_bits((enum codes)kind); code++) {
            float x = codes_value((enum codes)kind, (uint8_t)code);
            double want = defined((enum codes)kind, code);
            if (isnan(want))
                assert_true(isnan(x));
            else
                assert_true((double)x == want && !signbit(x) == !signbit(want));
        }
    assert_true(codes_value(CODES_E4M3, 0x7e) == 448 && codes_value(CODES_E4M3FNUZ, 0x7f) == 240);
    assert_true(codes_value(CODES_E5M2, 0x7b) == 57344 && codes_value(CODES_E5M2FNUZ, 0x7f) == 57344);
    assert_true(codes_value(CODES_E2M1, 0x3f) == -6);
    assert_int_equal(codes_of(DTYPE_F8_E5M2), CODES_E5M2);
    assert_int_equal(codes_of(DTYPE_F8_E8M0), CODES_KINDS);
}

static void test_scales(void **state)
{
    (void)state;
    uint8_t bytes[256];
    float out[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(codes_scales(DTYPE_F8_E8M0, bytes, 256, out), 0);
    for (int i = 0; i < 255; i++)
        assert_true((double)out[i] == ldexp(1, i - 127));
    assert_true(isnan(out[255]));
    assert_int_equal(codes_scales(DTYPE_U8, bytes, 256, out), 0);
    assert_true(out[0] == 0x1p-127f && isinf(out[255]) && out[255] > 0);
    assert_int_equal(codes_scales(DTYPE_F8_E4M3, bytes, 256, out), 0);
    for (int i = 0; i < 127; i++)
        assert_true((double)out[i] == defined(CODES_E4M3, i));
    const uint16_t half[] = {0x3c00, 0x0001}, brain[] = {0x3f80, 0xc000};
    const double wide[] = {0.1, 2};
    assert_int_equal(codes_scales(DTYPE_F16, half, 2, out), 0);
    assert_true(out[0] == 1 && out[1] == 0x1p-24f);
    assert_int_equal(codes_scales(DTYPE_BF16, brain, 2, out), 0);
    assert_true(out[0] == 1 && out[1] == -2);
    assert_int_equal(codes_scales(DTYPE_F64, wide, 2, out), 0);
    assert_true(out[0] == 0.1f && out[1] == 2);
    assert_int_equal(codes_scales(DTYPE_I8, bytes, 2, out), -1);
    assert_int_equal(codes_scales(DTYPE_F8_E5M2, bytes, 2, out), -1);
}

/* Scales that make halfway cases, subnormals, overflow, NaN and Inf. */
static float some_scale(uint64_t *seed)
{
    static const float odd[] = {1,        0.0003f, 1.00390625f,  3.4e38f,   1e-40f,   -0.123456f, 0,
                                INFINITY, NAN,     0.007843138f, 0x1p-127f, 0x1p127f, 1e-45f};
    uint64_t r = next_random(seed);
    if (r % 3 == 0)
        return odd[r / 3 % (sizeof odd / sizeof *odd)];
    return ldexpf((float)(next_random(seed) >> 40) + 1, (int)(r / 3 % 200) - 130);
}

static void check(enum isa isa, enum codes kind, int64_t rows, int64_t cols, int64_t group, uint64_t *seed)
{
    enum { MOST = 40000 };
    const int64_t n = rows * cols;
    static uint8_t codes[MOST + 1];
    static float scales[MOST];
    static uint16_t out[MOST + 1];
    const int four = codes_bits(kind) == 4;
    const int64_t bytes = four ? (n + 1) / 2 : n;
    uint8_t *own = malloc((size_t)bytes + 1); /* so that a sanitizer sees what is read behind it */
    for (int64_t i = 0; i < bytes; i++)
        own[i] = (uint8_t)next_random(seed);
    for (int64_t i = 0; i * group < cols; i++)
        scales[i] = some_scale(seed);
    memcpy(codes, own, (size_t)bytes);
    out[n] = 0x1234;
    codes_decode_rows(isa, kind, own, rows, cols, scales, group, out);
    for (int64_t i = 0; i < n; i++) {
        int code = four ? (i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15) : codes[i];
        uint16_t want = bf16_from_float((float)defined(kind, code) * scales[i % cols / group]);
        if (out[i] != want)
            fail_msg(
                "%s, kind %d, element %lld of %lld rows of %lld, groups of %lld: code 0x%02x gives 0x%04x, expected 0x%04x",
                isa_name(isa), (int)kind, (long long)i, (long long)rows, (long long)cols, (long long)group,
                code, out[i], want);
    }
    assert_int_equal(out[n], 0x1234);
    free(own);
}

static void test_decode(void **state)
{
    (void)state;
    static const int64_t groups[] = {2, 16, 32, 48, 100, 128, 4000};
    enum isa isa;
    uint64_t seed = 7;
    for (int c = 0; isa_choice(c, &isa); c++)
        for (int kind = 0; kind < CODES_KINDS; kind++)
            for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
                for (int64_t n = 0; n < 140; n++)
                    check(isa, (enum codes)kind, 1, n, groups[g], &seed);
                check(isa, (enum codes)kind, 1, 2999, groups[g], &seed);
                for (int64_t rows = 2; rows < 12; rows += 3)
                    for (int64_t cols = 2; cols < 400; cols += 26)
                        check(isa, (enum codes)kind, rows, cols, groups[g], &seed);
                check(isa, (enum codes)kind, 9, 4100, groups[g], &seed);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
