#include "compare/match.h"

#include "compare/names/preset.h"
#include "compare/names/rename.h"
#include "compare/names/suggest.h"
#include "compare/packing.h"
#include "elements/stack.h"
#include "formats/decoder.h"
#include "formats/head.h"

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

/* ---- the two lists ---- */

/* By the policy's rules; without any by a preset, where the names are a training library's. */
static err_t rename_side(struct matching *g, struct side *s, struct err *e)
{
    const struct text_list *rules = &g->policy->rename;
    const struct checkpoint *base = g->side[BASE].checkpoint;
    int64_t found;
    if (rules->n == 0) {
        const char *preset = preset_guess(base, s->checkpoint);
        if (!preset)
            return ERR_OK;
        g->m->naming =
            arena_printf(g->arena, e, "the tuned checkpoint's names are %s's, brought to the base's", preset);
        return rename_apply(&s->list, preset, &found, base, s->checkpoint, g->arena, e);
    }
    for (int k = 0; k < rules->n; k++) {
        TRY(rename_apply(&s->list, rules->v[k], &found, base, s->checkpoint, g->arena, e));
        if (found == 0)
            return err_set(e, ERR_CONFIG,
                           "rename: \"%s\" matches none of the %" PRId64
                           " tensors of the tuned checkpoint %s (the first is %s)",
                           rules->v[k], s->list.n, s->checkpoint->path,
                           s->list.n > 0 ? s->list.v[0].name : "");
    }
    return ERR_OK;
}

static err_t list_side(struct matching *g, int which, const struct checkpoint *c, struct err *e)
{
    struct side *s = &g->side[which];
    *s = (struct side){.checkpoint = c};
    TRY(named_list_of(&s->list, c->tensors, c->ntensors, g->arena, e));
    for (int64_t i = 0; which == BASE && i < s->list.n; i++)
        stacks_see(&g->stacks, s->list.v[i].name);
    if (which == BASE)
        return ERR_OK;
    TRY(rename_side(g, s, e));
    return g->policy->rename.n == 0 && !g->m->naming ? ERR_OK : rename_sort(&s->list, c, e);
}

/* Where nothing was said of names, and no preset is needed. */
static err_t take_off_wrappers(struct matching *g, struct err *e)
{
    struct side *b = &g->side[BASE], *t = &g->side[TUNED];
    const char *words;
    if (g->policy->rename.n > 0 || g->m->naming)
        return ERR_OK;
    TRY(suggest_unwrapped(&b->list, b->checkpoint, &t->list, t->checkpoint, &words, g->arena, e));
    if (!words)
        return ERR_OK;
    g->m->naming =
        arena_printf(g->arena, e, "names are matched without %s, which wrappers of modules put there", words);
    return g->m->naming ? ERR_OK : e->code;
}

static int next(const struct matching *g, struct named_walk *w)
{
    return named_next(&g->side[BASE].list, &g->side[TUNED].list, w);
}

/* ---- leaving out ---- */

