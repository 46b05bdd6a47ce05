#include "command/presence.h"

#include "engine/fresh.h"
#include "formats/checkpoint.h"

#include <string.h>
#include <unistd.h>

enum { MOST_LOST = 12 }; /* cells that are named one by one */

enum presence_mark { PRESENCE_HERE, PRESENCE_ABSENT, PRESENCE_KEPT }; /* of a cell */

err_t presence_index(struct presence *p, const struct dag *d, struct arena *a, struct err *e)
{
    *p = (struct presence){.dag = d, .first = {.arena = a}};
    TRY(arena_array(a, "presence.next", d->nnodes, &p->next, e));
    for (int i = d->nnodes - 1; i >= 0; i--) {
        if (d->nodes[i].stage->scope != SCOPE_CHECKPOINT)
            continue;
        p->next[i] = (int)dict_find(&p->first, d->nodes[i].checkpoint);
        TRY(dict_put(&p->first, d->nodes[i].checkpoint, i, e));
    }
    return ERR_OK;
}

/* Is there a node that makes this checkpoint or has catalogued it, as it is to be taken? */
static int is_known(const struct presence *p, const char *path, const struct choice *choice)
{
    for (int i = (int)dict_find(&p->first, path); i >= 0; i = p->next[i]) {
        const struct node *n = &p->dag->nodes[i];
        if (n->stage->writes_files || (choice_same(&n->choice, choice) && access(n->path, F_OK) == 0))
            return 1;
    }
    return 0;
}

const char *presence_lacks(const struct presence *p, const struct cell *cell)
{
    if (!checkpoint_exists(cell->base) && !is_known(p, cell->base, &cell->base_choice))
        return cell->base;
    if (!checkpoint_exists(cell->tuned) && !is_known(p, cell->tuned, &cell->tuned_choice))
        return cell->tuned;
    return NULL;
}

const char *presence_why_absent(const struct presence *p, const struct cell *cell, struct arena *a,
                                struct err *e)
{
    if (cell->lost)
        return cell->lost;
    const char *path = presence_lacks(p, cell);
    return path ? arena_printf(a, e, "expected in %s", path) : NULL;
}

/* ---- what is gone and was read before ---- */

/* Not on disk, and no stage of the study would make it. */
static int is_gone(const struct presence *p, const char *path)
{
    if (checkpoint_exists(path))
        return 0;
    for (int i = (int)dict_find(&p->first, path); i >= 0; i = p->next[i])
        if (p->dag->nodes[i].stage->writes_files)
            return 0;
    return 1;
}

/* Where node n, which reads a checkpoint that is gone, does not stand as it should: what is said of it. */
static err_t lose(const struct presence *p, struct cell *cell, const char *gone, const struct node *n,
                  const struct freshness *f, struct arena *a, struct err *e)
{
    if (f->state == STATE_FRESH || cell->lost)
        return ERR_OK;
    cell->lost = arena_printf(
        a, e, "%s is gone, and %s of %s is not complete: it is %s%s%s; fetch the checkpoint again", gone,
        p->dag->config->nodes[n->decl].name, n->label, fresh_name(f->state), f->why[0] ? ": " : "", f->why);
    return cell->lost ? ERR_OK : e->code;
}

/* A cell's checkpoint at path, where it is gone: do the nodes that read it stand? */
static err_t weigh_checkpoint(const struct presence *p, struct cell *cell, const char *path,
                              const struct choice *choice, const struct freshness *all, struct arena *a,
                              struct err *e)
{
    if (!is_gone(p, path))
        return ERR_OK;
    for (int i = (int)dict_find(&p->first, path); i >= 0; i = p->next[i])
        if (choice_same(&p->dag->nodes[i].choice, choice))
            TRY(lose(p, cell, path, &p->dag->nodes[i], &all[i], a, e));
    return ERR_OK;
}

/* Process 0. Of the cells marked KEPT: sets `lost` where something that read a checkpoint of theirs is not as
 * a run would leave it. What stands on that can be made again, and is not looked at. */
