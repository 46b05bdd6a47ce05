#include "formats/dcp/dcp_model.h"

#include "base/dict.h"
#include "base/path.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SHOWN = 81,     /* of a step of a path */
    PREFIX = 400,   /* of several, for messages */
    MAX_TOLD = 12,  /* groups of what is left out that a note names */
    MAX_STEPS = 64, /* of a path that are looked at */
    STEP = 24       /* digits of a step that is a number */
};

/* Under these a trainer keeps its model, */
static const char *const model_words[] = {"model",       "module", "state_dict", "model_state_dict",
                                          "model_state", NULL};
/* within which these hold nothing but the model again, */
static const char *const inner_words[] = {"module", "state_dict", "model_state_dict", "model_state", NULL};
/* and under these what is no model. */
static const char *const other_words[] = {"optimizer",
                                          "optimizers",
                                          "optim",
                                          "optims",
                                          "optimizer_state",
                                          "optimizer_states",
                                          "optimizer_state_dict",
                                          "optim_state_dict",
                                          "optim_state",
                                          "opt_state",
                                          "lr_scheduler",
                                          "lr_schedulers",
                                          "scheduler",
                                          "schedulers",
                                          "opt_param_scheduler",
                                          "dataloader",
                                          "dataloaders",
                                          "data_loader",
                                          "train_dataloader",
                                          "train_state",
                                          "trainer_state",
                                          "rng",
                                          "rng_state",
                                          "rng_states",
                                          "random_states",
                                          "rerun_state_machine_state",
                                          "extra",
                                          "extra_state",
                                          "progress",
                                          "step",
                                          "global_step",
                                          "epoch",
                                          NULL};

/* ---- paths ---- */

/* A step of a path as a text. */
struct dcp_step {
    const char *text;
    int64_t n;
    char digits[STEP];
};

static int64_t steps_of(const struct dcp_entry *entry)
{
    return entry->path ? entry->path->n : 1;
}

static void step_at(const struct dcp_entry *entry, int64_t i, struct dcp_step *s)
{
    const struct pickle_value *v =
        entry->path ? pickle_item(&entry->of->pickle, entry->path, i) : entry->name;
    if (v->kind == PICKLE_INT) {
        s->n = snprintf(s->digits, sizeof s->digits, "%" PRId64, v->i);
        s->text = s->digits;
    } else {
        s->text = v->text;
        s->n = v->n;
    }
}

/* Is a step one of the words? Of a path that is not known, or of one step, the name's beginning up to its
 * first point is. */
static int is_word(const struct dcp_step *s, int64_t n, const char *const *words)
{
    for (; *words; words++)
        if ((size_t)n == strlen(*words) && memcmp(s->text, *words, (size_t)n) == 0)
            return 1;
    return 0;
}

static int64_t to_point(const struct dcp_step *s)
{
    const char *point = s->n > 0 ? memchr(s->text, '.', (size_t)s->n) : NULL;
    return point ? point - s->text : s->n;
}

/* Steps down to the highest subtree that is called a model's; 0: there is none, or it lies in an optimiser.
 */
static int depth_of_model(const struct dcp_entry *entry)
{
    int64_t n = steps_of(entry);
    struct dcp_step s;
    for (int i = 0; i + 1 < n && i < MAX_STEPS; i++) {
        step_at(entry, i, &s);
        if (is_word(&s, s.n, other_words))
            return 0;
        if (is_word(&s, s.n, model_words))
            return i + 1;
    }
    return 0;
}

/* Does the path begin with the same steps as another's, `depth` of them? */
static int same_start(const struct dcp_entry *x, const struct dcp_entry *y, int depth)
{
    struct dcp_step s, t;
    if (steps_of(x) <= depth)
        return 0;
    for (int i = 0; i < depth; i++) {
        step_at(x, i, &s);
        step_at(y, i, &t);
        if (s.n != t.n || memcmp(s.text, t.text, (size_t)s.n) != 0)
            return 0;
    }
    return 1;
}

/* The first steps, with points between them, for messages. */
static const char *start_text(const struct dcp_entry *entry, int depth, char out[PREFIX])
{
    int used = 0;
    out[0] = '\0';
    for (int i = 0; i < depth && used < PREFIX - SHOWN - 1; i++) {
        char shown[SHOWN];
        struct dcp_step s;
        step_at(entry, i, &s);
        used += snprintf(out + used, (size_t)(PREFIX - used), "%s%s", i > 0 ? "." : "",
                         pickle_shown(s.text, s.n, shown, sizeof shown));
    }
    return out;
}

/* ---- which subtree ---- */

