#include "formats/lora/graft.h"

#include "base/dict.h"
#include "formats/decoders/merge.h"
#include "formats/decoders/view.h"
#include "formats/lora/target.h"

#include <stdlib.h>
#include <string.h>

/* The targets of an adapter, and what they are looked up in. */
struct targets {
    int64_t n, cap;
    struct target *v;
    struct dict by_name; /* "DEPTH MODULE" */
};

static struct target_base base_of(const struct graft *g)
{
    return (struct target_base){g->list->tensors, g->list->ntensors};
}

/* ---- what is brought whole ---- */

/* A tensor under a name of the base, or a new one. Its numbers are rounded to the type of what it replaces,
 * as they are when it is loaded; but not where nothing is rounded. */
static err_t replace(struct graft *g, const struct graft_part *p, int64_t at, struct arena *a, struct err *e)
{
    struct stored_tensor *of = &g->list->tensors[at], old = *of, *brought;
    g->nreplaced++;
    if (g->replaced[at]++)
        return err_set(e, ERR_DATA, "%s: tensor %s takes the place of %s, and so does another", g->path,
                       p->t->name, of->name);
    *of = *p->t;
    of->name = old.name;
    of->layer = old.layer;
    of->module = old.module;
    if (p->t->dtype == old.dtype || g->choice->adapter == CHOICE_ADAPTER_EXACT || old.decoding ||
        !dtype_is_compared(p->t->dtype) || !dtype_is_compared(old.dtype) || old.dtype == DTYPE_F64)
        return ERR_OK;
    TRY(arena_array(a, "adapter.hidden", 1, &brought, e));
    *brought = *p->t;
    const struct merge_parts parts = {.mode = MERGE_COPY, .weight = &old, .update = brought, .scale = 1};
    of->cut = NULL;
    of->strides = NULL;
    of->offset_bytes = 0;
    return merge_make(of, &parts, a, e);
}

static err_t add_new(struct graft *g, const struct graft_part *p, struct arena *a, struct err *e)
{
    struct stored_tensor *t = &g->list->tensors[g->list->ntensors];
    char module[200];
    *t = *p->t;
    t->name = p->key.module;
    t->layer = tensor_layer(t->name);
    tensor_module(t->name, module, sizeof module);
    t->module = arena_strdup(a, module, e);
    g->list->ntensors++;
    g->nreplaced++;
    return e->code;
}

/* Is a tensor of the base brought by some part under its own name? */
static int is_brought(const struct graft *g, const struct target_base *base, int64_t at)
{
    for (int64_t i = 0; i < g->nparts; i++)
        if (g->parts[i].key.kind == LORA_WHOLE && target_find(base, g->parts[i].key.module) == at)
            return 1;
    return 0;
}

/* A tensor that the base does not have: a new one, or, where it is a copy of a head that is the embedding,
 * the embedding: in the library both are one parameter, which is loaded twice. */
static err_t bring_other(struct graft *g, const struct graft_part *p, const struct target_base *base,
                         struct arena *a, struct err *e)
{
    int64_t tied = p->key.kind == LORA_WHOLE ? target_find_tied(base, p->key.module) : -1;
    if (tied < 0)
        return add_new(g, p, a, e);
    if (is_brought(g, base, tied))
        return ERR_OK;
    return p->key.wrapped ? replace(g, p, tied, a, e) : add_new(g, p, a, e);
}

/* Before anything is decoded, so that new tensors find their place among the others. */
static err_t bring_whole(struct graft *g, struct arena *a, struct err *e)
{
    const struct target_base base = base_of(g);
    TRY(arena_array(a, "adapter.replaced", base.n, &g->replaced, e));
    for (int64_t i = 0; i < g->nparts; i++) {
        const struct graft_part *p = &g->parts[i];
        if (p->key.kind != LORA_WHOLE && p->key.kind != LORA_SAVED)
            continue;
        int64_t at = target_find(&base, p->key.module);
        TRY(at >= 0 ? replace(g, p, at, a, e) : bring_other(g, p, &base, a, e));
    }
    stored_sort(g->list);
    for (int64_t i = 1; i < g->list->ntensors; i++)
        if (strcmp(g->list->tensors[i - 1].name, g->list->tensors[i].name) == 0)
            return err_set(e, ERR_DATA, "%s: two tensors are %s of the model", g->path,
                           g->list->tensors[i].name);
    return ERR_OK;
}

