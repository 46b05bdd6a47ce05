/* Conversions against a second, slow implementation on doubles; names, shapes, tolerances against hand-made
 * cases. */
#include "elements/convert/convert.h"
#include "elements/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* An f16 from its definition; a NaN as a quiet one with its payload. */
static uint32_t half_reference(unsigned h)
{
    uint32_t sign = (h & 0x8000u) << 16;
    int exponent = (int)(h >> 10 & 31);
    unsigned mantissa = h & 0x3ffu;
    if (exponent == 31)
        return sign | 0x7f800000u | (mantissa ? 0x00400000u | mantissa << 13 : 0);
    double x = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return sign | bits_of((float)x);
}

/* The nearer of the two bf16 around x, on a tie the even one; from 2^128 - 2^119 on, Inf. */
static uint16_t narrow_reference(float x)
{
    uint32_t u = bits_of(x);
    if (isnan(x))
        return 0x7fc0;
    if (isinf(x))
        return (uint16_t)(u >> 16);
    uint16_t low = (uint16_t)(u >> 16), high = (uint16_t)(low + 1);
    double a = fabs((double)float_of((uint32_t)low << 16)), value = fabs((double)x);
    double b = (high & 0x7f80) == 0x7f80 ? ldexp(1, 128) : fabs((double)float_of((uint32_t)high << 16));
    if (value - a != b - value)
        return value - a < b - value ? low : high;
    return low % 2 == 0 ? low : high;
}

static void halves_by(enum isa isa)
{
    uint16_t *in = malloc(65536 * sizeof *in), *narrow = malloc(65536 * sizeof *narrow);
    uint32_t *wide = malloc(65536 * sizeof *wide);
    for (unsigned h = 0; h < 65536; h++)
        in[h] = (uint16_t)h;
    convert_to_compare(isa, ARITHMETIC_F32, DTYPE_F16, in, 65536, wide);
    convert_to_compare(isa, ARITHMETIC_BF16, DTYPE_F16, in, 65536, narrow);
    for (unsigned h = 0; h < 65536; h++) {
        uint32_t expected = half_reference(h);
        assert_int_equal(wide[h], expected);
        assert_int_equal(bits_of(f16_to_float((uint16_t)h)), expected);
        assert_int_equal(narrow[h], narrow_reference(float_of(expected)));
    }
    convert_to_compare(isa, ARITHMETIC_F32, DTYPE_BF16, in, 65536, wide);
    convert_to_compare(isa, ARITHMETIC_BF16, DTYPE_BF16, in, 65536, narrow);
    for (unsigned h = 0; h < 65536; h++) {
        assert_int_equal(wide[h], h << 16);
        assert_int_equal(narrow[h], h); /* not narrowed, so a NaN stays what it is */
        assert_int_equal(bits_of(bf16_to_float((uint16_t)h)), h << 16);
    }
    convert_to_compare(isa, ARITHMETIC_BF16, DTYPE_F16, in, 65536, in); /* in place: same width */
    for (unsigned h = 0; h < 65536; h++)
        assert_int_equal(in[h], narrow_reference(float_of(half_reference(h))));
    free(wide);
    free(narrow);
    free(in);
}

static void test_halves(void **state)
{
    (void)state;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        halves_by(isa);
}

