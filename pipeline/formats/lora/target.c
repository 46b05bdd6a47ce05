#include "formats/lora/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 1000, MOST_EXPERTS = 1 << 16 };

/* ---- names ---- */

/* How names of modules begin where checkpoints have another beginning: models that are part of others, and
 * bases published without their head's prefix. */
static const struct beginning {
    const char *module, *stored;
} beginnings[] = {
    {"", ""},
    {"model.language_model.", "language_model.model."},
    {"model.language_model.", "model."},
    {"language_model.model.", "model.language_model."},
    {"model.visual.", "visual."},
    {"model.vision_tower.", "vision_tower."},
    {"model.multi_modal_projector.", "multi_modal_projector."},
    {"lm_head.", "language_model.lm_head."},
    {"", "model."},
    {"model.", ""},
    {"", "transformer."},
    {"transformer.", ""},
};

static int64_t find_exactly(const struct target_base *base, const char *name)
{
    const struct stored_tensor *t = stored_find(base->tensors, base->n, name);
    return t ? t - base->tensors : -1;
}

int64_t target_find(const struct target_base *base, const char *name)
{
    char other[NAME];
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        const size_t n = strlen(beginnings[i].module);
        if (strncmp(name, beginnings[i].module, n) != 0)
            continue;
        int used = snprintf(other, sizeof other, "%s%s", beginnings[i].stored, name + n);
        int64_t at = used < NAME ? find_exactly(base, other) : -1;
        if (at >= 0)
            return at;
    }
    return -1;
}

int64_t target_find_weight(const struct target_base *base, const char *module)
{
    char name[NAME];
    return snprintf(name, sizeof name, "%s.weight", module) < NAME ? target_find(base, name) : -1;
}

int64_t target_find_tied(const struct target_base *base, const char *name)
{
    static const char *const embeddings[] = {"model.embed_tokens.weight",
                                             "model.language_model.embed_tokens.weight",
                                             "transformer.wte.weight", "gpt_neox.embed_in.weight", NULL};
    int64_t at = -1;
    if (strcmp(name, "lm_head.weight") != 0 && strcmp(name, "embed_out.weight") != 0)
        return -1;
    for (const char *const *p = embeddings; *p && at < 0; p++)
        at = target_find(base, *p);
    return at;
}

/* ---- parameters ---- */

/* The order of parameters in modules of experts. */
static const char *const in_order[] = {
    "gate_up_proj", "gate_up_proj_bias", "gate_proj",      "up_proj", "w1", "w3",
    "v1",           "down_proj",         "down_proj_bias", "w2",      NULL};

static int order_of(const char *name)
{
    int i = 0;
    while (in_order[i] && strcmp(in_order[i], name) != 0)
        i++;
    return i;
}

/* Is "MODULES.parameter" of the adapter's list one of this module? Then the parameter. */
static const char *parameter_of(const char *text, const char *module)
{
    const char *dot = strrchr(text, '.');
    const size_t n = dot ? (size_t)(dot - text) : 0, m = strlen(module);
    if (!dot)
        return text;
    return n <= m && strncmp(module + m - n, text, n) == 0 && (n == m || module[m - n - 1] == '.') ? dot + 1
                                                                                                   : NULL;
}

enum { MOST_PARAMETERS = 16 };

/* The tensors that one parameter of experts is cut into, expert by expert, from top to bottom. */
static const struct halves {
    const char *parameter;
    const char *names[2];
} halves[] = {
    {"gate_up_proj", {"gate_proj", "up_proj"}},
    {"gate_up_proj", {"w1", "w3"}},
    {"down_proj", {"down_proj", NULL}},
    {"down_proj", {"w2", NULL}},
};

/* Modules of experts have other names in the checkpoints of some models than in the library. */
static const char *const renamed[][2] = {{"", ""}, {"mlp.experts", "block_sparse_moe.experts"}};

