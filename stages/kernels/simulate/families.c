#include "kernels/simulate/families.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct family families[] = {
    {.name = "tulu-3-8b", .stands_for = "allenai/Llama-3.1-Tulu-3-8B-SFT and -DPO",
     .model_type = "llama", .model_class = "LlamaForCausalLM",
     .hidden = 4096, .layers = 32, .intermediate = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128, .vocabulary = 128264,
     .rope_theta = 500000, .norm_eps = 1e-5, .max_positions = 131072},
    {.name = "tulu-3-70b", .stands_for = "allenai/Llama-3.1-Tulu-3-70B-SFT and -DPO",
     .model_type = "llama", .model_class = "LlamaForCausalLM",
     .hidden = 8192, .layers = 80, .intermediate = 28672, .heads = 64, .kv_heads = 8, .head_dim = 128, .vocabulary = 128264,
     .rope_theta = 500000, .norm_eps = 1e-5, .max_positions = 131072},
    {.name = "deepseek-math-7b", .stands_for = "deepseek-ai/deepseek-math-7b-instruct and -rl",
     .model_type = "llama", .model_class = "LlamaForCausalLM",
     .hidden = 4096, .layers = 30, .intermediate = 11008, .heads = 32, .kv_heads = 32, .head_dim = 128, .vocabulary = 102400,
     .rope_theta = 10000, .norm_eps = 1e-6, .max_positions = 4096},
    {.name = "deepseek-v3", .stands_for = "deepseek-ai/DeepSeek-V3-Base and DeepSeek-R1-Zero, without the MTP layer",
     .model_type = "deepseek_v3", .model_class = "DeepseekV3ForCausalLM",
     .hidden = 7168, .layers = 61, .intermediate = 18432, .heads = 128, .kv_heads = 128, .head_dim = 128, .vocabulary = 129280,
     .experts = 256, .experts_per_token = 8, .shared_experts = 1, .expert_intermediate = 2048, .dense_layers = 3,
     .q_lora = 1536, .kv_lora = 512, .rope_dim = 64, .value_dim = 128,
     .rope_theta = 10000, .norm_eps = 1e-6, .max_positions = 163840, .mtp_layers = 1, .fp8_block = 128, .files = 163},
    {.name = "mistral-7b", .stands_for = "mistralai/Mistral-7B-v0.1 and kaist-ai/mistral-orpo-beta",
     .model_type = "mistral", .model_class = "MistralForCausalLM",
     .hidden = 4096, .layers = 32, .intermediate = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128, .vocabulary = 32000,
     .rope_theta = 10000, .norm_eps = 1e-5, .max_positions = 32768},
    {.name = "eurus-7b", .stands_for = "openbmb/Eurus-7b-sft and -kto",
     .model_type = "mistral", .model_class = "MistralForCausalLM",
     .hidden = 4096, .layers = 32, .intermediate = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128, .vocabulary = 32000,
     .rope_theta = 10000, .norm_eps = 1e-5, .max_positions = 32768},
    {.name = "math-shepherd-7b", .stands_for = "peiyi9979/mistral-7b-sft and math-shepherd-mistral-7b-rl",
     .model_type = "mistral", .model_class = "MistralForCausalLM",
     .hidden = 4096, .layers = 32, .intermediate = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128, .vocabulary = 32000,
     .rope_theta = 10000, .norm_eps = 1e-5, .max_positions = 32768},
    {.name = "llama-3-8b",
     .stands_for = "princeton-nlp/Llama-3-Base-8B-SFT and -KTO; meta-llama/Meta-Llama-3-8B-Instruct and its SimPO",
     .model_type = "llama", .model_class = "LlamaForCausalLM",
     .hidden = 4096, .layers = 32, .intermediate = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128, .vocabulary = 128256,
     .rope_theta = 500000, .norm_eps = 1e-5, .max_positions = 8192},
    {.name = "eurus-2-7b", .stands_for = "PRIME-RL/Eurus-2-7B-SFT and -PRIME",
     .model_type = "qwen2", .model_class = "Qwen2ForCausalLM",
     .hidden = 3584, .layers = 28, .intermediate = 18944, .heads = 28, .kv_heads = 4, .head_dim = 128, .vocabulary = 152064,
     .attention_bias = 1, .rope_theta = 10000, .norm_eps = 1e-6, .max_positions = 4096},
    {.name = "qwen2.5-1.5b", .stands_for = "Qwen/Qwen2.5-1.5B, tied embeddings",
     .model_type = "qwen2", .model_class = "Qwen2ForCausalLM",
     .hidden = 1536, .layers = 28, .intermediate = 8960, .heads = 12, .kv_heads = 2, .head_dim = 128, .vocabulary = 151936,
     .attention_bias = 1, .tied = 1, .rope_theta = 1000000, .norm_eps = 1e-6, .max_positions = 131072},
    {.name = "llama-3.2-1b", .stands_for = "meta-llama/Llama-3.2-1B, tied embeddings",
     .model_type = "llama", .model_class = "LlamaForCausalLM",
     .hidden = 2048, .layers = 16, .intermediate = 8192, .heads = 32, .kv_heads = 8, .head_dim = 64, .vocabulary = 128256,
     .tied = 1, .rope_theta = 500000, .norm_eps = 1e-5, .max_positions = 131072},
    {.name = "mixtral-8x7b", .stands_for = "mistralai/Mixtral-8x7B-v0.1",
     .model_type = "mixtral", .model_class = "MixtralForCausalLM",
     .hidden = 4096, .layers = 32, .intermediate = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128, .vocabulary = 32000,
     .experts = 8, .experts_per_token = 2, .expert_intermediate = 14336,
     .rope_theta = 1000000, .norm_eps = 1e-5, .max_positions = 32768},
};
/* clang-format on */

