/* Checkpoints that a quantizer wrote, by names, types and config.json; buffers; and what is none of it. From
 * lists of tensors alone. */
#include "unitlib.h"

#include "compare/match.h"
#include "formats/decoder.h"
#include "formats/decoders/quantized.h"

enum { MOST = 6 };

struct t {
    const char *name;
    enum dtype dtype;
    int64_t dims[4]; /* as many as are not 0 */
};

static void make(struct bench *b, struct checkpoint *c, const struct t *t, const char *method)
{
    struct stored_tensor *v;
    assert_int_equal(arena_array(&b->arena, "test", MOST, &v, &b->err), ERR_OK);
    *c = (struct checkpoint){.path = "PATH", .tensors = v, .config = {.quant = {.method = method}}};
    for (; c->ntensors < MOST && t->name; t++) {
        struct stored_tensor *x = &v[c->ntensors++];
        *x = (struct stored_tensor){.name = t->name, .dtype = t->dtype, .elements = 1, .module = "m"};
        for (; x->ndim < 4 && t->dims[x->ndim]; x->ndim++)
            x->elements *= x->dims[x->ndim] = t->dims[x->ndim];
        x->layer = tensor_layer(t->name);
    }
    struct stored_list list = {.ntensors = c->ntensors, .tensors = v};
    stored_sort(&list);
    assert_int_equal(decoder_resolve(&list, &c->config, &b->arena, &b->err), ERR_OK);
    assert_int_equal(quantized_find(&c->quantized, &list, &c->config.quant, &b->arena, &b->err), ERR_OK);
}

static const struct {
    struct t t[MOST];
    const char *method, *by; /* NULL: it is none */
    int integers;
} cases[] = {
    {{{"l.qweight", DTYPE_I32, {8, 8}}, {"l.g_idx", DTYPE_I32, {64}}, {"l.scales", DTYPE_F16, {2, 8}}},
     NULL,
     "gptq: tensor l.qweight of I32 8x8",
     0},
    {{{"l.qweight", DTYPE_I32, {8, 8}}, {"l.qzeros", DTYPE_I32, {2, 8}}}, "awq", "awq: tensor l.qweight", 0},
    {{{"l.qweight", DTYPE_I32, {8, 8}}, {"l.qzeros", DTYPE_I32, {2, 8}}}, NULL, "awq or gptq: ", 0},
    {{{"l.weight", DTYPE_I8, {8, 8}}, {"l.SCB", DTYPE_F32, {8}}, {"l.weight_format", DTYPE_U8, {0}}},
     NULL,
     "bitsandbytes int8: ",
     1},
    {{{"l.weight", DTYPE_U8, {32, 1}}, {"l.weight.quant_state.bitsandbytes__nf4", DTYPE_U8, {99}}},
     NULL,
     "bitsandbytes nf4: tensor l.weight of U8 32x1",
     0},
    {{{"l.weight_packed", DTYPE_I32, {8, 1}}, {"l.weight_shape", DTYPE_I64, {2}}},
     "compressed-tensors",
     "compressed-tensors pack-quantized: ",
     0},
    {{{"l.weight", DTYPE_I8, {8, 8}}, {"l.weight_scale", DTYPE_BF16, {8, 1}}},
     "compressed-tensors",
     "compressed-tensors: tensor l.weight of I8",
     1},
    {{{"l.W_q", DTYPE_U8, {8, 8}}, {"l.meta", DTYPE_U8, {8}}}, NULL, "hqq: ", 0},
    {{{"l.codebooks", DTYPE_F16, {2, 8}}, {"l.codes", DTYPE_I16, {8, 8}}}, NULL, "aqlm: ", 0},
    {{{"l.weight", DTYPE_U32, {8, 8}}, {"l.scales", DTYPE_F16, {8, 1}}, {"l.biases", DTYPE_F16, {8, 1}}},
     NULL,
     "mlx: ",
     0},
    {{{"l._weight_qdata", DTYPE_I8, {8, 8}}}, NULL, "torchao: ", 0},
    {{{"l.weight", DTYPE_U8, {8, 8}}}, "gguf", "gguf: tensor l.weight", 0},
    {{{"model.layers.0.x", DTYPE_I16, {8, 8}}}, "higgs", "higgs: ", 0},
    {{{"l.weight", DTYPE_U8, {8, 8}}, {"l.weight_scale", DTYPE_BF16, {1}}}, "bitnet", "bitnet: ", 0},
    {{{"l.weight", DTYPE_U8, {8, 8}}, {"l.weight_scale", DTYPE_BF16, {1}}}, NULL, "packed bytes: ", 0},
    /* weights that were widened again keep their config */
    {{{"l.weight", DTYPE_BF16, {8, 8}}, {"ids", DTYPE_I64, {8}}}, "gptq", NULL, 0},
    {{{"l.weight", DTYPE_BF16, {8, 8}}, {"h.0.attn.bias", DTYPE_U8, {1, 1, 4, 4}}}, "bitsandbytes", NULL, 0},
    /* decoded */
    {{{"l.weight", DTYPE_F8_E4M3, {8, 8}}, {"l.weight_scale", DTYPE_F32, {1}}}, "fp8", NULL, 0},
    {{{"l.weight_packed", DTYPE_U8, {8, 16}}, {"l.weight_scale", DTYPE_U8, {8, 1}}},
     "compressed-tensors",
     NULL,
     0},
    {{{"l.weight_packed", DTYPE_U8, {8, 16}}, {"l.weight_scale", DTYPE_F32, {8, 1}}},
     NULL,
     "compressed-tensors: tensor l.weight_packed",
     0},
    /* integers of a model's own */
    {{{"l.weight", DTYPE_I8, {8, 8}}, {"l.bias", DTYPE_BF16, {8}}}, NULL, NULL, 0},
};