/* Expert `n`'s part `half` in the base; -1 where there is none. */
static int64_t find_expert(const struct target_base *base, const char *module, int64_t n, const char *half)
{
    char name[NAME];
    for (int i = 0; i < 2; i++) {
        size_t whole = strlen(module), end = strlen(renamed[i][0]);
        if (end > whole || strcmp(module + whole - end, renamed[i][0]) != 0)
            continue;
        int used = snprintf(name, sizeof name, "%.*s%s.%lld.%s.weight", (int)(whole - end), module,
                            renamed[i][1], (long long)n, half);
        int64_t at = used < NAME ? target_find(base, name) : -1;
        if (at >= 0)
            return at;
    }
    return -1;
}

/* Has the base such a parameter, whole or expert by expert? */
static int has_parameter(const struct target_base *base, const char *module, const char *parameter)
{
    char name[NAME];
    int used = snprintf(name, sizeof name, "%s.%s", module, parameter);
    int found = used < NAME && target_find(base, name) >= 0;
    for (size_t i = 0; i < sizeof halves / sizeof *halves && !found; i++)
        found = strcmp(halves[i].parameter, parameter) == 0 &&
                find_expert(base, module, 0, halves[i].names[0]) >= 0;
    return found;
}

/* The parameters of the module that the adapter names, in the module's order. -1: an order is not known. */
static int parameters_of(const struct adapter *x, const struct target_base *base, const char *module,
                         const char **out)
{
    int n = 0;
    for (int64_t i = 0; i < x->nparameters && n < MOST_PARAMETERS; i++) {
        const char *name = parameter_of(x->parameters[i], module);
        int at = n, again = 0;
        for (int k = 0; name && k < n; k++)
            again |= strcmp(out[k], name) == 0;
        if (!name || again || !has_parameter(base, module, name))
            continue;
        for (; at > 0 && order_of(out[at - 1]) > order_of(name); at--)
            out[at] = out[at - 1];
        out[at] = name;
        n++;
    }
    for (int k = 0; k < n && n > 1; k++)
        if (!in_order[order_of(out[k])])
            return -1;
    return n;
}

int target_is_parameter(const struct target *t, const struct adapter *x, const struct target_base *base)
{
    const char *names[MOST_PARAMETERS];
    return parameters_of(x, base, t->module, names) != 0;
}

err_t target_name_parameter(struct target *t, int ntargets, const struct adapter *x,
                            const struct target_base *base, const char *path, struct arena *a, struct err *e)
{
    const char *names[MOST_PARAMETERS];
    int n = parameters_of(x, base, t->module, names);
    if (n < 0)
        return err_set(
            e, ERR_DATA,
            "%s: module %s: several of its parameters have an adapter, and in which order they stand in "
            "it is not known: expected those of experts (gate_up_proj, down_proj, ...)",
            path, t->module);
    if (n != ntargets || t->depth >= n)
        return err_set(
            e, ERR_DATA,
            "%s: module %s: %d of its parameters have an adapter: expected %d, as target_parameters of "
            "adapter_config.json says%s",
            path, t->module, ntargets, n, x->path ? "" : ", which is not there");
    t->parameter = arena_strdup(a, names[n - 1 - t->depth], e);
    return e->code;
}

/* ---- shapes ---- */

static err_t refuse_shape(const struct target *t, const struct stored_tensor *weight, const char *path,
                          struct err *e)
{
    char text[3][200];
    return err_set(e, ERR_DATA, "%s: %s %s and %s %s do not multiply to %s, which is %s", path, t->a->name,
                   shape_text(t->a->ndim, t->a->dims, text[0], sizeof text[0]), t->b->name,
                   shape_text(t->b->ndim, t->b->dims, text[1], sizeof text[1]), weight->name,
                   shape_text(weight->ndim, weight->dims, text[2], sizeof text[2]));
}

/* Inputs and outputs of the factors of one matrix. 0 where they are none. */
static int sides_of(const struct target *t, int64_t *in, int64_t *out)
{
    int64_t r = t->a->ndim >= 2 ? t->a->dims[0] : 0;
    if (r < 1 || t->b->ndim < 2 || t->b->dims[1] != r || t->a->elements < 1 ||
        t->b->elements != t->b->dims[0] * r)
        return 0;
    *in = t->a->elements / r;
    *out = t->b->dims[0];
    return 1;
}

