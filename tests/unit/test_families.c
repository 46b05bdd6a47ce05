/* Families: true parameter counts as published, names and shapes, and what shrinking keeps. */
#include "kernels/simulate/families.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Parameters of the published checkpoints; of deepseek-v3 (without its MTP layer; published as 671 B) and
 * mixtral-8x7b (46.7 B) only the rounded figure is, and the last digits, like all numbers of tensors, are
 * this list's own. */
static void true_size(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters, tensors;
    } published[] = {
        {"tulu-3-8b", 8030326784, 291},        {"tulu-3-70b", 70553837568, 723},
        {"deepseek-math-7b", 6910365696, 273}, {"deepseek-v3", 671026419200, 45395},
        {"mistral-7b", 7241732096, 291},       {"eurus-7b", 7241732096, 291},
        {"math-shepherd-7b", 7241732096, 291}, {"llama-3-8b", 8030261248, 291},
        {"eurus-2-7b", 7615616512, 339},       {"qwen2.5-1.5b", 1543714304, 338},
        {"llama-3.2-1b", 1235814400, 146},     {"mixtral-8x7b", 46702792704, 995},
    };
    int n;
    family_list(&n);
    assert_int_equal(n, sizeof published / sizeof *published);
    for (int i = 0; i < n; i++) {
        const struct family *f = family_find(published[i].name);
        assert_non_null(f);
        struct family whole;
        family_shrink(f, 1, 0, &whole);
        int64_t tensors;
        assert_true(family_parameters(&whole, &tensors) == published[i].parameters);
        assert_true(tensors == published[i].tensors);
    }
    assert_null(family_find("tulu-3-9b"));
}

/* Looks for one tensor of a family, and counts how often it comes. */
struct wanted {
    const char *name;
    int found;
    struct family_tensor tensor;
};

static int look(void *arg, const struct family_tensor *t)
{
    struct wanted *w = arg;
    if (strcmp(w->name, t->name) == 0) {
        w->tensor = *t;
        w->found++;
    }
    return 0;
}

static void expect(const struct family *f, const char *name, int64_t rows, int64_t cols)
{
    struct wanted w = {.name = name};
    family_tensors(f, look, &w);
    if (w.found != (rows > 0))
        fail_msg("%s: %s found %d times", f->name, name, w.found);
    if (rows == 0)
        return;
    assert_int_equal(w.tensor.ndim, cols ? 2 : 1);
    assert_int_equal(w.tensor.dims[0], rows);
    assert_int_equal(w.tensor.dims[1], cols);
}

static void names_and_shapes(void **state)
{
    (void)state;
    const struct family *f = family_find("tulu-3-8b");
    expect(f, "model.embed_tokens.weight", 128264, 4096);
    expect(f, "model.layers.31.self_attn.k_proj.weight", 1024, 4096);
    expect(f, "model.layers.0.mlp.down_proj.weight", 4096, 14336);
    expect(f, "model.layers.0.self_attn.q_proj.bias", 0, 0);
    expect(f, "model.layers.32.input_layernorm.weight", 0, 0);
    expect(f, "model.norm.weight", 4096, 0);
    expect(f, "lm_head.weight", 128264, 4096);

    f = family_find("qwen2.5-1.5b");
    expect(f, "lm_head.weight", 0, 0);
    expect(f, "model.layers.27.self_attn.k_proj.bias", 256, 0);
    expect(f, "model.layers.27.self_attn.o_proj.bias", 0, 0);
    expect(family_find("llama-3.2-1b"), "model.layers.0.self_attn.v_proj.weight", 512, 2048);

    struct family plain;
    family_shrink(family_find("deepseek-v3"), 1, 0, &plain);
    f = &plain;
    expect(f, "model.layers.2.mlp.gate_proj.weight", 18432, 7168);
    expect(f, "model.layers.2.mlp.gate.weight", 0, 0);
    expect(f, "model.layers.3.mlp.gate.weight", 256, 7168);
    expect(f, "model.layers.3.mlp.gate.e_score_correction_bias", 256, 0);
    expect(f, "model.layers.60.mlp.experts.255.down_proj.weight", 7168, 2048);
    expect(f, "model.layers.60.mlp.shared_experts.up_proj.weight", 2048, 7168);
    expect(f, "model.layers.61.input_layernorm.weight", 0, 0);
    expect(f, "model.layers.0.self_attn.q_a_proj.weight", 1536, 7168);
    expect(f, "model.layers.0.self_attn.q_b_proj.weight", 24576, 1536);
    expect(f, "model.layers.0.self_attn.kv_a_proj_with_mqa.weight", 576, 7168);
    expect(f, "model.layers.0.self_attn.kv_b_proj.weight", 32768, 512);
    expect(f, "model.layers.0.self_attn.kv_a_layernorm.weight", 512, 0);
    expect(f, "model.layers.0.self_attn.o_proj.weight", 7168, 16384);
    expect(family_find("mixtral-8x7b"), "model.layers.31.block_sparse_moe.experts.7.w2.weight", 4096, 14336);
}

