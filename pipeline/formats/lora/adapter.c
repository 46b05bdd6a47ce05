#include "formats/lora/adapter.h"

#include "base/file.h"
#include "base/text.h"
#include "formats/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_BYTES = 16 << 20, MAX_RANK = 1 << 24, DEFAULT_RANK = 8, DEFAULT_ALPHA = 8 };

/* Merges an adapter of any kind with the library that made it. */
#define MERGE_IT                                                                   \
    "merge it first: python -c \"from peft import AutoPeftModelForCausalLM as M; " \
    "M.from_pretrained('ADAPTER').merge_and_unload().save_pretrained('MERGED')\""

/* ---- what is refused ---- */

/* Starts that change the base's weights, or take more than the two factors to undo. The value begins with
 * `begin`, in any case. */
static const struct start {
    const char *begin, *name, *why;
} starts[] = {
    {"pissa", "PiSSA",
     "the base's weights were changed when the adapter was made (residual = W - s B0 A0), so adapter + "
     "published base is not the model"},
    {"olora", "OLoRA",
     "the base's weights were changed when the adapter was made (W - s Q R of its own QR factors), so adapter + "
     "published base is not the model"},
    {"corda", "CorDA",
     "the base's weights were changed when the adapter was made (W - s B0 A0 along its data), so adapter + "
     "published base is not the model"},
    {"lora_ga", "LoRA-GA",
     "the base's weights were changed when the adapter was made (W - s B0 A0 along its gradient), so adapter + "
     "published base is not the model"},
    {"loftq", "LoftQ",
     "the base's weights were quantized when the adapter was made and the adapter makes up for that, so adapter + "
     "published base is not the model"},
    {"eva", "EVA",
     "its start and the ranks of its layers come from data when the adapter is made; it is not read as an adapter "
     "on the published base"},
};

/* Variants of which s B A is not the update: keys that are neither null, false nor empty. */
static const struct variant {
    const char *key, *what;
} variants[] = {
    {"use_qalora", "QALoRA pools its inputs, and is made for quantized weights"},
    {"use_bdlora", "BD-LoRA's factors are block diagonal"},
    {"arrow_config", "Arrow chooses among several adapters token by token: there is no merged weight"},
    {"alora_invocation_tokens",
     "an activated LoRA holds behind its invocation tokens alone: there is no merged "
     "weight"},
    {"kasa_config",
     "KaSA truncated the base's weights when the adapter was made, so adapter + published base is not "
     "the model"},
    {"layer_replication",
     "the adapter's model repeats layers of its base (layer_replication), so the base has no "
     "counterpart for each of them"},
};

static int is_set(const struct json_item *v)
{
    switch (json_item_kind(v)) {
    case JSON_KIND_NULL:
        return 0;
    case JSON_KIND_BOOL:
        return json_item_int(v) != 0;
    case JSON_KIND_LIST:
    case JSON_KIND_MAP:
        return json_item_count(v) > 0;
    default:
        return 1;
    }
}

static err_t refuse_kind(const char *path, const char *kind, struct err *e)
{
    static const char *const prompts[] = {"PROMPT_TUNING",   "MULTITASK_PROMPT_TUNING",
                                          "P_TUNING",        "PREFIX_TUNING",
                                          "ADAPTION_PROMPT", "CPT",
                                          "CARTRIDGE",       NULL};
    for (const char *const *p = prompts; *p; p++)
        if (strcmp(*p, kind) == 0)
            return err_set(
                e, ERR_DATA,
                "%s: peft_type %s: it adds prompts and changes no weight of its base, so there is nothing "
                "to compare",
                path, kind);
    return err_set(e, ERR_DATA, "%s: peft_type %.60s: only LORA is read as an adapter; " MERGE_IT, path,
                   kind);
}

static err_t check_kind(const char *path, const struct json_item *root, struct err *e)
{
    const struct json_item *v = json_item_get(root, "peft_type");
    if (json_item_kind(v) == JSON_KIND_NULL)
        return ERR_OK;
    if (json_item_kind(v) != JSON_KIND_TEXT)
        return err_set(e, ERR_DATA, "%s: peft_type: expected a text such as LORA, found %s", path,
                       json_item_kind_text(v));
    return strcasecmp(json_item_text(v), "LORA") == 0 ? ERR_OK : refuse_kind(path, json_item_text(v), e);
}

