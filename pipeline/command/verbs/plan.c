#include "command/cli.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "command/inputs.h"
#include "command/planning/calibration.h"
#include "command/planning/outlook.h"
#include "command/planning/probe.h"
#include "engine/fresh.h"
#include "engine/machine/machine_file.h"
#include "engine/scratch.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static err_t plan_words(struct cli *c, int n, char **words, struct err *e)
{
    int64_t *counts;
    int ncounts;
    struct mem mem;
    struct arena scratch;
    mem_init(&mem, 0);
    arena_init(&scratch, &mem);
    err_t code = cli_one_config(c, n, words, e);
    if (code == ERR_OK && c->plan.processes)
        code = outlook_counts(c->plan.processes, &counts, &ncounts, &scratch, e);
    arena_release(&scratch);
    c->terse = c->plan.json;
    if (code == ERR_OK && c->plan.json && c->plan.probe)
        return err_set(e, ERR_CONFIG, "--probe speaks to a reader, --json to a program: give one of them");
    return code;
}

/* ---- what the study is about, on as many processes as there are ---- */

struct plan {
    struct runner *r;
    const struct machine *m;
    const struct dag *d;
    char *todo; /* per node: it is not fresh */
    int *fresh; /* per declared stage, in order */
    struct forecast now;
};

static err_t look_at_nodes(struct plan *p, struct err *e)
{
    const struct dag *d = p->d;
    struct freshness *all;
    TRY(arena_array(p->r->arena, "plan.states", d->nnodes, &all, e));
    TRY(arena_array(p->r->arena, "plan.todo", d->nnodes, &p->todo, e));
    TRY(arena_array(p->r->arena, "plan.fresh", d->config->nnodes, &p->fresh, e));
    for (int k = 0; k < d->config->nnodes; k++)
        for (int i = d->first[k]; i < d->first[k + 1]; i++) {
            TRY(fresh_node(d, i, all, p->r->headers, p->r->arena, e));
            p->todo[i] = all[i].state != STATE_FRESH;
            p->fresh[k] += !p->todo[i];
        }
    return ERR_OK;
}

static void print_line(const char *name, int nodes, int fresh, const struct forecast_stage *f,
                       const char *needs)
{
    char read[32], write[32], memory[32], sec[32], flops[32], bound[32];
    snprintf(flops, sizeof flops, "%.3g", f->flops);
    printf("%-16s %6d %6d %10s %10s %9s %10s %12s  %-18s %s\n", name, nodes, fresh,
           human_bytes(f->read_bytes, read, sizeof read), human_bytes(f->write_bytes, write, sizeof write),
           flops, human_bytes(f->process_bytes, memory, sizeof memory),
           f->unknown ? "?" : human_sec(f->sec, sec, sizeof sec), forecast_bound(f, bound, sizeof bound),
           needs);
}

static err_t print_stages(const struct plan *p, struct err *e)
{
    const struct config *c = p->d->config;
    const struct forecast *f = &p->now;
    struct forecast_stage all = {.sec = f->sec, .process_bytes = f->process_bytes, .unknown = f->unknown};
    int fresh = 0;
    char memory[32];
    printf("study %s: %d cells, %d process%s, %s each\n\n", c->study, c->ncells, f->np, f->np > 1 ? "es" : "",
           human_bytes((double)c->memory_bytes, memory, sizeof memory));
    printf("%-16s %6s %6s %10s %10s %9s %10s %12s  %-18s %s\n", "stage", "nodes", "fresh", "read", "write",
           "flops", "memory", "time", "bound by", "needs");
    for (int k = 0; k < f->n; k++) {
        const struct forecast_stage *s = &f->stages[k];
        struct text needs = {.arena = p->r->arena};
        TRY(text_add(&needs, e, "%s", ""));
        int nodes = 1, done = s->todo == 0;
        if (k < c->nnodes) {
            const struct node_decl *decl = &c->nodes[p->d->order[k]];
            for (int i = 0; i < decl->nneeds; i++)
                TRY(text_add(&needs, e, "%s%s", i ? ", " : "", c->nodes[decl->needs[i]].name));
            nodes = p->d->first[k + 1] - p->d->first[k];
            done = p->fresh[k];
        }
        print_line(s->name, nodes, done, s, needs.text);
        fresh += k < c->nnodes ? done : 0;
        all.read_bytes += s->read_bytes;
        all.write_bytes += s->write_bytes;
        all.flops += s->flops;
    }
    print_line("total", p->d->nnodes, fresh, &all, "");
    printf(
        "\nBytes, flops and times are of what is not fresh; memory is what one process counts, at the most.\n");
    if (f->unknown)
        printf("?: the checkpoints do not exist yet, a stage of this study makes them; plan again after it "
               "has run\n");
    return ERR_OK;
}

/* ---- on other numbers of processes ---- */

enum { TRIED = 17 }; /* doublings of one process */

