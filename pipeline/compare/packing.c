#include "compare/packing.h"

#include "base/text.h"
#include "formats/decoder.h"
#include "formats/decoders/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* An unmatched tensor by a name in which both sides agree. */
struct common_name {
    const char *text;
    const struct named_tensor *of;
    int used;
};

struct common_list {
    int64_t n;
    struct common_name *v; /* sorted by text */
};

struct aligning {
    struct packing *out;
    struct common_list base, tuned;
    int64_t nmade, made_cap;
    struct named_tensor *made;
    struct arena *arena;
};

/* A name with `from` replaced by `to` where it occurs first; the name itself where it does not. */
static const char *replaced(const char *name, const char *from, const char *to, struct arena *a,
                            struct err *e)
{
    const char *at = name ? strstr(name, from) : NULL;
    if (!at)
        return name;
    return arena_printf(a, e, "%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
}

/* Mixtral's words as transformers 5 has them. */
static const char *common(const char *name, struct arena *a, struct err *e)
{
    static const char *const words[][2] = {{".block_sparse_moe.", ".mlp."},
                                           {".w1.weight", ".gate_proj.weight"},
                                           {".w2.weight", ".down_proj.weight"},
                                           {".w3.weight", ".up_proj.weight"}};
    int is_expert = strstr(name, "experts.") != NULL;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (i == 0 || is_expert)
            name = replaced(name, words[i][0], words[i][1], a, e);
    return name;
}

static int by_text(const void *a, const void *b)
{
    const struct common_name *x = a, *y = b;
    return strcmp(x->text, y->text);
}

/* NULL: none, or several that cannot be told apart. */
static struct common_name *find(const struct common_list *l, const char *text)
{
    const struct common_name key = {.text = text};
    struct common_name *at = l->n > 0 ? bsearch(&key, l->v, (size_t)l->n, sizeof *l->v, by_text) : NULL;
    if (!at || (at > l->v && strcmp(at[-1].text, text) == 0) ||
        (at + 1 < l->v + l->n && strcmp(at[1].text, text) == 0))
        return NULL;
    return at;
}

/* Those of `list` whose name is not in `other`. */
static err_t collect(struct common_list *out, const struct named_list *list, const struct named_list *other,
                     struct arena *a, struct err *e)
{
    int64_t k = 0;
    TRY(arena_array(a, "match.unmatched", list->n, &out->v, e));
    for (int64_t i = 0; i < list->n; i++) {
        while (k < other->n && strcmp(other->v[k].name, list->v[i].name) < 0)
            k++;
        if ((k < other->n && strcmp(other->v[k].name, list->v[i].name) == 0) ||
            decoder_served(list->v[i].tensor))
            continue;
        struct common_name *c = &out->v[out->n];
        *c = (struct common_name){.text = common(list->v[i].name, a, e), .of = &list->v[i]};
        if (!c->text)
            return e->code;
        out->n++;
    }
    if (out->n > 1)
        qsort(out->v, (size_t)out->n, sizeof *out->v, by_text);
    return ERR_OK;
}

/* ---- what is packed ---- */

enum { MOST_PARTS = 3 };

/* Kinds of tensors that hold others: how the name ends, and what the parts are called in its place. */
static const struct kind {
    const char *end;
    int ndim, experts; /* experts: the first axis; the parts' names have its index before them */
    int nparts;
    const char *parts[MOST_PARTS];
} kinds[] = {
    {"experts.gate_up_proj", 3, 1, 2, {"gate_proj.weight", "up_proj.weight"}},
    {"experts.down_proj", 3, 1, 1, {"down_proj.weight"}},
    {"experts.gate_up_proj_bias", 2, 1, 2, {"gate_proj.bias", "up_proj.bias"}},
    {"experts.down_proj_bias", 2, 1, 1, {"down_proj.bias"}},
    {".qkv_proj.weight", 2, 0, 3, {"q_proj.weight", "k_proj.weight", "v_proj.weight"}},
    {".qkv_proj.bias", 1, 0, 3, {"q_proj.bias", "k_proj.bias", "v_proj.bias"}},
    {".gate_up_proj.weight", 2, 0, 2, {"gate_proj.weight", "up_proj.weight"}},
    {".gate_up_proj.bias", 1, 0, 2, {"gate_proj.bias", "up_proj.bias"}},
};

/* One of them, with the parts that the other side has. */
struct holder {
    const struct kind *kind;
    struct common_name *name;
    const struct stored_tensor *t;
    int64_t experts; /* 1 where the kind has none */
    int turned;      /* each matrix is the parts' transposed */
    int interleaved; /* what the parts share alternates between them */
    int64_t nparts;
    struct common_name **parts; /* experts x kind->nparts */
};

static const struct kind *kind_of(const char *text)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (text_ends_with(text, kinds[i].end))
            return &kinds[i];
    return NULL;
}

