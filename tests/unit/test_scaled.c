/* Codes under scales: weights of every kind with scales of every kind, read in ranges that begin and end
 * anywhere, against a reference that takes each element by itself; and what does not fit. */
#include "unitlib.h"

#include "scaledlib.h"

#include "formats/checkpoint.h"
#include "formats/decoders/scaled.h"
#include "formats/safetensors/safetensors.h"

#include <math.h>

/* The bytes of a kind, made up. */
struct made {
    unsigned char *bytes[MOST_TENSORS];
    int n;
    double *scales, global;
};

static int64_t count(const struct stored_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->dims[i];
    return n;
}

/* Numbers of every size a bf16 has, so that products round, vanish and overflow; NaN now and then. */
static void some_bytes(enum dtype type, int64_t n, unsigned char *out, uint64_t *seed)
{
    for (int64_t i = 0; i < n; i++) {
        double x = ldexp((double)(next_random(seed) >> 40) + 1, (int)(next_random(seed) % 40) - 45);
        float f = (float)x;
        uint16_t b = bf16_from_float(f), h = (uint16_t)(next_random(seed) % 0x7c00);
        switch (type) {
        case DTYPE_F64:
            memcpy(out + 8 * i, &x, 8);
            break;
        case DTYPE_F32:
            memcpy(out + 4 * i, &f, 4);
            break;
        case DTYPE_BF16:
            memcpy(out + 2 * i, &b, 2);
            break;
        case DTYPE_F16:
            memcpy(out + 2 * i, &h, 2);
            break;
        default:
            out[i] = (unsigned char)next_random(seed);
        }
    }
}

static void make(struct bench *b, const struct kind *k, struct made *m)
{
    struct stored_tensor tensors[MOST_TENSORS];
    uint64_t seed = 11;
    const void *bytes[MOST_TENSORS];
    char path[200];
    m->n = 0;
    for (int i = 0; i < MOST_TENSORS && k->tensors[i].name; i++, m->n++) {
        const struct stored_tensor *t = &k->tensors[i];
        size_t size = (size_t)(count(t) * dtype_bits(t->dtype) / 8);
        m->bytes[i] = malloc(size + 8);
        some_bytes(t->dtype == DTYPE_F4 ? DTYPE_U8 : t->dtype,
                   t->dtype == DTYPE_F4 ? (int64_t)size : count(t), m->bytes[i], &seed);
        bytes[i] = m->bytes[i];
    }
    float *scales = malloc((size_t)count(&k->tensors[1]) * sizeof *scales + 4), global = 1;
    assert_int_equal(codes_scales(k->tensors[1].dtype, m->bytes[1], count(&k->tensors[1]), scales), 0);
    if (m->n > 2)
        memcpy(&global, m->bytes[2], sizeof global);
    m->scales = malloc((size_t)count(&k->tensors[1]) * sizeof *m->scales + 8);
    for (int64_t i = 0; i < count(&k->tensors[1]); i++)
        m->scales[i] = (double)(k->divides      ? scales[i] / global
                                : k->multiplies ? scales[i] * global
                                                : scales[i]);
    free(scales);
    snprintf(path, sizeof path, "%s/model.safetensors", b->folder);
    unlink(path);
    memcpy(tensors, k->tensors, sizeof tensors);
    assert_int_equal(model_write(path, tensors, m->n, bytes, NULL, 0, &b->arena, &b->err), 0);
    snprintf(path, sizeof path, "%s/config.json", b->folder);
    unlink(path);
    if (k->config) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(k->config, f);
        assert_int_equal(fclose(f), 0);
    }
}

static void unmake(struct made *m)
{
    for (int i = 0; i < m->n; i++)
        free(m->bytes[i]);
    free(m->scales);
}

/* Element i of the numbers: where its code is, and its scale. */
static uint16_t element(const struct kind *k, const struct made *m, int64_t i)
{
    if (k->turned) { /* [e, in, out] from [e, out, in] */
        int64_t out = k->rows, in = k->cols, e = i / (in * out), row = i / out % in, col = i % out;
        i = (e * out + col) * in + row;
    }
    int64_t row = i / k->cols, matrix = row / k->rows, col = i % k->cols;
    int64_t at = matrix * k->step + row % k->rows / k->block_rows * k->across + col / k->block_cols;
    const int four = k->codes == CODES_E2M1;
    int code = m->bytes[0][four ? i / 2 : i];
    if (four)
        code = i % 2 ? code >> 4 : code & 15;
    return bf16_from_float(codes_value(k->codes, (uint8_t)code) * (float)m->scales[at]);
}

