#include "compare/match.h"

#include "compare/packing.h"
#include "compare/preset.h"
#include "elements/stack.h"
#include "formats/decoder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const side_names[] = {"base", "tuned"};
enum { BASE, TUNED, SIDES };

struct side {
    const struct checkpoint *checkpoint;
    struct named_list list;
};

/* The work of match_build. */
struct matching {
    struct match *m;
    const struct match_policy *policy;
    struct side side[SIDES];
    const char *cell, *node;
    struct table *skipped;
    struct packing packing;
    struct stacks stacks;   /* of the base */
    const char *stack;      /* of the last tensor added */
    int64_t cap[2][3];      /* of main's and aside's arrays */
    char first_reason[400]; /* for the message that nothing is left */
    struct arena *arena;
};

/* ---- renaming ---- */

/* PATTERN -> REPLACEMENT, cut at the star where there is one. */
struct rule {
    int star;
    const char *head, *tail, *new_head, *new_tail; /* not terminated */
    int head_bytes, tail_bytes, new_head_bytes, new_tail_bytes;
};

static void trim(const char **from, const char **to)
{
    while (*from < *to && **from == ' ')
        ++*from;
    while (*to > *from && (*to)[-1] == ' ')
        --*to;
}

static int has_star(const char *from, const char *to)
{
    return memchr(from, '*', (size_t)(to - from)) != NULL;
}

/* Cuts [from, to) at its star. -1: there are two. */
static int cut(const char *from, const char *to, const char **head, int *head_bytes, const char **tail,
               int *tail_bytes)
{
    const char *star = memchr(from, '*', (size_t)(to - from));
    *head = from;
    *head_bytes = (int)((star ? star : to) - from);
    *tail = star ? star + 1 : to;
    *tail_bytes = (int)(to - *tail);
    return has_star(*tail, to) ? -1 : 0;
}

static int parse_rule(const char *text, struct rule *r, char *problem, int size)
{
    static const char ARROW[] = "->";
    const char *arrow = strstr(text, ARROW), *why = NULL;
    if (!arrow || strstr(arrow + 2, ARROW)) {
        snprintf(problem, (size_t)size, "expected \"PATTERN -> REPLACEMENT\", found \"%.200s\"", text);
        return -1;
    }
    const char *from = text, *to = arrow, *new_from = arrow + 2, *new_to = text + strlen(text);
    trim(&from, &to);
    trim(&new_from, &new_to);
    r->star = has_star(from, to);
    if (from == to)
        why = "the pattern is empty";
    else if (cut(from, to, &r->head, &r->head_bytes, &r->tail, &r->tail_bytes) != 0 ||
             cut(new_from, new_to, &r->new_head, &r->new_head_bytes, &r->new_tail, &r->new_tail_bytes) != 0)
        why = "at most one * is allowed on each side";
    else if (r->star != has_star(new_from, new_to))
        why = "pattern and replacement must both have a *, or neither";
    if (why)
        snprintf(problem, (size_t)size, "\"%.200s\": %s", text, why);
    return why ? -1 : 0;
}

int match_rule_check(const char *rule, char *problem, int size)
{
    struct rule r;
    struct text_hint hint;
    int presets = 0;
    if (preset_is(rule))
        return 0;
    while (preset_words[presets])
        presets++;
    if (!strstr(rule, "->") && text_meant(&hint, rule, preset_words, presets, "", "\"", "")[0]) {
        snprintf(problem, (size_t)size, "\"%.100s\" is no preset: %s", rule, hint.text);
        return -1;
    }
    return parse_rule(rule, &r, problem, size);
}

static int rule_matches(const struct rule *r, const char *name, size_t n)
{
    size_t head = (size_t)r->head_bytes, tail = (size_t)r->tail_bytes;
    return n >= head + tail && memcmp(name, r->head, head) == 0 &&
           (!r->star || memcmp(name + n - tail, r->tail, tail) == 0);
}

/* Applies a rule; *found: to how many names. */
static err_t apply_rule(struct matching *g, struct side *s, const char *text, int64_t *found, struct err *e)
{
    struct rule r;
    char problem[300];
    if (parse_rule(text, &r, problem, sizeof problem) != 0)
        return err_set(e, ERR_CONFIG, "rename: %s", problem);
    for (int64_t i = 0; i < s->list.n; i++) {
        const char *name = s->list.v[i].name;
        size_t n = strlen(name), head = (size_t)r.head_bytes;
        if (!rule_matches(&r, name, n))
            continue;
        int rest = (int)(n - head) - (r.star ? r.tail_bytes : 0);
        s->list.v[i].name = arena_printf(g->arena, e, "%.*s%.*s%.*s", r.new_head_bytes, r.new_head, rest,
                                         name + head, r.star ? r.new_tail_bytes : 0, r.new_tail);
        if (!s->list.v[i].name)
            return e->code;
        ++*found;
    }
    return ERR_OK;
}