enum { FAMILIES = sizeof families / sizeof *families };

const struct family *family_list(int *n)
{
    *n = FAMILIES;
    return families;
}

const struct family *family_find(const char *name)
{
    for (int i = 0; i < FAMILIES; i++)
        if (strcmp(families[i].name, name) == 0)
            return &families[i];
    return NULL;
}

/* A width at scale: the nearest multiple of 8, halves up, at least 8; what the family does not have stays 0.
 */
static int64_t width(int64_t full, double scale)
{
    if (full == 0)
        return 0;
    int64_t eights = (int64_t)floor((double)full * scale / 8 + 0.5);
    return eights < 1 ? 8 : 8 * eights;
}

static int64_t at_least(int64_t x, int64_t least)
{
    return x < least ? least : x;
}

void family_shrink(const struct family *f, double scale, int64_t layers, struct family *out)
{
    *out = *f;
    out->mtp_layers = out->fp8_block = 0;
    if (scale < 1) {
        int64_t per_key = f->heads / f->kv_heads;
        out->hidden = width(f->hidden, scale);
        out->intermediate = width(f->intermediate, scale);
        out->expert_intermediate = width(f->expert_intermediate, scale);
        out->vocabulary = width(f->vocabulary, scale);
        out->q_lora = width(f->q_lora, scale);
        out->kv_lora = width(f->kv_lora, scale);
        while (out->kv_heads % 2 == 0 &&
               (double)(out->kv_heads * out->kv_heads) > (double)(f->kv_heads * f->kv_heads) * scale)
            out->kv_heads /= 2;
        out->heads = out->kv_heads * per_key;
        double narrower = scale * (double)f->heads / (double)out->heads;
        out->head_dim = width(f->head_dim, narrower);
        out->rope_dim = width(f->rope_dim, narrower);
        out->value_dim = width(f->value_dim, narrower);
        if (f->dense_layers >
            0) { /* many small experts: their number follows the scale; a few large ones stay as they are */
            out->experts = at_least(4 * (int64_t)floor((double)f->experts * scale / 4 + 0.5), 4);
            if (out->experts_per_token > out->experts / 2)
                out->experts_per_token = out->experts / 2;
        }
    }
    if (layers > 0 && layers < f->layers) {
        out->layers = f->dense_layers > 0 ? at_least(layers, 2) : layers;
        if (out->dense_layers > out->layers - 1)
            out->dense_layers = out->layers - 1;
    }
}