static err_t check_start(struct adapter *x, const struct json_item *root, struct err *e)
{
    const char *path = x->path;
    static const char *const plain[] = {"true", "false", "gaussian", "orthogonal", "mica", NULL};
    const struct json_item *v = json_item_get(root, "init_lora_weights");
    if (json_item_kind(v) == JSON_KIND_NULL || json_item_kind(v) == JSON_KIND_BOOL)
        return ERR_OK;
    if (json_item_kind(v) != JSON_KIND_TEXT)
        return err_set(e, ERR_DATA, "%s: init_lora_weights: expected true, false or a text, found %s", path,
                       json_item_kind_text(v));
    const char *text = json_item_text(v);
    x->rounds_first = strcasecmp(text, "mica") == 0;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncasecmp(text, starts[i].begin, strlen(starts[i].begin)) == 0)
            return err_set(
                e, ERR_DATA,
                "%s: init_lora_weights %.60s: %s: %s; merge it with the base as it was changed, or save it "
                "with save_pretrained(..., path_initial_model_for_weight_conversion=START)",
                path, text, starts[i].name, starts[i].why);
    for (const char *const *p = plain; *p; p++)
        if (strcasecmp(*p, text) == 0)
            return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%s: init_lora_weights %.60s: it is not known whether this start leaves the base's weights as they "
        "are; " MERGE_IT,
        path, text);
}

static err_t check_variants(const char *path, const struct json_item *root, struct err *e)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (is_set(json_item_get(root, variants[i].key)))
            return err_set(e, ERR_DATA, "%s: %s is set: %s", path, variants[i].key, variants[i].what);
    return ERR_OK;
}

/* ---- values ---- */

static err_t take_flag(int *out, const char *path, const struct json_item *root, const char *key,
                       struct err *e)
{
    const struct json_item *v = json_item_get(root, key);
    if (json_item_kind(v) != JSON_KIND_NULL && json_item_kind(v) != JSON_KIND_BOOL)
        return err_set(e, ERR_DATA, "%s: %s: expected true or false, found %s", path, key,
                       json_item_kind_text(v));
    *out = json_item_int(v) != 0;
    return ERR_OK;
}

/* A rank, or an alpha: ranks are whole. where: "" or the key of a pattern. */
static err_t take_value(double *out, int is_rank, const char *path, const char *key, const char *where,
                        const struct json_item *v, struct err *e)
{
    enum json_kind kind = json_item_kind(v);
    double x = kind == JSON_KIND_INT ? (double)json_item_int(v) : json_item_real(v);
    if (is_rank && (kind != JSON_KIND_INT || x < 1 || x > MAX_RANK))
        return err_set(e, ERR_DATA, "%s: %s%s: expected a rank from 1 to %d, found %s%.0f", path, key, where,
                       MAX_RANK, kind == JSON_KIND_INT ? "" : json_item_kind_text(v),
                       kind == JSON_KIND_INT ? x : 0.0);
    if (!is_rank && kind != JSON_KIND_INT && kind != JSON_KIND_REAL)
        return err_set(e, ERR_DATA, "%s: %s%s: expected a number, found %s", path, key, where,
                       json_item_kind_text(v));
    if (!is_rank && x == 0)
        return err_set(
            e, ERR_DATA,
            "%s: %s%s is 0: some trainers leave it so, to be filled in by hand; write the alpha that the "
            "adapter was trained with",
            path, key, where);
    if (!is_rank && (!isfinite(x) || fabs(x) > 1e9))
        return err_set(e, ERR_DATA, "%s: %s%s: expected a number of ordinary size, found %g", path, key,
                       where, x);
    *out = x;
    return ERR_OK;
}