struct dcp_choosing {
    struct dcp_entry **entries;
    int64_t n;
    const char *dir;
    const struct dcp_entry *first; /* of the model; NULL: not found */
    int depth;                     /* steps above it */
    int whole;                     /* the names are taken as they are, of all that is no optimiser's */
};

/* The highest subtree called a model's. Two of one height: which is meant cannot be told. */
static err_t find_called(struct dcp_choosing *g, struct err *e)
{
    const struct dcp_entry *other = NULL;
    for (int64_t i = 0; i < g->n; i++) {
        const struct dcp_entry *entry = g->entries[i];
        int depth = entry->value ? depth_of_model(entry) : 0;
        if (depth == 0 || (g->first && depth > g->depth))
            continue;
        if (g->first && depth == g->depth) {
            other = other || same_start(entry, g->first, depth) ? other : entry;
            continue;
        }
        g->first = entry;
        g->depth = depth;
        other = NULL;
    }
    char x[PREFIX], y[PREFIX];
    if (other)
        return err_set(
            e, ERR_DATA,
            "%s: holds two models, %s and %s: expected one; save it alone: python3 -c \"import "
            "torch.distributed.checkpoint.format_utils as f; f.dcp_to_torch_save('%s', 'ALL.pt')\", "
            "then torch.save of the part that is meant",
            g->dir, start_text(g->first, g->depth, x), start_text(other, g->depth, y), g->dir);
    return ERR_OK;
}

/* A subtree that holds nothing but one other which is called so too ("model", "state_dict") is entered. */
static void enter_inner(struct dcp_choosing *g)
{
    struct dcp_step s;
    for (int more = 1; more && g->depth < MAX_STEPS;) {
        if (steps_of(g->first) <= g->depth + 1)
            return;
        step_at(g->first, g->depth, &s);
        more = is_word(&s, s.n, inner_words);
        for (int64_t i = 0; i < g->n && more; i++)
            if (g->entries[i]->value && same_start(g->entries[i], g->first, g->depth))
                more = same_start(g->entries[i], g->first, g->depth + 1);
        g->depth += more;
    }
}

/* Megatron's optimisers are chained_0, chained_1, ... where there are several. */
static int is_other(const struct dcp_entry *entry)
{
    static const char chained[] = "chained_";
    struct dcp_step s;
    step_at(entry, 0, &s);
    int64_t n = steps_of(entry) > 1 ? s.n : to_point(&s);
    return is_word(&s, n, other_words) ||
           (n > (int64_t)sizeof chained - 1 && memcmp(s.text, chained, sizeof chained - 1) == 0);
}

/* May the entry be the model's, where none is called so? top: tensors at the top of the map alone. */
static int may_be_model(const struct dcp_entry *entry, int top)
{
    return entry->value && !is_other(entry) && (!top || steps_of(entry) == 1);
}

/* Without a subtree called so: the tensors at the top; else all but an optimiser's, below the path that they
 * have in common if it leads to names alone. */
static int find_rest(struct dcp_choosing *g)
{
    int top = 0, flat = 1;
    for (int64_t i = 0; i < g->n && !top; i++)
        top = steps_of(g->entries[i]) == 1 && may_be_model(g->entries[i], 1);
    for (int64_t i = 0; i < g->n; i++) {
        const struct dcp_entry *entry = g->entries[i];
        if (!may_be_model(entry, top))
            continue;
        if (!g->first) {
            g->first = entry;
            g->depth = (int)(steps_of(entry) < MAX_STEPS ? steps_of(entry) : MAX_STEPS) - 1;
        }
        flat &= steps_of(entry) == g->depth + 1 && same_start(entry, g->first, g->depth);
    }
    g->whole = g->depth == 0 || !flat;
    g->depth = g->whole ? 0 : g->depth;
    return top;
}

static int is_model(const struct dcp_choosing *g, const struct dcp_entry *entry, int top)
{
    if (!g->first || !entry->value)
        return 0;
    return g->whole ? may_be_model(entry, top) : same_start(entry, g->first, g->depth);
}

/* ---- what is said ---- */

/* What is left out, by where it stands in the map. */
struct dcp_group {
    const char *name;
    int64_t tensors, others;
};

struct dcp_groups {
    struct dict by_name;
    int64_t n, cap;
    struct dcp_group *v;
    struct arena *arena;
};