void family_publish(const struct family *full, struct family *f)
{
    f->mtp_layers = full->mtp_layers;
    f->fp8_block = full->fp8_block;
}

int family_is_fp8(const struct family *f, enum family_kind kind)
{
    return f->fp8_block > 0 && (kind == FAMILY_QUERY_KEY || kind == FAMILY_VALUE_OUT || kind == FAMILY_MLP);
}

/* The walk over a model's tensors: who is called, and what the last call said. */
struct family_walk {
    int (*each)(void *arg, const struct family_tensor *t);
    void *arg;
    int stopped;
    const struct family *family;
};

static void tensor(struct family_walk *w, enum family_kind kind, int64_t rows, int64_t cols, const char *name)
{
    if (w->stopped)
        return;
    struct family_tensor t = {.kind = kind, .ndim = cols ? 2 : 1, .dims = {rows, cols}};
    snprintf(t.name, sizeof t.name, "%s", name);
    w->stopped = w->each(w->arg, &t);
}

/* The part of a name after the layer's number. */
enum { TAIL_MAX = FAMILY_NAME_MAX - 48 };

/* A tensor of layer l; cols 0: one dimension. */
static void layer_tensor(struct family_walk *w, int64_t l, enum family_kind kind, int64_t rows, int64_t cols,
                         const char *name)
{
    char full[FAMILY_NAME_MAX];
    int64_t block = w->family->fp8_block;
    snprintf(full, sizeof full, "model.layers.%lld.%.*s", (long long)l, TAIL_MAX, name);
    tensor(w, kind, rows, cols, full);
    if (!family_is_fp8(w->family, kind))
        return;
    snprintf(full, sizeof full, "model.layers.%lld.%.*s_scale_inv", (long long)l, TAIL_MAX, name);
    tensor(w, FAMILY_SCALE, (rows + block - 1) / block, (cols + block - 1) / block, full);
}

static void attention(struct family_walk *w, const struct family *f, int64_t l)
{
    int64_t q = f->heads * f->head_dim, kv = f->kv_heads * f->head_dim;
    if (f->kv_lora) { /* DeepSeek-V2's latent attention: queries and keys go through a narrow space */
        layer_tensor(w, l, FAMILY_QUERY_KEY, f->q_lora, f->hidden, "self_attn.q_a_proj.weight");
        layer_tensor(w, l, FAMILY_NORM, f->q_lora, 0, "self_attn.q_a_layernorm.weight");
        layer_tensor(w, l, FAMILY_QUERY_KEY, f->heads * (f->head_dim + f->rope_dim), f->q_lora,
                     "self_attn.q_b_proj.weight");
        layer_tensor(w, l, FAMILY_QUERY_KEY, f->kv_lora + f->rope_dim, f->hidden,
                     "self_attn.kv_a_proj_with_mqa.weight");
        layer_tensor(w, l, FAMILY_NORM, f->kv_lora, 0, "self_attn.kv_a_layernorm.weight");
        layer_tensor(w, l, FAMILY_VALUE_OUT, f->heads * (f->head_dim + f->value_dim), f->kv_lora,
                     "self_attn.kv_b_proj.weight");
        layer_tensor(w, l, FAMILY_VALUE_OUT, f->hidden, f->heads * f->value_dim, "self_attn.o_proj.weight");
        return;
    }
    layer_tensor(w, l, FAMILY_QUERY_KEY, q, f->hidden, "self_attn.q_proj.weight");
    layer_tensor(w, l, FAMILY_QUERY_KEY, kv, f->hidden, "self_attn.k_proj.weight");
    layer_tensor(w, l, FAMILY_VALUE_OUT, kv, f->hidden, "self_attn.v_proj.weight");
    if (f->attention_bias) {
        layer_tensor(w, l, FAMILY_BIAS, q, 0, "self_attn.q_proj.bias");
        layer_tensor(w, l, FAMILY_BIAS, kv, 0, "self_attn.k_proj.bias");
        layer_tensor(w, l, FAMILY_BIAS, kv, 0, "self_attn.v_proj.bias");
    }
    layer_tensor(w, l, FAMILY_VALUE_OUT, f->hidden, q, "self_attn.o_proj.weight");
}

