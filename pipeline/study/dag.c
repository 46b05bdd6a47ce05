#include "study/dag.h"

#include "base/dict.h"
#include "base/hash.h"
#include "study/order.h"

#include <stdio.h>
#include <string.h>

/* A checkpoint or a base, and what is taken of it. */
struct dag_checkpoint {
    const char *path, *name; /* name: choice_name */
    struct choice choice;
};

/* The distinct checkpoints and bases of the cells, each with what refers to it. */
struct places {
    int ncheckpoints, nbases;
    struct dag_checkpoint *checkpoint;
    const char **role;       /* "tuned" if some cell is tuned to it, else "base" */
    int *first_cell;         /* first cell that uses it, preferring one that is tuned to it */
    int *base;               /* index into checkpoint */
    int *of_base, *of_tuned; /* per cell: index into checkpoint */
    int *base_of;            /* per cell: index into base */
    int *on_base;            /* the cells, those on one base together, in their order */
    int *first_on_base;      /* nbases + 1: those on base k are on_base[first[k]] to [first[k+1]) */
    struct dict by_name;     /* into checkpoint */
};

/* Finds or makes the number of a checkpoint. role, cell: of a new one. */
static err_t checkpoint_at(struct places *p, const char *path, const struct choice *choice, const char *role,
                           int cell, int *at, struct err *e)
{
    const char *name = choice_name(path, choice, p->by_name.arena, e);
    if (!name)
        return e->code;
    *at = (int)dict_find(&p->by_name, name);
    if (*at >= 0)
        return ERR_OK;
    *at = p->ncheckpoints++;
    p->checkpoint[*at] = (struct dag_checkpoint){path, name, *choice};
    p->role[*at] = role;
    p->first_cell[*at] = cell;
    return dict_put(&p->by_name, name, *at, e);
}

/* Groups the cells by base. */
static err_t group_cells(struct places *p, int ncells, struct arena *a, struct err *e)
{
    int *first, *next;
    TRY(arena_array(a, "dag.on_base", ncells, &p->on_base, e));
    TRY(arena_array(a, "dag.on_base", p->nbases + 1, &first, e));
    TRY(arena_array(a, "dag.on_base", p->nbases + 1, &next, e));
    for (int i = 0; i < ncells; i++)
        first[p->base_of[i] + 1]++;
    for (int k = 0; k < p->nbases; k++)
        next[k + 1] = first[k + 1] += first[k];
    for (int i = 0; i < ncells; i++)
        p->on_base[next[p->base_of[i]]++] = i;
    p->first_on_base = first;
    return ERR_OK;
}

static err_t find_places(struct places *p, const struct config *c, struct arena *a, struct err *e)
{
    int *numbered; /* per checkpoint: its number as a base, from 1 */
    p->by_name.arena = a;
    TRY(arena_array(a, "dag.checkpoints", 2 * c->ncells, &p->checkpoint, e));
    TRY(arena_array(a, "dag.roles", 2 * c->ncells, &p->role, e));
    TRY(arena_array(a, "dag.first", 2 * c->ncells, &p->first_cell, e));
    TRY(arena_array(a, "dag.bases", c->ncells, &p->base, e));
    TRY(arena_array(a, "dag.of_base", c->ncells, &p->of_base, e));
    TRY(arena_array(a, "dag.of_tuned", c->ncells, &p->of_tuned, e));
    TRY(arena_array(a, "dag.base_of", c->ncells, &p->base_of, e));
    TRY(arena_array(a, "dag.bases", 2 * c->ncells, &numbered, e));
    for (int i = 0; i < c->ncells; i++) {
        const struct cell *cell = &c->cells[i];
        int b = 0, t = 0;
        TRY(checkpoint_at(p, cell->base, &cell->base_choice, "base", i, &b, e));
        TRY(checkpoint_at(p, cell->tuned, &cell->tuned_choice, "", i, &t, e));
        if (strcmp(p->role[t], "tuned") != 0) {
            p->role[t] = "tuned";
            p->first_cell[t] = i;
        }
        p->of_base[i] = b;
        p->of_tuned[i] = t;
        if (!numbered[b]) {
            p->base[p->nbases] = b;
            numbered[b] = ++p->nbases;
        }
        p->base_of[i] = numbered[b] - 1;
    }
    return group_cells(p, c->ncells, a, e);
}