/* Up to where a holder's name and its parts' are the same. */
static int stem_of(const struct holder *h)
{
    const char *end = strrchr(h->kind->end + 1, '.');
    int cut = h->kind->experts ? (int)strlen(end + 1) : (int)strlen(h->kind->end) - 1;
    return (int)strlen(h->name->text) - cut;
}

static struct common_name *part_of(const struct holder *h, const struct common_list *other, int64_t expert,
                                   int k, char *text, int size)
{
    if (h->kind->experts)
        snprintf(text, (size_t)size, "%.*s%lld.%s", stem_of(h), h->name->text, (long long)expert,
                 h->kind->parts[k]);
    else
        snprintf(text, (size_t)size, "%.*s%s", stem_of(h), h->name->text, h->kind->parts[k]);
    return find(other, text);
}

enum { NAME_BYTES = 4096 };

/* The parts that the other side has. Returns how many of them are there. */
static err_t find_parts(struct holder *h, const struct common_list *other, int64_t *found, struct arena *a,
                        struct err *e)
{
    char text[NAME_BYTES];
    *found = 0;
    h->experts = h->kind->experts ? h->t->dims[0] : 1;
    if (h->experts > other->n || (int64_t)strlen(h->name->text) + 60 > NAME_BYTES)
        return ERR_OK;
    h->nparts = h->experts * h->kind->nparts;
    TRY(arena_array(a, "match.parts", h->nparts, &h->parts, e));
    for (int64_t i = 0; i < h->nparts; i++) {
        struct common_name *c =
            part_of(h, other, i / h->kind->nparts, (int)(i % h->kind->nparts), text, sizeof text);
        h->parts[i] = c && !c->used ? c : NULL;
        *found += h->parts[i] != NULL;
    }
    return ERR_OK;
}

/* ---- shapes ---- */

static int has_shape(const struct stored_tensor *t, int ndim, int64_t first, int64_t second)
{
    return t->ndim == ndim && t->dims[0] == first && (ndim < 2 || t->dims[1] == second);
}

/* The shape of part k of an expert, as the holder's shape has it. 0: it cannot be cut so. */
static int expected(const struct holder *h, int turned, int64_t *first, int64_t *second)
{
    const int64_t *d = h->t->dims;
    const int matrix = h->kind->ndim == 3;
    *first = turned ? d[2] : d[1];
    *second = !matrix ? 1 : turned ? d[1] : d[2];
    if (*first % h->kind->nparts != 0)
        return 0;
    *first /= h->kind->nparts;
    return 1;
}

static int all_have(const struct holder *h, int turned)
{
    int64_t first, second;
    if (!expected(h, turned, &first, &second))
        return 0;
    for (int64_t i = 0; i < h->nparts; i++)
        if (!has_shape(h->parts[i]->of->tensor, h->kind->ndim - 1, first, second))
            return 0;
    return 1;
}

