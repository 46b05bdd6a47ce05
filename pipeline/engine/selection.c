#include "engine/selection.h"

#include "base/dict.h"

#include <stdio.h>
#include <string.h>

/* CONFIG with the nearest of n names where a picked word is none of them. */
static err_t check_names(const char *what, const struct text_list *picked, const char *const *names, int n,
                         struct arena *scratch, struct err *e)
{
    struct dict known = {.arena = scratch};
    for (int i = 0; i < n && picked->n > 0; i++)
        TRY(dict_put(&known, names[i], i, e));
    for (int i = 0; i < picked->n; i++) {
        struct text_hint hint;
        if (dict_find(&known, picked->v[i]) < 0)
            return err_set(e, ERR_CONFIG, "%s '%s' is not in the config%s", what, picked->v[i],
                           text_meant(&hint, picked->v[i], names, n, "; ", "'", ""));
    }
    return ERR_OK;
}

err_t selection_check(const struct selection *s, const struct config *c, struct arena *scratch, struct err *e)
{
    const char **names;
    TRY(arena_array(scratch, "selection", c->nnodes > c->ncells ? c->nnodes : c->ncells, &names, e));
    for (int i = 0; i < c->nnodes; i++)
        names[i] = c->nodes[i].name;
    TRY(check_names("--stage", &s->stages, names, c->nnodes, scratch, e));
    for (int i = 0; i < c->ncells; i++)
        names[i] = c->cells[i].name;
    return check_names("--cell", &s->cells, names, c->ncells, scratch, e);
}

err_t selection_share(struct selection *s, const char *share, const struct config *c, struct arena *a,
                      struct err *e)
{
    int i = 0, n = 0, used = 0;
    if (s->cells.n > 0)
        return err_set(e, ERR_CONFIG, "--share picks cells, and so does --cell: one of them");
    if (strlen(share) > 15 || strspn(share, "0123456789/") != strlen(share) ||
        sscanf(share, "%7d/%7d%n", &i, &n, &used) != 2 || share[used] || i < 1 || i > n)
        return err_set(e, ERR_CONFIG, "--share %s: say which of how many, such as 1/8 to 8/8", share);
    if (n > c->ncells)
        return err_set(e, ERR_CONFIG, "--share %s: the study has %d cell%s, and no more shares than that",
                       share, c->ncells, c->ncells == 1 ? "" : "s");
    int from = (int)((int64_t)c->ncells * (i - 1) / n), to = (int)((int64_t)c->ncells * i / n);
    TRY(arena_array(a, "selection.share", to - from, &s->cells.v, e));
    for (int k = from; k < to; k++)
        s->cells.v[s->cells.n++] = c->cells[k].name;
    return ERR_OK;
}

/* One of "3" and "7-9" of a list, and what stands behind it; NULL: it is none. */
static const char *number_range(const char *at, int *from, int *to)
{
    int used = 0;
    if (at[0] < '0' || at[0] > '9' || sscanf(at, "%7d%n", from, &used) != 1)
        return NULL;
    at += used;
    *to = *from;
    if (*at != '-')
        return at;
    used = 0;
    if (at[1] < '0' || at[1] > '9' || sscanf(at + 1, "%7d%n", to, &used) != 1)
        return NULL;
    return at + 1 + used;
}

err_t selection_index(struct selection *s, const char *list, const struct config *c, struct arena *a,
                      struct err *e)
{
    int from = 0, to = 0;
    if (s->cells.n > 0)
        return err_set(e, ERR_CONFIG, "--cell-index picks cells, and so does --cell or --share: one of them");
    TRY(arena_array(a, "selection.index", c->ncells, &s->cells.v, e));
    for (const char *at = list; at; at = *at == ',' ? at + 1 : NULL) {
        const char *end = number_range(at, &from, &to);
        if (!end || (*end && *end != ',') || from > to)
            return err_set(e, ERR_CONFIG,
                           "--cell-index %s: say which cells by number, such as 3, 7-9 or 1,4,7-9", list);
        if (from < 1 || to > c->ncells)
            return err_set(
                e, ERR_CONFIG,
                "--cell-index %s: the study has cells 1 to %d; 'sinew check --cells %s' lists them", list,
                c->ncells, c->file);
        for (int k = from - 1; k < to; k++)
            if (s->cells.n == 0 || !selection_has_cell(s, c->cells[k].name))
                s->cells.v[s->cells.n++] = c->cells[k].name;
        at = end;
    }
    return ERR_OK;
}

static int listed(const struct text_list *list, const char *word)
{
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->v[i], word) == 0)
            return 1;
    return 0;
}

int selection_has_cell(const struct selection *s, const char *name)
{
    return s->cells.n == 0 || listed(&s->cells, name);
}

/* The picked cells by name, and what they stand on. */
struct picked_cells {
    struct dict cells, checkpoints, bases;
};

/* A side of a picked cell, by its name. */
static err_t put_side(struct dict *d, const char *path, const struct choice *choice, int cell, struct err *e)
{
    const char *name = choice_name(path, choice, d->arena, e);
    return name ? dict_put(d, name, cell, e) : e->code;
}

static err_t find_picked(struct picked_cells *p, const struct selection *s, const struct config *c,
                         struct arena *scratch, struct err *e)
{
    *p = (struct picked_cells){.cells.arena = scratch, .checkpoints.arena = scratch, .bases.arena = scratch};
    for (int i = 0; i < s->cells.n; i++)
        TRY(dict_put(&p->cells, s->cells.v[i], i, e));
    for (int i = 0; i < c->ncells; i++) {
        const struct cell *cell = &c->cells[i];
        if (dict_find(&p->cells, cell->name) < 0)
            continue;
        TRY(put_side(&p->checkpoints, cell->base, &cell->base_choice, i, e));
        TRY(put_side(&p->checkpoints, cell->tuned, &cell->tuned_choice, i, e));
        TRY(put_side(&p->bases, cell->base, &cell->base_choice, i, e));
    }
    return ERR_OK;
}

/* Does what the picked cells are bring node n? */
static int brings(const struct picked_cells *p, const struct selection *s, const struct node *n)
{
    switch (n->stage->scope) {
    case SCOPE_CELL:
        return dict_find(&p->cells, n->label) >= 0;
    case SCOPE_CHECKPOINT:
        return dict_find(&p->checkpoints, n->label) >= 0;
    case SCOPE_BASE:
        return s->stages.n > 0 && dict_find(&p->bases, n->label) >= 0;
    case SCOPE_STUDY:
        return s->stages.n > 0;
    }
    return 0;
}

err_t selection_pick(const struct selection *s, const struct dag *d, char *picked, struct arena *scratch,
                     struct err *e)
{
    struct picked_cells cells;
    TRY(find_picked(&cells, s, d->config, scratch, e));
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        picked[i] = (s->stages.n == 0 || listed(&s->stages, d->config->nodes[n->decl].name)) &&
                    (s->cells.n == 0 || brings(&cells, s, n));
    }
    return ERR_OK;
}