/* ---- targets ---- */

/* Where a part of this kind goes in its target; NULL: it is none. */
static const struct stored_tensor **place_of(struct target *t, enum lora_kind kind)
{
    switch (kind) {
    case LORA_EMBEDDING_A:
        t->is_embedding = 1;
        return &t->a;
    case LORA_A:
        return &t->a;
    case LORA_EMBEDDING_B:
        t->is_embedding = 1;
        return &t->b;
    case LORA_B:
        return &t->b;
    case LORA_B_BIAS:
        return &t->bias;
    case LORA_MAGNITUDE:
        return &t->magnitude;
    default:
        return NULL;
    }
}

static err_t collect(struct targets *s, const struct graft *g, struct arena *a, struct err *e)
{
    s->by_name.arena = a;
    for (int64_t i = 0; i < g->nparts; i++) {
        const struct graft_part *p = &g->parts[i];
        struct target none = {0};
        if (p->key.kind == LORA_UNKNOWN)
            return err_set(e, ERR_DATA, "%s: tensor %s is no part of an adapter that is known here", g->path,
                           p->t->name);
        if (!place_of(&none, p->key.kind))
            continue;
        char *name = arena_printf(a, e, "%d %s", p->key.depth, p->key.module);
        if (!name)
            return e->code;
        int64_t at = dict_find(&s->by_name, name);
        if (at < 0) {
            at = s->n;
            TRY(dict_put(&s->by_name, name, at, e));
            TRY(arena_grow(a, "adapter.targets", s->n + 1, &s->cap, &s->v, e));
            s->v[s->n++] = (struct target){.module = p->key.module, .depth = p->key.depth};
        }
        const struct stored_tensor **place = place_of(&s->v[at], p->key.kind);
        if (*place)
            return err_set(e, ERR_DATA, "%s: tensors %s and %s are the same part of one adapter", g->path,
                           (*place)->name, p->t->name);
        *place = p->t;
    }
    return ERR_OK;
}

static int by_module(const void *x, const void *y)
{
    const struct target *p = x, *q = y;
    int c = q->is_embedding - p->is_embedding; /* embeddings first: a tied head is merged after them */
    c = c ? c : strcmp(p->module, q->module);
    return c ? c : p->depth - q->depth;
}

/* A target must be whole, and a parameter has its name. */
static err_t complete(struct targets *s, const struct graft *g, struct arena *a, struct err *e)
{
    const struct target_base base = base_of(g);
    if (s->n > 0)
        qsort(s->v, (size_t)s->n, sizeof *s->v, by_module);
    for (int64_t i = 0, next; i < s->n; i = next) {
        for (next = i + 1; next < s->n && strcmp(s->v[next].module, s->v[i].module) == 0;)
            next++;
        for (int64_t k = i; k < next; k++) {
            struct target *t = &s->v[k];
            const struct stored_tensor *any = t->a ? t->a : t->b ? t->b : t->bias ? t->bias : t->magnitude;
            if (!t->a || !t->b)
                return err_set(e, ERR_DATA, "%s: module %s: tensor %s is there, and no lora_%s", g->path,
                               t->module, any->name, t->a ? "B" : "A");
            if (g->adapter->dora && !t->magnitude && !t->is_embedding &&
                !target_is_parameter(t, g->adapter, &base))
                return err_set(e, ERR_DATA,
                               "%s: module %s: the adapter's config says use_dora, and there is no "
                               "lora_magnitude_vector",
                               g->path, t->module);
            if (t->depth > 0 || target_is_parameter(t, g->adapter, &base))
                TRY(target_name_parameter(t, (int)(next - i), g->adapter, &base, g->path, a, e));
            else if (next - i > 1)
                return err_set(e, ERR_DATA, "%s: module %s: %lld adapters lie one in another", g->path,
                               t->module, (long long)(next - i));
        }
    }
    return ERR_OK;
}

