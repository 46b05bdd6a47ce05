#include "engine/machine/forecast.h"

#include "base/comm.h"
#include "engine/schedule.h"

#include <math.h>
#include <stdio.h>

/* More than so many times what all processes at work would take: some wait for the longest node. */
static const double UNEVEN = 1.5;

const char *forecast_bound(const struct forecast_stage *s, char *text, int size)
{
    static const char *const words[] = {"-",        "arithmetic", "reading", "writing", "per-node overhead",
                                        "one node", "one part"};
    if (s->bound == BOUND_PART && s->part)
        snprintf(text, (size_t)size, "one %s", s->part);
    else
        snprintf(text, (size_t)size, "%s", words[s->bound]);
    return text;
}

/* What all of a stage's nodes take, in seconds of one process. */
struct forecast_totals {
    struct machine_cost cost;
    double waiting; /* for what is read, where that takes longer than the work */
};

static void add_job(const struct machine *m, const struct stage *s, const struct job *j, int active,
                    struct forecast_stage *f, struct forecast_totals *t)
{
    struct machine_cost c = machine_cost(m, s, &j->cost, active);
    f->read_bytes += j->cost.read_bytes;
    f->write_bytes += j->cost.write_bytes;
    f->disk_bytes += j->cost.disk_bytes;
    f->kept_bytes += j->cost.kept_bytes;
    f->flops += j->cost.flops;
    f->processor_sec += c.work + c.serial - (s->work ? m->flush_sec : 0);
    t->cost.work += c.work;
    t->cost.serial += c.serial;
    t->cost.write += c.write;
    t->cost.read += c.read;
    t->waiting += fmax(0, c.read - c.work);
}

/* The bound of a stage whose processes are about evenly at work. */
static enum forecast_bound even_bound(const struct forecast_totals *t)
{
    const struct machine_cost *c = &t->cost;
    double work = t->waiting > 0 ? 0 : c->work, read = t->waiting > 0 ? c->read : 0;
    double most = fmax(fmax(work, read), fmax(c->write, c->serial));
    return most <= 0           ? BOUND_NOTHING
           : most == c->serial ? BOUND_OVERHEAD
           : most == read      ? BOUND_READING
           : most == c->write  ? BOUND_WRITING
                               : BOUND_WORK;
}

static const struct job *job_of(const struct job *jobs, int n, int node)
{
    for (int i = 0; i < n; i++)
        if (jobs[i].node == node)
            return &jobs[i];
    return NULL;
}

/* The bound where the longest node is what all wait for. */
static enum forecast_bound uneven_bound(const struct job *j, int processes)
{
    double at_work = j->parts > 0 ? fmin(processes, fmax(1, j->parts)) : processes;
    return j->fixed > j->sec / at_work ? BOUND_OVERHEAD : at_work < processes ? BOUND_PART : BOUND_NODE;
}

/* The memory of the largest process, on the teams that the nodes have. */
static void add_memory(const struct machine *m, const struct dag *d, const struct schedule_slot *slot,
                       const struct job *j, int np, struct headers *h, struct forecast_stage *f)
{
    struct estimate x = j->cost;
    int processes = np >> slot->level > 1 ? np >> slot->level : 1;
    if (slot->level != j->deepest)
        machine_estimate(m, d, &d->nodes[slot->node], processes, h, &x);
    f->process_bytes = fmax(f->process_bytes, x.process_bytes);
    f->likely_bytes = fmax(f->likely_bytes, x.likely_bytes);
}

