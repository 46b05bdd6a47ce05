#include "study/choices.h"

#include "base/dict.h"
#include "formats/checkpoint.h"
#include "formats/folders/hub.h"
#include "formats/format.h"
#include "hdf5/h5.h"
#include "study/dag.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { WHAT = 160 };

static const struct param keys[] = {
    {"weights", PARAM_CHOICE, offsetof(struct choice, weights), NULL, "default", 0, 0, choice_weights_words,
     "which weights of a trainer's folder"},
    {"adapter", PARAM_CHOICE, offsetof(struct choice, adapter), NULL, "default", 0, 0, choice_adapter_words,
     "an adapter merged into its base, or its exact update"},
    {"merge", PARAM_CHOICE, offsetof(struct choice, merge), NULL, "default", 0, 0, choice_merge_words,
     "in which order a merge rounds"},
    {0},
};

int choices_read(const struct asker *r, const struct item *map, const char *what, struct choice *out)
{
    int bad = 0;
    for (const struct param *p = keys; p->name; p++) {
        char name[WHAT];
        struct item *it = item_get(map, p->name, NULL);
        if (it && item_param(r, it, p, part_name(name, WHAT, what, p->name), out) != 0)
            bad = 1;
    }
    return bad ? -1 : 0;
}

err_t choices_text(const struct choice *c, struct text *out, struct err *e)
{
    const struct choice none = {0};
    for (const struct param *p = keys; p->name; p++) {
        if (memcmp((const char *)c + p->offset, (const char *)&none + p->offset, sizeof(int)) == 0)
            continue;
        TRY(text_add(out, e, ", %s: ", p->name));
        TRY(param_text(p, c, out, e));
    }
    return ERR_OK;
}

/* ---- what a format ignores ---- */

/* What is ignored of the checkpoint whose artifacts are in this folder, by the format they name; -1: not
 * known. */
static int catalogued(const struct config *c, const char *folder, struct arena *scratch)
{
    struct err no;
    err_clear(&no);
    for (int i = 0; i < c->nnodes; i++) {
        const struct stage *stage = c->nodes[i].stage;
        if (stage->scope != SCOPE_CHECKPOINT || stage->writes_files)
            continue;
        const char *path = arena_printf(scratch, &no, "%s/%s.h5", folder, c->nodes[i].name);
        struct h5 *f;
        char *name;
        if (!path || access(path, F_OK) != 0 || h5_open_sealed(path, scratch, &f, &no) != ERR_OK)
            continue;
        const struct format *format =
            h5_get_text(f, "/", "format", &name, &no) == ERR_OK ? format_named(name) : NULL;
        h5_close(f, &no);
        if (format)
            return format->ignores;
    }
    return -1;
}

int choices_catalogued(const struct config *c, const char *path, const struct choice *all,
                       struct arena *scratch, struct err *e)
{
    const struct choice none = {0};
    int found = -1, last = 0;
    for (const struct format *const *f = format_table; !last && found < 0 && e->code == ERR_OK; f++) {
        const struct choice choice = *f ? choice_without(*all, (*f)->ignores) : none;
        last = !*f;
        const char *folder = dag_checkpoint_folder(c, path, &choice, scratch, e);
        if (folder)
            found = catalogued(c, folder, scratch);
        if (found >= 0 && !choice_same(&choice, &none)) /* what was chosen was looked at then */
            found = (*f)->ignores;
    }
    return found;
}

/* The cells by their tuned checkpoint, and what was seen of paths. */
struct look {
    const struct config *config;
    struct dict tuned; /* path: the first cell that is tuned to it */
    struct dict seen;  /* path: what is ignored there */
    struct dict asked; /* path: the adapter and merge that the first side of it asks for */
    struct arena *arena;
};

/* All that the keys could mean for a side of cell i. */
static struct choice meant(const struct look *l, int i, int is_tuned)
{
    const struct cell *c = &l->config->cells[i];
    struct choice choice = c->choice;
    if (choice.adapter == CHOICE_ADAPTER_MERGED) /* what the default is */
        choice.adapter = CHOICE_ADAPTER_DEFAULT;
    if (is_tuned) {
        choice.base = c->base;
        return choice;
    }
    int64_t at = dict_find(&l->tuned, c->base);
    const struct cell *as = at >= 0 ? &l->config->cells[at] : NULL;
    return (struct choice){.weights = choice.weights,
                           .merge = as ? as->choice.merge : CHOICE_MERGE_DEFAULT,
                           .base = as ? as->base : NULL};
}

/* What is ignored by the format of what is there, a folder of the hub's cache or the thing itself; -1:
 * nothing is. */
