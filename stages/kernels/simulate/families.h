/* Families: the architectures of the study's models, as lists of tensor names and shapes.
 *
 * Names and widths are those of the published checkpoints (the config.json of each model repository), so that
 * a synthesised checkpoint has the real names, proportions and quirks: grouped queries, biases, tied
 * embeddings, experts, low-rank attention. Pure C: nothing is allocated, nothing is written. */
#ifndef SINEW_FAMILIES_H
#define SINEW_FAMILIES_H

#include <stdint.h>

/* An architecture. Of true size in the list below, of any size once family_shrink has been at it. Zero: it
 * has no such thing. */
struct family {
    const char *name;        /* "tulu-3-8b" */
    const char *stands_for;  /* the published checkpoints it is the architecture of */
    const char *model_type;  /* of config.json: llama, mistral, qwen2, mixtral, deepseek_v3 */
    const char *model_class; /* "LlamaForCausalLM" */
    int64_t hidden, layers, intermediate, heads, kv_heads, head_dim, vocabulary;
    int attention_bias; /* q, k and v projections have a bias (qwen2) */
    int tied;           /* lm_head is the embedding: it has no tensor of its own */
    int64_t experts, experts_per_token, shared_experts, expert_intermediate;
    int64_t dense_layers; /* the first so many layers have no experts, in a family that has them */
    int64_t q_lora, kv_lora, rope_dim,
        value_dim; /* latent attention (deepseek_v3); head_dim is its part without position */
    double rope_theta, norm_eps;
    int64_t max_positions;
    /* Of the published files alone (family_publish): layers behind the last one that predict further tokens;
     * the side of the square blocks of F8_E4M3 weights that have a float32 scale each. */
    int64_t mtp_layers, fp8_block;
    int64_t files; /* published in so many; 0: cut as transformers cuts (shards.h) */
};

/* What a tensor is, as far as the size of its weights goes. */
enum family_kind {
    FAMILY_EMBEDDING,
    FAMILY_HEAD,
    FAMILY_QUERY_KEY, /* q and k projections, and latent attention's way down */
    FAMILY_VALUE_OUT,
    FAMILY_MLP,
    FAMILY_ROUTER,
    FAMILY_NORM,
    FAMILY_BIAS,
    FAMILY_CORRECTION, /* e_score_correction_bias: float32, set by load balancing, never by a gradient */
    FAMILY_SCALE,      /* of the blocks of an F8_E4M3 weight, which it follows; float32, no parameters */
    FAMILY_KINDS
};

enum { FAMILY_NAME_MAX = 128 };

struct family_tensor {
    char name[FAMILY_NAME_MAX];
    enum family_kind kind;
    int ndim; /* 1 or 2 */
    int64_t dims[2];
};

/* Local. All families at true size, in the order of the study; *n of them. */
const struct family *family_list(int *n);

/* Local. By name; NULL where there is none. */
const struct family *family_find(const char *name);

/* Local. The family at `scale` (0 < scale <= 1) of its widths (hidden, intermediate, vocabulary, latent
 * widths, number of experts), each rounded to a multiple of 8 and at least 8; 1 leaves it as it is. Heads and
 * their width shrink alike, so that their product follows the scale: key-value heads are halved until there
 * are at most sqrt(scale) of them, at least one, and the number of queries per key stays. Experts: at
 * least 4. layers: at most so many are kept, 0 keeps all; a family with dense and expert layers keeps at
 * least one of each. What published files alone have is left out. */
void family_shrink(const struct family *f, double scale, int64_t layers, struct family *out);

/* Local. Gives f, which family_shrink made of `full`, what the published files have beside: layers for
 * multi-token prediction, and block scales where the weights are F8_E4M3. */
void family_publish(const struct family *full, struct family *f);

/* Local. Is a weight of that kind F8_E4M3 with block scales? */
int family_is_fp8(const struct family *f, enum family_kind kind);

/* Local. Calls each(arg, tensor) for all tensors in the model's order (embedding, layers, norm, head) until
 * it returns something other than 0; returns what the last call returned. The tensor is the callee's only
 * during the call. */
int family_tensors(const struct family *f, int (*each)(void *arg, const struct family_tensor *t), void *arg);

/* Local. Parameters in all tensors, of which scales have none, and (may be NULL) how many tensors. */
int64_t family_parameters(const struct family *f, int64_t *ntensors);

/* Local. The family's config.json, with the keys of its model type, into text; torch_dtype: "bfloat16".
 * Returns its length, or what it would need if that is size or more. */
int family_config(const struct family *f, const char *torch_dtype, char *text, int size);

#endif