static err_t take_rules(struct adapter_rules *rules, int is_rank, const char *path,
                        const struct json_item *root, const char *key, struct arena *a, struct err *e)
{
    const struct json_item *map = json_item_get(root, key), *v;
    const char *name;
    if (json_item_kind(map) == JSON_KIND_NULL)
        return ERR_OK;
    if (json_item_kind(map) != JSON_KIND_MAP)
        return err_set(e, ERR_DATA, "%s: %s: expected a map of patterns, found %s", path, key,
                       json_item_kind_text(map));
    TRY(arena_array(a, "adapter.rules", json_item_count(map), &rules->v, e));
    for (void *at = json_item_next(map, NULL, &name, &v); at; at = json_item_next(map, at, &name, &v)) {
        char problem[200], where[200];
        struct adapter_rule *r = &rules->v[rules->n++];
        snprintf(where, sizeof where, ": %.160s", name);
        TRY(take_value(&r->value, is_rank, path, key, where, v, e));
        r->key = arena_strdup(a, name, e);
        r->pattern = r->key ? pattern_make(name, problem, sizeof problem, a, e) : NULL;
        if (!r->pattern && e->code == ERR_OK)
            return err_set(e, ERR_DATA, "%s: %s%s: the pattern %s; write the modules' names out", path, key,
                           where, problem);
        TRY(e->code);
    }
    return ERR_OK;
}

static err_t take_rows(struct adapter_tokens *t, const char *path, const char *module,
                       const struct json_item *list, struct arena *a, struct err *e)
{
    if (json_item_kind(list) != JSON_KIND_LIST)
        return err_set(e, ERR_DATA, "%s: trainable_token_indices: %.100s: expected a list of rows, found %s",
                       path, module, json_item_kind_text(list));
    t->module = arena_strdup(a, module, e);
    t->n = json_item_count(list);
    if (!t->module || arena_array(a, "adapter.tokens", t->n, &t->rows, e) != ERR_OK)
        return e->code;
    for (int64_t i = 0; i < t->n; i++) {
        const struct json_item *v = json_item_at(list, i);
        t->rows[i] = json_item_int(v);
        if (json_item_kind(v) != JSON_KIND_INT || t->rows[i] < 0)
            return err_set(e, ERR_DATA,
                           "%s: trainable_token_indices: %.100s: expected rows from 0 on, found %s%lld", path,
                           module, json_item_kind(v) == JSON_KIND_INT ? "" : json_item_kind_text(v),
                           (long long)t->rows[i]);
    }
    return ERR_OK;
}

/* A list of rows is the input embedding's. */
static err_t take_tokens(struct adapter *x, const struct json_item *root, struct arena *a, struct err *e)
{
    const struct json_item *all = json_item_get(root, "trainable_token_indices"), *v;
    const char *name;
    if (!is_set(all))
        return ERR_OK;
    int is_map = json_item_kind(all) == JSON_KIND_MAP;
    TRY(arena_array(a, "adapter.tokens", is_map ? json_item_count(all) : 1, &x->tokens, e));
    if (!is_map) {
        x->ntokens = 1;
        return take_rows(&x->tokens[0], x->path, "", all, a, e);
    }
    for (void *at = json_item_next(all, NULL, &name, &v); at; at = json_item_next(all, at, &name, &v))
        TRY(take_rows(&x->tokens[x->ntokens++], x->path, name, v, a, e));
    return ERR_OK;
}

static err_t take_parameters(struct adapter *x, const struct json_item *root, struct arena *a, struct err *e)
{
    const struct json_item *list = json_item_get(root, "target_parameters");
    if (!is_set(list))
        return ERR_OK;
    if (json_item_kind(list) != JSON_KIND_LIST)
        return err_set(e, ERR_DATA, "%s: target_parameters: expected a list of names, found %s", x->path,
                       json_item_kind_text(list));
    TRY(arena_array(a, "adapter.parameters", json_item_count(list), &x->parameters, e));
    for (int64_t i = 0; i < json_item_count(list); i++) {
        const struct json_item *v = json_item_at(list, i);
        if (json_item_kind(v) != JSON_KIND_TEXT)
            return err_set(e, ERR_DATA, "%s: target_parameters: expected names, found %s", x->path,
                           json_item_kind_text(v));
        x->parameters[x->nparameters] = arena_strdup(a, json_item_text(v), e);
        if (!x->parameters[x->nparameters++])
            return e->code;
    }
    return ERR_OK;
}