static err_t weigh(const struct presence *p, struct config *config, const char *marks,
                   struct headers *headers, struct arena *a, struct err *e)
{
    const struct dag *d = p->dag;
    struct freshness *all;
    TRY(arena_array(a, "presence.states", d->nnodes, &all, e));
    headers_round(headers);
    for (int i = 0; i < d->nnodes; i++)
        if (d->nodes[i].stage->scope == SCOPE_CHECKPOINT || d->nodes[i].stage->matches)
            TRY(fresh_node(d, i, all, headers, a, e));
    for (int i = 0; i < config->ncells; i++)
        if (marks[i] == PRESENCE_KEPT) {
            struct cell *cell = &config->cells[i];
            TRY(weigh_checkpoint(p, cell, cell->base, &cell->base_choice, all, a, e));
            TRY(weigh_checkpoint(p, cell, cell->tuned, &cell->tuned_choice, all, a, e));
        }
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (n->stage->scope != SCOPE_CELL || !n->stage->matches ||
            marks[n->cell - config->cells] != PRESENCE_KEPT)
            continue;
        struct cell *cell = &config->cells[n->cell - config->cells];
        TRY(lose(p, cell, is_gone(p, cell->tuned) ? cell->tuned : cell->base, n, &all[i], a, e));
    }
    return ERR_OK;
}

/* Process 0. A mark for each picked cell. */
static err_t mark_cells(const struct presence *p, struct config *config, const struct selection *s,
                        char *marks, struct headers *headers, struct arena *a, struct err *e)
{
    int ngone = 0;
    for (int i = 0; i < config->ncells; i++) {
        const struct cell *cell = &config->cells[i];
        if (!selection_has_cell(s, cell->name))
            continue;
        if (presence_lacks(p, cell))
            marks[i] = PRESENCE_ABSENT;
        else if (config->missing == MISSING_KEPT && (is_gone(p, cell->base) || is_gone(p, cell->tuned)))
            marks[i] = PRESENCE_KEPT;
        ngone += marks[i] == PRESENCE_KEPT;
    }
    if (ngone > 0)
        TRY(weigh(p, config, marks, headers, a, e));
    for (int i = 0; i < config->ncells; i++)
        if (config->cells[i].lost)
            marks[i] = PRESENCE_ABSENT;
    return ERR_OK;
}

/* ---- settling ---- */

/* Stable: cells that are there first, then those that are not. */
static err_t move_absent(struct config *config, const char *marks, struct arena *a, struct err *e)
{
    struct cell *sorted;
    int n = 0;
    TRY(arena_array(a, "presence.cells", config->ncells, &sorted, e));
    for (int want = 0; want < 2; want++)
        for (int i = 0; i < config->ncells; i++)
            if ((marks[i] == PRESENCE_ABSENT) == want)
                sorted[n++] = config->cells[i];
    for (int i = 0; i < config->ncells; i++)
        config->nabsent += marks[i] == PRESENCE_ABSENT;
    config->ncells -= config->nabsent;
    config->cells = sorted;
    return ERR_OK;
}

/* What was decided of cells that are not all there. A checkpoint that went before it was read in full is
 * named: its cell was once part of the results. */
static void tell(const struct config *config, const struct log *log, int nkept, int nmissing)
{
    if (nkept > 0)
        log_info(log,
                 "%d of %d cells kept: their checkpoints are gone, what was read of them is complete "
                 "(missing: kept)",
                 nkept, config->ncells);
    int nsaid = 0;
    for (int i = 0; i < config->ncells; i++)
        if (config->cells[i].lost && nsaid++ < MOST_LOST)
            log_warn(log, "%s is left out: %s", config->cells[i].name, config->cells[i].lost);
    if (nsaid > MOST_LOST)
        log_warn(log, "and %d other cells for such reasons: 'sinew status --all' tells", nsaid - MOST_LOST);
    if (nmissing > 0)
        log_info(log, "%d of %d cells left out: their checkpoints are not on disk (missing: %s)", nmissing,
                 config->ncells, config->missing == MISSING_KEPT ? "kept" : "skip");
}

/* Collective. Marks the cells, the same on all processes. */
static err_t look(struct presence *p, const struct comm *c, struct config *config, const struct dag *d,
                  const struct selection *s, struct headers *headers, char **marks, struct arena *a,
                  struct err *e)
{
    if (arena_array(a, "presence", config->ncells, marks, e) == ERR_OK)
        presence_index(p, d, a, e);
    TRY_ALL(c, e);
    if (c->me == 0)
        mark_cells(p, config, s, *marks, headers, a, e);
    TRY_ALL(c, e);
    comm_bcast(c, *marks, config->ncells, 0);
    for (int i = 0; i < config->ncells; i++)
        config->cells[i].kept = (*marks)[i] == PRESENCE_KEPT;
    return ERR_OK;
}