/* Whether a square weight is stored as inputs x outputs: the config says so, unless the others' shapes say
 * that it is not so of this model; or the others' shapes alone. */
static int is_conv1d(const struct targets *s, const struct graft *g)
{
    const struct target_base base = base_of(g);
    int across = 0, straight = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const struct target *t = &s->v[i];
        int64_t at = t->is_embedding || t->parameter ? -1 : target_find_weight(&base, t->module);
        if (at < 0)
            continue;
        enum target_side side = target_side(t, &base.tensors[at]);
        across |= side == TARGET_ACROSS;
        straight |= side == TARGET_STRAIGHT;
    }
    return across || (g->adapter->fan_in_fan_out && !straight);
}

/* ---- deriving ---- */

/* A tensor that stands in no list, in the place and shape of another. */
static err_t hide(struct stored_tensor **out, const struct stored_tensor *like, const char *what,
                  struct arena *a, struct err *e)
{
    TRY(arena_array(a, "adapter.hidden", 1, out, e));
    **out = *like;
    (*out)->name = what ? arena_printf(a, e, "%s (%s)", like->name, what) : like->name;
    if (!what && (*out)->decoding)
        (*out)->decoding->of = *out;
    if (what) {
        (*out)->cut = NULL;
        (*out)->strides = NULL;
        (*out)->decoding = NULL;
        (*out)->serves = NULL;
        (*out)->offset_bytes = 0;
        (*out)->file = STORED_NOWHERE;
    }
    return e->code;
}

/* What a weight is once an update is on it. `magnitude`: NULL, or that of its rows or columns. */
struct grafted {
    const struct stored_tensor *update, *magnitude;
    enum merge_axis axis;
    double scale;
    int rounds_first;
};

/* Exactly: what is added is a tensor by itself; where something has been added before, both together. */
static err_t add_exactly(struct stored_tensor *t, const struct stored_tensor *weight, const struct grafted *c,
                         struct arena *a, struct err *e)
{
    const struct stored_tensor *before = decoder_change(weight), *added = c->update;
    if (c->magnitude || c->scale != 1) {
        struct stored_tensor *own;
        const struct merge_parts parts = {MERGE_ADDED, weight, c->update, c->magnitude, c->axis, c->scale};
        TRY(hide(&own, t, "added", a, e));
        TRY(merge_make(own, &parts, a, e));
        added = own;
    }
    if (before) {
        struct stored_tensor *both;
        const struct merge_parts parts = {.mode = MERGE_EXACT, .weight = before, .update = added, .scale = 1};
        TRY(hide(&both, t, "added", a, e));
        TRY(merge_make(both, &parts, a, e));
        added = both;
        weight = merge_weight(weight);
    }
    const struct merge_parts parts = {.mode = MERGE_EXACT, .weight = weight, .update = added, .scale = 1};
    return merge_make(t, &parts, a, e);
}

static err_t change_tensor(struct graft *g, int64_t at, const struct grafted *c, struct arena *a,
                           struct err *e)
{
    struct stored_tensor *t = &g->list->tensors[at], *weight;
    TRY(hide(&weight, t, NULL, a, e));
    t->cut = NULL;
    t->strides = NULL;
    t->decoding = NULL;
    t->serves = NULL;
    t->offset_bytes = 0;
    g->nmerged++;
    if (g->choice->adapter == CHOICE_ADAPTER_EXACT)
        return add_exactly(t, weight, c, a, e);
    const struct merge_parts parts = {
        c->rounds_first ? MERGE_SAFE : MERGE_ONCE, weight, c->update, c->magnitude, c->axis, c->scale};
    return merge_make(t, &parts, a, e);
}