/* DeepSeek-V3's index of 163 files has 91991 entries: block scales, and the layer behind the last one. */
static void as_published(void **state)
{
    (void)state;
    const struct family *full = family_find("deepseek-v3");
    struct family f;
    int64_t tensors;
    family_shrink(full, 1, 0, &f);
    int64_t without = family_parameters(&f, NULL);
    family_publish(full, &f);
    assert_int_equal(family_parameters(&f, &tensors), 684489845504); /* of the model card: 671e9 and 14e9 */
    assert_int_equal(without, 671026419200);
    assert_int_equal(tensors, 91991);
    expect(&f, "model.layers.61.mlp.experts.255.down_proj.weight", 7168, 2048);
    expect(&f, "model.layers.61.eh_proj.weight", 7168, 14336);
    expect(&f, "model.layers.61.eh_proj.weight_scale_inv", 0, 0);
    expect(&f, "model.layers.61.shared_head.head.weight", 129280, 7168);
    expect(&f, "model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv", 5, 56); /* of 576 x 7168 */
    expect(&f, "model.layers.60.mlp.experts.255.down_proj.weight_scale_inv", 56, 16);
    expect(&f, "model.layers.3.mlp.gate.weight_scale_inv", 0, 0);
    expect(&f, "model.embed_tokens.weight_scale_inv", 0, 0);
    assert_true(family_is_fp8(&f, FAMILY_MLP) && !family_is_fp8(&f, FAMILY_ROUTER));
    family_publish(family_find("tulu-3-8b"), &f); /* published as it is */
    assert_false(family_is_fp8(&f, FAMILY_MLP));
    assert_int_equal(f.mtp_layers, 0);
}

static void known_small_sizes(void **state)
{
    (void)state;
    struct family f;
    family_shrink(family_find("tulu-3-8b"), 1.0 / 64, 2, &f);
    assert_int_equal(f.hidden, 64);
    assert_int_equal(f.intermediate, 224);
    assert_int_equal(f.vocabulary, 2008); /* 2004.1 to the nearest multiple of 8 */
    assert_int_equal(f.layers, 2);
    assert_int_equal(f.heads, 4);
    assert_int_equal(f.kv_heads, 1);
    assert_int_equal(f.head_dim, 16);
    family_shrink(family_find("tulu-3-8b"), 0.25, 0, &f);
    assert_int_equal(f.heads, 16);
    assert_int_equal(f.kv_heads, 4);
    assert_int_equal(f.head_dim, 64);
    assert_int_equal(f.layers, 32);
}

static int check_tensor(void *arg, const struct family_tensor *t)
{
    const char **last = arg;
    assert_true(strlen(t->name) < FAMILY_NAME_MAX - 1);
    assert_true(t->dims[0] > 0 && (t->ndim == 1 || t->dims[1] > 0));
    *last = t->name;
    return 0;
}

static void shrinking_keeps_structure(void **state)
{
    (void)state;
    static const double scales[] = {1, 0.75, 0.5, 0.25, 0.1, 0.03, 1.0 / 64, 1.0 / 512, 1e-6};
    int n;
    const struct family *list = family_list(&n);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof scales / sizeof *scales; k++)
            for (int64_t layers = 0; layers < 5; layers++) {
                struct family f;
                family_shrink(&list[i], scales[k], layers, &f);
                assert_int_equal(f.heads * list[i].kv_heads, f.kv_heads * list[i].heads);
                assert_true(f.kv_heads >= 1 && f.kv_heads <= list[i].kv_heads);
                assert_int_equal(f.hidden % 8 + f.intermediate % 8 + f.vocabulary % 8 + f.head_dim % 8, 0);
                assert_true(f.hidden >= 8 && f.hidden <= list[i].hidden && f.vocabulary >= 8);
                assert_int_equal(f.layers, layers == 0                              ? list[i].layers
                                           : layers < 2 && list[i].dense_layers > 0 ? 2
                                                                                    : layers);
                if (f.experts)
                    assert_true(f.experts >= 4 && f.experts_per_token >= 1 &&
                                f.experts_per_token <= f.experts / 2);
                if (list[i].dense_layers > 0)
                    assert_true(f.dense_layers >= 1 && f.dense_layers < f.layers);
                const char *last = NULL;
                if (scales[k] < 1)
                    assert_int_equal(family_tensors(&f, check_tensor, &last), 0);
            }
}

static int stop_at_third(void *arg, const struct family_tensor *t)
{
    (void)t;
    int *calls = arg;
    return ++*calls == 3 ? 42 : 0;
}

static void stops_when_told(void **state)
{
    (void)state;
    int calls = 0;
    assert_int_equal(family_tensors(family_find("deepseek-v3"), stop_at_third, &calls), 42);
    assert_int_equal(calls, 3);
}

static void config_json(void **state)
{
    (void)state;
    char text[2000], cut[10];
    struct family f;
    family_shrink(family_find("qwen2.5-1.5b"), 1, 3, &f);
    int n = family_config(&f, "bfloat16", text, sizeof text);
    assert_int_equal(n, strlen(text));
    assert_non_null(strstr(text, "\"Qwen2ForCausalLM\""));
    assert_non_null(strstr(text, "\"num_hidden_layers\": 3,\n"));
    assert_non_null(strstr(text, "\"rope_theta\": 1000000.0,\n"));
    assert_non_null(strstr(text, "\"tie_word_embeddings\": true,\n"));
    assert_non_null(strstr(text, "\"torch_dtype\": \"bfloat16\"\n}\n"));
    assert_int_equal(family_config(&f, "bfloat16", cut, sizeof cut), n);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    n = family_config(family_find("deepseek-v3"), "bfloat16", text, sizeof text);
    assert_true(n < (int)sizeof text);
    assert_non_null(strstr(text, "\"first_k_dense_replace\": 3,\n"));
    assert_non_null(strstr(text, "\"weight_block_size\": [128, 128]},\n"));
    family_shrink(family_find("deepseek-v3"), 1, 0, &f);
    family_config(&f, "bfloat16", text, sizeof text);
    assert_non_null(strstr(text, "\"num_nextn_predict_layers\": 0,\n"));
    assert_null(strstr(text, "quantization_config"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(true_size),
        cmocka_unit_test(names_and_shapes),
        cmocka_unit_test(known_small_sizes),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(config_json),
        cmocka_unit_test(as_published),
        cmocka_unit_test(shrinking_keeps_structure),
    };
    return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