/* A folder name for a path: its last pieces, readable, and a hash of its whole name, unique. */
static char *slug(struct arena *a, const char *path, const char *whole, struct err *e)
{
    char hash[HASH_TEXT], name[80];
    hash_text(whole, hash);
    const char *from = path + strlen(path);
    for (int pieces = 0; from > path && pieces < 3; from--)
        if (from[-1] == '/' && ++pieces == 3)
            break;
    int n = 0;
    for (; *from && n < (int)sizeof name - 1; from++) {
        int plain = (*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z') ||
                    (*from >= '0' && *from <= '9') || *from == '.' || *from == '_' || *from == '-';
        if (plain || n > 0)
            name[n++] = plain ? *from : '-';
    }
    name[n] = '\0';
    return arena_printf(a, e, "%s-%.8s", name[0] == '.' ? "checkpoint" : name, hash);
}

static char *node_path(struct arena *a, const char *output, const char *group, const char *middle,
                       const char *name, struct err *e)
{
    return arena_printf(a, e, "%s/%s%s%s/%s.h5", output, group, middle[0] ? "/" : "", middle, name);
}

char *dag_checkpoint_folder(const struct config *c, const char *path, const struct choice *choice,
                            struct arena *a, struct err *e)
{
    const char *whole = choice_name(path, choice, a, e);
    char *name = whole ? slug(a, path, whole, e) : NULL;
    return name ? arena_printf(a, e, "%s/checkpoints/%s", c->output, name) : NULL;
}

struct dag_build {
    struct dag *dag;
    const struct config *config;
    struct places places;
    struct arena *arena;
    int *index; /* per declared stage and scope id: node index or -1 */
    int stride;
    int64_t cap_nodes;
};

static int *node_at(struct dag_build *b, int decl, int id)
{
    return &b->index[decl * b->stride + id];
}

static err_t add_input(struct dag_build *b, struct node *n, int decl, int id, const char *role, int64_t *cap,
                       struct err *e)
{
    int at = *node_at(b, decl, id);
    if (at < 0)
        return ERR_OK; /* does not exist for this cell (no logits) */
    const struct node *from = &b->dag->nodes[at];
    int64_t cap_nodes = *cap;
    TRY(arena_grow(b->arena, "dag.inputs", n->ninputs + 1, cap, &n->inputs, e));
    TRY(arena_grow(b->arena, "dag.inputs", n->ninputs + 1, &cap_nodes, &n->input_nodes, e));
    n->inputs[n->ninputs] = (struct input){.kind = from->stage->kind,
                                           .node = b->config->nodes[decl].name,
                                           .cell = from->stage->scope == SCOPE_CELL ? from->cell : NULL,
                                           .role = role,
                                           .path = from->path};
    n->input_nodes[n->ninputs++] = at;
    return ERR_OK;
}

/* What node n (with scope id `id`) needs of declared stage `need`. */
static err_t add_inputs(struct dag_build *b, struct node *n, int id, int need, int64_t *cap, struct err *e)
{
    const struct config *c = b->config;
    const struct places *p = &b->places;
    enum scope mine = n->stage->scope, theirs = c->nodes[need].stage->scope;
    if (mine == SCOPE_CELL && theirs == SCOPE_CHECKPOINT) {
        TRY(add_input(b, n, need, p->of_base[id], "base", cap, e));
        return add_input(b, n, need, p->of_tuned[id], "tuned", cap, e);
    }
    if (mine == SCOPE_CELL && theirs == SCOPE_BASE)
        return add_input(b, n, need, p->base_of[id], "", cap, e);
    if (mine == theirs)
        return add_input(b, n, need, id, mine == SCOPE_CHECKPOINT ? n->role : "", cap, e);
    if (mine == SCOPE_BASE && theirs == SCOPE_CHECKPOINT)
        return add_input(b, n, need, p->base[id], "base", cap, e);
    if (mine == SCOPE_BASE && theirs == SCOPE_CELL) {
        for (int k = p->first_on_base[id]; k < p->first_on_base[id + 1]; k++)
            TRY(add_input(b, n, need, p->on_base[k], "", cap, e));
        return ERR_OK;
    }
    for (int i = 0; i < b->stride; i++) /* the study: everything */
        TRY(add_input(b, n, need, i, "", cap, e));
    return ERR_OK;
}

/* Makes the node of declared stage `decl` with scope id `id`. */
static err_t add_node(struct dag_build *b, int decl, int id, struct err *e)
{
    const struct config *c = b->config;
    const struct places *p = &b->places;
    const struct node_decl *d = &c->nodes[decl];
    struct arena *a = b->arena;
    TRY(arena_grow(a, "dag.nodes", b->dag->nnodes + 1, &b->cap_nodes, &b->dag->nodes, e));
    struct node *n = &b->dag->nodes[b->dag->nnodes];
    *n = (struct node){.decl = decl, .stage = d->stage, .role = "", .label = ""};
    int64_t cap = 0;
    switch (d->stage->scope) {
    case SCOPE_CHECKPOINT: {
        n->label = p->checkpoint[id].name;
        n->checkpoint = p->checkpoint[id].path;
        n->choice = p->checkpoint[id].choice;
        n->role = p->role[id];
        n->cell = &c->cells[p->first_cell[id]];
        char *folder = dag_checkpoint_folder(c, n->checkpoint, &n->choice, a, e);
        n->path = folder ? arena_printf(a, e, "%s/%s.h5", folder, d->name) : NULL;
        break;
    }
    case SCOPE_CELL:
        n->cell = &c->cells[id];
        if (d->stage->applies && !d->stage->applies(n->cell)) {
            *node_at(b, decl, id) = -1;
            return ERR_OK;
        }
        n->label = n->cell->name;
        n->path = node_path(a, c->output, "cells", n->cell->name, d->name, e);
        break;
    case SCOPE_BASE: {
        n->label = p->checkpoint[p->base[id]].name;
        n->base = p->checkpoint[p->base[id]].path;
        n->choice = p->checkpoint[p->base[id]].choice;
        int from = p->first_on_base[id], to = p->first_on_base[id + 1];
        TRY(arena_array(a, "dag.cells", to - from, &n->cells, e));
        for (int k = from; k < to; k++)
            n->cells[n->ncells++] = &c->cells[p->on_base[k]];
        char *name = slug(a, n->base, n->label, e);
        n->path = name ? node_path(a, c->output, "bases", name, d->name, e) : NULL;
        break;
    }
    case SCOPE_STUDY:
        n->label = c->study;
        TRY(arena_array(a, "dag.cells", c->ncells, &n->cells, e));
        for (int i = 0; i < c->ncells; i++)
            n->cells[n->ncells++] = &c->cells[i];
        n->path = node_path(a, c->output, "study", "", d->name, e);
        break;
    }
    if (!n->path)
        return e->code;
    for (int k = 0; k < d->nneeds; k++)
        TRY(add_inputs(b, n, id, d->needs[k], &cap, e));
    *node_at(b, decl, id) = b->dag->nnodes++;
    return ERR_OK;
}

err_t dag_build(struct dag *d, const struct config *c, struct arena *a, struct err *e)
{
    *d = (struct dag){.config = c};
    struct dag_build b = {.dag = d, .config = c, .arena = a, .stride = 2 * c->ncells + 1};
    int *by_need, *nneeds, **needs, ncycles;
    struct order_cycle *cycles;
    TRY(find_places(&b.places, c, a, e));
    TRY(arena_array(a, "dag.order", c->nnodes, &d->order, e));
    TRY(arena_array(a, "dag.order", c->nnodes, &by_need, e));
    TRY(arena_array(a, "dag.order", c->nnodes, &nneeds, e));
    TRY(arena_array(a, "dag.order", c->nnodes, &needs, e));
    TRY(arena_array(a, "dag.first", c->nnodes + 1, &d->first, e));
    TRY(arena_array(a, "dag.index", (int64_t)c->nnodes * b.stride, &b.index, e));
    for (int i = 0; i < c->nnodes; i++) {
        nneeds[i] = c->nodes[i].nneeds;
        needs[i] = c->nodes[i].needs;
    }
    TRY(order_sort(c->nnodes, nneeds, needs, by_need, &cycles, &ncycles, a, e));
    if (ncycles > 0)
        return err_set(e, ERR_BUG, "the config's cycle was not found when it was checked");
    int k = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < c->nnodes; i++)
            if ((c->nodes[by_need[i]].stage->scope == SCOPE_STUDY) == (pass == 1))
                d->order[k++] = by_need[i];
    for (int64_t i = 0; i < (int64_t)c->nnodes * b.stride; i++)
        b.index[i] = -1;
    for (k = 0; k < c->nnodes; k++) {
        int decl = d->order[k];
        enum scope scope = c->nodes[decl].stage->scope;
        int n = scope == SCOPE_CHECKPOINT ? b.places.ncheckpoints
                : scope == SCOPE_CELL     ? c->ncells
                : scope == SCOPE_BASE     ? b.places.nbases
                                          : 1;
        d->first[k] = d->nnodes;
        for (int id = 0; id < n; id++)
            TRY(add_node(&b, decl, id, e));
    }
    d->first[c->nnodes] = d->nnodes;
    d->archive = arena_printf(a, e, "%s/%s.h5", c->output, c->study);
    return e->code;
}