static err_t take(struct adapter *x, const struct json_item *root, struct arena *a, struct err *e)
{
    const char *path = x->path;
    if (json_item_kind(root) != JSON_KIND_MAP)
        return err_set(e, ERR_DATA, "%s: expected a JSON map, found %s", path, json_item_kind_text(root));
    TRY(check_kind(path, root, e));
    TRY(check_variants(path, root, e));
    TRY(check_start(x, root, e));
    const struct json_item *own = json_item_get(root, "r"), *alpha = json_item_get(root, "lora_alpha");
    double r = DEFAULT_RANK;
    if (own)
        TRY(take_value(&r, 1, path, "r", "", own, e));
    if (alpha)
        TRY(take_value(&x->alpha, 0, path, "lora_alpha", "", alpha, e));
    x->r = (int64_t)r;
    TRY(take_flag(&x->rslora, path, root, "use_rslora", e));
    TRY(take_flag(&x->dora, path, root, "use_dora", e));
    TRY(take_flag(&x->fan_in_fan_out, path, root, "fan_in_fan_out", e));
    TRY(take_rules(&x->ranks, 1, path, root, "rank_pattern", a, e));
    TRY(take_rules(&x->alphas, 0, path, root, "alpha_pattern", a, e));
    TRY(take_tokens(x, root, a, e));
    TRY(take_parameters(x, root, a, e));
    /* the version is written since 0.18, which is about when experts' weights got their true axes */
    x->old_experts = json_item_kind(json_item_get(root, "peft_version")) == JSON_KIND_NULL;
    const struct json_item *base = json_item_get(root, "base_model_name_or_path");
    if (json_item_kind(base) == JSON_KIND_TEXT)
        x->base = arena_strdup(a, json_item_text(base), e);
    return e->code;
}

void adapter_default(struct adapter *x)
{
    *x = (struct adapter){.r = DEFAULT_RANK, .alpha = DEFAULT_ALPHA};
}

err_t adapter_read(struct adapter *x, const char *path, struct arena *a, struct err *e)
{
    char *text;
    int64_t n;
    struct json_doc *doc;
    adapter_default(x);
    x->path = arena_strdup(a, path, e);
    if (!x->path)
        return e->code;
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* a pipe would be waited for */
        return err_set(e, ERR_DATA, "%s: expected a file", path);
    TRY(file_read(a, path, MAX_BYTES, &text, &n, e));
    err_t code = json_doc_parse(&doc, path, text, n, a, e);
    if (code == ERR_OK)
        take(x, json_doc_root(doc), a, e);
    json_doc_release(doc);
    arena_drop(a, text);
    return e->code;
}

/* ---- asking ---- */

static const struct adapter_rule *holding(const struct adapter_rules *rules, const char *name)
{
    for (int64_t i = 0; i < rules->n; i++)
        if (pattern_matches(rules->v[i].pattern, name))
            return &rules->v[i];
    return NULL;
}

int64_t adapter_rank(const struct adapter *x, const char *name)
{
    const struct adapter_rule *rule = holding(&x->ranks, name);
    return rule ? (int64_t)rule->value : x->r;
}

double adapter_scale(const struct adapter *x, const char *name, int64_t r)
{
    const struct adapter_rule *rule = holding(&x->alphas, name);
    double alpha = rule ? rule->value : x->alpha;
    return x->rslora ? alpha / sqrt((double)r) : alpha / (double)r;
}

const struct adapter_tokens *adapter_tokens(const struct adapter *x, const char *name)
{
    for (int64_t i = 0; i < x->ntokens; i++) {
        const char *module = x->tokens[i].module;
        size_t n = strlen(name), m = strlen(module);
        if (m == 0 || (m <= n && strcmp(name + n - m, module) == 0 && (m == n || name[n - m - 1] == '.')))
            return &x->tokens[i];
    }
    return NULL;
}