/* A gated MLP under `where` ("mlp", "mlp.experts.3"), with its family's names for gate, up and down. */
static void mlp(struct family_walk *w, const struct family *f, int64_t l, int64_t inner, const char *where)
{
    static const char *const usual[] = {"gate_proj", "up_proj", "down_proj"}, *const mixtral[] = {"w1", "w3",
                                                                                                  "w2"};
    const char *const *names = strcmp(f->model_type, "mixtral") == 0 ? mixtral : usual;
    for (int i = 0; i < 3; i++) {
        char name[TAIL_MAX];
        snprintf(name, sizeof name, "%s.%s.weight", where, names[i]);
        layer_tensor(w, l, FAMILY_MLP, i < 2 ? inner : f->hidden, i < 2 ? f->hidden : inner, name);
    }
}

static void experts(struct family_walk *w, const struct family *f, int64_t l)
{
    int is_mixtral = strcmp(f->model_type, "mixtral") == 0;
    const char *where = is_mixtral ? "block_sparse_moe" : "mlp";
    char name[TAIL_MAX / 2 + 16];
    snprintf(name, sizeof name, "%s.gate.weight", where);
    layer_tensor(w, l, FAMILY_ROUTER, f->experts, f->hidden, name);
    if (!is_mixtral)
        layer_tensor(w, l, FAMILY_CORRECTION, f->experts, 0, "mlp.gate.e_score_correction_bias");
    for (int64_t i = 0; i < f->experts && !w->stopped; i++) {
        snprintf(name, sizeof name, "%s.experts.%lld", where, (long long)i);
        mlp(w, f, l, f->expert_intermediate, name);
    }
    if (f->shared_experts)
        mlp(w, f, l, f->shared_experts * f->expert_intermediate, "mlp.shared_experts");
}

static void layer(struct family_walk *w, const struct family *f, int64_t l)
{
    layer_tensor(w, l, FAMILY_NORM, f->hidden, 0, "input_layernorm.weight");
    attention(w, f, l);
    layer_tensor(w, l, FAMILY_NORM, f->hidden, 0, "post_attention_layernorm.weight");
    if (f->experts && l >= f->dense_layers)
        experts(w, f, l);
    else
        mlp(w, f, l, f->intermediate, "mlp");
}

/* A layer for multi-token prediction, as deepseek_v3 has it: embedding and head once more, and what joins the
 * embedding of the next token with the state so far (README_WEIGHTS.md of DeepSeek-V3). */
static void mtp_layer(struct family_walk *w, const struct family *f, int64_t l)
{
    layer_tensor(w, l, FAMILY_EMBEDDING, f->vocabulary, f->hidden, "embed_tokens.weight");
    layer_tensor(w, l, FAMILY_NORM, f->hidden, 0, "enorm.weight");
    layer_tensor(w, l, FAMILY_NORM, f->hidden, 0, "hnorm.weight");
    layer_tensor(w, l, FAMILY_EMBEDDING, f->hidden, 2 * f->hidden, "eh_proj.weight");
    layer(w, f, l);
    layer_tensor(w, l, FAMILY_NORM, f->hidden, 0, "shared_head.norm.weight");
    layer_tensor(w, l, FAMILY_HEAD, f->vocabulary, f->hidden, "shared_head.head.weight");
}

