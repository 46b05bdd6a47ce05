/* Adapters on their bases: every kind of weight against a product that is written out here, what an adapter
 * brings whole, state dicts that carry one, and what is refused. */
#include "loralib.h"

#include <math.h>

static const char *const plain_base[] = {"model.embed_tokens.weight BF16 9x6",
                                         "model.layers.0.q_proj.weight BF16 7x6",
                                         "model.layers.0.q_proj.bias BF16 7",
                                         "model.layers.1.q_proj.weight F32 7x6",
                                         "model.layers.1.v_proj.weight F16 4x6",
                                         "model.layers.1.sq_proj.weight BF16 6x6",
                                         "model.norm.weight BF16 6",
                                         NULL};

static const char config[] = "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 6}";

static err_t open_on(struct bench *b, struct checkpoint *c, const char *tuned, struct choice choice)
{
    static char base[200], path[200];
    snprintf(base, sizeof base, "%s/base", b->folder);
    snprintf(path, sizeof path, "%s/%s", b->folder, tuned);
    choice.base = base;
    return checkpoint_open(c, path, &choice, &b->arena, &b->err);
}

static void make_base(struct bench *b)
{
    made_write(b, "base", "model.safetensors", plain_base);
}

static const struct stored_tensor *want(const struct checkpoint *c, const char *name)
{
    const struct stored_tensor *t = checkpoint_find(c, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

/* s times the product of the planted factors at (out, in), summed as the library sums it. */
static float product(const char *a, const char *b, int64_t in, int64_t r, int64_t o, int64_t i, float s)
{
    float sum = 0;
    for (int64_t k = 0; k < r; k++)
        sum = fmaf(planted(b, o * r + k), planted(a, k * in + i), sum);
    return sum * s;
}

/* The tensor of a pair of linear factors: W + s B A, rounded by `round`. */
static void check_linear(struct bench *b, struct checkpoint *c, const char *module, int64_t out, int64_t in,
                         float s, float (*round)(float), int safe)
{
    char name[3][200];
    snprintf(name[0], sizeof name[0], "%s.weight", module);
    snprintf(name[1], sizeof name[1], "base_model.model.%s.lora_A.weight", module);
    snprintf(name[2], sizeof name[2], "base_model.model.%s.lora_B.weight", module);
    for (int64_t at_once = 1; at_once <= 64; at_once += 9) {
        const float *x = made_read(b, c, want(c, name[0]), at_once);
        for (int64_t o = 0; o < out; o++)
            for (int64_t i = 0; i < in; i++) {
                float d = product(name[1], name[2], in, 2, o, i, s);
                d = safe ? round(d) : d;
                assert_true(x[o * in + i] == round(round(planted(name[0], o * in + i)) + d));
            }
    }
}

static float as_bf16(float x)
{
    return bf16_to_float(bf16_from_float(x));
}
static float as_f16(float x)
{
    return f16_to_float(f16_from_float(x));
}
static float as_f32(float x)
{
    return x;
}

static const char *const linear[] = {"base_model.model.model.layers.0.q_proj.lora_A.weight F32 2x6",
                                     "base_model.model.model.layers.0.q_proj.lora_B.weight F32 7x2",
                                     "base_model.model.model.layers.1.q_proj.lora_A.weight BF16 2x6",
                                     "base_model.model.model.layers.1.q_proj.lora_B.weight F32 7x2",
                                     "base_model.model.model.layers.1.v_proj.lora_A.weight F32 2x6",
                                     "base_model.model.model.layers.1.v_proj.lora_B.weight F16 4x2",
                                     NULL};

static void merged(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    make_base(b);
    made_text(b, "tuned", "adapter_config.json", config);
    made_write(b, "tuned", "adapter_model.safetensors", linear);
    for (int safe = 0; safe < 2; safe++) {
        struct choice choice = {.merge = safe ? CHOICE_MERGE_SAFE : CHOICE_MERGE_DEFAULT};
        assert_int_equal(open_on(b, &c, "tuned", choice), ERR_OK);
        assert_string_equal(c.format, "lora");
        assert_non_null(strstr(c.note, safe ? "safely" : "by default"));
        assert_int_equal(c.ntensors, 7);
        assert_int_equal(want(&c, "model.layers.1.v_proj.weight")->dtype, DTYPE_F16);
        check_linear(b, &c, "model.layers.0.q_proj", 7, 6, 3, as_bf16, safe);
        check_linear(b, &c, "model.layers.1.q_proj", 7, 6, 3, as_f32, safe);
        check_linear(b, &c, "model.layers.1.v_proj", 4, 6, 3, as_f16, safe);
        const float *same = made_read(b, &c, want(&c, "model.norm.weight"), 6);
        for (int i = 0; i < 6; i++)
            assert_true(same[i] == planted("model.norm.weight", i));
        checkpoint_close(&c);
    }
}

/* What was added is known by itself; the tensor is the float32 sum; what has no adapter has no update. */
static void exact(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    make_base(b);
    made_text(b, "tuned", "adapter_config.json", config);
    made_write(b, "tuned", "adapter_model.safetensors", linear);
    assert_int_equal(open_on(b, &c, "tuned", (struct choice){.adapter = CHOICE_ADAPTER_EXACT}), ERR_OK);
    assert_null(decoder_change(want(&c, "model.norm.weight")));
    const struct stored_tensor *t = want(&c, "model.layers.0.q_proj.weight"), *change = decoder_change(t);
    assert_non_null(change);
    assert_int_equal(t->dtype, DTYPE_F32);
    const float *d = made_read(b, &c, change, 5), *x = made_read(b, &c, t, 11);
    for (int64_t i = 0; i < 42; i++) {
        float expected =
            product("base_model.model.model.layers.0.q_proj.lora_A.weight",
                    "base_model.model.model.layers.0.q_proj.lora_B.weight", 6, 2, i / 6, i % 6, 3);
        assert_true(d[i] == expected);
        assert_true(x[i] == planted("model.layers.0.q_proj.weight", i) + expected);
    }
    checkpoint_close(&c);
}

/* Embedding, square Conv1D, bias, tensors brought whole, rows replaced, magnitudes: together. */
static void others(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    static const char *const parts[] = {"base_model.model.model.embed_tokens.lora_embedding_A F32 2x9",
                                        "base_model.model.model.embed_tokens.lora_embedding_B F32 6x2",
                                        "base_model.model.model.embed_tokens.base_layer.weight BF16 9x6",
                                        "base_model.model.model.layers.0.q_proj.lora_A.weight F32 2x6",
                                        "base_model.model.model.layers.0.q_proj.lora_B.weight F32 7x2",
                                        "base_model.model.model.layers.0.q_proj.lora_B.bias F32 7",
                                        "base_model.model.model.layers.1.sq_proj.lora_A.weight F32 2x6",
                                        "base_model.model.model.layers.1.sq_proj.lora_B.weight F32 6x2",
                                        "base_model.model.model.norm.weight F32 6",
                                        "base_model.model.score.weight F32 2x6",
                                        NULL};
    make_base(b);
    made_text(
        b, "tuned", "adapter_config.json",
        "{\"r\": 2, \"lora_alpha\": 3.0, \"fan_in_fan_out\": true, \"use_rslora\": false, \"base_model_name_or_path\": "
        "\"org/other\"}");
    made_write(b, "tuned", "adapter_model.safetensors", parts);
    /* fan_in_fan_out is the model's where no shape says otherwise: q_proj's does */
    assert_int_equal(open_on(b, &c, "tuned", (struct choice){0}), ERR_OK);
    assert_non_null(strstr(c.note, "org/other"));
    const float *x = made_read(b, &c, want(&c, "model.embed_tokens.weight"), 7);
    for (int64_t i = 0; i < 54; i++) {
        float d = as_bf16(product("base_model.model.model.embed_tokens.lora_embedding_A",
                                  "base_model.model.model.embed_tokens.lora_embedding_B", 9, 2, i % 6, i / 6,
                                  1.5f));
        assert_true(x[i] == as_bf16(planted("base_model.model.model.embed_tokens.base_layer.weight", i) + d));
    }
    x = made_read(b, &c, want(&c, "model.layers.0.q_proj.bias"), 7);
    for (int64_t i = 0; i < 7; i++)
        assert_true(x[i] == as_bf16(planted("model.layers.0.q_proj.bias", i) +
                                    planted("base_model.model.model.layers.0.q_proj.lora_B.bias", i) * 1.5f));
    check_linear(b, &c, "model.layers.1.sq_proj", 6, 6, 1.5f, as_bf16, 0);
    x = made_read(b, &c, want(&c, "model.norm.weight"), 6);
    for (int64_t i = 0; i < 6; i++)
        assert_true(x[i] == as_bf16(planted("base_model.model.model.norm.weight", i)));
    assert_int_equal(want(&c, "score.weight")->dtype, DTYPE_F32);
    assert_int_equal(c.ntensors, 8);
    checkpoint_close(&c);
}

static const char *const dora[] = {"base_model.model.model.layers.0.q_proj.lora_A.weight F32 2x6",
                                   "base_model.model.model.layers.0.q_proj.lora_B.weight F32 7x2",
                                   "base_model.model.model.layers.0.q_proj.lora_magnitude_vector F32 7",
                                   "base_model.model.model.embed_tokens.lora_embedding_A F32 2x9",
                                   "base_model.model.model.embed_tokens.lora_embedding_B F32 6x2",
                                   "base_model.model.model.embed_tokens.lora_magnitude_vector F32 6",
                                   NULL};

/* Element i of a weight with magnitudes, whose own output is `output` and whose norm runs over `n` elements
 * from `first` on, `step` apart. */
static double scaled(const float *sum, int64_t i, int64_t first, int64_t step, int64_t n, float magnitude)
{
    double squares = 0;
    for (int64_t k = 0; k < n; k++)
        squares += (double)sum[first + k * step] * (double)sum[first + k * step];
    return (double)(magnitude / (float)sqrt(squares) * sum[i]);
}

static void magnitudes(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    float q[42], m[54];
    make_base(b);
    made_text(b, "tuned", "adapter_config.json", "{\"r\": 2, \"lora_alpha\": 2, \"use_dora\": true}");
    made_write(b, "tuned", "adapter_model.safetensors", dora);
    for (int64_t i = 0; i < 42; i++)
        q[i] = planted("model.layers.0.q_proj.weight", i) +
               product("base_model.model.model.layers.0.q_proj.lora_A.weight",
                       "base_model.model.model.layers.0.q_proj.lora_B.weight", 6, 2, i / 6, i % 6, 1);
    for (int64_t i = 0; i < 54; i++)
        m[i] = planted("model.embed_tokens.weight", i) +
               product("base_model.model.model.embed_tokens.lora_embedding_A",
                       "base_model.model.model.embed_tokens.lora_embedding_B", 9, 2, i % 6, i / 6, 1);
    for (int64_t at_once = 1; at_once < 64; at_once += 4) {
        assert_int_equal(open_on(b, &c, "tuned", (struct choice){0}), ERR_OK);
        const float *x = made_read(b, &c, want(&c, "model.layers.0.q_proj.weight"), at_once);
        for (int64_t i = 0; i < 42; i++)
            assert_true(x[i] ==
                        as_bf16((float)scaled(
                            q, i, i / 6 * 6, 1, 6,
                            planted("base_model.model.model.layers.0.q_proj.lora_magnitude_vector", i / 6))));
        x = made_read(b, &c, want(&c, "model.embed_tokens.weight"), at_once);
        for (int64_t i = 0; i < 54; i++)
            assert_true(x[i] ==
                        as_bf16((float)scaled(
                            m, i, i % 6, 6, 9,
                            planted("base_model.model.model.embed_tokens.lora_magnitude_vector", i % 6))));
        checkpoint_close(&c);
        assert_int_equal(open_on(b, &c, "tuned", (struct choice){.adapter = CHOICE_ADAPTER_EXACT}), ERR_OK);
        const struct stored_tensor *t = want(&c, "model.layers.0.q_proj.weight");
        const float *d = made_read(b, &c, decoder_change(t), at_once);
        for (int64_t i = 0; i < 42; i++) {
            double whole =
                scaled(q, i, i / 6 * 6, 1, 6,
                       planted("base_model.model.model.layers.0.q_proj.lora_magnitude_vector", i / 6));
            assert_true(fabs((double)d[i] - (whole - (double)planted("model.layers.0.q_proj.weight", i))) <
                        1e-6);
        }
        checkpoint_close(&c);
    }
}

/* The same adapter unmerged in its model gives the same tensors, under the model's own names. */
static void unmerged(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    static const char *const both[] = {"base_model.model.model.layers.0.q_proj.lora_A.default.weight F32 2x6",
                                       "base_model.model.model.layers.0.q_proj.lora_B.default.weight F32 7x2",
                                       "base_model.model.model.layers.0.q_proj.base_layer.weight BF16 7x6",
                                       "base_model.model.model.norm.original_module.weight BF16 6",
                                       "base_model.model.model.norm.modules_to_save.default.weight BF16 6",
                                       "base_model.model.model.embed_tokens.weight BF16 9x6",
                                       NULL};
    made_write(b, "tuned", "model.safetensors", both);
    for (int told = 0; told < 2; told++) {
        if (told)
            made_text(b, "tuned", "adapter_config.json", "{\"r\": 2, \"lora_alpha\": 6}");
        assert_int_equal(open_on(b, &c, "tuned", (struct choice){0}), ERR_OK);
        assert_int_equal(c.ntensors, 3);
        assert_non_null(strstr(c.note, "unmerged"));
        assert_int_equal(strstr(c.note, "No adapter_config.json") != NULL, !told);
        const float *x = made_read(b, &c, want(&c, "model.layers.0.q_proj.weight"), 8);
        for (int64_t i = 0; i < 42; i++) {
            float d = product("base_model.model.model.layers.0.q_proj.lora_A.default.weight",
                              "base_model.model.model.layers.0.q_proj.lora_B.default.weight", 6, 2, i / 6,
                              i % 6, told ? 3 : 4);
            assert_true(x[i] ==
                        as_bf16(planted("base_model.model.model.layers.0.q_proj.base_layer.weight", i) + d));
        }
        x = made_read(b, &c, want(&c, "model.norm.weight"), 8);
        assert_true(x[3] == planted("base_model.model.model.norm.modules_to_save.default.weight", 3));
        checkpoint_close(&c);
    }
}

/* ---- what is refused ---- */

#define Q "base_model.model.model.layers.0.q_proj."
#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct refused {
    const char *says;
    const char *config;
    const char *const *parts;
} refusals[] = {
    {"no lora_B", config, SET(Q "lora_A.weight F32 2x6")},
    {"no lora_A", config, SET(Q "lora_B.weight F32 7x2")},
    {"no lora_A", config, SET(Q "lora_magnitude_vector F32 7")},
    {"expected r 2", config, SET(Q "lora_A.weight F32 3x6", Q "lora_B.weight F32 7x3")},
    {"do not multiply", config, SET(Q "lora_A.weight F32 2x5", Q "lora_B.weight F32 7x2")},
    {"do not multiply", config, SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 8x2")},
    {"do not multiply", config, SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 7x3")},
    {"do not multiply", config, SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 14")},
    {"rows", config, SET(Q "lora_A.weight F32", Q "lora_B.weight F32 7x2")},
    {"do not make it", config,
     SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 7x2", Q "lora_magnitude_vector F32 6")},
    {"do not multiply", config, SET(Q "lora_A.weight I32 2x6", Q "lora_B.weight F32 7x2")},
    {"use_dora", "{\"r\": 2, \"use_dora\": true}", SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 7x2")},
    {"does not have", config,
     SET("base_model.model.model.layers.9.q_proj.lora_A.weight F32 2x6",
         "base_model.model.model.layers.9.q_proj.lora_B.weight F32 7x2")},
    {"two adapters", config, SET(Q "lora_A.default.weight F32 2x6", Q "lora_B.other.weight F32 7x2")},
    {"same part", config,
     SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 7x2", "module." Q "lora_A.weight F32 2x6")},
    {"no part of an adapter", config, SET(Q "lora_C.weight F32 2x6")},
    {"no part of an adapter", config, SET(Q "lora_A.weight.x.y F32 2x6")},
    {"one in another", config,
     SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 7x2", Q "base_layer.lora_A.weight F32 2x6",
         Q "base_layer.lora_B.weight F32 7x2")},
    {"trainable_token_indices", config,
     SET("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta F32 2x6")},
    {"expected different rows", "{\"r\": 2, \"trainable_token_indices\": [3, 3]}",
     SET("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta F32 2x6")},
    {"expected different rows", "{\"r\": 2, \"trainable_token_indices\": {\"embed_tokens\": [3, 9]}}",
     SET("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta F32 2x6")},
    {"expected 1 rows", "{\"r\": 2, \"trainable_token_indices\": [3]}",
     SET("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta F32 2x6")},
    {"target_parameters", "{\"r\": 2, \"target_parameters\": [\"layers.0.q_proj.weight\"]}",
     SET(Q "lora_A.weight F32 2x6", Q "lora_B.weight F32 7x2", Q "base_layer.lora_A.weight F32 2x6",
         Q "base_layer.lora_B.weight F32 7x2")},
    {"two tensors", config, SET("base_model.model.score.weight F32 2x6", "module.score.weight F32 2x6")},
    {"so does another", config,
     SET("base_model.model.model.norm.weight F32 6", "module.model.norm.weight F32 6")},
    {"PiSSA", "{\"init_lora_weights\": \"pissa_niter_4\"}", SET(Q "lora_A.weight F32 2x6")},
    {"OLoRA", "{\"init_lora_weights\": \"olora\"}", SET(Q "lora_A.weight F32 2x6")},
    {"CorDA", "{\"init_lora_weights\": \"corda\"}", SET(Q "lora_A.weight F32 2x6")},
    {"EVA", "{\"init_lora_weights\": \"eva\"}", SET(Q "lora_A.weight F32 2x6")},
    {"LoftQ", "{\"init_lora_weights\": \"loftq\"}", SET(Q "lora_A.weight F32 2x6")},
    {"LoRA-GA", "{\"init_lora_weights\": \"lora_ga\"}", SET(Q "lora_A.weight F32 2x6")},
    {"not known whether", "{\"init_lora_weights\": \"new\"}", SET(Q "lora_A.weight F32 2x6")},
    {"true, false or a text", "{\"init_lora_weights\": 3}", SET(Q "lora_A.weight F32 2x6")},
    {"peft_type IA3: only LORA", "{\"peft_type\": \"IA3\"}", SET(Q "ia3_l F32 6")},
    {"adds prompts", "{\"peft_type\": \"PREFIX_TUNING\"}", SET("prompt_embeddings F32 6")},
    {"expected a text", "{\"peft_type\": 3}", SET(Q "lora_A.weight F32 2x6")},
    {"layer_replication", "{\"layer_replication\": [[0, 2], [1, 3]]}", SET(Q "lora_A.weight F32 2x6")},
    {"QALoRA", "{\"use_qalora\": true}", SET(Q "lora_A.weight F32 2x6")},
    {"invocation", "{\"alora_invocation_tokens\": [1]}", SET(Q "lora_A.weight F32 2x6")},
    {"expected a rank", "{\"r\": 0}", SET(Q "lora_A.weight F32 2x6")},
    {"expected a rank", "{\"r\": 2.5}", SET(Q "lora_A.weight F32 2x6")},
    {"expected a rank", "{\"r\": 99999999999}", SET(Q "lora_A.weight F32 2x6")},
    {"expected a rank", "{\"r\": \"2\"}", SET(Q "lora_A.weight F32 2x6")},
    {"lora_alpha is 0", "{\"lora_alpha\": 0}", SET(Q "lora_A.weight F32 2x6")},
    {"expected a number", "{\"lora_alpha\": null}", SET(Q "lora_A.weight F32 2x6")},
    {"ordinary size", "{\"lora_alpha\": 1e300}", SET(Q "lora_A.weight F32 2x6")},
    {"adapter_config.json", "{\"lora_alpha\": NaN}", SET(Q "lora_A.weight F32 2x6")},
    {"a map of patterns", "{\"rank_pattern\": []}", SET(Q "lora_A.weight F32 2x6")},
    {"expected a rank", "{\"rank_pattern\": {\"q\": -1}}", SET(Q "lora_A.weight F32 2x6")},
    {"the pattern", "{\"alpha_pattern\": {\"(?=q)\": 1}}", SET(Q "lora_A.weight F32 2x6")},
    {"true or false", "{\"use_rslora\": 1}", SET(Q "lora_A.weight F32 2x6")},
    {"rows from 0 on", "{\"trainable_token_indices\": [-1]}", SET(Q "lora_A.weight F32 2x6")},
    {"a list of rows", "{\"trainable_token_indices\": {\"a\": 3}}", SET(Q "lora_A.weight F32 2x6")},
    {"a list of names", "{\"target_parameters\": \"x\"}", SET(Q "lora_A.weight F32 2x6")},
    {"a JSON map", "[]", SET(Q "lora_A.weight F32 2x6")},
    {"adapter_config.json", "{", SET(Q "lora_A.weight F32 2x6")},
};

static void malformed(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    make_base(b);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        made_text(b, "tuned", "adapter_config.json", refusals[i].config);
        made_write(b, "tuned", "adapter_model.safetensors", refusals[i].parts);
        for (int k = 0; k < 2; k++) {
            struct choice choice = {.adapter = k ? CHOICE_ADAPTER_EXACT : CHOICE_ADAPTER_MERGED};
            err_t code = open_on(b, &c, "tuned", choice);
            if (code != ERR_DATA || !strstr(b->err.text, refusals[i].says))
                fail_msg("row %d: code %d, expected %s: %s", (int)i, (int)code, refusals[i].says,
                         b->err.text);
            err_clear(&b->err);
            checkpoint_close(&c);
        }
    }
}

/* Without its base, without weights, without a config, alone as a file, in a folder below. */
static void places(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    char path[300];
    make_base(b);
    made_text(b, "tuned", "adapter_config.json", config);
    assert_int_equal(open_on(b, &c, "tuned", (struct choice){0}), ERR_DATA);
    assert_non_null(strstr(b->err.text, "no weights"));
    err_clear(&b->err);
    made_write(b, "tuned", "adapter_model.safetensors", linear);
    snprintf(path, sizeof path, "%s/tuned", b->folder);
    assert_int_equal(checkpoint_open(&c, path, NULL, &b->arena, &b->err), ERR_DATA);
    assert_non_null(strstr(b->err.text, "on its base alone"));
    err_clear(&b->err);
    assert_int_equal(open_on(b, &c, "tuned/adapter_model.safetensors", (struct choice){0}), ERR_OK);
    check_linear(b, &c, "model.layers.0.q_proj", 7, 6, 3, as_bf16, 0);
    checkpoint_close(&c);
    made_text(b, "outer", "notes.txt", "");
    made_text(b, "outer/mine", "adapter_config.json", config);
    made_write(b, "outer/mine", "adapter_model.safetensors", linear);
    assert_int_equal(open_on(b, &c, "outer", (struct choice){0}), ERR_OK);
    check_linear(b, &c, "model.layers.0.q_proj", 7, 6, 3, as_bf16, 0);
    checkpoint_close(&c);
    snprintf(path, sizeof path, "%s/tuned/adapter_config.json", b->folder);
    assert_int_equal(remove(path), 0);
    assert_int_equal(open_on(b, &c, "tuned/adapter_model.safetensors", (struct choice){0}), ERR_DATA);
    assert_non_null(strstr(b->err.text, "r and alpha are not known"));
    err_clear(&b->err);
    /* a base beside an adapter is the base, and that is said */
    made_text(b, "base", "adapter_config.json", config);
    assert_int_equal(open_on(b, &c, "base", (struct choice){0}), ERR_OK);
    assert_non_null(strstr(c.note, "beside the weights"));
    checkpoint_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(merged, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(exact, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(others, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(magnitudes, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(unmerged, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(malformed, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(places, bench_setup_folder, bench_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