/* One row of table skipped. parameters: elements that are therefore not in the headline. */
static err_t skip(struct matching *g, const char *tensor, int64_t parameters, const char *reason,
                  struct err *e)
{
    if (g->first_reason[0] == '\0')
        snprintf(g->first_reason, sizeof g->first_reason, "; %.120s: %.250s", tensor, reason);
    g->m->skipped_parameters += parameters;
    coverage_leave(&g->m->coverage, tensor, parameters, reason);
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

static int is_head(const struct named_tensor *x)
{
    return head_is(x->tensor->name, x->tensor->layer) || head_is(x->name, x->tensor->layer);
}

static int same_shape(const struct stored_tensor *x, const struct stored_tensor *y)
{
    return x->ndim == y->ndim && memcmp(x->dims, y->dims, (size_t)x->ndim * sizeof *x->dims) == 0;
}

/* Which side lacks the tensor. */
static const struct side *lacking(const struct matching *g, const struct named_walk *w)
{
    return &g->side[w->base ? TUNED : BASE];
}

/* The embedding that takes an absent head's place; NULL: the side that lacks it has none, or says that its
 * head is its own, or says nothing where the other side says so. */
static const struct named_tensor *tied_to(const struct matching *g, const struct named_walk *w)
{
    const struct side *s = lacking(g, w);
    const struct named_tensor *head = w->base ? w->base : w->tuned, *embedding = NULL;
    enum model_tied says = s->checkpoint->config.tied;
    if (says == MODEL_TIED_UNKNOWN)
        says = g->side[w->base ? BASE : TUNED].checkpoint->config.tied;
    if (!is_head(head) || says == MODEL_TIED_NO)
        return NULL;
    for (int64_t i = 0; i < s->list.n && !embedding; i++)
        if (head_is_embedding(s->list.v[i].name, s->list.v[i].tensor->layer))
            embedding = &s->list.v[i];
    if (!embedding || says == MODEL_TIED_YES)
        return embedding;
    return same_shape(embedding->tensor, head->tensor) ? embedding : NULL;
}

static err_t skip_unmatched(struct matching *g, const struct named_walk *w, struct err *e)
{
    const struct named_tensor *x = w->base ? w->base : w->tuned;
    const struct named_tensor *embedding = tied_to(g, w);
    char *reason;
    if (embedding)
        reason = arena_printf(g->arena, e, "tied to %s on the %s side", embedding->name,
                              side_names[w->base ? TUNED : BASE]);
    else
        reason = arena_printf(
            g->arena, e, "only in the %s checkpoint%s%s", side_names[w->base ? BASE : TUNED],
            x->name == x->tensor->name ? "" : ", renamed to ", x->name == x->tensor->name ? "" : x->name);
    g->m->coverage.parameters[w->base ? BASE : TUNED] += x->tensor->elements;
    return reason ? skip(g, x->tensor->name, x->tensor->elements, reason, e) : e->code;
}

/* The rules of "rename" that would help, as the end of a message; "" where none does. Trying them takes a
 * look at all names for each, which is for the way of failure only. */
static const char *rename_hint(const struct matching *g, struct err *e)
{
    const char *hint =
        suggest_rename(g->side[BASE].checkpoint, g->side[TUNED].checkpoint, &g->policy->rename, g->arena);
    const char *text = hint ? arena_printf(g->arena, e, "; %s", hint) : "";
    return text ? text : "";
}

/* Unmatched names of one side: how many, and the first. */
struct unmatched {
    int64_t n;
    const char *first;
    char names[320];
};

static void add_unmatched(struct unmatched *u, const char *name)
{
    enum { SHOWN = 3 };
    size_t used = strlen(u->names);
    if (u->n == 0)
        u->first = name;
    if (u->n <= SHOWN)
        snprintf(u->names + used, sizeof u->names - used, "%s%.100s", u->n > 0 ? ", " : "",
                 u->n < SHOWN ? name : "...");
    u->n++;
}

/* Names are matched in full before shapes are looked at, so that the message counts them all. */
static err_t check_names(const struct matching *g, struct err *e)
{
    struct unmatched of[SIDES] = {{.n = 0}, {.n = 0}};
    for (struct named_walk w = {{0, 0}, NULL, NULL}; next(g, &w);) {
        const struct named_tensor *x = w.base ? w.base : w.tuned;
        if ((w.base && w.tuned) || decoder_served(x->tensor) || no_parameter(x->tensor) ||
            is_beside_integers(g, x->tensor) || tied_to(g, &w))
            continue;
        add_unmatched(&of[w.base ? BASE : TUNED], x->name);
    }
    if (of[BASE].n + of[TUNED].n == 0 || g->policy->skip_unmatched)
        return ERR_OK;
    int has = of[BASE].n > 0 ? BASE : TUNED, lacks = TUNED - has;
    return err_set(
        e, ERR_DATA,
        "tensor %.200s is in the %s checkpoint %.150s, but not in the %s checkpoint %.150s; tensors in the "
        "base only: %lld, in the tuned only: %lld%s%s%s%s; expected the same names on both sides: "
        "\"rename\" of delta matches names that differ, \"unmatched: skip\" leaves the others out%s%s%s",
        of[has].first, side_names[has], g->side[has].checkpoint->path, side_names[lacks],
        g->side[lacks].checkpoint->path, (long long)of[BASE].n, (long long)of[TUNED].n,
        of[BASE].n > 0 ? "; the base's are " : "", of[BASE].names,
        of[TUNED].n > 0 ? "; the tuned side's are " : "", of[TUNED].names, g->packing.hint ? "; " : "",
        g->packing.hint ? g->packing.hint : "", rename_hint(g, e));
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
    if (same_shape(x, y))
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

/* Two tensors that are compared. of: the one whose name, module and layer the pair has. own: on which sides
 * it is a parameter of its own, which an equal copy of another tensor is not, nor an embedding that stands in
 * for a head. */
struct match_pair {
    const struct stored_tensor *of, *side[SIDES];
    int own[SIDES];
};

static err_t add(struct matching *g, int aside, const struct match_pair *p, const struct stack_place *place,
                 int64_t rows, struct err *e)
{
    if (!g->stack || strcmp(g->stack, place->stack) != 0) /* a tower's tensors follow each other */
        g->stack = arena_strdup(g->arena, place->stack, e);
    if (!g->stack)
        return e->code;
    struct match_set *s = aside ? &g->m->aside : &g->m->main;
    const struct stored_tensor *x = p->side[BASE];
    int64_t i = s->layout.ntensors, *cap = g->cap[aside];
    TRY(arena_grow(g->arena, "match.tensors", i + 1, &cap[0], &s->layout.tensors, e));
    TRY(arena_grow(g->arena, "match.sides", i + 1, &cap[1], &s->base, e));
    TRY(arena_grow(g->arena, "match.sides", i + 1, &cap[2], &s->tuned, e));
    struct layout_tensor *t = &s->layout.tensors[i];
    *t = (struct layout_tensor){.name = p->of->name,
                                .module = p->of->module,
                                .stack = g->stack,
                                .layer = place->layer,
                                .ndim = x->ndim,
                                .elements = x->elements,
                                .dtype_base = dtype_name(x->dtype),
                                .dtype_tuned = dtype_name(p->side[TUNED]->dtype)};
    memcpy(t->dims, x->dims, sizeof t->dims);
    if (x->ndim > 0 && rows != x->dims[0]) {
        t->elements = x->elements / x->dims[0] * rows; /* fewer rows than it has: it has some */
        t->dims[0] = rows;
    }
    for (int k = 0; k < SIDES && !aside; k++)
        g->m->coverage.compared[k] += p->own[k] ? t->elements : 0;
    s->base[i] = x;
    s->tuned[i] = p->side[TUNED];
    s->layout.ntensors++;
    return ERR_OK;
}

static err_t match_tensors(struct matching *g, const struct match_pair *p, struct err *e)
{
    const struct stored_tensor *x = p->side[BASE], *y = p->side[TUNED];
    const char *name = p->of->name;
    int64_t rows;
    int verdict, numbers = decoder_is_number(x) && decoder_is_number(y);
    for (int k = 0; k < SIDES; k++)
        g->m->coverage.parameters[k] += p->own[k] ? p->side[k]->elements : 0;
    TRY(match_shapes(g, name, x, y, &rows, &verdict, e));
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
        return skip(g, name, elements, reason, e);
    }
    TRY(check_decoding(g, BASE, x, e));
    TRY(check_decoding(g, TUNED, y, e));
    struct stack_place place;
    stacks_place(&g->stacks, name, &place);
    int mtp = !g->policy->include_mtp && is_mtp(g, &place);
    TRY(add(g, mtp || !numbers, p, &place, rows, e));
    if (!mtp && numbers)
        return ERR_OK;
    if (mtp && p->of->layer < 0)
        snprintf(reason, sizeof reason, "multi-token prediction");
    else if (mtp)
        snprintf(reason, sizeof reason, "multi-token-prediction layer %lld", (long long)p->of->layer);
    else
        snprintf(reason, sizeof reason, "type %s: compared by bits only", dtype_name(x->dtype));
    return skip(g, name, elements, reason, e);
}

/* ---- heads ---- */

/* Is the head an equal copy of its side's embedding? */
static int is_copied(const struct side *s, const struct stored_tensor *head)
{
    const char *copied = s->checkpoint->copied_head;
    return head && copied && strcmp(copied, head->name) == 0;
}

/* A head that the other side ties to its embedding is compared with that, if it has drifted from its own. */
static err_t match_lone_head(struct matching *g, const struct named_walk *w, struct err *e)
{
    const struct named_tensor *head = w->base ? w->base : w->tuned;
    const struct named_tensor *embedding = tied_to(g, w);
    int has = w->base ? BASE : TUNED;
    if (embedding && is_copied(&g->side[has], head->tensor))
        return skip(g, head->tensor->name, 0, "an equal copy of the embedding, which is no parameter", e);
    if (!embedding || (!same_shape(embedding->tensor, head->tensor) && g->policy->rows != MATCH_ROWS_COMMON))
        return skip_unmatched(g, w, e);
    struct stored_tensor *of;
    TRY(arena_array(g->arena, "match.head", 1, &of, e));
    *of = *head->tensor;
    of->name = head->name;
    struct match_pair p = {.of = of};
    p.side[has] = head->tensor;
    p.side[SIDES - 1 - has] = embedding->tensor;
    p.own[has] = 1;
    char *reason = arena_printf(g->arena, e, "tied to %s on the %s side, and compared with it",
                                embedding->name, side_names[SIDES - 1 - has]);
    return reason && skip(g, head->tensor->name, 0, reason, e) == ERR_OK ? match_tensors(g, &p, e) : e->code;
}

/* ---- all of it ---- */

static err_t match_both(struct matching *g, const struct stored_tensor *x, const struct stored_tensor *y,
                        struct err *e)
{
    const struct match_pair p = {
        .of = x, .side = {x, y}, .own = {!is_copied(&g->side[BASE], x), !is_copied(&g->side[TUNED], y)}};
    if (!p.own[BASE] && !p.own[TUNED])
        return skip(g, x->name, 0, "an equal copy of the embedding on both sides, which is no parameter", e);
    return match_tensors(g, &p, e);
}

static err_t match_one(struct matching *g, const struct named_walk *w, struct err *e)
{
    const struct stored_tensor *x = w->base ? w->base->tensor : NULL, *y = w->tuned ? w->tuned->tensor : NULL;
    if ((x && decoder_served(x)) || (y && decoder_served(y)))
        return skip_helper(g, x, y, e);
    if (is_beside_integers(g, x ? x : y))
        return skip(g, x ? x->name : y->name, 0, "scale of integers", e);
    const char *reason = no_parameter(x ? x : y);
    if (reason)
        return skip_no_parameter(g, x, y, reason, e);
    if (x && y)
        return match_both(g, x, y, e);
    return is_head(w->base ? w->base : w->tuned) ? match_lone_head(g, w, e) : skip_unmatched(g, w, e);
}

static err_t match_all(struct matching *g, struct err *e)
{
    for (struct named_walk w = {{0, 0}, NULL, NULL}; next(g, &w);)
        TRY(match_one(g, &w, e));
    for (int64_t i = 0; i < g->packing.nnotes; i++)
        TRY(skip(g, g->packing.notes[i].tensor, 0, g->packing.notes[i].reason, e));
    layout_number(&g->m->main.layout);
    layout_number(&g->m->aside.layout);
    return ERR_OK;
}

/* Is as much compared as the policy asks for? */
static err_t check_coverage(const struct matching *g, struct err *e)
{
    const struct coverage *c = &g->m->coverage;
    if (coverage_share(c, -1) >= g->policy->coverage)
        return ERR_OK;
    return coverage_check(c, g->policy->coverage, g->side[BASE].checkpoint->path,
                          g->side[TUNED].checkpoint->path, rename_hint(g, e), e);
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
    TRY(take_off_wrappers(g, e));
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
    TRY(check_coverage(g, e));
    arena_drop(a, g->side[BASE].list.v);
    arena_drop(a, g->side[TUNED].list.v);
    arena_drop(a, g);
    return ERR_OK;
}