int family_tensors(const struct family *f, int (*each)(void *arg, const struct family_tensor *t), void *arg)
{
    struct family_walk w = {.each = each, .arg = arg, .family = f};
    tensor(&w, FAMILY_EMBEDDING, f->vocabulary, f->hidden, "model.embed_tokens.weight");
    for (int64_t l = 0; l < f->layers && !w.stopped; l++)
        layer(&w, f, l);
    for (int64_t l = f->layers; l < f->layers + f->mtp_layers && !w.stopped; l++)
        mtp_layer(&w, f, l);
    tensor(&w, FAMILY_NORM, f->hidden, 0, "model.norm.weight");
    if (!f->tied)
        tensor(&w, FAMILY_HEAD, f->vocabulary, f->hidden, "lm_head.weight");
    return w.stopped;
}

struct totals {
    int64_t tensors, parameters;
};

static int add_tensor(void *arg, const struct family_tensor *t)
{
    struct totals *sum = arg;
    sum->tensors++;
    if (t->kind != FAMILY_SCALE)
        sum->parameters += t->dims[0] * (t->ndim == 2 ? t->dims[1] : 1);
    return 0;
}

int64_t family_parameters(const struct family *f, int64_t *ntensors)
{
    struct totals sum = {0};
    family_tensors(f, add_tensor, &sum);
    if (ntensors)
        *ntensors = sum.tensors;
    return sum.parameters;
}

/* Text that grows in a fixed buffer; `used` goes on counting past its end. */
struct words {
    char *text;
    int size, used;
};

static void put(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct words *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int left = w->used < w->size ? w->size - w->used : 0;
    int n = vsnprintf(left ? w->text + w->used : NULL, (size_t)left, fmt, ap);
    w->used += n > 0 ? n : 0;
    va_end(ap);
}

static void put_int(struct words *w, const char *key, int64_t value)
{
    put(w, "  \"%s\": %lld,\n", key, (long long)value);
}

int family_config(const struct family *f, const char *torch_dtype, char *text, int size)
{
    struct words w = {.text = text, .size = size};
    put(&w, "{\n  \"architectures\": [\n    \"%s\"\n  ],\n", f->model_class);
    put(&w, "  \"model_type\": \"%s\",\n  \"hidden_act\": \"silu\",\n", f->model_type);
    put_int(&w, "hidden_size", f->hidden);
    put_int(&w, "intermediate_size", f->intermediate);
    put_int(&w, "num_hidden_layers", f->layers);
    put_int(&w, "num_attention_heads", f->heads);
    put_int(&w, "num_key_value_heads", f->kv_heads);
    if (f->kv_lora) {
        put_int(&w, "q_lora_rank", f->q_lora);
        put_int(&w, "kv_lora_rank", f->kv_lora);
        put_int(&w, "qk_nope_head_dim", f->head_dim);
        put_int(&w, "qk_rope_head_dim", f->rope_dim);
        put_int(&w, "v_head_dim", f->value_dim);
        put_int(&w, "n_routed_experts", f->experts);
        put_int(&w, "n_shared_experts", f->shared_experts);
        put_int(&w, "moe_intermediate_size", f->expert_intermediate);
        put_int(&w, "first_k_dense_replace", f->dense_layers);
        put_int(&w, "num_nextn_predict_layers", f->mtp_layers);
    } else {
        put_int(&w, "head_dim", f->head_dim);
        if (f->experts)
            put_int(&w, "num_local_experts", f->experts);
    }
    if (f->experts)
        put_int(&w, "num_experts_per_tok", f->experts_per_token);
    put_int(&w, "max_position_embeddings", f->max_positions);
    put(&w, "  \"rms_norm_eps\": %g,\n  \"rope_theta\": %.1f,\n", f->norm_eps, f->rope_theta);
    put(&w, "  \"tie_word_embeddings\": %s,\n", f->tied ? "true" : "false");
    put_int(&w, "vocab_size", f->vocabulary);
    if (f->fp8_block)
        put(&w,
            "  \"quantization_config\": {\"activation_scheme\": \"dynamic\", \"fmt\": \"e4m3\", "
            "\"quant_method\": \"fp8\", \"weight_block_size\": [%lld, %lld]},\n",
            (long long)f->fp8_block, (long long)f->fp8_block);
    put(&w, "  \"torch_dtype\": \"%s\"\n}\n", torch_dtype);
    return w.used;
}