err_t presence_look(const struct comm *c, struct config *config, const struct dag *d, struct headers *headers,
                    struct arena *a, struct err *e)
{
    static const struct selection all = {0};
    struct presence presence = {0};
    char *marks = NULL;
    config->missing = MISSING_KEPT;
    return look(&presence, c, config, d, &all, headers, &marks, a, e);
}

err_t presence_settle(const struct comm *c, struct config *config, struct dag *d, const struct selection *s,
                      struct headers *headers, const struct log *log, int *nmissing, struct arena *a,
                      struct err *e)
{
    char *marks = NULL;
    struct presence presence = {0};
    int nkept = 0;
    *nmissing = 0;
    TRY(look(&presence, c, config, d, s, headers, &marks, a, e));
    for (int i = 0; i < config->ncells; i++) {
        *nmissing += marks[i] == PRESENCE_ABSENT;
        nkept += marks[i] == PRESENCE_KEPT;
    }
    if ((*nmissing == 0 && nkept == 0) || config->missing == MISSING_FAIL ||
        s->cells.n > 0) /* a picked cell is not left out in silence */
        return ERR_OK;
    if (*nmissing == config->ncells)
        return err_set(e, ERR_DATA, "%s: no cell has its checkpoints on disk; the first, %s, lacks %s",
                       config->file, config->cells[0].name,
                       config->cells[0].lost ? config->cells[0].lost
                                             : presence_lacks(&presence, &config->cells[0]));
    tell(config, log, nkept, *nmissing);
    if (*nmissing == 0)
        return ERR_OK;
    *nmissing = 0;
    if (move_absent(config, marks, a, e) == ERR_OK)
        dag_build(d, config, a, e);
    return comm_agree(c, e);
}

/* Something is at the path, but no checkpoint: what it is, and in how many cells. */
static err_t refuse_other(const struct presence *p, const struct cell *cell, const char *path, int nmissing,
                          struct arena *scratch, struct err *e)
{
    struct checkpoint c;
    struct err why;
    err_clear(&why);
    if (checkpoint_open(&c, path, NULL, scratch, &why) == ERR_OK) /* since we looked, it has come */
        checkpoint_close(&c);
    if (p->dag->config->ncells == 1) /* there is nothing to list */
        return err_set(e, ERR_DATA, "%s", why.code == ERR_OK ? path : why.text);
    return err_set(e, ERR_DATA,
                   "%.1100s; %d of %d cells lack a checkpoint, first %s: 'sinew check %s' lists them all",
                   why.code == ERR_OK ? path : why.text, nmissing, p->dag->config->ncells, cell->name,
                   p->dag->config->file);
}

static err_t refuse(const struct presence *p, const struct selection *s, int nmissing, struct arena *scratch,
                    struct err *e)
{
    const struct config *config = p->dag->config;
    for (int i = 0; i < config->ncells; i++) {
        const struct cell *cell = &config->cells[i];
        const char *path = selection_has_cell(s, cell->name) ? presence_lacks(p, cell) : NULL;
        if (cell->lost)
            return err_set(e, ERR_DATA, "%d of %d cells lack a checkpoint, first %s: %s", nmissing,
                           config->ncells, cell->name, cell->lost);
        if (path && access(path, F_OK) == 0)
            return refuse_other(p, cell, path, nmissing, scratch, e);
        if (path)
            return err_set(
                e, ERR_DATA,
                "%d of %d cells lack a checkpoint, first %s: there is none in %s; 'sinew check %s' "
                "lists them all; fetch them, pick cells with --cell, or set 'missing: skip'",
                nmissing, config->ncells, cell->name, path, config->file);
    }
    return err_set(e, ERR_BUG, "no cell lacks a checkpoint");
}

err_t presence_refuse(const struct dag *d, const struct selection *s, int nmissing, struct arena *scratch,
                      struct err *e)
{
    struct presence presence;
    TRY(presence_index(&presence, d, scratch, e));
    return refuse(&presence, s, nmissing, scratch, e);
}