enum target_side target_side(const struct target *t, const struct stored_tensor *w)
{
    int64_t in, out;
    if (!sides_of(t, &in, &out) || w->ndim < 2 || w->dims[0] < 1)
        return TARGET_UNFIT;
    int straight = w->dims[0] == out && w->elements / w->dims[0] == in;
    int across = w->ndim == 2 && w->dims[0] == in && w->dims[1] == out;
    if (t->is_embedding)
        return across ? TARGET_ACROSS : TARGET_UNFIT;
    return straight && across ? TARGET_EITHER
           : straight         ? TARGET_STRAIGHT
           : across           ? TARGET_ACROSS
                              : TARGET_UNFIT;
}

/* The rank that the adapter's config gives must be the factors'. Without a config it is theirs. */
static err_t take_rank(int64_t *r, const struct target *t, int64_t experts, const struct adapter *x,
                       const char *name, const char *path, struct err *e)
{
    *r = t->a->ndim >= 2 && t->a->dims[0] % experts == 0 ? t->a->dims[0] / experts : 0;
    if (*r < 1 || (x->path && *r != adapter_rank(x, name)))
        return err_set(e, ERR_DATA, "%s: tensor %s has %lld rows: expected r %lld%s of %s", path, t->a->name,
                       (long long)(t->a->ndim > 0 ? t->a->dims[0] : 0), (long long)adapter_rank(x, name),
                       experts > 1 ? " for each expert" : "", x->path ? x->path : "an adapter");
    return ERR_OK;
}

static err_t one_matrix(struct target_weight *w, const struct target *t, const struct target_base *base,
                        const struct adapter *x, const char *name, int conv1d, const char *path,
                        struct err *e)
{
    const struct stored_tensor *of = &base->tensors[w->at];
    int64_t r;
    enum target_side side = target_side(t, of);
    TRY(take_rank(&r, t, 1, x, name, path, e));
    if (side == TARGET_UNFIT)
        return refuse_shape(t, of, path, e);
    int across = side == TARGET_ACROSS || (side == TARGET_EITHER && conv1d);
    w->product = (struct lora_product){.r = r,
                                       .experts = 1,
                                       .nexperts = 1,
                                       .rows = of->dims[0],
                                       .cols = of->elements / of->dims[0],
                                       .transposed = across,
                                       .scale = adapter_scale(x, name, r)};
    return ERR_OK;
}

/* ---- experts ---- */

/* Experts in one tensor [E, X, Y]. Its update is [E, out, in], or, where the model has its experts transposed
 * and in the library's first version for all, [E, in, out]; where X = Y the shapes do not tell which. */
static err_t packed(struct target_weight *w, const struct target *t, const struct target_base *base,
                    const struct adapter *x, const char *name, const char *path, struct err *e)
{
    const struct stored_tensor *of = &base->tensors[w->at];
    char biased[NAME];
    int64_t experts = of->dims[0], r;
    TRY(take_rank(&r, t, experts, x, name, path, e));
    int64_t in = t->a->elements / t->a->dims[0], out = t->b->ndim == 2 ? t->b->dims[0] : 0;
    int straight = of->dims[1] == out && of->dims[2] == in, across = of->dims[1] == in && of->dims[2] == out;
    if (t->b->ndim != 2 || t->b->dims[1] != t->a->dims[0] || (!straight && !across))
        return refuse_shape(t, of, path, e);
    if (straight && across) { /* of published models, those whose experts have biases are transposed */
        snprintf(biased, sizeof biased, "%s_bias", of->name);
        straight = !x->old_experts && find_exactly(base, biased) < 0;
    }
    w->product = (struct lora_product){.r = r,
                                       .experts = experts,
                                       .nexperts = experts,
                                       .rows = of->dims[1],
                                       .cols = of->dims[2],
                                       .transposed = !straight,
                                       .scale = adapter_scale(x, name, r)};
    return ERR_OK;
}