/* Which dimension of the weight is its outputs: the magnitudes'. */
static enum merge_axis axis_of(const struct target *t, const struct lora_product *p)
{
    return !t->magnitude ? MERGE_NO_AXIS : p->transposed ? MERGE_COLUMNS : MERGE_ROWS;
}

static err_t change_bias(struct graft *g, const struct target *t, double scale, struct arena *a,
                         struct err *e)
{
    const struct target_base base = base_of(g);
    char *name = arena_printf(a, e, "%s.bias", t->module);
    int64_t at = name ? target_find(&base, name) : -1;
    if (!name)
        return e->code;
    if (at < 0)
        return err_set(e, ERR_DATA, "%s: tensor %s is for %s, which the base does not have", g->path,
                       t->bias->name, name);
    const struct grafted c = {.update = t->bias, .scale = scale};
    return change_tensor(g, at, &c, a, e);
}

static err_t change_target(struct graft *g, const struct target *t, int conv1d, struct arena *a,
                           struct err *e)
{
    const struct target_base base = base_of(g);
    struct target_weight *w;
    int64_t n;
    TRY(target_weights(&w, &n, t, &base, g->adapter, conv1d, g->path, a, e));
    for (int64_t i = 0; i < n; i++) {
        struct stored_tensor *update;
        TRY(hide(&update, &g->list->tensors[w[i].at], "update", a, e));
        TRY(lora_make(update, t->a, t->b, &w[i].product, a, e));
        int first = t->is_embedding || t->parameter || g->adapter->rounds_first ||
                    g->choice->merge == CHOICE_MERGE_SAFE;
        const struct grafted c = {update, t->magnitude, axis_of(t, &w[i].product), 1, first && !t->magnitude};
        TRY(change_tensor(g, w[i].at, &c, a, e));
    }
    return t->bias ? change_bias(g, t, w[0].product.scale, a, e) : ERR_OK;
}

/* ---- trainable tokens ---- */

/* A row of the weight that row `from` of the part replaces. */
struct token_row {
    int64_t row, from;
};

static int by_row(const void *x, const void *y)
{
    const struct token_row *p = x, *q = y;
    return (p->row > q->row) - (p->row < q->row);
}

static err_t sorted_tokens(struct token_row **out, const struct graft *g, const struct graft_part *p,
                           const struct stored_tensor *weight, struct arena *a, struct err *e)
{
    const struct adapter_tokens *rows = adapter_tokens(g->adapter, p->key.module);
    char shape[2][200];
    if (!rows)
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s replaces rows: expected trainable_token_indices of adapter_config.json to name "
            "them%s",
            g->path, p->t->name, g->adapter->path ? "" : ", which is not there");
    if (p->t->ndim != 2 || weight->ndim != 2 || p->t->dims[0] != rows->n || p->t->dims[1] != weight->dims[1])
        return err_set(e, ERR_DATA, "%s: tensor %s is %s: expected %lld rows of %s, which is %s", g->path,
                       p->t->name, shape_text(p->t->ndim, p->t->dims, shape[0], sizeof shape[0]),
                       (long long)rows->n, weight->name,
                       shape_text(weight->ndim, weight->dims, shape[1], sizeof shape[1]));
    TRY(arena_array(a, "adapter.tokens", rows->n, out, e));
    for (int64_t i = 0; i < rows->n; i++)
        (*out)[i] = (struct token_row){rows->rows[i], i};
    if (rows->n > 0)
        qsort(*out, (size_t)rows->n, sizeof **out, by_row);
    for (int64_t i = 0; i < rows->n; i++)
        if ((*out)[i].row >= weight->dims[0] || (i > 0 && (*out)[i].row == (*out)[i - 1].row))
            return err_set(e, ERR_DATA,
                           "%s: trainable_token_indices: row %lld: expected different rows of the %lld of %s",
                           g->path, (long long)(*out)[i].row, (long long)weight->dims[0], weight->name);
    return ERR_OK;
}

