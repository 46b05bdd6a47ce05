/* Presets of names: a base in Hugging Face's names and the same numbers as torchtitan keeps them must match
 * tensor by tensor, element by element. */
#include "unitlib.h"

#include "compare/match.h"
#include "compare/names/rename.h"
#include "compare/names/preset.h"

#include <stdio.h>
#include <sys/stat.h>

enum { MOST = 20, ELEMENTS = 400 };

struct made {
    const char *name;
    int ndim;
    int64_t dims[3];
    float v[ELEMENTS];
};

struct fixture {
    struct bench bench;
    char base[200], tuned[200];
    int nbase, ntuned;
    struct made theirs[MOST], ours[MOST];
    struct checkpoint b, t;
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    snprintf(f->base, sizeof f->base, "%s/base", f->bench.folder);
    snprintf(f->tuned, sizeof f->tuned, "%s/tuned", f->bench.folder);
    return mkdir(f->base, 0700) || mkdir(f->tuned, 0700);
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static int64_t count(const struct made *m)
{
    int64_t n = 1;
    for (int i = 0; i < m->ndim; i++)
        n *= m->dims[i];
    return n;
}

static void write_file(const char *folder, const struct made *v, int n)
{
    char path[300], header[8000];
    int used = snprintf(header, sizeof header, "{");
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        used += snprintf(header + used, sizeof header - (size_t)used,
                         "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", i ? "," : "", v[i].name);
        for (int k = 0; k < v[i].ndim; k++)
            used += snprintf(header + used, sizeof header - (size_t)used, "%s%d", k ? "," : "",
                             (int)v[i].dims[k]);
        used += snprintf(header + used, sizeof header - (size_t)used, "],\"data_offsets\":[%d,%d]}", (int)at,
                         (int)(at + 4 * count(&v[i])));
        at += 4 * count(&v[i]);
    }
    used += snprintf(header + used, sizeof header - (size_t)used, "}");
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    uint64_t length = (uint64_t)used;
    assert_int_equal(fwrite(&length, 1, 8, f), 8);
    assert_int_equal(fwrite(header, 1, (size_t)used, f), used);
    for (int i = 0; i < n; i++)
        assert_int_equal(fwrite(v[i].v, 4, (size_t)count(&v[i]), f), count(&v[i]));
    assert_int_equal(fclose(f), 0);
}