static void check_range(struct bench *b, struct checkpoint *c, const struct stored_tensor *x,
                        const struct kind *k, const struct made *m, int64_t first, int64_t n,
                        struct decoder_scratch *s)
{
    uint16_t *out = malloc((size_t)n * sizeof *out + 1);
    assert_int_equal(checkpoint_numbers(c, x, first, n, s, out, &b->err), ERR_OK);
    for (int64_t i = 0; i < n; i++)
        if (out[i] != element(k, m, first + i))
            fail_msg("%s: element %lld of %lld from %lld on: 0x%04x, expected 0x%04x", k->name, (long long)i,
                     (long long)n, (long long)first, out[i], element(k, m, first + i));
    free(out);
}

static void check_kind(struct bench *b, const struct kind *k, int64_t step)
{
    struct made m;
    struct checkpoint c;
    make(b, k, &m);
    if (checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err) != ERR_OK)
        fail_msg("%s: %s", k->name, b->err.text);
    const struct stored_tensor *x = checkpoint_find(&c, "x.weight");
    assert_non_null(x);
    const struct decoding *d = decoder_decoding(x);
    if (!d || d->problem)
        fail_msg("%s: %s", k->name, d ? d->problem : "not decoded");
    assert_true(decoder_type(x) == DTYPE_BF16 && decoder_is_number(x) && d->by->valid(d));
    assert_int_equal(x->ndim, k->ndim);
    assert_memory_equal(x->dims, k->dims, (size_t)k->ndim * sizeof *k->dims);
    if (k->note)
        assert_string_equal(d->note, k->note);
    for (int i = 1; i < m.n; i++)
        assert_ptr_equal(decoder_served(checkpoint_find(&c, k->tensors[i].name)), d);
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(x, step), .most = step};
    s.v = malloc((size_t)s.bytes);
    int64_t n = count(&(struct stored_tensor){.ndim = k->ndim, .dims = {k->dims[0], k->dims[1], k->dims[2]}});
    assert_int_equal(x->elements, n);
    for (int64_t first = 0; first < n; first += step)
        check_range(b, &c, x, k, &m, first, n - first < step ? n - first : step, &s);
    uint64_t seed = (uint64_t)n; /* in any order: what is kept of the scales must not mislead */
    for (int i = 0; i < 100 && n > 0; i++) {
        int64_t first = (int64_t)(next_random(&seed) % (uint64_t)n), some = n - first < 7 ? n - first : 7;
        check_range(b, &c, x, k, &m, first, some < step ? some : step, &s);
    }
    checkpoint_close(&c);
    free(s.v);
    unmake(&m);
    arena_reset(&b->arena);
}

static void test_kinds(void **state)
{
    static const int64_t steps[] = {1 << 16, 1000, 129, 64, 5};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
            check_kind(*state, &kinds[i], steps[k]);
}

/* ---- what does not fit ---- */

struct bad {
    struct stored_tensor tensors[MOST_TENSORS];
    const char *config, *weight, *problem; /* NULL: it is not decoded, and that is all */
};

