#include "engine/schedule.h"

#include "base/comm.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a node costs beside its work, at the least: opening and completing an artifact, and agreeing on it
 * with each doubling of the team. Small teams are better where there is little to do. */
static const double NODE_SEC = 2e-3, DOUBLING_SEC = 1e-3;

/* The share of a node's work that does not divide where its stage does not tell it: headers, tables. */
static const double SERIAL = 0.01;

/* Deadlines are tried in steps of this, and one must gain as much over a longer one: small teams are better
 * where all else is equal. */
static const double DEADLINE_STEP = 0.8, GAIN = 0.98;

/* ---- places ---- */

static double team_sec(const struct job *j, int np, int level)
{
    double processes = np >> level > 1 ? np >> level : 1,
           at_work = j->parts > 0 ? fmin(processes, fmax(1, j->parts)) : processes;
    return NODE_SEC + DOUBLING_SEC * log2(processes) + machine_team_sec(&j->team, j->per_host, processes) +
           j->sec / at_work + j->fixed;
}

/* The smallest team that ends in time, else the one that ends first. */
static int level_for(const struct job *j, int np, double deadline)
{
    int best = j->deepest;
    for (int level = j->deepest; level >= 0; level--) {
        if (team_sec(j, np, level) <= deadline)
            return level;
        if (team_sec(j, np, level) < team_sec(j, np, best))
            best = level;
    }
    return best;
}

static int running_order(const void *a, const void *b)
{
    const struct schedule_slot *x = a, *y = b;
    if (x->level != y->level)
        return x->level - y->level;
    if (x->sec != y->sec)
        return x->sec < y->sec ? 1 : -1;
    return x->node - y->node;
}

/* Places all jobs for one deadline; returns when the last one ends. load: room for the teams of the deepest
 * level. */
static double place(const struct job *jobs, int n, int np, double deadline, double *load,
                    struct schedule_slot *slots)
{
    double end = 0;
    for (int i = 0; i < n; i++) {
        int level = level_for(&jobs[i], np, deadline);
        slots[i] = (struct schedule_slot){
            .node = jobs[i].node, .level = level, .sec = team_sec(&jobs[i], np, level)};
    }
    qsort(slots, (size_t)n, sizeof *slots, running_order);
    int at = 0;
    load[0] = 0;
    for (int i = 0; i < n; i++) {
        for (; at < slots[i].level; at++) /* both halves of a team begin when it ends; some have no process */
            for (int k = (1 << at) - 1; k >= 0; k--)
                for (int half = 1; half >= 0; half--) {
                    int from, to;
                    comm_team_range(np, at + 1, 2 * k + half, &from, &to);
                    load[2 * k + half] = from < to ? load[k] : INFINITY;
                }
        int least = 0;
        for (int k = 1; k < 1 << at; k++)
            if (load[k] < load[least])
                least = k;
        slots[i].team = least;
        load[least] += slots[i].sec;
        end = fmax(end, load[least]);
    }
    return end;
}

err_t schedule_jobs(const struct job *jobs, int n, int np, struct schedule_slot *slots, double *ends,
                    struct arena *scratch, struct err *e)
{
    double *load, longest = 0, shortest = 0;
    TRY(arena_array(scratch, "schedule.load", (int64_t)1 << comm_levels(np), &load, e));
    for (int i = 0; i < n; i++) {
        longest = fmax(longest, team_sec(&jobs[i], np, jobs[i].deepest));
        shortest = fmax(shortest, team_sec(&jobs[i], np, level_for(&jobs[i], np, 0)));
    }
    double deadline = longest, end = place(jobs, n, np, longest, load, slots);
    for (double d = longest * DEADLINE_STEP; d > shortest * DEADLINE_STEP; d *= DEADLINE_STEP) {
        double then = place(jobs, n, np, d, load, slots);
        if (then < GAIN * end) {
            end = then;
            deadline = d;
        }
    }
    *ends = place(jobs, n, np, deadline, load, slots);
    return ERR_OK;
}

/* ---- what nodes cost ---- */

/* On the processor or waiting for what is read, whichever takes longer, as reading goes on ahead. */
static void take_cost(struct job *job, const struct machine_cost *c)
{
    double sec = fmax(c->work, c->read) + c->write;
    job->sec = c->serial > 0 ? sec : (1 - SERIAL) * sec;
    job->fixed = c->serial > 0 ? fmax(0, c->serial - NODE_SEC) : SERIAL * sec;
    job->parts = c->parts;
    job->team = *c;
}

struct job schedule_judge(const struct machine *m, const struct dag *d, int i, int np, struct headers *h)
{
    struct job job = {.node = i};
    double least = INFINITY, most = (double)machine_memory(m, d->config->memory_bytes);
    for (int level = comm_levels(np); level >= 0 && least > most; level--) {
        struct estimate x;
        if (!machine_estimate(m, d, &d->nodes[i], np >> level > 1 ? np >> level : 1, h, &x))
            return (struct job){.node = i};
        if (x.process_bytes >= least)
            continue;
        least = x.process_bytes;
        job.deepest = level;
        job.known = 1;
        job.cost = x;
    }
    return job;
}

int schedule_price(const struct machine *m, const struct dag *d, struct job *jobs, int n, int np)
{
    double active = 0, reread = 0;
    for (int i = 0; i < n; i++) {
        active += jobs[i].cost.parts > 0 ? fmax(1, jobs[i].cost.parts) : np;
        reread += jobs[i].cost.reread_bytes;
    }
    int at_work = (int)fmin(np, active);
    double hosts = ceil(at_work / (double)m->processes_per_host);
    for (int i = 0; i < n && reread > hosts * (double)m->host_bytes / 2; i++)
        jobs[i].cost.reread_bytes = 0; /* memory does not keep what the stage before has written */
    for (int i = 0; i < n; i++) {
        struct machine_cost cost = machine_cost(m, d->nodes[jobs[i].node].stage, &jobs[i].cost, at_work);
        jobs[i].per_host = m->processes_per_host;
        if (jobs[i].known)
            take_cost(&jobs[i], &cost);
    }
    return at_work;
}

err_t schedule_nodes(const struct machine *m, const struct dag *d, int from, int to, const char *todo, int np,
                     struct headers *h, struct schedule_slot *slots, int *n, struct arena *scratch,
                     struct err *e)
{
    const struct machine assumed = machine_assume(), *model = m ? m : &assumed;
    struct job *jobs;
    double end;
    *n = 0;
    TRY(arena_array(scratch, "schedule.jobs", to - from, &jobs, e));
    for (int i = from; i < to; i++) {
        if (!todo[i])
            continue;
        int judged = np > 1 && d->nodes[i].stage->scope != SCOPE_STUDY; /* that of all is on all */
        jobs[*n] = judged ? schedule_judge(model, d, i, np, h) : (struct job){.node = i};
        (*n)++;
    }
    if (*n > 0)
        schedule_price(model, d, jobs, *n, np);
    return schedule_jobs(jobs, *n, np, slots, &end, scratch, e);
}