static err_t apply_preset(struct matching *g, struct side *s, const char *word, int64_t *found, struct err *e)
{
    return preset_apply(word, &s->list.v, &s->list.n, found, g->side[BASE].checkpoint, s->checkpoint,
                        g->arena, e);
}

/* By the policy's rules; without any by a preset, where the names are a training library's. */
static err_t rename_side(struct matching *g, struct side *s, struct err *e)
{
    const struct text_list *rules = &g->policy->rename;
    int64_t found = 0;
    if (rules->n == 0) {
        g->m->preset = preset_guess(g->side[BASE].checkpoint, s->checkpoint);
        return g->m->preset ? apply_preset(g, s, g->m->preset, &found, e) : ERR_OK;
    }
    for (int k = 0; k < rules->n; k++) {
        found = 0;
        if (preset_is(rules->v[k]))
            TRY(apply_preset(g, s, rules->v[k], &found, e));
        else
            TRY(apply_rule(g, s, rules->v[k], &found, e));
        if (found == 0)
            return err_set(e, ERR_CONFIG,
                           "rename: \"%s\" matches none of the %" PRId64
                           " tensors of the tuned checkpoint %s (the first is %s)",
                           rules->v[k], s->list.n, s->checkpoint->path,
                           s->list.n > 0 ? s->list.v[0].name : "");
    }
    return ERR_OK;
}

/* ---- the two lists ---- */

static int by_name(const void *a, const void *b)
{
    const struct named_tensor *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : strcmp(x->tensor->name, y->tensor->name);
}

static err_t list_side(struct matching *g, int which, const struct checkpoint *c, struct err *e)
{
    struct side *s = &g->side[which];
    *s = (struct side){.checkpoint = c, .list = {.n = c->ntensors}};
    TRY(arena_array(g->arena, "match.names", s->list.n, &s->list.v, e));
    for (int64_t i = 0; i < s->list.n; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        s->list.v[i] = (struct named_tensor){t->name, t};
    }
    for (int64_t i = 0; which == BASE && i < s->list.n; i++)
        stacks_see(&g->stacks, s->list.v[i].name);
    if (which == BASE)
        return ERR_OK;
    TRY(rename_side(g, s, e));
    if (g->policy->rename.n == 0 && !g->m->preset)
        return ERR_OK;
    if (s->list.n > 0)
        qsort(s->list.v, (size_t)s->list.n, sizeof *s->list.v, by_name);
    for (int64_t i = 1; i < s->list.n; i++)
        if (strcmp(s->list.v[i - 1].name, s->list.v[i].name) == 0)
            return err_set(
                e, ERR_CONFIG, "rename: tensors %s and %s of the tuned checkpoint %s would both become %s",
                s->list.v[i - 1].tensor->name, s->list.v[i].tensor->name, c->path, s->list.v[i].name);
    return ERR_OK;
}

/* The next tensor of either side or both, in the order of names. 0 at the end. */
struct match_walk {
    int64_t at[SIDES];
    const struct named_tensor *base, *tuned; /* NULL: not on this side */
};

static int next(const struct matching *g, struct match_walk *w)
{
    const struct side *b = &g->side[BASE], *t = &g->side[TUNED];
    int more_base = w->at[BASE] < b->list.n, more_tuned = w->at[TUNED] < t->list.n;
    if (!more_base && !more_tuned)
        return 0;
    const struct named_tensor *x = &b->list.v[w->at[BASE]], *y = &t->list.v[w->at[TUNED]];
    int order = !more_base ? 1 : !more_tuned ? -1 : strcmp(x->name, y->name);
    w->base = order <= 0 ? x : NULL;
    w->tuned = order >= 0 ? y : NULL;
    w->at[BASE] += order <= 0;
    w->at[TUNED] += order >= 0;
    return 1;
}

/* ---- leaving out ---- */

