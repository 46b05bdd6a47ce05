#include "command/cli.h"

#include "base/text.h"
#include "command/inputs.h"
#include "engine/fresh.h"
#include "engine/machine.h"

#include <stdio.h>

struct line {
    int nodes, fresh, unknown;
    double read, write, flops, memory, sec;
};

static void add_node(const struct runner *r, const struct node *n, const struct freshness *f, struct line *at)
{
    at->nodes++;
    if (f->state == STATE_FRESH) {
        at->fresh++;
        return;
    }
    struct estimate x;
    int known = machine_estimate(&machine_assumed, r->dag, n, r->comm->np, r->headers, &x);
    at->unknown += n->stage->plan && !known;
    at->read += x.read_bytes;
    at->write += x.write_bytes;
    at->flops += x.flops;
    at->memory = x.process_bytes > at->memory ? x.process_bytes : at->memory;
    at->sec += machine_sec(&machine_assumed, &x) / r->comm->np;
}

static void print_line(const char *name, const char *needs, const struct line *l)
{
    char read[32], write[32], memory[32], sec[32], flops[32];
    snprintf(flops, sizeof flops, "%.3g", l->flops);
    printf("%-16s %6d %6d %10s %10s %9s %10s %12s  %s\n", name, l->nodes, l->fresh,
           human_bytes(l->read, read, sizeof read), human_bytes(l->write, write, sizeof write), flops,
           human_bytes(l->memory, memory, sizeof memory),
           l->unknown ? "?" : human_sec(l->sec, sec, sizeof sec), needs);
}

/* A node that is over what a process has for it has all processes when it runs, or as many as serve it, and
 * may still be refused. */
static void warn_of_memory(const struct runner *r, const char *name, double bytes)
{
    int64_t has = machine_memory(&machine_assumed, r->dag->config->memory_bytes);
    char needs[32], room[32];
    if (bytes > (double)has)
        log_warn(r->log,
                 "%s would need %s on a process, which has %s of memory_per_process beside what it holds "
                 "anyway: it may be refused; raise it or use more processes",
                 name, human_bytes(bytes, needs, sizeof needs), human_bytes((double)has, room, sizeof room));
}

static err_t plan_root(struct runner *r, struct err *e)
{
    const struct dag *d = r->dag;
    const struct config *c = d->config;
    struct inputs in = {.arena = r->arena, .headers = r->headers};
    struct freshness *all;
    TRY(inputs_check(&in, d, e));
    TRY(arena_array(r->arena, "plan.states", d->nnodes, &all, e));
    char memory[32];
    printf("study %s: %d cells, %d process%s, %s each\n\n", c->study, c->ncells, r->comm->np,
           r->comm->np > 1 ? "es" : "", human_bytes((double)c->memory_bytes, memory, sizeof memory));
    printf("%-16s %6s %6s %10s %10s %9s %10s %12s  %s\n", "stage", "nodes", "fresh", "read", "write", "flops",
           "memory", "time", "needs");
    struct line total = {0};
    double over = 0;
    const char *over_name = NULL;
    for (int k = 0; k < c->nnodes; k++) {
        struct line at = {0};
        const struct node_decl *decl = &c->nodes[d->order[k]];
        struct text needs = {.arena = r->arena};
        TRY(text_add(&needs, e, "%s", ""));
        for (int i = 0; i < decl->nneeds; i++)
            TRY(text_add(&needs, e, "%s%s", i ? ", " : "", c->nodes[decl->needs[i]].name));
        for (int i = d->first[k]; i < d->first[k + 1]; i++) {
            TRY(fresh_node(d, i, all, r->headers, r->arena, e));
            add_node(r, &d->nodes[i], &all[i], &at);
        }
        print_line(decl->name, needs.text, &at);
        if (at.memory > over) {
            over = at.memory;
            over_name = decl->name;
        }
        total.nodes += at.nodes;
        total.fresh += at.fresh;
        total.unknown += at.unknown;
        total.read += at.read;
        total.write += at.write;
        total.flops += at.flops;
        total.sec += at.sec;
        total.memory = at.memory > total.memory ? at.memory : total.memory;
    }
    print_line("total", "", &total);
    printf("\nbytes, flops and times are of what is not fresh; memory is of one process; times assume %.0f "
           "GB/s and %.0f Gflop/s "
           "a process\n",
           machine_assumed.bytes_per_sec / 1e9, machine_assumed.flops_per_sec / 1e9);
    if (total.unknown)
        printf("?: the checkpoints do not exist yet, a stage of this study makes them; plan again after it "
               "has run\n");
    if (over > (double)c->memory_bytes)
        return err_set(
            e, ERR_SYSTEM,
            "%s would need %s on a process, over memory_per_process; raise it or use more processes",
            over_name, human_bytes(over, memory, sizeof memory));
    warn_of_memory(r, over_name, over);
    return ERR_OK;
}

static err_t plan_run(struct runner *r, const struct cli *c, struct err *e)
{
    (void)c;
    if (r->comm->me == 0)
        plan_root(r, e);
    return comm_agree(r->comm, e);
}

const struct verb verb_plan = {
    .name = "plan",
    .args = "CONFIG",
    .brief = "check, then the DAG, what is fresh, bytes, flops, memory per process, estimated time",
    .more = "Run it under the mpirun of the job to come: the figures are for that number of processes.\n",
    .run = plan_run,
};