static void write_config(const struct fixture *f, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/config.json", f->base);
    unlink(path);
    if (!text)
        return;
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* A tensor in both, by both names. heads > 0: its rows stand in pairs in ours, [head][pair][half], and in
 * halves in theirs. */
static void both(struct fixture *f, const char *theirs, const char *ours, int ndim, int64_t rows,
                 int64_t cols, int64_t heads)
{
    struct made *x = &f->theirs[f->nbase++], *y = &f->ours[f->ntuned++];
    *x = (struct made){.name = theirs, .ndim = ndim, .dims = {rows, cols}};
    *y = (struct made){.name = ours, .ndim = ndim, .dims = {rows, cols}};
    int64_t n = count(x), width = n / rows;
    assert_true(n <= ELEMENTS);
    for (int64_t i = 0; i < n; i++)
        x->v[i] = y->v[i] = (float)(1000 * f->nbase) + (float)i;
    int64_t half = heads > 0 ? rows / heads / 2 : 0;
    for (int64_t h = 0; h < heads; h++)
        for (int64_t k = 0; k < half; k++)
            for (int64_t s = 0; s < 2; s++)
                memcpy(y->v + ((h * half + k) * 2 + s) * width, x->v + ((h * 2 + s) * half + k) * width,
                       (size_t)width * sizeof(float));
}

static const char LLAMA[] = "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"num_attention_heads\":4,"
                            "\"num_key_value_heads\":2}";

static void make_llama(struct fixture *f, int fused, int64_t heads)
{
    f->nbase = f->ntuned = 0;
    both(f, "model.embed_tokens.weight", "tok_embeddings.weight", 2, 7, 5, 0);
    both(f, "model.norm.weight", "norm.weight", 1, 5, 0, 0);
    both(f, "lm_head.weight", fused ? "lm_head.weight" : "output.weight", 2, 7, 5, 0);
    both(f, "model.layers.0.self_attn.q_proj.weight",
         fused ? "layers.0.attention.qkv_linear.wq.weight" : "layers.0.attention.wq.weight", 2, 24, 5, heads);
    both(f, "model.layers.0.self_attn.k_proj.weight",
         fused ? "layers.0.attention.qkv_linear.wk.weight" : "layers.0.attention.wk.weight", 2, 12, 5,
         heads / 2);
    both(f, "model.layers.0.self_attn.q_proj.bias",
         fused ? "layers.0.attention.qkv_linear.wq.bias" : "layers.0.attention.wq.bias", 1, 24, 0, heads);
    both(f, "model.layers.0.self_attn.v_proj.weight",
         fused ? "layers.0.attention.qkv_linear.wv.weight" : "layers.0.attention.wv.weight", 2, 12, 5, 0);
    both(f, "model.layers.0.self_attn.o_proj.weight", "layers.0.attention.wo.weight", 2, 5, 24, 0);
    both(f, "model.layers.0.mlp.gate_proj.weight", "layers.0.feed_forward.w1.weight", 2, 6, 5, 0);
    both(f, "model.layers.0.mlp.down_proj.weight", "layers.0.feed_forward.w2.weight", 2, 5, 6, 0);
    both(f, "model.layers.0.mlp.up_proj.weight", "layers.0.feed_forward.w3.weight", 2, 6, 5, 0);
    both(f, "model.layers.0.input_layernorm.weight", "layers.0.attention_norm.weight", 1, 5, 0, 0);
    both(f, "model.layers.0.post_attention_layernorm.weight", "layers.0.ffn_norm.weight", 1, 5, 0, 0);
}

static err_t match_by(struct fixture *f, struct match *m, const char *rename)
{
    struct bench *b = &f->bench;
    struct match_policy policy = {.rename = {rename ? 1 : 0, &rename}};
    write_file(f->base, f->theirs, f->nbase);
    write_file(f->tuned, f->ours, f->ntuned);
    err_clear(&b->err);
    TRY(checkpoint_open(&f->b, f->base, NULL, &b->arena, &b->err));
    TRY(checkpoint_open(&f->t, f->tuned, NULL, &b->arena, &b->err));
    return match_build(m, &f->b, &f->t, &policy, "cell", "delta", NULL, &b->arena, &b->err);
}

static void check_equal(struct fixture *f, const struct match *m, int64_t n)
{
    struct bench *b = &f->bench;
    assert_int_equal(m->main.layout.ntensors, n);
    for (int64_t i = 0; i < n; i++) {
        const struct stored_tensor *x = m->main.base[i], *y = m->main.tuned[i];
        float v[ELEMENTS] = {0}, w[ELEMENTS] = {0};
        char *room;
        int64_t bytes = decoder_scratch_bytes(y, ELEMENTS);
        assert_int_equal(arena_array(&b->arena, "scratch", bytes + 1, &room, &b->err), ERR_OK);
        struct decoder_scratch scratch = {.v = room, .bytes = bytes, .most = ELEMENTS};
        assert_int_equal(checkpoint_read(&f->b, x, 0, x->elements, v, &b->err), ERR_OK);
        for (int64_t from = 0; from < y->elements; from += 7) /* parts, across rows */
            if (checkpoint_numbers(&f->t, y, from, min64(7, y->elements - from), &scratch, w + from,
                                   &b->err) != ERR_OK)
                fail_msg("%s", b->err.text);
        if (memcmp(v, w, (size_t)x->elements * sizeof *v) != 0)
            fail_msg("%s: other numbers", x->name);
    }
    checkpoint_close(&f->b);
    checkpoint_close(&f->t);
}

static void test_llama(void **state)
{
    struct fixture *f = *state;
    struct match m;
    write_config(f, LLAMA);
    for (int fused = 0; fused < 2; fused++)
        for (int asked = 0; asked < 2; asked++) {
            make_llama(f, fused, 4);
            if (match_by(f, &m, asked ? "torchtitan" : NULL) != ERR_OK)
                fail_msg("%s", f->bench.err.text);
            assert_true(asked ? !m.naming : m.naming && strstr(m.naming, "torchtitan") != NULL);
            check_equal(f, &m, 13);
        }
}

/* The published order, too: rows are left where they are. */
static void test_qwen(void **state)
{
    struct fixture *f = *state;
    struct match m;
    write_config(f, "{\"model_type\":\"qwen3\",\"num_attention_heads\":4,\"num_key_value_heads\":2}");
    make_llama(f, 1, 0);
    both(f, "model.layers.0.self_attn.q_norm.weight", "layers.0.attention.q_norm.weight", 1, 6, 0, 0);
    if (match_by(f, &m, NULL) != ERR_OK)
        fail_msg("%s", f->bench.err.text);
    check_equal(f, &m, 14);
}

/* One tensor of three experts is three tensors. */
static void test_experts(void **state)
{
    static const char *const ours[] = {"layers.1.moe.experts.w1",
                                       "layers.1.moe.routed_experts.inner_experts.w1_EFD"};
    struct fixture *f = *state;
    struct match m;
    write_config(f, "{\"model_type\":\"qwen3_moe\"}");
    for (int k = 0; k < 2; k++) {
        static char names[3][80];
        make_llama(f, 1, 0);
        both(f, "model.layers.1.mlp.gate.weight", "layers.1.moe.router.gate.weight", 2, 3, 5, 0);
        struct made *y = &f->ours[f->ntuned++];
        *y = (struct made){.name = ours[k], .ndim = 3, .dims = {3, 4, 5}};
        for (int i = 0; i < 3; i++) {
            struct made *x = &f->theirs[f->nbase++];
            snprintf(names[i], sizeof names[i], "model.layers.1.mlp.experts.%d.gate_proj.weight", i);
            *x = (struct made){.name = names[i], .ndim = 2, .dims = {4, 5}};
            for (int j = 0; j < 20; j++)
                x->v[j] = y->v[20 * i + j] = (float)(7000 + 100 * i + j);
        }
        if (match_by(f, &m, NULL) != ERR_OK)
            fail_msg("%s", f->bench.err.text);
        check_equal(f, &m, 17);
    }
}

static const struct {
    const char *what, *config, *rename;
    int ours; /* the tuned names are torchtitan's */
    err_t verdict;
    const char *says;
} rows[] = {
    {"no config", NULL, NULL, 1, ERR_DATA, "expected model_type llama, mistral, qwen3"},
    {"another model", "{\"model_type\":\"bert\"}", NULL, 1, ERR_DATA, "found bert"},
    {"no heads", "{\"model_type\":\"llama\"}", NULL, 1, ERR_DATA, "num_attention_heads"},
    {"heads that do not fit", "{\"model_type\":\"llama\",\"num_attention_heads\":5}", NULL, 1, ERR_DATA,
     "rows, found 5"},
    {"negative heads", "{\"model_type\":\"llama\",\"num_attention_heads\":-4}", NULL, 1, ERR_DATA, "found 0"},
    {"heads of text", "{\"model_type\":\"llama\",\"num_attention_heads\":\"4\"}", NULL, 1, ERR_DATA,
     "found 0"},
    {"a type that is no text", "{\"model_type\":[1]}", NULL, 1, ERR_DATA, "found nothing"},
    {"nothing to rename", LLAMA, "torchtitan", 0, ERR_CONFIG,
     "\"torchtitan\" matches none of the 13 tensors"},
    {"the base's own names", LLAMA, NULL, 0, ERR_OK, ""},
};

static void test_rows(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct match m;
        write_config(f, rows[i].config);
        make_llama(f, 1, 4);
        if (!rows[i].ours)
            memcpy(f->ours, f->theirs, sizeof f->ours);
        err_t code = match_by(f, &m, rows[i].rename);
        if (code != rows[i].verdict || !strstr(f->bench.err.text, rows[i].says))
            fail_msg("%s: verdict %d, expected \"%s\" in: %s", rows[i].what, (int)code, rows[i].says,
                     f->bench.err.text);
        checkpoint_close(&f->b);
        checkpoint_close(&f->t);
        arena_reset(&f->bench.arena);
    }
}

static void test_words(void **state)
{
    (void)state;
    char problem[300] = "";
    assert_int_equal(rename_check("torchtitan", problem, sizeof problem), 0);
    assert_int_equal(rename_check("torchtian", problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "did you mean \"torchtitan\"?"));
    assert_int_equal(rename_check("something", problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "PATTERN -> REPLACEMENT"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_llama), TEST(test_qwen), TEST(test_experts), TEST(test_rows),
                                       TEST(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