/* Another tensor of the holder's module; NULL: there is none. */
static const struct stored_tensor *sibling(const struct holder *h, const struct common_list *own,
                                           const char *word)
{
    char text[NAME_BYTES];
    snprintf(text, sizeof text, "%.*s%s", stem_of(h), h->name->text, word);
    const struct common_name *c = find(own, text);
    return c ? c->of->tensor : NULL;
}

/* Experts: how the matrices lie. A square one says nothing; then the module's other one does, which is not:
 * both are about twice as long as wide, or the reverse. 0: no way fits. */
static int fit_experts(struct holder *h, const struct common_list *own)
{
    const int straight = all_have(h, 0), turned = h->kind->ndim == 3 && all_have(h, 1);
    const struct stored_tensor *bias = sibling(h, own, "gate_up_proj_bias");
    h->turned = turned && !straight;
    if (straight && turned) {
        const struct stored_tensor *other =
            sibling(h, own, h->kind->nparts == 2 ? "down_proj" : "gate_up_proj");
        if (!other || other->ndim != 3 || other->dims[1] == other->dims[2])
            return 0;
        h->turned = other->dims[1] < other->dims[2];
    }
    /* gpt-oss: its experts alone have biases, and lie so */
    h->interleaved = h->kind->nparts == 2 && (h->turned ? bias != NULL : h->kind->ndim == 2);
    return straight || turned;
}

/* Fused projections: rows one behind another. */
static int fit_rows(const struct holder *h)
{
    int64_t rows = 0, cols = h->kind->ndim == 2 ? h->t->dims[1] : 1;
    for (int64_t i = 0; i < h->nparts; i++) {
        const struct stored_tensor *t = h->parts[i]->of->tensor;
        if (t->ndim != h->kind->ndim || !has_shape(t, t->ndim, t->dims[0], cols) ||
            __builtin_add_overflow(rows, t->dims[0], &rows))
            return 0;
    }
    const struct stored_tensor *last = h->parts[h->nparts - 1]->of->tensor;
    return rows == h->t->dims[0] && h->parts[h->nparts - 2]->of->tensor->dims[0] == last->dims[0];
}

/* Are the parts numbers of one type, so that they can be put together? */
static int of_one_type(const struct holder *h)
{
    for (int64_t i = 1; i < h->nparts; i++)
        if (decoder_type(h->parts[i]->of->tensor) != decoder_type(h->parts[0]->of->tensor))
            return 0;
    return 1;
}

/* ---- taking apart, putting together ---- */

/* Part i as the holder's elements have it. */
static struct view_shape view_of(const struct holder *h, int64_t i)
{
    const int64_t *d = h->t->dims, n = h->kind->nparts, k = i % n, expert = i / n;
    const int64_t one = h->t->elements / h->experts; /* elements of an expert */
    if (!h->kind->experts) {
        int64_t offset = 0, cols = h->kind->ndim == 2 ? d[1] : 1;
        for (int64_t j = 0; j < i; j++)
            offset += h->parts[j]->of->tensor->elements;
        return (struct view_shape){
            h->kind->ndim, offset, {h->parts[i]->of->tensor->dims[0], d[1]}, {cols, 1}};
    }
    const int64_t step = h->interleaved ? n : 1, width = h->turned ? d[2] : d[1], rows = width / n;
    const int64_t behind = h->interleaved ? k : k * rows; /* where the part begins along what is shared */
    if (h->kind->ndim == 2)
        return (struct view_shape){1, expert * one + behind, {rows}, {step}};
    if (h->turned)
        return (struct view_shape){2, expert * one + behind, {rows, d[1]}, {step, d[2]}};
    return (struct view_shape){2, expert * one + behind * d[2], {rows, d[2]}, {d[2], 1}};
}