static void test_signs(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct checkpoint c;
        make(b, &c, cases[i].t, cases[i].method);
        if (!cases[i].by != !c.quantized.by ||
            (c.quantized.by && strncmp(c.quantized.by, cases[i].by, strlen(cases[i].by)) != 0))
            fail_msg("case %zu: found %s", i, c.quantized.by ? c.quantized.by : "nothing");
        assert_int_equal(c.quantized.integers, cases[i].integers);
    }
}

/* Refused on either side, whatever the policy; but bits of integers of one method are compared. */
static void test_match(void **state)
{
    struct bench *b = *state;
    static const struct t plain[] = {
        {"l.weight", DTYPE_BF16, {8, 8}}, {"n", DTYPE_BF16, {8}}, {NULL, 0, {0}}};
    static const struct t bnb[] = {
        {"l.weight", DTYPE_I8, {8, 8}}, {"l.SCB", DTYPE_F32, {8}}, {"n", DTYPE_BF16, {8}}, {NULL, 0, {0}}};
    static const struct t other[] = {{"l.weight", DTYPE_I8, {8, 8}},
                                     {"l.weight_scale", DTYPE_F32, {8}},
                                     {"n", DTYPE_BF16, {8}},
                                     {NULL, 0, {0}}};
    const struct match_policy skip = {.skip_unmatched = 1};
    const struct t *const sides[][2] = {{plain, bnb}, {bnb, plain}, {bnb, other}};
    struct checkpoint x, y;
    struct match m;
    struct table skipped;
    for (int i = 0; i < 3; i++) {
        make(b, &x, sides[i][0], NULL);
        make(b, &y, sides[i][1], NULL);
        assert_int_equal(match_build(&m, &x, &y, &skip, "", "", NULL, &b->arena, &b->err), ERR_DATA);
        assert_non_null(strstr(b->err.text, "PATH is quantized after training ("));
        assert_non_null(strstr(b->err.text, "comparing measures the quantizer, not the training"));
        err_clear(&b->err);
    }
    make(b, &x, bnb, NULL);
    make(b, &y, bnb, NULL);
    table_init(&skipped, "skipped", &b->arena);
    assert_int_equal(match_build(&m, &x, &y, &skip, "", "", &skipped, &b->arena, &b->err), ERR_OK);
    assert_int_equal(m.main.layout.ntensors, 1);
    assert_string_equal(m.main.layout.tensors[0].name, "n");
    assert_int_equal(m.aside.layout.ntensors, 1);
    assert_string_equal(m.aside.layout.tensors[0].name, "l.weight");
    assert_string_equal(table_text(&skipped, 0, "tensor"), "l.SCB");
    assert_string_equal(table_text(&skipped, 0, "reason"), "scale of integers");
}

/* A buffer is left out, with or without a policy, on one side or on both. */
static void test_buffers(void **state)
{
    struct bench *b = *state;
    static const struct t with[] = {{"h.0.attn.bias", DTYPE_BOOL, {1, 1, 4, 4}},
                                    {"h.0.attn.masked_bias", DTYPE_F32, {1}},
                                    {"h.0.rotary_emb.inv_freq", DTYPE_F32, {4}},
                                    {"n", DTYPE_BF16, {8}},
                                    {NULL, 0, {0}}};
    static const struct t without[] = {{"n", DTYPE_BF16, {8}}, {NULL, 0, {0}}};
    static const struct t parameter[] = {
        {"h.0.attn.bias", DTYPE_BF16, {4}}, {"n", DTYPE_BF16, {8}}, {NULL, 0, {0}}};
    const struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct checkpoint x, y;
    struct match m;
    struct table skipped;
    for (int turn = 0; turn < 2; turn++) {
        make(b, &x, turn ? with : without, NULL);
        make(b, &y, turn ? without : with, NULL);
        table_init(&skipped, "skipped", &b->arena);
        assert_int_equal(match_build(&m, &x, &y, &policy, "", "", &skipped, &b->arena, &b->err), ERR_OK);
        assert_int_equal(m.main.layout.ntensors, 1);
        assert_int_equal(m.skipped_parameters, 0);
        assert_int_equal(skipped.nrows, 3);
        for (int i = 0; i < 3; i++)
            assert_string_equal(table_text(&skipped, i, "reason"),
                                "a buffer, which is no parameter, on one side only");
    }
    make(b, &x, with, NULL);
    make(b, &y, with, NULL);
    table_init(&skipped, "skipped", &b->arena);
    assert_int_equal(match_build(&m, &x, &y, &policy, "", "", &skipped, &b->arena, &b->err), ERR_OK);
    assert_int_equal(m.main.layout.ntensors, 1);
    assert_int_equal(m.aside.layout.ntensors, 0);
    assert_int_equal(m.skipped_parameters, 0);
    assert_int_equal(skipped.nrows, 3);
    assert_int_equal(m.coverage.parameters[0], 8);
    for (int i = 0; i < 3; i++)
        assert_string_equal(table_text(&skipped, i, "reason"), "a buffer, which is no parameter");
    make(b, &y, parameter, NULL);
    make(b, &x, without, NULL);
    assert_int_equal(match_build(&m, &x, &y, &policy, "", "", NULL, &b->arena, &b->err), ERR_DATA);
    err_clear(&b->err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(test_signs),
        TEST_BENCH(test_match),
        TEST_BENCH(test_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