/* One row of table skipped. parameters: elements that are therefore not in the headline. */
static err_t skip(struct matching *g, const char *tensor, int64_t parameters, const char *reason,
                  struct err *e)
{
    if (g->first_reason[0] == '\0')
        snprintf(g->first_reason, sizeof g->first_reason, "; %.120s: %.250s", tensor, reason);
    g->m->skipped_parameters += parameters;
    if (!g->skipped)
        return ERR_OK;
    return TABLE_ADD(g->skipped, e, V_TEXT(g->cell), V_TEXT(g->node), V_TEXT(tensor), V_INT(parameters),
                     V_TEXT(reason));
}

/* What serves the decoding of another tensor, on either side (x, y: NULL where it is not there): used with
 * it, not compared. */
static err_t skip_helper(struct matching *g, const struct stored_tensor *x, const struct stored_tensor *y,
                         struct err *e)
{
    const struct decoding *d = x ? decoder_served(x) : NULL;
    d = d ? d : decoder_served(y);
    char *reason = arena_printf(g->arena, e, "%s of %s", d->by->helper, d->of->name);
    return reason ? skip(g, x ? x->name : y->name, 0, reason, e) : e->code;
}

/* What is no parameter on either side, or on one. */
static err_t skip_no_parameter(struct matching *g, const struct stored_tensor *x,
                               const struct stored_tensor *y, const char *what, struct err *e)
{
    char *reason = arena_printf(g->arena, e, "%s%s", what, x && y ? "" : ", on one side only");
    return reason ? skip(g, x ? x->name : y->name, 0, reason, e) : e->code;
}

/* What a model computes from its config and keeps beside its parameters: GPT-2's and GPT-NeoX's causal mask,
 * positions, frequencies of rotary embeddings. Libraries save it or not. */
