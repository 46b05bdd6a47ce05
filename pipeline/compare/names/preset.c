#include "compare/names/preset.h"

#include "base/text.h"
#include "formats/decoders/view.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *const preset_words[] = {"torchtitan", NULL};

int preset_is(const char *word)
{
    for (int i = 0; preset_words[i]; i++)
        if (strcmp(word, preset_words[i]) == 0)
            return 1;
    return 0;
}

/* ---- names ---- */

enum order { AS_IT_IS, QUERIES, KEYS, EXPERTS };

/* What stands between "layers.N." and ".weight" or ".bias"; of experts and others without such an end, up to
 * the end of the name. */
static const struct {
    const char *ours, *theirs;
    enum order order;
    const char *of; /* how the base's model_type begins where the name is its alone; NULL: any */
} layer_names[] = {
    {"attention.qkv_linear.wq", "self_attn.q_proj", QUERIES, NULL},
    {"attention.qkv_linear.wk", "self_attn.k_proj", KEYS, NULL},
    {"attention.qkv_linear.wv", "self_attn.v_proj", AS_IT_IS, NULL},
    {"attention.wq", "self_attn.q_proj", QUERIES, NULL},
    {"attention.wk", "self_attn.k_proj", KEYS, NULL},
    {"attention.wv", "self_attn.v_proj", AS_IT_IS, NULL},
    {"attention.wo", "self_attn.o_proj", AS_IT_IS, NULL},
    {"attention.q_norm", "self_attn.q_a_layernorm", AS_IT_IS, "deepseek"},
    {"attention.q_norm", "self_attn.q_norm", AS_IT_IS, NULL},
    {"attention.k_norm", "self_attn.k_norm", AS_IT_IS, NULL},
    {"attention.wq_a", "self_attn.q_a_proj", AS_IT_IS, NULL},
    {"attention.wq_b", "self_attn.q_b_proj", AS_IT_IS, NULL},
    {"attention.wkv_a", "self_attn.kv_a_proj_with_mqa", AS_IT_IS, NULL},
    {"attention.kv_norm", "self_attn.kv_a_layernorm", AS_IT_IS, NULL},
    {"attention.wkv_b", "self_attn.kv_b_proj", AS_IT_IS, NULL},
    {"feed_forward.w1", "mlp.gate_proj", AS_IT_IS, NULL},
    {"feed_forward.w2", "mlp.down_proj", AS_IT_IS, NULL},
    {"feed_forward.w3", "mlp.up_proj", AS_IT_IS, NULL},
    {"attention_norm", "input_layernorm", AS_IT_IS, NULL},
    {"ffn_norm", "post_attention_layernorm", AS_IT_IS, NULL},
    {"moe.router.gate", "mlp.gate", AS_IT_IS, NULL},
    {"moe.shared_experts.w1", "mlp.shared_experts.gate_proj", AS_IT_IS, NULL},
    {"moe.shared_experts.w2", "mlp.shared_experts.down_proj", AS_IT_IS, NULL},
    {"moe.shared_experts.w3", "mlp.shared_experts.up_proj", AS_IT_IS, NULL},
    {"moe.expert_bias", "mlp.gate.e_score_correction_bias", AS_IT_IS, NULL},
    {"moe.expert_bias_E", "mlp.gate.e_score_correction_bias", AS_IT_IS, NULL},
    {"moe.experts.w1", "gate_proj", EXPERTS, NULL},
    {"moe.experts.w2", "down_proj", EXPERTS, NULL},
    {"moe.experts.w3", "up_proj", EXPERTS, NULL},
    {"moe.routed_experts.inner_experts.w1_EFD", "gate_proj", EXPERTS, NULL},
    {"moe.routed_experts.inner_experts.w2_EDF", "down_proj", EXPERTS, NULL},
    {"moe.routed_experts.inner_experts.w3_EFD", "up_proj", EXPERTS, NULL},
};