static int ignored_there(const char *path, struct arena *scratch, struct err *e)
{
    const char *found = path, *note;
    struct err no;
    err_clear(&no);
    if (access(path, F_OK) != 0)
        return -1;
    hub_resolve(path, &found, &note, scratch, &no);
    if (no.code == ERR_SYSTEM) /* what else is wrong there is load's to report */
        *e = no;
    return no.code == ERR_OK ? format_ignored(found) : -1;
}

/* Looks at a side of cell i, unless its path was seen. */
static void look_at(struct look *l, int i, int is_tuned, struct err *e)
{
    const struct cell *c = &l->config->cells[i];
    const char *path = is_tuned ? c->tuned : c->base;
    if (dict_find(&l->seen, path) >= 0)
        return;
    const struct choice all = meant(l, i, is_tuned);
    struct arena scratch;
    arena_init(&scratch, l->arena->mem);
    int ignored = ignored_there(path, &scratch, e);
    if (ignored < 0)
        ignored = choices_catalogued(l->config, path, &all, &scratch, e);
    arena_release(&scratch);
    if (ignored >= 0) /* else another cell may name what is catalogued */
        dict_put(&l->seen, path, ignored, e);
}

/* Is no adapter part of the checkpoint? Then none is chosen of. What cannot be opened is left as it is. */
static int has_no_adapter(const struct look *l, const char *path, const struct choice *choice)
{
    struct checkpoint c;
    struct arena scratch;
    struct err no;
    err_clear(&no);
    arena_init(&scratch, l->arena->mem);
    int none = checkpoint_open(&c, path, choice, &scratch, &no) == ERR_OK && !c.adapted;
    arena_release(&scratch);
    return none;
}

/* Where sides of one path ask for different things of an adapter, or for its exact update: any format's
 * tensors may have one among them, and without one it is a checkpoint like others. Only then is it worth
 * opening it. */
static void look_for_adapter(struct look *l, int i, int is_tuned, struct err *e)
{
    const struct cell *c = &l->config->cells[i];
    const char *path = is_tuned ? c->tuned : c->base;
    const struct choice all = meant(l, i, is_tuned);
    int64_t ignored = dict_find(&l->seen, path), first = dict_find(&l->asked, path);
    int64_t asks = (int64_t)all.adapter * 2 + (int64_t)all.merge;
    if (first < 0)
        dict_put(&l->asked, path, asks, e);
    int differs = first >= 0 && first != asks, is_exact = all.adapter == CHOICE_ADAPTER_EXACT;
    if ((!differs && !is_exact) || ignored < 0 || ignored & CHOICE_OF_ADAPTER)
        return;
    const struct choice choice = choice_without(all, (int)ignored);
    if (has_no_adapter(l, path, &choice))
        dict_put(&l->seen, path, ignored | CHOICE_OF_ADAPTER, e);
}

static unsigned char ignored_at(const struct look *l, const char *path)
{
    int64_t ignored = dict_find(&l->seen, path);
    return (unsigned char)(ignored < 0 ? CHOICE_OF_ALL : ignored);
}

err_t choices_settle(const struct comm *m, struct config *c, struct arena *a, struct err *e)
{
    struct look l = {.config = c, .tuned.arena = a, .seen.arena = a, .asked.arena = a, .arena = a};
    unsigned char *ignored = NULL; /* of the base and the tuned side of each cell */
    arena_array(a, "choices", 2 * (int64_t)c->ncells, &ignored, e);
    for (int i = c->ncells - 1; i >= 0 && e->code == ERR_OK; i--)
        dict_put(&l.tuned, c->cells[i].tuned, i, e);
    for (int i = 0; i < 2 * c->ncells && m->me == 0 && e->code == ERR_OK; i++)
        look_at(&l, i / 2, i % 2, e);
    for (int i = 0; i < 2 * c->ncells && m->me == 0 && e->code == ERR_OK; i++)
        look_for_adapter(&l, i / 2, i % 2, e);
    for (int i = 0; i < c->ncells && m->me == 0 && e->code == ERR_OK; i++) {
        ignored[2 * i] = ignored_at(&l, c->cells[i].base);
        ignored[2 * i + 1] = ignored_at(&l, c->cells[i].tuned);
    }
    TRY_ALL(m, e);
    comm_bcast(m, ignored, 2 * (int64_t)c->ncells, 0);
    for (int i = 0; i < c->ncells; i++) {
        c->cells[i].base_choice = choice_without(meant(&l, i, 0), ignored[2 * i]);
        c->cells[i].tuned_choice = choice_without(meant(&l, i, 1), ignored[2 * i + 1]);
    }
    arena_drop(a, ignored);
    return ERR_OK;
}