static int is_buffer(const struct stored_tensor *t)
{
    static const char *const ends[] = {"attn.masked_bias",       "attention.masked_bias",
                                       "rotary_emb.inv_freq",    "rotary_emb.original_inv_freq",
                                       "rotary_emb.cos_cached",  "rotary_emb.sin_cached",
                                       "embeddings.position_ids"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (text_ends_with(t->name, ends[i]))
            return 1;
    return (text_ends_with(t->name, "attn.bias") || text_ends_with(t->name, "attention.bias")) &&
           t->ndim == 4 && t->dims[0] == 1 && t->dims[1] == 1 && t->dims[2] == t->dims[3];
}

/* Why a tensor is no parameter of a model, whatever the other side has; NULL: it may be one. */
static const char *no_parameter(const struct stored_tensor *t)
{
    return is_buffer(t)                                  ? "a buffer, which is no parameter"
           : quantized_is_scale(t) && !decoder_served(t) ? "a scale, which is no parameter"
                                                         : NULL;
}

/* Of two checkpoints whose weights are integers of the same kind, these are compared; scales are not. */
static int is_beside_integers(const struct matching *g, const struct stored_tensor *t)
{
    return g->side[BASE].checkpoint->quantized.integers && quantized_is_beside(t->name) && !t->decoding;
}

/* The embedding that takes an absent head's place; NULL: this side has none, or says that it has a head.
 * head: the other side's. */
static const struct named_tensor *tied_to(const struct side *s, const struct named_tensor *x)
{
    static const char lm_head[] = "lm_head.weight";
    const struct stored_tensor *head = x->tensor;
    const struct named_tensor *embedding = NULL;
    if (!text_ends_with(head->name, lm_head) && !text_ends_with(x->name, lm_head))
        return NULL;
    if (s->checkpoint->config.tied == MODEL_TIED_NO)
        return NULL;
    for (int64_t i = 0; i < s->list.n && !embedding; i++)
        if (s->list.v[i].tensor->layer < 0 && (text_ends_with(s->list.v[i].name, "embed_tokens.weight") ||
                                               text_ends_with(s->list.v[i].name, "wte.weight")))
            embedding = &s->list.v[i];
    if (!embedding || s->checkpoint->config.tied == MODEL_TIED_YES)
        return embedding;
    const struct stored_tensor *t = embedding->tensor;
    int same = t->ndim == head->ndim && memcmp(t->dims, head->dims, (size_t)t->ndim * sizeof *t->dims) == 0;
    return same ? embedding : NULL;
}

/* Which side lacks the tensor. */
static const struct side *lacking(const struct matching *g, const struct match_walk *w)
{
    return &g->side[w->base ? TUNED : BASE];
}

static err_t skip_unmatched(struct matching *g, const struct match_walk *w, struct err *e)
{
    const struct named_tensor *x = w->base ? w->base : w->tuned;
    const struct named_tensor *embedding = tied_to(lacking(g, w), x);
    char *reason;
    if (embedding)
        reason = arena_printf(g->arena, e, "tied to %s on the %s side", embedding->name,
                              side_names[w->base ? TUNED : BASE]);
    else
        reason = arena_printf(
            g->arena, e, "only in the %s checkpoint%s%s", side_names[w->base ? BASE : TUNED],
            x->name == x->tensor->name ? "" : ", renamed to ", x->name == x->tensor->name ? "" : x->name);
    return reason ? skip(g, x->tensor->name, x->tensor->elements, reason, e) : e->code;
}

/* Names are matched in full before shapes are looked at, so that the message counts them all. */
static err_t check_names(const struct matching *g, struct err *e)
{
    int64_t n[SIDES] = {0, 0};
    const struct named_tensor *first[SIDES] = {NULL, NULL};
    for (struct match_walk w = {{0, 0}, NULL, NULL}; next(g, &w);) {
        const struct named_tensor *x = w.base ? w.base : w.tuned;
        int has = w.base ? BASE : TUNED;
        if ((w.base && w.tuned) || decoder_served(x->tensor) || no_parameter(x->tensor) ||
            is_beside_integers(g, x->tensor) || tied_to(lacking(g, &w), x))
            continue;
        if (n[has]++ == 0)
            first[has] = x;
    }
    if (n[BASE] + n[TUNED] == 0 || g->policy->skip_unmatched)
        return ERR_OK;
    int has = n[BASE] > 0 ? BASE : TUNED, lacks = TUNED - has;
    return err_set(
        e, ERR_DATA,
        "tensor %s is in the %s checkpoint %s, but not in the %s checkpoint %s; tensors in the "
        "base only: %lld, in the tuned only: %lld; expected the same names on both sides: "
        "\"rename\" of delta matches names that differ, \"unmatched: skip\" leaves the others out%s%s",
        first[has]->name, side_names[has], g->side[has].checkpoint->path, side_names[lacks],
        g->side[lacks].checkpoint->path, (long long)n[BASE], (long long)n[TUNED], g->packing.hint ? "; " : "",
        g->packing.hint ? g->packing.hint : "");
}

/* ---- shapes and types ---- */

/* May the number of rows differ? All else must be the same. */
static int differ_in_rows(const char *name, const struct stored_tensor *x, const struct stored_tensor *y)
{
    if (x->ndim != y->ndim || x->ndim < 1 || x->ndim > 2)
        return 0;
    if (x->ndim == 2)
        return x->dims[1] == y->dims[1];
    return strstr(name, "embed") || strstr(name, "lm_head") || strstr(name, "wte");
}

enum { COMPARE, LEAVE_OUT };

/* Are the shapes compared, and with how many rows? A part or a whole that is not has its row in table skipped
 * then. */
static err_t match_shapes(struct matching *g, const char *name, const struct stored_tensor *x,
                          const struct stored_tensor *y, int64_t *rows, int *verdict, struct err *e)
{
    char shape_x[200], shape_y[200], reason[450];
    *verdict = COMPARE;
    *rows = x->ndim > 0 ? x->dims[0] : 1;
    if (x->ndim == y->ndim && memcmp(x->dims, y->dims, (size_t)x->ndim * sizeof *x->dims) == 0)
        return ERR_OK;
    shape_text(x->ndim, x->dims, shape_x, sizeof shape_x);
    shape_text(y->ndim, y->dims, shape_y, sizeof shape_y);
    int only_rows = differ_in_rows(name, x, y);
    if (!only_rows || g->policy->rows == MATCH_ROWS_FAIL)
        return err_set(
            e, ERR_DATA,
            "tensor %s: shape %s in the base checkpoint %s, %s in the tuned checkpoint %s; expected "
            "the same shape%s",
            name, shape_x, g->side[BASE].checkpoint->path, shape_y, g->side[TUNED].checkpoint->path,
            only_rows ? ": \"rows: common\" of delta compares the rows that both have, \"rows: "
                        "skip\" leaves the tensor out"
                      : "");
    int64_t more = x->elements > y->elements ? x->elements : y->elements;
    if (g->policy->rows == MATCH_ROWS_SKIP) {
        *verdict = LEAVE_OUT;
        snprintf(reason, sizeof reason, "shape %s in the base, %s in the tuned checkpoint", shape_x, shape_y);
        return skip(g, name, more, reason, e);
    }
    int side = x->dims[0] > y->dims[0] ? BASE : TUNED;
    int64_t all = side == BASE ? x->dims[0] : y->dims[0];
    *rows = side == BASE ? y->dims[0] : x->dims[0];
    snprintf(reason, sizeof reason, "rows %lld..%lld only in %s", (long long)*rows, (long long)all - 1,
             side_names[side]);
    return skip(g, name, more - (x->elements < y->elements ? x->elements : y->elements), reason, e);
}

/* A tensor whose elements say nothing by themselves must be decoded, or the reason why it cannot be. */
static err_t check_decoding(const struct matching *g, int which, const struct stored_tensor *t, struct err *e)
{
    const struct decoding *d = decoder_decoding(t);
    if (!d || !d->problem)
        return ERR_OK;
    return err_set(e, ERR_DATA, "tensor %s of the %s checkpoint %s is %s%s", t->name, side_names[which],
                   g->side[which].checkpoint->path, dtype_name(t->dtype), d->problem);
}

/* Is the tensor for multi-token prediction: called so (mtp.layers.0, mtp.fc of Qwen), or in a layer of the
 * language model beyond those of the model proper (layer 61 of DeepSeek-V3)? Towers of other kinds (vision)
 * have layers of their own. */
static int is_mtp(const struct matching *g, const struct stack_place *p)
{
    int64_t layers = g->side[BASE].checkpoint->config.layers;
    return p->kind == STACK_MTP || (p->kind == STACK_OWN && layers > 0 && p->layer >= layers);
}

static err_t add(struct matching *g, int aside, const struct stored_tensor *x, const struct stored_tensor *y,
                 const struct stack_place *place, int64_t rows, struct err *e)
{
    if (!g->stack || strcmp(g->stack, place->stack) != 0) /* a tower's tensors follow each other */
        g->stack = arena_strdup(g->arena, place->stack, e);
    if (!g->stack)
        return e->code;
    struct match_set *s = aside ? &g->m->aside : &g->m->main;
    int64_t i = s->layout.ntensors, *cap = g->cap[aside];
    TRY(arena_grow(g->arena, "match.tensors", i + 1, &cap[0], &s->layout.tensors, e));
    TRY(arena_grow(g->arena, "match.sides", i + 1, &cap[1], &s->base, e));
    TRY(arena_grow(g->arena, "match.sides", i + 1, &cap[2], &s->tuned, e));
    struct layout_tensor *t = &s->layout.tensors[i];
    *t = (struct layout_tensor){.name = x->name,
                                .module = x->module,
                                .stack = g->stack,
                                .layer = place->layer,
                                .ndim = x->ndim,
                                .elements = x->elements,
                                .dtype_base = dtype_name(x->dtype),
                                .dtype_tuned = dtype_name(y->dtype)};
    memcpy(t->dims, x->dims, sizeof t->dims);
    if (x->ndim > 0 && rows != x->dims[0]) {
        t->elements = x->elements / x->dims[0] * rows; /* fewer rows than it has: it has some */
        t->dims[0] = rows;
    }
    s->base[i] = x;
    s->tuned[i] = y;
    s->layout.ntensors++;
    return ERR_OK;
}

static err_t match_tensors(struct matching *g, const struct match_walk *w, struct err *e)
{
    const struct stored_tensor *x = w->base->tensor, *y = w->tuned->tensor;
    int64_t rows;
    int verdict, numbers = decoder_is_number(x) && decoder_is_number(y);
    TRY(match_shapes(g, x->name, x, y, &rows, &verdict, e));
    if (verdict == LEAVE_OUT)
        return ERR_OK;
    int64_t elements = x->ndim > 0 && x->dims[0] > 0 ? x->elements / x->dims[0] * rows : x->elements;
    char reason[160];
    if (!numbers && (x->dtype != y->dtype || !dtype_is_bits(x->dtype))) {
        int other = dtype_is_bits(x->dtype) || decoder_is_number(x);
        if (x->dtype == y->dtype || !other)
            snprintf(reason, sizeof reason, "type %s is not compared", dtype_name(x->dtype));
        else
            snprintf(reason, sizeof reason,
                     "type %s in the base is not compared with %s in the tuned checkpoint",
                     dtype_name(x->dtype), dtype_name(y->dtype));
        return skip(g, x->name, elements, reason, e);
    }
    TRY(check_decoding(g, BASE, x, e));
    TRY(check_decoding(g, TUNED, y, e));
    struct stack_place place;
    stacks_place(&g->stacks, x->name, &place);
    int mtp = !g->policy->include_mtp && is_mtp(g, &place);
    TRY(add(g, mtp || !numbers, x, y, &place, rows, e));
    if (!mtp && numbers)
        return ERR_OK;
    if (mtp && x->layer < 0)
        snprintf(reason, sizeof reason, "multi-token prediction");
    else if (mtp)
        snprintf(reason, sizeof reason, "multi-token-prediction layer %lld", (long long)x->layer);
    else
        snprintf(reason, sizeof reason, "type %s: compared by bits only", dtype_name(x->dtype));
    return skip(g, x->name, elements, reason, e);
}

/* ---- all of it ---- */

static err_t match_all(struct matching *g, struct err *e)
{
    for (struct match_walk w = {{0, 0}, NULL, NULL}; next(g, &w);) {
        const struct stored_tensor *x = w.base ? w.base->tensor : NULL, *y = w.tuned ? w.tuned->tensor : NULL;
        const char *reason = no_parameter(x ? x : y);
        if ((x && decoder_served(x)) || (y && decoder_served(y)))
            TRY(skip_helper(g, x, y, e));
        else if (is_beside_integers(g, x ? x : y))
            TRY(skip(g, x ? x->name : y->name, 0, "scale of integers", e));
        else if (reason)
            TRY(skip_no_parameter(g, x, y, reason, e));
        else if (w.base && w.tuned)
            TRY(match_tensors(g, &w, e));
        else
            TRY(skip_unmatched(g, &w, e));
    }
    for (int64_t i = 0; i < g->packing.nnotes; i++)
        TRY(skip(g, g->packing.notes[i].tensor, 0, g->packing.notes[i].reason, e));
    layout_number(&g->m->main.layout);
    layout_number(&g->m->aside.layout);
    return ERR_OK;
}

/* The layers of the model proper must be known, or known to be said nowhere. */
static err_t check_config(const struct checkpoint *base, const struct match_policy *policy, struct err *e)
{
    if (policy->include_mtp || !base->config.problem)
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%s; the file tells layers for multi-token prediction from the model's own: mend it, or do without "
        "it by \"mtp: include\" of delta",
        base->config.problem);
}