static const struct {
    const char *ours, *theirs;
} top_names[] = {
    {"tok_embeddings.weight", "model.embed_tokens.weight"},
    {"norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

/* A layer's name cut up; number_bytes 0: it is none. */
struct layer_name {
    const char *number, *stem, *end; /* end: ".weight", ".bias" or "" */
    int number_bytes, stem_bytes;
};

static struct layer_name cut_name(const char *name)
{
    static const char layers[] = "layers.";
    static const char *const ends[] = {".weight", ".bias"};
    struct layer_name c = {.number = name + sizeof layers - 1, .end = ""};
    if (strncmp(name, layers, sizeof layers - 1) != 0)
        return c;
    int digits = 0;
    while (isdigit((unsigned char)c.number[digits]))
        digits++;
    if (digits == 0 || digits > 9 || c.number[digits] != '.')
        return c;
    c.number_bytes = digits;
    c.stem = c.number + digits + 1;
    c.stem_bytes = (int)strlen(c.stem);
    for (int i = 0; i < 2; i++)
        if (text_ends_with(c.stem, ends[i])) {
            c.end = ends[i];
            c.stem_bytes -= (int)strlen(ends[i]);
        }
    return c;
}

/* ---- shapes ---- */

struct preset {
    const struct checkpoint *base, *tuned;
    struct named_tensor *v;
    int64_t n, cap, found;
    int paired; /* rows of queries and keys stand in pairs */
    struct arena *arena;
};

/* A new tensor, of t's numbers in another order or a part of them. */
static err_t derive(struct preset *p, const struct stored_tensor *t, int ndim, const int64_t *dims,
                    const struct view_shape *view, const struct stored_tensor **out, struct err *e)
{
    struct stored_tensor *d;
    TRY(arena_array(p->arena, "match.derived", 1, &d, e));
    *d = (struct stored_tensor){.name = t->name,
                                .module = t->module,
                                .layer = t->layer,
                                .ndim = ndim,
                                .elements = 1,
                                .file = t->file};
    for (int i = 0; i < ndim; i++) {
        d->dims[i] = dims[i];
        d->elements *= dims[i]; /* at most t's */
    }
    *out = d;
    return view_make(d, t, view, p->arena, e);
}

/* Rows [head][pair][half] as rows [head][half][pair]. */
static err_t unpair(struct preset *p, enum order order, const struct stored_tensor *t,
                    const struct stored_tensor **out, struct err *e)
{
    const struct model_config *config = &p->base->config;
    int64_t heads = order == KEYS && config->kv_heads > 0 ? config->kv_heads : config->heads;
    if (heads <= 0 || t->ndim < 1 || t->ndim > 2 || t->dims[0] % (2 * heads) != 0 || t->dims[0] == 0)
        return err_set(
            e, ERR_DATA,
            "tensor %s of the tuned checkpoint %s: its rows stand in another order than the base's, by "
            "heads: expected num_attention_heads and num_key_value_heads of %s to fit %lld rows, found %lld",
            t->name, p->tuned->path, config->path ? config->path : "a config.json beside the base",
            (long long)(t->ndim > 0 ? t->dims[0] : 0), (long long)heads);
    int64_t half = t->dims[0] / heads / 2, cols = t->ndim > 1 ? t->dims[1] : 1;
    const struct view_shape view = {
        .ndim = t->ndim + 2, .dims = {heads, 2, half, cols}, .strides = {2 * half * cols, cols, 2 * cols, 1}};
    return derive(p, t, t->ndim, t->dims, &view, out, e);
}

static err_t put(struct preset *p, const char *name, const struct stored_tensor *t, struct err *e)
{
    if (!name)
        return e->code;
    TRY(arena_grow(p->arena, "match.names", p->n + 1, &p->cap, &p->v, e));
    p->v[p->n++] = (struct named_tensor){name, t};
    return ERR_OK;
}

/* [experts, rows, cols] as so many tensors of their own. */
static err_t put_experts(struct preset *p, const struct layer_name *c, const char *theirs,
                         const struct stored_tensor *t, struct err *e)
{
    for (int64_t i = 0; i < t->dims[0]; i++) {
        const struct stored_tensor *one = NULL;
        const struct view_shape view = {.ndim = 2,
                                        .offset = i * t->dims[1] * t->dims[2],
                                        .dims = {t->dims[1], t->dims[2]},
                                        .strides = {t->dims[2], 1}};
        TRY(derive(p, t, 2, &t->dims[1], &view, &one, e));
        TRY(put(p,
                arena_printf(p->arena, e, "model.layers.%.*s.mlp.experts.%lld.%s.weight", c->number_bytes,
                             c->number, (long long)i, theirs),
                one, e));
    }
    return ERR_OK;
}

static err_t put_layer(struct preset *p, const struct named_tensor *x, const struct layer_name *c,
                       struct err *e)
{
    const char *type = p->base->config.type ? p->base->config.type : "";
    const struct stored_tensor *t = x->tensor;
    for (size_t i = 0; i < sizeof layer_names / sizeof *layer_names; i++) {
        const char *ours = layer_names[i].ours, *theirs = layer_names[i].theirs, *of = layer_names[i].of;
        enum order order = layer_names[i].order;
        if ((int)strlen(ours) != c->stem_bytes || memcmp(ours, c->stem, (size_t)c->stem_bytes) != 0 ||
            (of && strncmp(type, of, strlen(of)) != 0) || (order == EXPERTS && t->ndim != 3))
            continue;
        p->found++;
        if (order == EXPERTS)
            return put_experts(p, c, theirs, t, e);
        if (order != AS_IT_IS && p->paired)
            TRY(unpair(p, order, x->tensor, &t, e));
        return put(
            p,
            arena_printf(p->arena, e, "model.layers.%.*s.%s%s", c->number_bytes, c->number, theirs, c->end),
            t, e);
    }
    return put(p, x->name, t, e);
}

static err_t put_one(struct preset *p, const struct named_tensor *x, struct err *e)
{
    const struct layer_name c = cut_name(x->name);
    if (c.number_bytes > 0)
        return put_layer(p, x, &c, e);
    for (size_t i = 0; i < sizeof top_names / sizeof *top_names; i++)
        if (strcmp(x->name, top_names[i].ours) == 0) {
            p->found++;
            return put(p, top_names[i].theirs, x->tensor, e);
        }
    return put(p, x->name, x->tensor, e);
}

/* ---- the preset ---- */

static int has(const struct checkpoint *c, const char *name)
{
    return checkpoint_find(c, name) != NULL;
}

const char *preset_guess(const struct checkpoint *base, const struct checkpoint *tuned)
{
    static const char theirs[] = "model.embed_tokens.weight", ours[] = "tok_embeddings.weight";
    if (!has(base, theirs) || has(base, ours) || has(tuned, theirs) || !has(tuned, ours))
        return NULL;
    return has(tuned, "layers.0.attention.wo.weight") ? preset_words[0] : NULL;
}

/* torchtitan's Llama turns neighbouring rows against each other, as Meta's files do; the published ones turn
 * the halves of a head. Its other models do as the published ones. */
static err_t find_order(struct preset *p, struct err *e)
{
    static const char *const paired[] = {"llama", "mistral"}, *const halves[] = {"qwen3", "qwen3_moe",
                                                                                 "deepseek_v3"};
    const char *type = p->base->config.type;
    for (size_t i = 0; type && i < sizeof paired / sizeof *paired; i++)
        p->paired |= strcmp(type, paired[i]) == 0;
    for (size_t i = 0; type && i < sizeof halves / sizeof *halves; i++)
        if (strcmp(type, halves[i]) == 0)
            return ERR_OK;
    if (p->paired)
        return ERR_OK;
    char shown[41];
    snprintf(shown, sizeof shown, "%s", type ? type : "nothing");
    return err_set(
        e, ERR_DATA,
        "torchtitan's names in %s: whether rows of its queries and keys stand in the base's order depends "
        "on the model: expected model_type llama, mistral, qwen3, qwen3_moe or deepseek_v3 in %s, found %s",
        p->tuned->path, p->base->config.path ? p->base->config.path : "a config.json beside the base", shown);
}

err_t preset_apply(const char *word, struct named_tensor **v, int64_t *n, int64_t *found,
                   const struct checkpoint *base, const struct checkpoint *tuned, struct arena *a,
                   struct err *e)
{
    struct preset p = {.base = base, .tuned = tuned, .arena = a};
    if (!preset_is(word))
        return err_set(e, ERR_BUG, "no preset of names is called %.60s", word);
    TRY(find_order(&p, e));
    for (int64_t i = 0; i < *n; i++)
        TRY(put_one(&p, &(*v)[i], e));
    *v = p.v;
    *n = p.n;
    *found = p.found;
    return ERR_OK;
}