/* Up to the step that is not the model's. */
static err_t count_left(struct dcp_groups *g, const struct dcp_choosing *choosing,
                        const struct dcp_entry *entry, struct err *e)
{
    char text[PREFIX];
    struct dcp_step s;
    int depth = 1;
    while (choosing->first && depth < choosing->depth && same_start(entry, choosing->first, depth))
        depth++;
    step_at(entry, 0, &s);
    if (steps_of(entry) == 1)
        pickle_shown(s.text, to_point(&s), text, SHOWN);
    else
        start_text(entry, depth, text);
    int64_t at = dict_find(&g->by_name, text);
    if (at < 0) {
        at = g->n;
        TRY(arena_grow(g->arena, "dcp.groups", g->n + 1, &g->cap, &g->v, e));
        g->v[at].name = arena_strdup(g->arena, text, e);
        if (!g->v[at].name)
            return e->code;
        g->n++;
        TRY(dict_put(&g->by_name, g->v[at].name, at, e));
    }
    *(entry->value ? &g->v[at].tensors : &g->v[at].others) += 1;
    return ERR_OK;
}

static err_t list_left(struct text *out, const struct dcp_groups *g, struct err *e)
{
    for (int64_t i = 0; i < g->n && i < MAX_TOLD; i++) {
        const struct dcp_group *v = &g->v[i];
        TRY(text_add(out, e, "%s%s (", i > 0 ? ", " : "", v->name));
        if (v->tensors > 0)
            TRY(text_add(out, e, "%lld tensor%s%s", (long long)v->tensors, v->tensors > 1 ? "s" : "",
                         v->others > 0 ? ", " : ""));
        if (v->others > 0)
            TRY(text_add(out, e, "%lld other value%s", (long long)v->others, v->others > 1 ? "s" : ""));
        TRY(text_add(out, e, ")"));
    }
    return g->n > MAX_TOLD ? text_add(out, e, " and %lld more", (long long)(g->n - MAX_TOLD)) : ERR_OK;
}

static err_t say(const struct dcp_choosing *choosing, const struct dcp_groups *g, const char **note,
                 struct arena *a, struct err *e)
{
    struct text out = {.arena = a};
    char start[PREFIX];
    TRY(text_add(&out, e, "Torch distributed checkpoint in %s: ", path_last(choosing->dir)));
    if (choosing->depth > 0)
        TRY(text_add(&out, e, "the model is what lies under %s, which its names here lack",
                     start_text(choosing->first, choosing->depth, start)));
    else
        TRY(text_add(&out, e, "names as they are saved"));
    if (g->n > 0) {
        TRY(text_add(&out, e, "; left out: "));
        TRY(list_left(&out, g, e));
    }
    TRY(text_add(&out, e, "."));
    *note = out.text;
    return ERR_OK;
}

static err_t refuse_none(const struct dcp_choosing *choosing, const struct dcp_groups *g,
                         struct arena *scratch, struct err *e)
{
    struct text left = {.arena = scratch};
    TRY(list_left(&left, g, e));
    return err_set(e, ERR_DATA,
                   "%s: holds no model: expected tensors under \"model\", or beside an optimizer at the top; "
                   "found %.600s; the model is mostly saved in a folder beside an optimizer's",
                   choosing->dir, left.text ? left.text : "nothing");
}

err_t dcp_model_find(struct dcp_entry **entries, int64_t n, const char *dir, const char **note,
                     struct arena *a, struct arena *scratch, struct err *e)
{
    struct dcp_choosing g = {.entries = entries, .n = n, .dir = dir};
    struct dcp_groups left = {.by_name = {.arena = scratch}, .arena = scratch};
    int top = 0;
    TRY(find_called(&g, e));
    if (g.first)
        enter_inner(&g);
    else
        top = find_rest(&g);
    for (int64_t i = 0; i < n; i++) {
        int taken = is_model(&g, entries[i], top);
        entries[i]->depth = taken ? g.depth : -1;
        if (!taken)
            TRY(count_left(&left, &g, entries[i], e));
    }
    return g.first ? say(&g, &left, note, a, e) : refuse_none(&g, &left, scratch, e);
}

err_t dcp_model_name(const struct dcp_entry *entry, char **name, int64_t *n, struct arena *a, struct err *e)
{
    int64_t steps = steps_of(entry), bytes = 1;
    struct dcp_step s;
    for (int64_t i = entry->depth; i < steps; i++) {
        step_at(entry, i, &s);
        bytes += s.n + 1;
    }
    *n = 0;
    TRY(arena_array(a, "dcp.name", bytes, name, e));
    for (int64_t i = entry->depth; i < steps; i++) {
        step_at(entry, i, &s);
        if (i > entry->depth)
            (*name)[(*n)++] = '.';
        memcpy(*name + *n, s.text, (size_t)s.n);
        *n += s.n;
    }
    return ERR_OK;
}