static void floats_by(enum isa isa)
{
    enum { RANDOM = 500000, LOWER = 5, N = 65536 * LOWER + RANDOM };
    static const uint16_t lower[LOWER] = {0, 0x7fff, 0x8000, 0x8001, 0xffff};
    uint32_t *in = malloc(N * sizeof *in), *copy = malloc(N * sizeof *copy);
    uint16_t *out = malloc(N * sizeof *out);
    for (uint32_t i = 0; i < 65536; i++)
        for (uint32_t k = 0; k < LOWER; k++)
            in[LOWER * i + k] = i << 16 | lower[k];
    uint64_t x = 88172645463325252u;
    for (int i = 65536 * LOWER; i < N; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        in[i] = (uint32_t)(x >> 32);
    }
    convert_to_compare(isa, ARITHMETIC_BF16, DTYPE_F32, in, N, out);
    convert_to_compare(isa, ARITHMETIC_F32, DTYPE_F32, in, N, copy);
    for (int i = 0; i < N; i++) {
        uint16_t expected = narrow_reference(float_of(in[i]));
        if (out[i] != expected)
            fail_msg("%08x became %04x, expected %04x", in[i], out[i], expected);
    }
    assert_memory_equal(in, copy, N * sizeof *in);
    for (int n = 0; n < 70; n++) { /* every remainder of every vector width, and nothing written beyond */
        uint16_t part[80];
        memset(part, 0xab, sizeof part);
        convert_to_compare(isa, ARITHMETIC_BF16, DTYPE_F32, in + 300001, n, part);
        assert_memory_equal(part, out + 300001, (size_t)n * sizeof *part);
        assert_int_equal(part[n], 0xabab);
        uint32_t wide[80];
        memset(wide, 0xab, sizeof wide);
        convert_to_compare(isa, ARITHMETIC_F32, DTYPE_BF16, out + 300001, n, wide);
        for (int i = 0; i < n; i++)
            assert_int_equal(wide[i], (uint32_t)out[300001 + i] << 16);
        assert_int_equal(wide[n], 0xababababu);
        convert_to_compare(isa, ARITHMETIC_F32, DTYPE_F16, out + 300001, n, wide);
        for (int i = 0; i < n; i++)
            assert_int_equal(wide[i], half_reference(out[300001 + i]));
        assert_int_equal(wide[n], 0xababababu);
        convert_to_compare(isa, ARITHMETIC_BF16, DTYPE_F16, part, n, part);
        for (int i = 0; i < n; i++)
            assert_int_equal(part[i], narrow_reference(float_of(half_reference(out[300001 + i]))));
        assert_int_equal(part[n], 0xabab);
    }
    free(out);
    free(copy);
    free(in);
}

static void test_floats(void **state)
{
    (void)state;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        floats_by(isa);
}

static void test_types(void **state)
{
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        assert_int_equal(dtype_find(dtype_name((enum dtype)t)), t);
        assert_true(dtype_bits((enum dtype)t) >= 4);
    }
    assert_int_equal(dtype_find("F8"), DTYPE_COUNT);
    assert_int_equal(dtype_find(""), DTYPE_COUNT);
    assert_int_equal(dtype_find("bf16"), DTYPE_COUNT);
    assert_true(dtype_is_compared(DTYPE_BF16) && dtype_is_compared(DTYPE_F16) &&
                dtype_is_compared(DTYPE_F32) && dtype_is_compared(DTYPE_F64));
    assert_false(dtype_is_compared(DTYPE_F8_E4M3) || dtype_is_compared(DTYPE_I64) ||
                 dtype_is_compared(DTYPE_COUNT));
    assert_true(dtype_is_bits(DTYPE_BOOL) && dtype_is_bits(DTYPE_U8) && dtype_is_bits(DTYPE_I64));
    assert_false(dtype_is_bits(DTYPE_F64) || dtype_is_bits(DTYPE_C64) || dtype_is_bits(DTYPE_COUNT));
    assert_int_equal(arithmetic_bytes(ARITHMETIC_BF16), 2);
    assert_int_equal(arithmetic_bytes(ARITHMETIC_F32), 4);
}

static void test_tolerance(void **state)
{
    (void)state;
    assert_true(tolerance_rounded(ARITHMETIC_BF16, 1e-5) == 1.0013580322265625e-05);
    assert_true(tolerance_rounded(ARITHMETIC_F32, 1e-5) == (double)1e-5f);
    assert_true(tolerance_rounded(ARITHMETIC_BF16, 0) == 0);
    assert_true(tolerance_rounded(ARITHMETIC_BF16, 1.00390625) == 1); /* 1 + 2^-8: a tie, to even */
}

