#include "command/presence.h"

#include "formats/checkpoint.h"

#include <string.h>
#include <unistd.h>

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

/* Is there a node that makes this checkpoint or has catalogued it? */
static int is_known(const struct presence *p, const char *path)
{
    for (int i = (int)dict_find(&p->first, path); i >= 0; i = p->next[i]) {
        const struct node *n = &p->dag->nodes[i];
        if (n->stage->writes_files || access(n->path, F_OK) == 0)
            return 1;
    }
    return 0;
}

const char *presence_lacks(const struct presence *p, const struct cell *cell)
{
    if (!checkpoint_exists(cell->base) && !is_known(p, cell->base))
        return cell->base;
    if (!checkpoint_exists(cell->tuned) && !is_known(p, cell->tuned))
        return cell->tuned;
    return NULL;
}

/* Stable: cells that are there first, then those that are not. */
static err_t move_absent(struct config *config, const char *absent, struct arena *a, struct err *e)
{
    struct cell *sorted;
    int n = 0;
    TRY(arena_array(a, "presence.cells", config->ncells, &sorted, e));
    for (int want = 0; want < 2; want++)
        for (int i = 0; i < config->ncells; i++)
            if (absent[i] == want)
                sorted[n++] = config->cells[i];
    for (int i = 0; i < config->ncells; i++)
        config->nabsent += absent[i];
    config->ncells -= config->nabsent;
    config->cells = sorted;
    return ERR_OK;
}

err_t presence_settle(const struct comm *c, struct config *config, struct dag *d, const struct selection *s,
                      const struct log *log, int *nmissing, struct arena *a, struct err *e)
{
    char *absent = NULL;
    struct presence presence;
    *nmissing = 0;
    if (arena_array(a, "presence", config->ncells, &absent, e) == ERR_OK)
        presence_index(&presence, d, a, e);
    TRY_ALL(c, e);
    for (int i = 0; i < config->ncells && c->me == 0; i++)
        absent[i] = selection_has_cell(s, config->cells[i].name) &&
                    presence_lacks(&presence, &config->cells[i]) != NULL;
    comm_bcast(c, absent, config->ncells, 0);
    for (int i = 0; i < config->ncells; i++)
        *nmissing += absent[i];
    if (*nmissing == 0 || config->missing == MISSING_FAIL ||
        s->cells.n > 0) /* a picked cell is not left out in silence */
        return ERR_OK;
    if (*nmissing == config->ncells)
        return err_set(e, ERR_DATA, "%s: no cell has its checkpoints on disk; the first, %s, lacks %s",
                       config->file, config->cells[0].name, presence_lacks(&presence, &config->cells[0]));
    log_info(log, "%d of %d cells left out: their checkpoints are not on disk (missing: skip)", *nmissing,
             config->ncells);
    *nmissing = 0;
    if (move_absent(config, absent, a, e) == ERR_OK)
        dag_build(d, config, a, e);
    return comm_agree(c, e);
}

static err_t refuse(const struct presence *p, const struct selection *s, int nmissing, struct err *e)
{
    const struct config *config = p->dag->config;
    for (int i = 0; i < config->ncells; i++) {
        const struct cell *cell = &config->cells[i];
        const char *path = selection_has_cell(s, cell->name) ? presence_lacks(p, cell) : NULL;
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
    return refuse(&presence, s, nmissing, e);
}