/* From which number of processes on twice as many gain less than a tenth. */
static err_t find_stop(const struct plan *p, struct outlook *o, struct err *e)
{
    struct forecast before, then;
    char bound[32];
    int most = o->list[o->n - 1].np;
    TRY(forecast_study(p->m, p->d, p->todo, 1, p->r->headers, &before, p->r->arena, e));
    for (int np = 2; np <= most && o->stops == 0; np *= 2) {
        TRY(forecast_study(p->m, p->d, p->todo, np, p->r->headers, &then, p->r->arena, e));
        const struct forecast_stage *s = &before.stages[before.slowest];
        if (then.sec > 0.9 * before.sec) {
            o->stops = before.np;
            o->stops_at =
                arena_printf(p->r->arena, e, "%s (%s)", s->name, forecast_bound(s, bound, sizeof bound));
        }
        before = then;
    }
    return e->code;
}

static err_t look_ahead(const struct plan *p, const char *processes, struct outlook *o, struct err *e)
{
    int64_t *counts;
    struct forecast *list;
    *o = (struct outlook){.machine = p->m, .dag = p->d};
    if (!processes) {
        o->list = &p->now;
        o->n = 1;
        return ERR_OK;
    }
    TRY(outlook_counts(processes, &counts, &o->n, p->r->arena, e));
    TRY(arena_array(p->r->arena, "plan.forecasts", o->n, &list, e));
    for (int i = 0; i < o->n; i++)
        TRY(forecast_study(p->m, p->d, p->todo, (int)counts[i], p->r->headers, &list[i], p->r->arena, e));
    o->list = list;
    return find_stop(p, o, e);
}

/* ---- memory ---- */

/* The fewest processes, in doublings, on which all fits; 0 where none do. */
static int fitting_processes(const struct plan *p, int from)
{
    double has = (double)machine_memory(p->m, p->d->config->memory_bytes);
    struct err ignored;
    err_clear(&ignored);
    for (int i = 0, np = 1; i < TRIED; i++, np *= 2) {
        struct forecast f;
        if (np <= from)
            continue;
        if (forecast_study(p->m, p->d, p->todo, np, p->r->headers, &f, p->r->arena, &ignored) != ERR_OK)
            return 0;
        if (f.process_bytes <= has)
            return np;
    }
    return 0;
}

/* What would do where a process needs more than it has: "raise memory_per_process to 3 GiB, or ...". */
static char *memory_remedy(const struct plan *p, const struct forecast *f, struct err *e)
{
    char bytes[32];
    double spare = (double)p->m->spare, raised = f->process_bytes * spare / (spare - 1);
    int np = fitting_processes(p, f->np);
    int64_t mib = (int64_t)ceil(raised / 1048576) + 1;
    return arena_printf(p->r->arena, e, "memory_per_process: %s would do%s",
                        bytes_text(mib << 20, bytes, sizeof bytes),
                        np > 0 ? arena_printf(p->r->arena, e, ", and so would %d processes", np)
                               : "; more processes would not");
}

/* A stage that is over what a process has for it has as many processes as serve it when it runs; one that is
 * still over memory_per_process will be refused. */
static err_t judge_memory(const struct plan *p, const struct outlook *o, struct err *e)
{
    double all = (double)p->d->config->memory_bytes,
           has = (double)machine_memory(p->m, p->d->config->memory_bytes);
    const struct forecast *f = &o->list[o->n - 1];
    char needs[32], room[32];
    if (f->process_bytes > has) {
        const char *name = f->stages[f->largest].name;
        char *remedy = memory_remedy(p, f, e);
        if (!remedy)
            return e->code;
        if (f->process_bytes > all)
            return err_set(e, ERR_SYSTEM,
                           "%s would need %s on a process, over memory_per_process, on %d process%s: %s",
                           name, human_bytes(f->process_bytes, needs, sizeof needs), f->np,
                           f->np > 1 ? "es" : "", remedy);
        log_warn(p->r->log,
                 "%s would need %s on a process, which has %s of memory_per_process beside what it holds "
                 "anyway: it may be refused; %s",
                 name, human_bytes(f->process_bytes, needs, sizeof needs),
                 human_bytes(has, room, sizeof room), remedy);
    }
    double each = fmin(f->process_bytes, all) + machine_resident(p->m, f->np),
           host = each * fmin(f->np, (double)p->m->processes_per_host);
    if (host > (double)p->m->host_bytes)
        log_warn(p->r->log, "the processes of a host may need %s together, and it has %s: run fewer on each",
                 human_bytes(host, needs, sizeof needs),
                 human_bytes((double)p->m->host_bytes, room, sizeof room));
    return ERR_OK;
}

/* ---- disk ---- */

static void print_room(double has, double needs)
{
    char free_bytes[32], planned[32];
    printf("%-34s %-14s %s at the most for this run%s\n\n", "room",
           human_bytes(has, free_bytes, sizeof free_bytes), human_bytes(needs, planned, sizeof planned),
           needs > has ? ": TOO LITTLE" : "");
}

/* ---- the verb ---- */