static const struct bad bads[] = {
    {{F8(DTYPE_F8_E4M3, SHAPE2(300, 200))}, NULL, "x.weight", "its scales x.weight_scale_inv are not there"},
    {{F8(DTYPE_F8_E5M2, SHAPE2(300, 200))}, NULL, "x.weight", NULL},
    {{F8(DTYPE_F8_E4M3FNUZ, SHAPE2(300, 200))}, NULL, "x.weight", NULL},
    {{F8(DTYPE_F8_E4M3, SHAPE2(300, 200)), INVERSE(DTYPE_F32, SHAPE2(2, 2))},
     NULL,
     "x.weight",
     "its scales x.weight_scale_inv are F32 2x2, expected F32 3x2: one for each block of 128x128"},
    {{F8(DTYPE_F8_E4M3, SHAPE2(300, 200)), INVERSE(DTYPE_I32, SHAPE2(3, 2))},
     NULL,
     "x.weight",
     "are I32, which is no type of scales"},
    {{F8(DTYPE_F8_E4M3, SHAPE2(300, 200)), INVERSE(DTYPE_F32, SHAPE3(1, 3, 2))},
     NULL,
     "x.weight",
     "F32 1x3x2, expected F32 3x2"},
    {{F8(DTYPE_F8_E4M3, SHAPE1(300)), INVERSE(DTYPE_F32, SHAPE1(3))},
     NULL,
     "x.weight",
     "F32 3, expected F32 1x3"},
    {{F8(DTYPE_F8_E4M3, SHAPE2(300, 200)), INVERSE(DTYPE_F32, SHAPE2(3, 2))},
     "{\"quantization_config\": {\"weight_block_size\": [64, 64]}}",
     "x.weight",
     "F32 3x2, expected F32 5x4: one for each block of 64x64"},
    {{F8(DTYPE_F8_E4M3, SHAPE2(300, 200)), INVERSE(DTYPE_F32, SHAPE2(4, 4))},
     "{\"quantization_config\": {\"weight_block_size\": [0, -5]}}",
     "x.weight",
     "weight_block_size of config.json: expected a block of a weight, found a list"},
    {{F8(DTYPE_F8_E4M3, SHAPE2(100, 200)), INVERSE(DTYPE_F32, SHAPE2(2, 2))},
     "{\"quantization_config\": {\"config_groups\": {\"a\": {\"weights\": {\"block_structure\": [60, 128]}}, \"b\": "
     "{\"weights\": {\"block_structure\": [90, 128]}}}}}",
     "x.weight",
     "may be for blocks of 60x128 or of 90x128: config.json does not say"},
    {{F8(DTYPE_F8_E4M3, SHAPE3(3, 30, 40)), SCALE(DTYPE_F32, SHAPE3(2, 1, 1))},
     NULL,
     "x.weight",
     "F32 2x1x1, expected"},
    {{{.name = "x.weight_packed", .dtype = DTYPE_U8, SHAPE2(40, 48)}, SCALE(DTYPE_U8, SHAPE2(40, 4))},
     NULL,
     "x.weight",
     " out of x.weight_packed, U8 40x48: its scales x.weight_scale are U8 40x4, expected U8 40x3"},
    {{{.name = "x.weight_packed", .dtype = DTYPE_U8, SHAPE2(40, 48)},
      SCALE(DTYPE_F8_E4M3, SHAPE2(40, 6)),
      {.name = "x.weight_global_scale", .dtype = DTYPE_F32, SHAPE1(2)}},
     NULL,
     "x.weight",
     "its scale x.weight_global_scale is F32 of 2 elements, expected one number"},
    {{{.name = "x.weight_packed", .dtype = DTYPE_U8, SHAPE2(40, 48)}}, NULL, "x.weight_packed", NULL},
    {{{.name = "x.weight_packed", .dtype = DTYPE_U8, SHAPE2(40, 48)}, SCALE(DTYPE_F8_E4M3, SHAPE2(40, 6))},
     NULL,
     "x.weight",
     "the scale of the whole tensor (global_scale) is not there"},
    {{{.name = "x_blocks", .dtype = DTYPE_U8, SHAPE4(2, 70, 3, 16)},
      {.name = "x_scales", .dtype = DTYPE_U8, SHAPE3(2, 70, 4)}},
     NULL,
     "x_blocks",
     NULL},
    {{{.name = "x_blocks", .dtype = DTYPE_U8, SHAPE4(2, 70, 3, 15)},
      {.name = "x_scales", .dtype = DTYPE_U8, SHAPE3(2, 70, 3)}},
     NULL,
     "x_blocks",
     NULL},
    {{F8(DTYPE_F4, SHAPE2(20, 96)), SCALE(DTYPE_F8_E8M0, SHAPE2(20, 2))},
     NULL,
     "x.weight",
     " out of x.weight, U8 20x48: its scales x.weight_scale are F8_E8M0 20x2"},
};

static void test_bad(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        struct kind k = {.config = bads[i].config};
        struct made m;
        struct checkpoint c;
        memcpy(k.tensors, bads[i].tensors, sizeof k.tensors);
        if (!k.tensors[1].name)
            k.tensors[1] = (struct stored_tensor){.name = "y", .dtype = DTYPE_BF16, SHAPE1(2)};
        if (k.tensors[1].dtype == DTYPE_I32) { /* make knows no such scales */
            k.tensors[1].dtype = DTYPE_F32;
            make(b, &k, &m);
            k.tensors[1].dtype = DTYPE_I32;
            const void *bytes[] = {m.bytes[0], m.bytes[1]};
            char path[200];
            snprintf(path, sizeof path, "%s/model.safetensors", b->folder);
            assert_int_equal(model_write(path, k.tensors, 2, bytes, NULL, 0, &b->arena, &b->err), 0);
        } else {
            make(b, &k, &m);
        }
        assert_int_equal(checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err), ERR_OK);
        const struct stored_tensor *x = checkpoint_find(&c, bads[i].weight);
        assert_non_null(x);
        const struct decoding *d = decoder_decoding(x);
        if (!bads[i].problem)
            assert_null(d);
        else if (!d || !d->problem || !strstr(d->problem, bads[i].problem))
            fail_msg("row %d: expected \"%s\", found \"%s\"", (int)i, bads[i].problem,
                     d && d->problem ? d->problem : "none");
        checkpoint_close(&c);
        unmake(&m);
        arena_reset(&b->arena);
    }
}

