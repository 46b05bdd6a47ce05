#include "command/cli.h"

#include "base/dict.h"
#include "base/terminal.h"
#include "command/presence.h"
#include "command/verbs/standing.h"
#include "engine/fresh.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SUMMED_FROM = 41,  /* a stage of so many nodes has a line for each state and reason, not for each node */
    MOST_AT_WORK = 64, /* of them that are run now have their lines */
    MOST_REASONS = 8,  /* lines of a stage */
    MOST_PARTS = 6     /* families and algorithms in a line */
};

/* What status works on. */
struct view {
    struct runner *r;
    const struct dag *dag;
    struct freshness *all; /* per node */
    struct arena *scratch; /* of one stage */
    int whole;             /* every node has its line */
    int left;              /* some have not */
    struct standing standing;
    const char **why; /* per node: of one that is run now, or was when its job was killed; else NULL */
    char *runs;       /* of these, is it run now? */
    int nrunning, nkilled;
};

/* Nodes of a stage of one state for one reason. */
struct status_group {
    int first, n; /* its first node; how many */
};

/* ---- lines ---- */

static const char *colour_of(enum fresh_state s)
{
    return terminal_colour(stdout, s == STATE_FRESH     ? TERMINAL_GREEN
                                   : s == STATE_MISSING ? TERMINAL_RED
                                                        : TERMINAL_YELLOW);
}

/* The first words of a line. */
static void put_state(const char *state, const char *colour, const char *what)
{
    printf("%s%-8s%s %-16s ", colour, state, colour[0] ? terminal_plain(stdout) : "", what);
}

static void put_node(const struct view *v, int i)
{
    const struct node *n = &v->dag->nodes[i];
    if (v->why[i]) {
        const char *colour = terminal_colour(stdout, v->runs[i] ? TERMINAL_GREEN : TERMINAL_RED);
        put_state(v->runs[i] ? "running" : "killed", colour, v->dag->config->nodes[n->decl].name);
        printf("%s: %s\n", n->label, v->why[i]);
        return;
    }
    enum fresh_state state = v->all[i].state;
    put_state(fresh_name(state), colour_of(state), v->dag->config->nodes[n->decl].name);
    printf("%s%s%s\n", n->label, v->all[i].why[0] ? ": " : "", v->all[i].why);
}

static const char *units_of(enum scope s)
{
    return s == SCOPE_CHECKPOINT ? "checkpoints" : s == SCOPE_CELL ? "cells" : "bases";
}

/* ---- many nodes ---- */

/* The group of each node [from, to). Returns how many groups there are. */
static err_t group_nodes(const struct view *v, int from, int to, struct status_group *groups, int *group_of,
                         int *n, struct err *e)
{
    struct dict known = {.arena = v->scratch};
    for (int i = from; i < to; i++) {
        if (v->why[i]) { /* which has a line of its own */
            group_of[i - from] = -1;
            continue;
        }
        char *key = arena_printf(v->scratch, e, "%d %s", (int)v->all[i].state, v->all[i].why);
        if (!key)
            return e->code;
        int64_t g = dict_find(&known, key);
        if (g < 0) {
            g = (*n)++;
            TRY(dict_put(&known, key, g, e));
            groups[g].first = i;
        }
        groups[g].n++;
        group_of[i - from] = (int)g;
    }
    return ERR_OK;
}

/* " (llama/grpo 12, qwen/ppo 3 and 4 other groups)": where the group's cells are in the study. */
static err_t put_parts(const struct view *v, int from, int to, const int *group_of, int g, struct err *e)
{
    struct dict known = {.arena = v->scratch};
    struct status_group *parts;
    int n = 0;
    TRY(arena_array(v->scratch, "status.parts", to - from, &parts, e));
    for (int i = from; i < to; i++) {
        const struct cell *c = v->dag->nodes[i].cell;
        if (group_of[i - from] != g || !c)
            continue;
        char *key = arena_printf(v->scratch, e, "%s/%s", c->family, c->algorithm);
        if (!key)
            return e->code;
        int64_t k = dict_find(&known, key);
        if (k < 0) {
            k = n++;
            TRY(dict_put(&known, key, k, e));
            parts[k].first = i;
        }
        parts[k].n++;
    }
    for (int k = 0; k < n && k < MOST_PARTS; k++) {
        const struct cell *c = v->dag->nodes[parts[k].first].cell;
        printf("%s%s/%s %d", k == 0 ? " (" : ", ", c->family, c->algorithm, parts[k].n);
    }
    if (n > MOST_PARTS)
        printf(" and %d other groups", n - MOST_PARTS);
    printf(n > 0 ? ")" : "");
    return ERR_OK;
}

/* A stage of many nodes: a line for each state and reason. */
static err_t put_groups(struct view *v, int from, int to, struct err *e)
{
    const struct node *node = &v->dag->nodes[from];
    struct status_group *groups;
    int *group_of, n = 0, told = 0;
    for (int i = from; i < to; i++)
        if (v->why[i] && ++told <= MOST_AT_WORK)
            put_node(v, i);
    TRY(arena_array(v->scratch, "status.groups", to - from, &groups, e));
    TRY(arena_array(v->scratch, "status.groups", to - from, &group_of, e));
    TRY(group_nodes(v, from, to, groups, group_of, &n, e));
    for (int g = 0; g < n && g < MOST_REASONS; g++) {
        int first = groups[g].first;
        const struct freshness *f = &v->all[first];
        put_state(fresh_name(f->state), colour_of(f->state), v->dag->config->nodes[node->decl].name);
        printf("%d of %d %s", groups[g].n, to - from, units_of(node->stage->scope));
        printf("%s%s", f->why[0] ? ": " : "", f->why);
        if (f->state != STATE_FRESH && groups[g].n < to - from)
            TRY(put_parts(v, from, to, group_of, g, e));
        printf("\n");
        told += groups[g].n;
    }
    if (told < to - from) {
        put_state("other", "", v->dag->config->nodes[node->decl].name);
        printf("%d of %d %s, for %d other reasons\n", to - from - told, to - from,
               units_of(node->stage->scope), n - MOST_REASONS);
    }
    v->left = 1;
    return ERR_OK;
}