/* The tensor as another's type. */
static err_t as_type_of(const struct stored_tensor **t, const struct stored_tensor *like, struct arena *a,
                        struct err *e)
{
    struct stored_tensor *own;
    const struct merge_parts parts = {.mode = MERGE_COPY, .weight = like, .update = *t, .scale = 1};
    if (decoder_type(*t) == decoder_type(like))
        return ERR_OK;
    TRY(hide(&own, *t, "rounded", a, e));
    TRY(merge_make(own, &parts, a, e));
    *t = own;
    return ERR_OK;
}

/* Rows [from, from + n) of a matrix as one more part of a join. */
static err_t add_rows(const struct stored_tensor ***parts, int64_t *nparts, int64_t *cap,
                      const struct stored_tensor *of, int64_t from, int64_t n, struct arena *a, struct err *e)
{
    struct stored_tensor *part;
    if (n == 0)
        return ERR_OK;
    TRY(hide(&part, of, "rows", a, e));
    part->dims[0] = n;
    part->elements = n * of->dims[1];
    const struct view_shape view = {2, from * of->dims[1], {n, of->dims[1]}, {of->dims[1], 1}};
    TRY(view_make(part, of, &view, a, e));
    TRY(arena_grow(a, "adapter.rows", *nparts + 1, cap, parts, e));
    (*parts)[(*nparts)++] = part;
    return ERR_OK;
}

static err_t replace_tokens(struct graft *g, const struct graft_part *p, struct arena *a, struct err *e)
{
    const struct target_base base = base_of(g);
    int64_t at = target_find_weight(&base, p->key.module), nparts = 0, cap = 0, done = 0;
    if (at < 0)
        return err_set(e, ERR_DATA, "%s: tensor %s is for %s.weight, which the base does not have", g->path,
                       p->t->name, p->key.module);
    struct stored_tensor *t = &g->list->tensors[at], *hidden;
    struct token_row *tokens;
    TRY(sorted_tokens(&tokens, g, p, t, a, e));
    TRY(hide(&hidden, t, NULL, a, e));
    const struct stored_tensor *weight = hidden, *rows = p->t, **parts = NULL;
    if (decoder_change(weight))
        return err_set(e, ERR_DATA, "%s: %s has both trainable tokens and an adapter: merge it first",
                       g->path, t->name);
    if (g->choice->adapter == CHOICE_ADAPTER_EXACT && rows->dtype == DTYPE_F32)
        TRY(as_type_of(&weight, rows, a, e));
    TRY(as_type_of(&rows, weight, a, e));
    const int64_t n = p->t->dims[0];
    for (int64_t i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && tokens[i + run].row == tokens[i].row + run &&
                      tokens[i + run].from == tokens[i].from + run;)
            run++;
        TRY(add_rows(&parts, &nparts, &cap, weight, done, tokens[i].row - done, a, e));
        TRY(add_rows(&parts, &nparts, &cap, rows, tokens[i].from, run, a, e));
        done = tokens[i].row + run;
    }
    TRY(add_rows(&parts, &nparts, &cap, weight, done, t->dims[0] - done, a, e));
    t->cut = NULL;
    t->strides = NULL;
    t->decoding = NULL;
    t->offset_bytes = 0;
    g->nreplaced++;
    return join_make(t, parts, nparts, a, e);
}

/* ---- all of it ---- */

err_t graft_apply(struct graft *g, const struct model_config *config, struct arena *a, struct err *e)
{
    struct targets s = {0};
    TRY(bring_whole(g, a, e));
    TRY(decoder_resolve(g->list, config, a, e));
    TRY(collect(&s, g, a, e));
    TRY(complete(&s, g, a, e));
    const int conv1d = is_conv1d(&s, g);
    for (int64_t i = 0; i < g->nparts; i++)
        if (g->parts[i].key.kind == LORA_TOKENS)
            TRY(replace_tokens(g, &g->parts[i], a, e));
    for (int64_t i = 0; i < s.n; i++)
        TRY(change_target(g, &s.v[i], conv1d, a, e));
    return ERR_OK;
}