/* A weight and what stands for it. */
static void test_twice(void **state)
{
    struct bench *b = *state;
    struct kind k = {.tensors = {{.name = "x.weight_packed", .dtype = DTYPE_U8, SHAPE2(4, 16)},
                                 SCALE(DTYPE_U8, SHAPE2(4, 1)),
                                 {.name = "x.weight", .dtype = DTYPE_BF16, SHAPE2(4, 32)}}};
    struct made m;
    struct checkpoint c;
    make(b, &k, &m);
    assert_int_equal(checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err), ERR_DATA);
    assert_non_null(strstr(b->err.text, "tensor x.weight is there, and x.weight_packed too"));
    err_clear(&b->err);
    unmake(&m);
}

/* What a quantizer writes beside a weight is no parameter; what only looks like it, is. */
static void test_beside(void **state)
{
    struct bench *b = *state;
    struct stored_tensor tensors[] = {{.name = "a.logit_scale", .dtype = DTYPE_F32, .ndim = 0},
                                      {.name = "h.0.attn.k.weight", .dtype = DTYPE_F8_E4M3, SHAPE2(4, 4)},
                                      {.name = "h.0.attn.k.input_scale", .dtype = DTYPE_F32, SHAPE1(1)},
                                      {.name = "h.0.attn.k.weight_scale", .dtype = DTYPE_F32, SHAPE1(1)},
                                      {.name = "h.0.attn.k_scale", .dtype = DTYPE_F32, SHAPE1(1)},
                                      {.name = "h.0.mlp.input_scale", .dtype = DTYPE_F32, SHAPE1(1)}};
    static const float zeros[4];
    const void *bytes[] = {zeros, zeros, zeros, zeros, zeros, zeros};
    char path[200];
    struct checkpoint c;
    snprintf(path, sizeof path, "%s/model.safetensors", b->folder);
    assert_int_equal(model_write(path, tensors, 6, bytes, NULL, 0, &b->arena, &b->err), 0);
    assert_int_equal(checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err), ERR_OK);
    const struct decoding *d = decoder_decoding(checkpoint_find(&c, "h.0.attn.k.weight"));
    assert_true(d && d->by->valid(d));
    for (int i = 2; i < 5; i++)
        assert_ptr_equal(decoder_served(checkpoint_find(&c, tensors[i].name)), d);
    assert_null(decoder_served(checkpoint_find(&c, "a.logit_scale")));
    assert_null(decoder_served(checkpoint_find(&c, "h.0.mlp.input_scale")));
    checkpoint_close(&c);
}

/* What a catalogue gives back is checked: no number of a decoding may lead out of its tensors. */
static void test_damaged(void **state)
{
    struct bench *b = *state;
    struct made m;
    struct checkpoint c;
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds - 1; i++) {
        make(b, &kinds[i], &m);
        assert_int_equal(checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err), ERR_OK);
        const struct stored_tensor *x = checkpoint_find(&c, "x.weight");
        struct decoding d = *x->decoding;
        for (int k = 0; k < 300 && !kinds[i].turned; k++) {
            static const int64_t odd[] = {-1, 0, 1, 2, 3, 1 << 20, INT64_MAX, INT64_MIN};
            d = *x->decoding;
            d.numbers[next_random(&seed) % 9] = odd[next_random(&seed) % 8];
            struct scaled s;
            if (!d.by->valid(&d))
                continue;
            assert_true(scaled_of(&d, &s));
            for (int e = 0; e < 50; e++) {
                int64_t at = scale_grid_at(&s.grid, (int64_t)(next_random(&seed) % (uint64_t)x->elements));
                assert_true(at >= 0 && at < s.scale->elements);
            }
        }
        d = *x->decoding;
        d.nhelpers--;
        assert_false(d.by->valid(&d));
        checkpoint_close(&c);
        unmake(&m);
        arena_reset(&b->arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_FOLDER(test_kinds),  TEST_FOLDER(test_bad),     TEST_FOLDER(test_twice),
        TEST_FOLDER(test_beside), TEST_FOLDER(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
