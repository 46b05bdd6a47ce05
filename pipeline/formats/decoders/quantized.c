#include "formats/decoders/quantized.h"

#include "base/text.h"
#include "formats/decoder.h"

#include <string.h>

/* What gives a quantizer away: a tensor of this end of name and type (DTYPE_COUNT: any), and another whose
 * name ends in `beside` instead (NULL: none is needed). */
static const struct sign {
    const char *end;
    enum dtype type;
    const char *beside, *method;
    int is_family; /* config.json may know better which it is */
    int integers;
} signs[] = {
    {".qweight", DTYPE_I32, ".g_idx", "gptq", 1, 0},
    {".qweight", DTYPE_I32, ".qzeros", "awq or gptq", 1, 0},
    {".qweight", DTYPE_COUNT, ".scales", "awq or gptq", 1, 0},
    {".weight", DTYPE_I8, ".SCB", "bitsandbytes int8", 0, 1},
    {".weight", DTYPE_U8, ".weight.quant_state.bitsandbytes__nf4", "bitsandbytes nf4", 0, 0},
    {".weight", DTYPE_U8, ".weight.quant_state.bitsandbytes__fp4", "bitsandbytes fp4", 0, 0},
    {".weight", DTYPE_U8, ".weight.absmax", "bitsandbytes", 0, 0},
    {".weight.absmax", DTYPE_COUNT, NULL, "bitsandbytes", 0, 0},
    {".weight_packed", DTYPE_I32, NULL, "compressed-tensors pack-quantized", 0, 0},
    {".weight_packed", DTYPE_U8, NULL, "compressed-tensors", 0, 0},
    {".bitmask", DTYPE_COUNT, ".compressed", "compressed-tensors sparse", 0, 0},
    {".weight", DTYPE_I8, ".weight_scale", "int8", 1, 1},
    {".weight", DTYPE_I8, ".weight_scales", "eetq", 1, 1},
    {".weight", DTYPE_I8, ".scales", "int8", 1, 1},
    {".weight", DTYPE_U8, ".weight_scale", "packed bytes", 1, 0},
    {".weight", DTYPE_U32, ".scales", "mlx", 0, 0},
    {".W_q", DTYPE_COUNT, NULL, "hqq", 0, 0},
    {".codebooks", DTYPE_COUNT, ".codes", "aqlm", 0, 0},
    {".centroids", DTYPE_COUNT, ".indices", "vptq", 0, 0},
    {".Qidxs", DTYPE_COUNT, NULL, "quip#", 0, 0},
    {".trellis", DTYPE_COUNT, NULL, "exl3", 0, 0},
    {".q_weight", DTYPE_COUNT, ".q_scale", "exl2", 0, 0},
    {".weight._data", DTYPE_COUNT, NULL, "quanto", 0, 0},
    {"_weight_qdata", DTYPE_COUNT, NULL, "torchao", 0, 0},
    {".weight:_data", DTYPE_COUNT, NULL, "torchao", 0, 0},
    {".pre_quant_scale", DTYPE_COUNT, ".weight", "modelopt awq", 0, 0},
};

/* Methods of config.json whose weights are decoded, or may be. */
static int is_decoded_method(const char *method)
{
    static const char *const methods[] = {"fp8",   "fbgemm_fp8", "finegrained_fp8",   "mxfp4",
                                          "quark", "modelopt",   "compressed-tensors"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i]) == 0)
            return 1;
    return 0;
}

/* n: bytes of t's name, since each tensor of a model is asked for each sign. */
static int shows(const struct sign *s, const struct stored_list *list, const struct stored_tensor *t,
                 size_t n, struct arena *a, struct err *e)
{
    size_t end = strlen(s->end);
    if ((s->type != DTYPE_COUNT && s->type != t->dtype) || n < end ||
        memcmp(t->name + n - end, s->end, end) != 0)
        return 0;
    return !s->beside || stored_find_named(list, t->name, s->end, s->beside, a, e) != NULL;
}

/* A matrix of integers with a layer or the name of a weight: of a method that config.json names, codes. */
static int may_be_codes(const struct stored_tensor *t)
{
    return dtype_is_bits(t->dtype) && t->dtype != DTYPE_BOOL && t->ndim >= 2 && !t->decoding && !t->serves &&
           (t->layer >= 0 || text_ends_with(t->name, ".weight")) && !text_ends_with(t->name, ".bias");
}

static err_t say(struct quantized *q, const char *method, const struct stored_tensor *t, struct arena *a,
                 struct err *e)
{
    char shape[200];
    q->by = arena_printf(a, e, "%s: tensor %s of %s %s", method, t->name, dtype_name(t->dtype),
                         shape_text(t->ndim, t->dims, shape, sizeof shape));
    return e->code;
}

/* The sign that a tensor bears; NULL: none, or e is set (memory). */
static const struct sign *sign_of(const struct stored_list *list, const struct stored_tensor *t,
                                  struct arena *a, struct err *e)
{
    size_t n = strlen(t->name);
    for (size_t k = 0; k < sizeof signs / sizeof *signs && !t->decoding && !t->serves; k++)
        if (shows(&signs[k], list, t, n, a, e))
            return &signs[k];
    return NULL;
}

err_t quantized_find(struct quantized *q, const struct stored_list *list, const struct quant_config *config,
                     struct arena *a, struct err *e)
{
    const char *method = config && config->method ? config->method : NULL;
    *q = (struct quantized){.by = NULL};
    for (int64_t i = 0; i < list->ntensors; i++) {
        const struct sign *s = sign_of(list, &list->tensors[i], a, e);
        if (e->code != ERR_OK)
            return e->code;
        if (!s)
            continue;
        q->integers = s->integers;
        return say(q, s->is_family && method ? method : s->method, &list->tensors[i], a, e);
    }
    for (int64_t i = 0; i < list->ntensors && method && !is_decoded_method(method); i++)
        if (may_be_codes(&list->tensors[i]))
            return say(q, method, &list->tensors[i], a, e);
    return ERR_OK;
}

int quantized_same_integers(const struct quantized *x, const struct quantized *y)
{
    if (!x->by || !y->by || !x->integers || !y->integers)
        return 0;
    size_t n = strcspn(x->by, ":");
    return strncmp(x->by, y->by, n) == 0 && y->by[n] == x->by[n];
}

int quantized_is_beside(const char *name)
{
    static const char *const ends[] = {".SCB",           ".weight_format",    ".weight_scale",
                                       ".weight_scales", ".scales",           ".weight_zero_point",
                                       ".input_scale",   ".input_zero_point", ".output_scale"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (text_ends_with(name, ends[i]))
            return 1;
    return 0;
}

int quantized_is_scale(const struct stored_tensor *t)
{
    static const char *const ends[] = {"weight_scale",     "weight_scale_inv",    "weight_scale_2",
                                       "weight_scale_ub",  "weight_global_scale", "weight_zero_point",
                                       "input_scale",      "input_scale_ub",      "input_global_scale",
                                       "input_zero_point", "output_scale",        "output_zero_point",
                                       "activation_scale", "activation_scale_inv"};
    static const char *const single[] = {"k_scale", "v_scale", "q_scale", "kv_scale", "prob_scale"};
    const char *dot = strrchr(t->name, '.'), *word = dot ? dot + 1 : t->name;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(word, ends[i]) == 0)
            return 1;
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) /* larger ones are some models' parameters */
        if (t->elements == 1 && strcmp(word, single[i]) == 0)
            return 1;
    return 0;
}