/* The holder's elements as they lie in all parts one behind another; 0: they lie so as they are. */
static int view_of_parts(const struct holder *h, struct view_shape *v)
{
    const int64_t *d = h->t->dims, n = h->kind->nparts;
    if (!h->kind->experts || (!h->turned && !h->interleaved))
        return 0;
    const int64_t width = h->turned ? d[2] : d[1], rows = width / n, cols = h->kind->ndim == 3 ? d[1] : 1;
    const int64_t part = rows * cols, one = n * part;
    if (h->kind->ndim == 2)
        *v = (struct view_shape){3, 0, {d[0], rows, n}, {one, 1, part}};
    else if (h->interleaved)
        *v = (struct view_shape){4, 0, {d[0], cols, rows, n}, {one, 1, cols, part}};
    else
        *v = (struct view_shape){4, 0, {d[0], cols, n, rows}, {one, 1, part, cols}};
    return 1;
}

/* A tensor of the tuned side that has this one's name and shape, and nothing yet to read. */
static err_t derive(struct aligning *g, const struct named_tensor *as, struct stored_tensor **out,
                    struct err *e)
{
    const struct stored_tensor *t = as->tensor;
    TRY(arena_array(g->arena, "match.derived", 1, out, e));
    **out = (struct stored_tensor){.name = as->name,
                                   .module = t->module,
                                   .layer = t->layer,
                                   .ndim = t->ndim,
                                   .elements = t->elements,
                                   .file = STORED_NOWHERE};
    memcpy((*out)->dims, t->dims, sizeof t->dims);
    TRY(arena_grow(g->arena, "match.made", g->nmade + 1, &g->made_cap, &g->made, e));
    g->made[g->nmade++] = (struct named_tensor){as->name, *out};
    return ERR_OK;
}

static err_t add_note(struct aligning *g, const struct holder *h, int apart, struct err *e)
{
    struct packing *p = g->out;
    char *reason = arena_printf(g->arena, e, "packed: %s %lld tensors of the %s checkpoint, %s the first",
                                apart ? "read as" : "put together from", (long long)h->nparts,
                                apart ? "base" : "tuned", h->parts[0]->of->name);
    if (!reason)
        return e->code;
    TRY(arena_grow(g->arena, "match.notes", p->nnotes + 1, &p->notes_cap, &p->notes, e));
    p->notes[p->nnotes++] = (struct packing_note){h->name->of->name, reason};
    return ERR_OK;
}

/* The tuned side's holder as the base's parts. */
static err_t take_apart(struct aligning *g, const struct holder *h, struct err *e)
{
    for (int64_t i = 0; i < h->nparts; i++) {
        struct stored_tensor *t;
        const struct view_shape view = view_of(h, i);
        TRY(derive(g, h->parts[i]->of, &t, e));
        TRY(view_make(t, h->t, &view, g->arena, e));
        h->parts[i]->used = 1;
    }
    h->name->used = 1;
    return add_note(g, h, 1, e);
}

/* The tuned side's parts as the base's holder. */
static err_t put_together(struct aligning *g, const struct holder *h, struct err *e)
{
    const struct stored_tensor **parts;
    struct stored_tensor *t, *joined;
    struct view_shape view;
    TRY(arena_array(g->arena, "match.parts", h->nparts, &parts, e));
    for (int64_t i = 0; i < h->nparts; i++) {
        parts[i] = h->parts[i]->of->tensor;
        h->parts[i]->used = 1;
    }
    TRY(derive(g, h->name->of, &t, e));
    if (view_of_parts(h, &view)) {
        TRY(arena_array(g->arena, "match.derived", 1, &joined, e));
        *joined = *t;
        TRY(join_make(joined, parts, h->nparts, g->arena, e));
        TRY(view_make(t, joined, &view, g->arena, e));
    } else {
        TRY(join_make(t, parts, h->nparts, g->arena, e));
    }
    h->name->used = 1;
    return add_note(g, h, 0, e);
}

static err_t hint(struct aligning *g, const struct holder *h, int64_t found, const char *but, struct err *e)
{
    char shape[200];
    if (g->out->hint)
        return ERR_OK;
    g->out->hint = arena_printf(
        g->arena, e,
        "tensor %s, %s, looks like a packing of others of which %lld of %lld are on the other side, and %s",
        h->name->of->name, shape_text(h->t->ndim, h->t->dims, shape, sizeof shape), (long long)found,
        (long long)h->nparts, but);
    return e->code;
}

