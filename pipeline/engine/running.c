#include "engine/running.h"

static err_t pick_nodes(struct work *w, struct err *e)
{
    struct runner *r = w->r;
    struct arena scratch;
    TRY(arena_array(r->arena, "runner.picked", r->dag->nnodes, &w->picked, e));
    arena_init(&scratch, r->mem);
    err_t code = selection_pick(w->selection, r->dag, w->picked, &scratch, e);
    arena_release(&scratch);
    return code;
}

err_t running_init(struct work *w, struct runner *r, const struct selection *s, struct err *e)
{
    *w = (struct work){.r = r, .selection = s};
    if (arena_array(r->arena, "runner.states", r->dag->nnodes, &w->all, e) == ERR_OK &&
        arena_array(r->arena, "runner.todo", r->dag->nnodes, &w->todo, e) == ERR_OK)
        if (arena_array(r->arena, "runner.settled", r->dag->nnodes, &w->settled, e) == ERR_OK &&
            arena_array(r->arena, "runner.awaited", r->dag->nnodes, &w->awaited, e) == ERR_OK &&
            arena_array(r->arena, "runner.seen", r->dag->nnodes, &w->seen, e) == ERR_OK &&
            arena_array(r->arena, "runner.passed", r->dag->nnodes, &w->passed, e) == ERR_OK &&
            arena_array(r->arena, "runner.slots", r->dag->nnodes, &w->slots, e) == ERR_OK &&
            arena_array(r->arena, "runner.notices", r->comm->np, &w->notices, e) == ERR_OK)
            failures_init(&w->failures, r->keep_going, r->dag, r->arena, e);
    if (e->code == ERR_OK && r->comm->me == 0)
        pick_nodes(w, e);
    return comm_agree(r->comm, e);
}

void running_say(const struct work *w, const char *name, const char *units, const struct stage_totals *t)
{
    char time[32], rate[32], peak[32];
    log_info(w->r->log, "%-14s %lld %s in %s (a process: min %.2f, mean %.2f, max %.2f s)%s%s%s, memory %s",
             name, (long long)t->n, units, human_sec(t->sec, time, sizeof time), t->min, t->mean, t->max,
             t->bytes > 0 ? ", " : "", t->bytes > 0 ? human_bytes(t->bytes / t->sec, rate, sizeof rate) : "",
             t->bytes > 0 ? "/s" : "", human_bytes((double)t->peak_bytes, peak, sizeof peak));
}

void running_trim(const struct work *w, const struct stage *s)
{
    enum {
        KEEP_SHARE = 32
    }; /* of the memory, one part in so many is for headers while nodes run that read none */
    if (!s->files)
        headers_trim(w->r->headers, w->r->mem->budget_bytes / KEEP_SHARE);
}

const char *running_units(enum scope s)
{
    return s == SCOPE_CHECKPOINT ? "checkpoints"
           : s == SCOPE_CELL     ? "cells"
           : s == SCOPE_BASE     ? "bases"
                                 : "study";
}

void running_end(struct work *w)
{
    comm_share_end(&w->shared);
    for (int level = MAX_LEVELS - 1; level >= 0; level--)
        if (w->team[level].np > 0)
            comm_team_free(w->r->comm, &w->team[level]);
}