/* Codes of a quantizer are no weights, whatever the policy says; but of two sides whose weights are integers
 * of one kind the bits can be compared. */
static err_t check_quantized(const struct matching *g, struct err *e)
{
    const struct checkpoint *both[] = {g->side[BASE].checkpoint, g->side[TUNED].checkpoint};
    int which = both[TUNED]->quantized.by ? TUNED : BASE;
    if (!both[which]->quantized.by ||
        quantized_same_integers(&both[BASE]->quantized, &both[TUNED]->quantized))
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "the %s checkpoint %s is quantized after training (%s): comparing measures the quantizer, not "
        "the training; expected the weights that the quantizer was given",
        side_names[which], both[which]->path, both[which]->quantized.by);
}

err_t match_build(struct match *m, const struct checkpoint *base, const struct checkpoint *tuned,
                  const struct match_policy *policy, const char *cell, const char *node,
                  struct table *skipped, struct arena *a, struct err *e)
{
    struct matching *g;
    *m = (struct match){.skipped_parameters = 0};
    TRY(arena_array(a, "match", 1, &g, e));
    *g = (struct matching){
        .m = m, .policy = policy, .cell = cell, .node = node, .skipped = skipped, .arena = a};
    TRY(check_config(base, policy, e));
    TRY(list_side(g, BASE, base, e));
    TRY(list_side(g, TUNED, tuned, e));
    TRY(check_quantized(g, e));
    TRY(packing_align(&g->packing, &g->side[BASE].list, &g->side[TUNED].list, a, e));
    TRY(check_names(g, e));
    TRY(match_all(g, e));
    if (m->main.layout.ntensors == 0)
        return err_set(
            e, ERR_DATA,
            "nothing to compare: of the tensors of %s (%lld) and %s (%lld) none is a number on both "
            "sides%s",
            base->path, (long long)base->ntensors, tuned->path, (long long)tuned->ntensors, g->first_reason);
    arena_drop(a, g->side[BASE].list.v);
    arena_drop(a, g->side[TUNED].list.v);
    arena_drop(a, g);
    return ERR_OK;
}