/* Each holder among `own` whose parts are all in `other`, which is the base's list where `apart`. */
static err_t align_holders(struct aligning *g, struct common_list *own, struct common_list *other, int apart,
                           struct err *e)
{
    for (int64_t i = 0; i < own->n; i++) {
        struct holder h = {.name = &own->v[i], .t = own->v[i].of->tensor, .kind = kind_of(own->v[i].text)};
        int64_t found;
        if (!h.kind || h.name->used || h.t->ndim != h.kind->ndim || h.t->elements == 0)
            continue;
        TRY(find_parts(&h, other, &found, g->arena, e));
        if (found == 0)
            continue;
        char text[NAME_BYTES];
        int more = h.kind->experts && part_of(&h, other, h.experts, 0, text, sizeof text) != NULL;
        int fits = found == h.nparts && !more && (h.kind->experts ? fit_experts(&h, own) : fit_rows(&h));
        if (!fits)
            TRY(hint(g, &h, found, "their shapes do not fit it", e));
        else if (!apart && !of_one_type(&h))
            TRY(hint(g, &h, found, "they are of several types", e));
        else if (apart)
            TRY(take_apart(g, &h, e));
        else
            TRY(put_together(g, &h, e));
        arena_drop(g->arena, h.parts);
    }
    return ERR_OK;
}

/* ---- all of it ---- */

/* Tensors that differ in their words alone. */
static err_t align_words(struct aligning *g, struct err *e)
{
    for (int64_t i = 0; i < g->base.n; i++) {
        struct common_name *b = &g->base.v[i], *t = find(&g->tuned, b->text);
        if (!t || find(&g->base, b->text) != b)
            continue;
        TRY(arena_grow(g->arena, "match.made", g->nmade + 1, &g->made_cap, &g->made, e));
        g->made[g->nmade++] = (struct named_tensor){b->of->name, t->of->tensor};
        b->used = t->used = 1;
    }
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct named_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tuned side with what was made in place of what was used. */
static err_t finish(struct aligning *g, struct named_list *tuned, struct err *e)
{
    struct named_tensor *v;
    int64_t n = 0;
    TRY(arena_array(g->arena, "match.names", tuned->n + g->nmade, &v, e));
    for (int64_t i = 0; i < g->tuned.n; i++)
        if (g->tuned.v[i].used)
            tuned->v[g->tuned.v[i].of - tuned->v].name = NULL;
    for (int64_t i = 0; i < tuned->n; i++)
        if (tuned->v[i].name)
            v[n++] = tuned->v[i];
    if (g->nmade > 0)
        memcpy(v + n, g->made, (size_t)g->nmade * sizeof *v);
    n += g->nmade;
    qsort(v, (size_t)n, sizeof *v, by_name);
    arena_drop(g->arena, tuned->v);
    *tuned = (struct named_list){n, v};
    return ERR_OK;
}

err_t packing_align(struct packing *p, const struct named_list *base, struct named_list *tuned,
                    struct arena *a, struct err *e)
{
    struct aligning g = {.out = p, .arena = a};
    *p = (struct packing){.nnotes = 0};
    TRY(collect(&g.base, base, tuned, a, e));
    TRY(collect(&g.tuned, tuned, base, a, e));
    if (g.base.n > 0 && g.tuned.n > 0) {
        TRY(align_words(&g, e));
        TRY(align_holders(&g, &g.tuned, &g.base, 1, e));
        TRY(align_holders(&g, &g.base, &g.tuned, 0, e));
    }
    if (g.nmade > 0)
        TRY(finish(&g, tuned, e));
    arena_drop(a, g.tuned.v);
    arena_drop(a, g.base.v);
    return ERR_OK;
}