/* Does the node lack an input of this cell (NULL: one that is of no cell)? */
static int lacks_of(const struct node *n, const struct cell *cell, const char *lacks)
{
    for (int k = 0; k < n->ninputs; k++)
        if (n->inputs[k].cell == cell && lacks[n->input_nodes[k]])
            return 1;
    return 0;
}

static int has_cell(const struct node *n, const struct cell *cell)
{
    for (int i = 0; i < n->ncells; i++)
        if (n->cells[i] == cell)
            return 1;
    return 0;
}

int dag_narrow(struct node *n, const char *lacks)
{
    int gone = 0, ninputs = 0;
    if (n->stage->scope != SCOPE_BASE || lacks_of(n, NULL, lacks))
        return -1;
    for (int i = 0; i < n->ncells; i++)
        gone += lacks_of(n, n->cells[i], lacks);
    if (gone == 0 || gone == n->ncells)
        return gone == 0 ? 0 : -1;
    for (int i = 0, stay = 0; i < n->ncells; i++) {
        const struct cell *c = n->cells[i];
        if (lacks_of(n, c, lacks))
            continue;
        memmove(n->cells + stay + 1, n->cells + stay, (size_t)(i - stay) * sizeof *n->cells);
        n->cells[stay++] = c;
    }
    n->ncells -= gone;
    for (int k = 0; k < n->ninputs; k++) {
        if (n->inputs[k].cell && !has_cell(n, n->inputs[k].cell))
            continue;
        n->inputs[ninputs] = n->inputs[k];
        n->input_nodes[ninputs++] = n->input_nodes[k];
    }
    n->ninputs = ninputs;
    return gone;
}

struct ctx node_ctx(const struct dag *d, const struct node *n, struct arena *arena)
{
    const struct node_decl *decl = &d->config->nodes[n->decl];
    return (struct ctx){.arena = arena,
                        .params = decl->params,
                        .node = decl->name,
                        .label = n->label,
                        .cell = n->cell,
                        .checkpoint = n->checkpoint,
                        .choice = n->choice,
                        .role = n->role,
                        .base = n->base,
                        .cells = n->cells,
                        .ncells = n->ncells,
                        .inputs = n->inputs,
                        .ninputs = n->ninputs,
                        .output = d->config->output,
                        .archive = d->archive,
                        .memory_bytes = d->config->memory_bytes,
                        .read = d->config->read};
}