/* How many experts the base has under these names. */
static int64_t count_experts(const struct target_base *base, const char *module, const char *half)
{
    int64_t n = 0;
    while (n < MOST_EXPERTS && find_expert(base, module, n, half) >= 0)
        n++;
    return n;
}

/* Experts one by one: outputs are rows there, those of the second half behind the first's. */
static err_t unpacked(struct target_weight **out, int64_t *n, const struct target *t,
                      const struct target_base *base, const struct adapter *x, const char *name,
                      const struct halves *h, const char *path, struct arena *a, struct err *e)
{
    const int nhalves = h->names[1] ? 2 : 1;
    int64_t experts = count_experts(base, t->module, h->names[0]), r;
    TRY(take_rank(&r, t, experts, x, name, path, e));
    TRY(arena_array(a, "adapter.experts", experts * nhalves, out, e));
    *n = 0;
    for (int64_t i = 0; i < experts; i++) {
        int64_t start = 0;
        for (int k = 0; k < nhalves; k++) {
            int64_t at = find_expert(base, t->module, i, h->names[k]);
            const struct stored_tensor *of = at < 0 ? NULL : &base->tensors[at];
            if (!of || of->ndim != 2)
                return err_set(e, ERR_DATA, "%s: module %s: expert %lld has no matrix %s in the base", path,
                               t->module, (long long)i, h->names[k]);
            (*out)[(*n)++] = (struct target_weight){
                at, {r, experts, i, 1, of->dims[0], of->dims[1], start, 0, adapter_scale(x, name, r)}};
            start += of->dims[0];
        }
        if (t->b->ndim != 2 || t->b->dims[0] != start || t->b->dims[1] != t->a->dims[0])
            return refuse_shape(t, &base->tensors[(*out)[0].at], path, e);
    }
    return ERR_OK;
}

static err_t parameter_weights(struct target_weight **out, int64_t *n, const struct target *t,
                               const struct target_base *base, const struct adapter *x, const char *path,
                               struct arena *a, struct err *e)
{
    char name[NAME];
    if (snprintf(name, sizeof name, "%s.%s", t->module, t->parameter) >= NAME)
        return err_set(e, ERR_DATA, "%s: module %.100s...: a name of at most %d characters was expected",
                       path, t->module, NAME);
    int64_t at = target_find(base, name);
    if (at >= 0) {
        TRY(arena_array(a, "adapter.weights", 1, out, e));
        (*out)->at = at;
        *n = 1;
        return base->tensors[at].ndim == 3 ? packed(*out, t, base, x, name, path, e)
                                           : one_matrix(*out, t, base, x, name, 0, path, e);
    }
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
        if (strcmp(halves[i].parameter, t->parameter) == 0 &&
            find_expert(base, t->module, 0, halves[i].names[0]) >= 0)
            return unpacked(out, n, t, base, x, name, &halves[i], path, a, e);
    return err_set(e, ERR_DATA,
                   "%s: the base has no tensor %s, nor its experts one by one: is it another model's?", path,
                   name);
}

err_t target_weights(struct target_weight **out, int64_t *n, const struct target *t,
                     const struct target_base *base, const struct adapter *x, int conv1d, const char *path,
                     struct arena *a, struct err *e)
{
    char name[NAME];
    if (t->parameter)
        return parameter_weights(out, n, t, base, x, path, a, e);
    if (snprintf(name, sizeof name, "%s.weight", t->module) >= NAME)
        return err_set(e, ERR_DATA, "%s: module %.100s...: a name of at most %d characters was expected",
                       path, t->module, NAME);
    int64_t at = target_find(base, name);
    at = at < 0 ? target_find_tied(base, name) : at;
    if (at < 0)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s is for %s, which the base does not have: is it another model's?", path,
                       t->a->name, name);
    TRY(arena_array(a, "adapter.weights", 1, out, e));
    (*out)->at = at;
    *n = 1;
    return one_matrix(*out, t, base, x, t->module, conv1d, path, e);
}