static err_t plan_root(struct runner *r, const struct cli *c, double room, struct err *e)
{
    struct plan p = {.r = r, .m = r->machine, .d = r->dag};
    struct inputs in = {.arena = r->arena, .headers = r->headers};
    struct outlook o;
    struct text out = {.arena = r->arena};
    TRY(inputs_check(&in, p.d, e));
    TRY(look_at_nodes(&p, e));
    TRY(forecast_study(p.m, p.d, p.todo, r->comm->np, r->headers, &p.now, r->arena, e));
    TRY(look_ahead(&p, c->plan.processes, &o, e));
    if (c->plan.json) {
        TRY(outlook_json(&o, &out, e));
        fputs(out.text, stdout);
        return judge_memory(&p, &o, e);
    }
    if (c->plan.probe)
        print_room(room, o.list[o.n - 1].disk_bytes);
    TRY(print_stages(&p, e));
    if (c->plan.processes)
        TRY(outlook_table(&o, &out, e));
    TRY(outlook_model(p.m, p.d, &out, e));
    printf("%s%s", c->plan.processes ? "\n" : "", out.text);
    return judge_memory(&p, &o, e);
}

/* Process 0's. A file of a checkpoint that the study reads; NULL where none is there yet. */
static const char *some_checkpoint(const struct runner *r)
{
    const struct config *config = r->dag->config;
    const char *path = NULL;
    struct checkpoint *c;
    struct err no; /* what cannot be opened is said by the plan */
    err_clear(&no);
    if (config->ncells == 0 ||
        headers_get(r->headers, config->cells[0].base, &config->cells[0].base_choice, &c, &no) != ERR_OK)
        return NULL;
    for (int64_t i = 0, most = 0; i < c->nfiles; i++)
        if (c->files[i].size_bytes > most) {
            most = c->files[i].size_bytes;
            path = arena_strdup(r->arena, c->files[i].path, &no);
        }
    headers_put(r->headers, c);
    return path;
}

/* Collective. Measures this machine into its file. */
static err_t calibrate(struct runner *r, const struct cli *c, struct machine *m, struct err *e)
{
    const char *output = r->dag->config->output;
    *m = machine_assume();
    TRY(calibration_measure(r, output, r->comm->me == 0 ? some_checkpoint(r) : NULL, m, e));
    if (r->comm->me == 0) {
        struct text text = {.arena = r->arena};
        m->file = c->machine ? c->machine : path_join(r->arena, output, "machine.yaml", e);
        if (m->file &&
            machine_write(m, "# What this machine does in a second, for sinew plan and sinew run.\n", &text,
                          e) == ERR_OK)
            file_write(m->file, text.text, text.used, e);
        r->machine = m;
        if (e->code == ERR_OK)
            log_info(r->log, "calibration: written to %s", m->file);
    }
    return comm_agree(r->comm, e);
}

static void plan_listen(const struct cli *c, const struct comm *world)
{
    if (c->plan.calibrate || c->plan.probe)
        scratch_listen(world);
}

static void plan_end(const struct cli *c)
{
    (void)c;
    scratch_remove();
}

static err_t plan_run(struct runner *r, const struct cli *c, struct err *e)
{
    struct machine measured;
    double room = -1;
    if (c->plan.probe)
        TRY(probe_output(r, r->dag->config->output, &room, e));
    if (c->plan.calibrate)
        TRY(calibrate(r, c, &measured, e));
    if (r->comm->me == 0)
        plan_root(r, c, room, e);
    return comm_agree(r->comm, e);
}

static const struct verb_option plan_options[] = {
    {"processes", '\0', "N,N,...",
     "time, memory, disk and what bounds each stage on so many processes, and where\n"
     "scaling stops",
     OPTION_TEXT, offsetof(struct cli, plan.processes), NULL},
    {"machine", '\0', "FILE",
     "rates of the machine that it is planned for (YAML); without it machine.yaml in the\n"
     "output folder, if it is there; else they are assumed",
     OPTION_TEXT, offsetof(struct cli, machine), NULL},
    {"calibrate", '\0', NULL,
     "measure this machine first, in a minute or two, in the output folder: disks, and all\n"
     "kinds of work in small simulated studies; into FILE of --machine, or machine.yaml there",
     OPTION_FLAG, offsetof(struct cli, plan.calibrate), NULL},
    {"probe", '\0', NULL,
     "try the file system of the output folder first: locks, files that all hosts see, a\n"
     "write of all processes into one file, room; and say what to set",
     OPTION_FLAG, offsetof(struct cli, plan.probe), NULL},
    {"json", 'j', NULL, "a JSON list, one object for each number of processes, instead of text", OPTION_FLAG,
     offsetof(struct cli, plan.json), NULL},
    {0},
};

const struct verb verb_plan = {
    .name = "plan",
    .args = "CONFIG [--processes N,N,...] [--calibrate] [--probe] [--machine FILE] [--json]",
    .brief = "check, then the DAG, what is fresh, bytes, flops, memory per process, estimated time",
    .more = "Without --processes the figures are for the number under whose mpirun it runs.\n"
            "  sinew plan study.yaml --processes 1,16,256\n",
    .options = plan_options,
    .words = plan_words,
    .listen = plan_listen,
    .run = plan_run,
    .end = plan_end,
};
