#include "engine/schedule.h"

#include "base/comm.h"
#include "engine/machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a node costs beside its work: opening and completing an artifact, and agreeing on it with each
 * doubling of the team. Of times only the proportions matter. */
static const double NODE_SEC = 2e-3, DOUBLING_SEC = 1e-3;

/* The share of a node's work that does not divide: headers, tables. */
static const double SERIAL = 0.01;

/* Deadlines are tried in steps of this, and one must gain as much over a longer one: small teams are better
 * where all else is equal. */
static const double DEADLINE_STEP = 0.8, GAIN = 0.98;

/* ---- places ---- */

static double team_sec(const struct job *j, int np, int level)
{
    int processes = np >> level > 1 ? np >> level : 1;
    return NODE_SEC + DOUBLING_SEC * log2(processes) + j->sec * ((1 - SERIAL) / processes + SERIAL);
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

err_t schedule_jobs(const struct job *jobs, int n, int np, struct schedule_slot *slots, struct arena *scratch,
                    struct err *e)
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
    place(jobs, n, np, deadline, load, slots);
    return ERR_OK;
}

/* ---- what nodes cost ---- */

/* The smallest team with the memory. Where no team has it, the smallest of those that come nearest: more
 * processes are of no use to all stages. */
static struct job judge(const struct dag *d, int i, int np, struct headers *h)
{
    const struct machine_model *m = &machine_assumed;
    struct job job = {.node = i};
    double least = INFINITY, most = (double)machine_memory(m, d->config->memory_bytes);
    for (int level = comm_levels(np); level >= 0 && least > most; level--) {
        struct estimate x;
        if (!machine_estimate(m, d, &d->nodes[i], np >> level > 1 ? np >> level : 1, h, &x))
            return (struct job){.node = i};
        job.sec = machine_sec(m, &x);
        if (x.process_bytes < least) {
            least = x.process_bytes;
            job.deepest = level;
        }
    }
    return job;
}

err_t schedule_nodes(const struct dag *d, int from, int to, const char *todo, int np, struct headers *h,
                     struct schedule_slot *slots, int *n, struct arena *scratch, struct err *e)
{
    struct job *jobs;
    *n = 0;
    TRY(arena_array(scratch, "schedule.jobs", to - from, &jobs, e));
    for (int i = from; i < to; i++) {
        if (!todo[i])
            continue;
        jobs[*n] = np > 1 ? judge(d, i, np, h) : (struct job){.node = i};
        (*n)++;
    }
    return schedule_jobs(jobs, *n, np, slots, scratch, e);
}
