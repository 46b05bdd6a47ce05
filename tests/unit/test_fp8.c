/* FP8 with block scales: all 256 codes, and ragged matrices read in ranges that begin and end anywhere,
 * against a reference that takes each element by itself. */
#include "unitlib.h"

#include "formats/checkpoint.h"
#include "formats/decoders/fp8.h"
#include "formats/safetensors/safetensors.h"

#include <math.h>

/* The definition, in words of arithmetic: sign, exponent of bias 7, mantissa of eighths. */
static double code_value(int code)
{
    int exponent = (code >> 3) & 15, mantissa = code & 7;
    double size = exponent == 0 ? mantissa / 8.0 * pow(2, -6) : (1 + mantissa / 8.0) * pow(2, exponent - 7);
    if (exponent == 15 && mantissa == 7)
        size = (double)NAN;
    return code & 0x80 ? -size : size;
}

static void test_codes(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++) {
        float x = fp8_to_float((uint8_t)code);
        if ((code & 0x7f) == 0x7f) {
            assert_true(isnan(x));
            continue;
        }
        assert_true((double)x == code_value(code));
        assert_true(!signbit(x) == !(code & 0x80));
    }
    assert_true(fp8_to_float(0x7e) == 448 && fp8_to_float(0x01) == 0x1p-9f && fp8_to_float(0x38) == 1);
}

static uint16_t element(uint8_t code, float scale)
{
    return bf16_from_float((float)code_value(code) * scale);
}

/* All codes under scales that make halfway cases, subnormals, overflow and NaN. */
static void test_decode(void **state)
{
    (void)state;
    static const float scales[] = {1,          0.0003f, 1.00390625f, 3.4e38f, 1e-40f,
                                   -0.123456f, 0,       INFINITY,    NAN,     0.007843138f};
    uint8_t codes[256];
    uint16_t out[256];
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        fp8_decode(codes, 0, 256, 1, &scales[s], 0, out);
        for (int i = 0; i < 256; i++)
            assert_int_equal(out[i], element((uint8_t)i, scales[s]));
    }
}

static void check_matrix(struct bench *b, int64_t rows, int64_t cols, int64_t step)
{
    int64_t down = (rows + 127) / 128, across = (cols + 127) / 128, n = rows * cols;
    struct stored_tensor t[] = {
        {.name = "x.weight", .dtype = DTYPE_F8_E4M3, .ndim = 2, .dims = {rows, cols}},
        {.name = "x.weight_scale_inv", .dtype = DTYPE_F32, .ndim = 2, .dims = {down, across}}};
    uint8_t *codes = malloc((size_t)n);
    float *scale = malloc((size_t)(down * across) * sizeof *scale);
    uint64_t seed = (uint64_t)n;
    for (int64_t i = 0; i < n; i++)
        codes[i] = (uint8_t)next_random(&seed);
    for (int64_t i = 0; i < down * across; i++)
        scale[i] = (float)ldexp((double)(next_random(&seed) >> 40) + 1, -30 - (int)(next_random(&seed) % 6));
    const void *const bytes[] = {codes, scale};
    char path[200], problem[400];
    struct checkpoint c;
    snprintf(path, sizeof path, "%s/model.safetensors", b->folder);
    assert_int_equal(model_write(path, t, 2, bytes, NULL, 0, &b->arena, &b->err), 0);
    assert_int_equal(checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err), ERR_OK);
    const struct stored_tensor *x = checkpoint_find(&c, "x.weight"),
                               *s = checkpoint_find(&c, "x.weight_scale_inv");
    assert_int_equal(fp8_check(x, s, problem, sizeof problem), 0);

    const struct decoding *d = decoder_decoding(x);
    assert_true(d && !d->problem && d->nhelpers == 1 && d->helpers[0] == s);
    assert_true(decoder_served(s) == d && decoder_type(x) == DTYPE_BF16 && decoder_is_number(x));
    struct decoder_scratch kept = {.bytes = decoder_scratch_bytes(x, step), .most = step};
    kept.v = malloc((size_t)kept.bytes);
    uint16_t *out = malloc((size_t)step * sizeof *out);
    for (int64_t first = 0; first < n; first += step) {
        int64_t some = n - first < step ? n - first : step;
        assert_int_equal(checkpoint_numbers(&c, x, first, some, &kept, out, &b->err), ERR_OK);
        for (int64_t i = 0; i < some; i++) {
            int64_t row = (first + i) / cols, col = (first + i) % cols;
            uint16_t want = element(codes[first + i], scale[row / 128 * across + col / 128]);
            if (out[i] != want)
                fail_msg("%lld x %lld, element %lld: 0x%04x, expected 0x%04x", (long long)rows,
                         (long long)cols, (long long)(first + i), out[i], want);
        }
    }
    /* any range, in any order: what is kept of the scales must not mislead */
    for (int k = 0; k < 200 && n > 0; k++) {
        int64_t first = (int64_t)(next_random(&seed) % (uint64_t)n), some = n - first < 7 ? n - first : 7;
        some = some < step ? some : step;
        assert_int_equal(checkpoint_numbers(&c, x, first, some, &kept, out, &b->err), ERR_OK);
        for (int64_t i = 0; i < some; i++) {
            int64_t row = (first + i) / cols, col = (first + i) % cols;
            assert_int_equal(out[i], element(codes[first + i], scale[row / 128 * across + col / 128]));
        }
    }
    checkpoint_close(&c);
    free(codes);
    free(scale);
    free(out);
    free(kept.v);
}

static void test_matrices(void **state)
{
    struct bench *b = *state;
    static const int64_t shapes[][2] = {{300, 200}, {128, 128}, {1, 1},     {129, 127}, {256, 1},
                                        {1, 700},   {3, 5000},  {127, 257}, {576, 96},  {0, 40}};
    static const int64_t steps[] = {1 << 16, 1000, 129, 64};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
            check_matrix(b, shapes[i][0], shapes[i][1], steps[k]);
}

static void test_scales_that_do_not_fit(void **state)
{
    (void)state;
    char problem[400];
    const struct stored_tensor x = {.dtype = DTYPE_F8_E4M3, .ndim = 2, .dims = {300, 200}};
    const struct stored_tensor line = {.dtype = DTYPE_F8_E4M3, .ndim = 1, .dims = {300}};
    struct stored_tensor s = {.name = "x.weight_scale_inv", .dtype = DTYPE_F32, .ndim = 2, .dims = {3, 2}};
    assert_int_equal(fp8_check(&x, &s, problem, sizeof problem), 0);
    s.dims[0] = 2;
    assert_int_equal(fp8_check(&x, &s, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "F32 2x2, expected F32 3x2"));
    s.dims[0] = 3;
    s.dtype = DTYPE_BF16;
    assert_int_equal(fp8_check(&x, &s, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "BF16 3x2"));
    assert_int_equal(fp8_check(&line, &s, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "shape 300, expected a matrix"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_decode),
        TEST_FOLDER(test_matrices),
        cmocka_unit_test(test_scales_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