static err_t forecast_stage(const struct machine *m, const struct dag *d, int k, const char *todo, int np,
                            struct headers *h, struct forecast_stage *f, struct arena *scratch, struct err *e)
{
    int from = d->first[k], to = d->first[k + 1], n = 0;
    struct job *jobs;
    struct schedule_slot *slots;
    struct forecast_totals all = {0};
    f->name = d->config->nodes[d->order[k]].name;
    TRY(arena_array(scratch, "forecast.jobs", to - from, &jobs, e));
    TRY(arena_array(scratch, "forecast.slots", to - from, &slots, e));
    for (int i = from; i < to; i++) {
        const struct stage *s = d->nodes[i].stage;
        if (!todo[i])
            continue;
        jobs[n] = schedule_judge(m, d, i, np, h);
        f->unknown += s->plan && !jobs[n].known;
        n++;
    }
    f->todo = n;
    if (n == 0)
        return ERR_OK;
    const struct stage *s = d->nodes[from].stage;
    int active = schedule_price(m, d, jobs, n, np);
    for (int i = 0; i < n; i++)
        if (jobs[i].known)
            add_job(m, s, &jobs[i], active, f, &all);
    TRY(schedule_jobs(jobs, n, np, slots, &f->sec, scratch, e));
    f->bound = even_bound(&all);
    double even = (fmax(all.cost.work, all.cost.work + all.waiting) + all.cost.serial + all.cost.write) / np;
    int longest = 0;
    for (int i = 0; i < n; i++) {
        const struct job *j = job_of(jobs, n, slots[i].node);
        longest = slots[i].sec > slots[longest].sec ? i : longest;
        if (j->known)
            add_memory(m, d, &slots[i], j, np, h, f);
    }
    if (np > 1 && f->sec > UNEVEN * even && slots[longest].sec * UNEVEN > f->sec) {
        int processes = np >> slots[longest].level > 1 ? np >> slots[longest].level : 1;
        f->bound = uneven_bound(job_of(jobs, n, slots[longest].node), processes);
        f->part = s->part ? s->part : "block";
    }
    return ERR_OK;
}

/* The archive is one process's: it looks at each artifact, and copies what it takes of those that are new. */
static void add_archive(const struct machine *m, const struct dag *d, struct forecast *out)
{
    struct forecast_stage *f = &out->stages[out->n++];
    f->name = "archive";
    for (int i = 0; i < out->n - 1; i++) {
        f->todo += out->stages[i].todo;
        f->write_bytes += out->stages[i].kept_bytes;
    }
    if (f->todo == 0)
        return;
    f->todo = 1;
    f->sec = d->nnodes / m->artifacts_per_sec + f->write_bytes / machine_write_rate(m, 1);
    f->disk_bytes = f->write_bytes;
    f->processor_sec = d->nnodes / m->artifacts_per_sec;
    f->bound = BOUND_OVERHEAD;
}

err_t forecast_study(const struct machine *m, const struct dag *d, const char *todo, int np,
                     struct headers *h, struct forecast *out, struct arena *a, struct err *e)
{
    int n = d->config->nnodes;
    *out = (struct forecast){.np = np, .sec = m->start_sec, .processor_sec = m->start_sec};
    TRY(arena_array(a, "forecast.stages", n + 1, &out->stages, e));
    for (int k = 0; k < n; k++) {
        struct arena scratch;
        arena_init(&scratch, a->mem);
        err_t code = forecast_stage(m, d, k, todo, np, h, &out->stages[out->n++], &scratch, e);
        arena_release(&scratch);
        if (code != ERR_OK)
            return code;
    }
    add_archive(m, d, out);
    for (int i = 0; i < out->n; i++) {
        const struct forecast_stage *f = &out->stages[i];
        out->sec += f->sec;
        out->processor_sec += f->processor_sec;
        out->disk_bytes += f->disk_bytes;
        out->unknown += f->unknown;
        out->largest = f->process_bytes > out->stages[out->largest].process_bytes ? i : out->largest;
        out->slowest = f->sec > out->stages[out->slowest].sec ? i : out->slowest;
        out->likely_bytes = fmax(out->likely_bytes, f->likely_bytes);
    }
    out->process_bytes = out->stages[out->largest].process_bytes;
    return ERR_OK;
}