static void test_difference(void **state)
{
    (void)state;
    /* The second: 1 + 2^-7 less 2^-9 lies between 1 and 1 + 2^-7, the neighbours in bf16, nearer to the
     * latter. */
    const uint16_t a[] = {0x3f80, 0x3b00, 0x8000, 0x7f80, 0x3f80, 0x0001, 0x3f80},
                   b[] = {0x3f81, 0x3f81, 0x0000, 0x7f80, 0x3f80, 0x0003, 0xff80};
    float d[7];
    tensor_difference(ARITHMETIC_BF16, a, b, 7, d);
    assert_true(d[0] == 0x1p-7f && d[1] == 1.0078125f && d[2] == 0 && isnan(d[3]) && d[4] == 0 &&
                d[5] == 0x1p-132f && d[6] == -INFINITY);
    const float x[] = {1, 0x1p-9f, 3}, y[] = {1 + 0x1p-23f, 1.0078125f, -3};
    tensor_difference(ARITHMETIC_F32, x, y, 3, d);
    assert_true(d[0] == 0x1p-23f && d[1] == 1.005859375f && d[2] == -6);
    /* As many as go through vectors, of any bits, against one conversion after the other. */
    enum { N = 1 << 16 };
    static uint16_t from[N], to[N];
    static float got[N];
    for (uint32_t i = 0; i < N; i++) {
        from[i] = (uint16_t)i;
        to[i] = (uint16_t)(i % 3 ? i + i % 5 : i * 40503u);
    }
    tensor_difference(ARITHMETIC_BF16, from, to, N, got);
    for (int i = 0; i < N; i++) {
        float one = bf16_to_float(bf16_from_float(bf16_to_float(to[i]) - bf16_to_float(from[i])));
        assert_int_equal(bits_of(got[i]), bits_of(one));
    }
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t layer;
        const char *module;
    } cases[] = {
        {"model.layers.12.self_attn.q_proj.weight", 12, "q_proj"},
        {"model.layers.0.self_attn.k_proj.bias", 0, "k_proj"},
        {"model.layers.3.mlp.experts.17.gate_proj.weight", 3, "gate_proj"},
        {"model.layers.61.mlp.gate.e_score_correction_bias", 61, "e_score_correction_bias"},
        {"model.layers.5.mlp.down_proj.weight_scale_inv", 5, "down_proj"},
        {"model.layers.1.input_layernorm.weight", 1, "input_layernorm"},
        {"model.embed_tokens.weight", -1, "embed_tokens"},
        {"lm_head.weight", -1, "lm_head"},
        {"lm_head", -1, "lm_head"},
        {"weight", -1, "weight"},
        {".weight", -1, "weight"},
        {"", -1, ""},
        {".", -1, ""},
        {"..", -1, ""},
        {"encoder.layer.7.output.dense.weight", 7, "dense"},
        {"transformer.h.31.attn.c_attn.bias", 31, "c_attn"},
        {"h.2.ln_1.weight", 2, "ln_1"},
        {"visual.blocks.9.norm1.weight", 9, "norm1"},
        {"block.4.0.weight", 4, "0"},
        {"model.layers.x.weight", -1, "x"},
        {"model.layers.99999999999999999999.w", -1, "w"},
        {"mylayers.3.weight", -1, "3"},
        {"model.layers.3a.weight", -1, "3a"},
        {"model.layers.8", 8, "8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char module[64];
        tensor_module(cases[i].name, module, sizeof module);
        if (tensor_layer(cases[i].name) != cases[i].layer || strcmp(module, cases[i].module) != 0)
            fail_msg("\"%s\": layer %lld, module \"%s\"", cases[i].name,
                     (long long)tensor_layer(cases[i].name), module);
    }
    char small[4];
    tensor_module("a.q_proj.weight", small, sizeof small);
    assert_string_equal(small, "q_p");
}

static void test_shapes(void **state)
{
    (void)state;
    static const char *const good[] = {
        "scalar", "0", "1", "4096x1024", "2x0x3", "1x2x3x4x5x6x7x8", "9223372036854775807"};
    static const char *const bad[] = {"",
                                      "x",
                                      "4x",
                                      "x4",
                                      "4xx4",
                                      "-1",
                                      "4X4",
                                      " 4",
                                      "4 ",
                                      "1x1x1x1x1x1x1x1x1",
                                      "9223372036854775808",
                                      "scalarx1"};
    struct err e;
    char text[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int ndim;
        int64_t dims[TENSOR_MAX_NDIM];
        err_clear(&e);
        assert_int_equal(shape_parse(good[i], &ndim, dims, &e), ERR_OK);
        assert_string_equal(shape_text(ndim, dims, text, sizeof text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int ndim;
        int64_t dims[TENSOR_MAX_NDIM];
        err_clear(&e);
        if (shape_parse(bad[i], &ndim, dims, &e) != ERR_DATA)
            fail_msg("shape \"%s\" was taken", bad[i]);
    }
    shape_text(3, (const int64_t[]){1000, 1000, 1000}, text, 6); /* cut, not overrun */
    assert_string_equal(text, "1000x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves),    cmocka_unit_test(test_floats),     cmocka_unit_test(test_types),
        cmocka_unit_test(test_tolerance), cmocka_unit_test(test_difference), cmocka_unit_test(test_names),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