/* ---- the verb ---- */

static err_t put_absent(struct view *v, struct presence *presence, struct err *e)
{
    const struct config *c = v->dag->config;
    for (int i = c->ncells; i < c->ncells + c->nabsent; i++) {
        if (!v->whole && c->nabsent >= SUMMED_FROM && i == c->ncells + MOST_REASONS) {
            put_state("absent", "", "checkpoint");
            printf("%d other cells\n", c->nabsent - MOST_REASONS);
            v->left = 1;
            break;
        }
        const char *why = presence_why_absent(presence, &c->cells[i], v->r->arena, e);
        if (!why)
            return e->code;
        put_state("absent", "", "checkpoint");
        printf("%s: %s\n", c->cells[i].name, why);
    }
    return ERR_OK;
}

static void put_total(const struct view *v, const int count[STATE_COUNT], int missing)
{
    const struct dag *d = v->dag;
    struct arena scratch;
    arena_init(&scratch, v->r->mem);
    enum fresh_state archive = access(d->archive, F_OK) != 0                           ? STATE_MISSING
                               : missing == 0 && archive_is_fresh(d, v->all, &scratch) ? STATE_FRESH
                                                                                       : STATE_STALE;
    arena_release(&scratch);
    put_state(fresh_name(archive), colour_of(archive), "archive");
    printf("%s\n", d->archive);
    printf("%d nodes: %d fresh, %d stale, %d partial, %d missing", d->nnodes, count[STATE_FRESH],
           count[STATE_STALE], count[STATE_PARTIAL], count[STATE_MISSING]);
    if (v->nrunning > 0)
        printf(", %d running", v->nrunning);
    if (v->nkilled > 0)
        printf(", %d killed", v->nkilled);
    printf("\n");
    if (v->left)
        printf("'sinew status %s --all' has a line for each\n", d->config->file);
}

/* Is the node run now, or was it when its job was killed? */
static err_t look_for_jobs(struct view *v, int i, struct err *e)
{
    char why[400];
    if (v->all[i].state == STATE_FRESH)
        return ERR_OK;
    const struct job_record *j = standing_at(&v->standing, v->dag->nodes[i].path, why, sizeof why);
    if (!j)
        return ERR_OK;
    v->runs[i] = j->state == JOB_RUNS;
    v->nrunning += v->runs[i];
    v->nkilled += !v->runs[i];
    v->why[i] = arena_strdup(v->r->arena, why, e);
    return e->code;
}

static err_t status_root(struct view *v, struct err *e)
{
    struct runner *r = v->r;
    const struct dag *d = v->dag;
    int count[STATE_COUNT] = {0}, missing = 0;
    struct presence presence;
    TRY(arena_array(r->arena, "status.states", d->nnodes, &v->all, e));
    TRY(arena_array(r->arena, "status.jobs", d->nnodes, &v->why, e));
    TRY(arena_array(r->arena, "status.jobs", d->nnodes, &v->runs, e));
    TRY(presence_index(&presence, d, r->arena, e));
    TRY(standing_read(&v->standing, d->config->output, r->arena, e));
    standing_put(&v->standing, d->config->output, d->config->file);
    headers_round(r->headers);
    for (int k = 0; k < d->config->nnodes; k++) {
        int from = d->first[k], to = d->first[k + 1], sum = !v->whole && to - from >= SUMMED_FROM;
        for (int i = from; i < to; i++) {
            TRY(fresh_node(d, i, v->all, r->headers, r->arena, e));
            TRY(look_for_jobs(v, i, e));
            count[v->all[i].state] += !v->why[i];
            missing += d->nodes[i].stage->scope != SCOPE_STUDY && v->all[i].state != STATE_FRESH;
            if (!sum)
                put_node(v, i);
        }
        if (sum)
            TRY(put_groups(v, from, to, e));
        arena_reset(v->scratch);
    }
    TRY(put_absent(v, &presence, e));
    put_total(v, count, missing);
    return ERR_OK;
}

static err_t status_run(struct runner *r, const struct cli *c, struct err *e)
{
    struct arena scratch;
    struct view view = {.r = r, .dag = r->dag, .scratch = &scratch, .whole = c->list_all};
    arena_init(&scratch, r->mem);
    if (r->comm->me == 0)
        status_root(&view, e);
    arena_release(&scratch);
    return comm_agree(r->comm, e);
}

static const struct verb_option status_options[] = {
    {"all", 'a', NULL, "a line for each node, of however many", OPTION_FLAG, offsetof(struct cli, list_all),
     NULL},
    {0},
};

const struct verb verb_status = {
    .name = "status",
    .args = "CONFIG [--all]",
    .brief = "each node: fresh, stale (and why), partial, running (where), killed (at what), missing",
    .more =
        "A job at work on the study, or one that was killed, has a line of its own first: where, since when, at what,\n"
        "with what peak of memory, and whether want of it was the likely cause. Of many nodes: how many are what.\n",
    .options = status_options,
    .run = status_run,
};
