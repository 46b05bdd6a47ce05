#include "command/verbs.h"

#include "formats/checkpoint.h"
#include "engine/fresh.h"
#include "formats/logits/logits.h"
#include "compare/pair.h"
#include "command/presence.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What plan's times assume of one process; they are there to tell minutes from days. */
static const double READ_RATE = 1e9, FLOP_RATE = 10e9;

/* The inputs as far as they can be opened, by path. */
struct inputs {
    struct arena *arena;
    int n;
    int64_t cap;
    struct opened {
        const char *path;
        struct checkpoint checkpoint;
        int ok;
    } * list;
    int problems;
    struct err first;
};

static void complain(struct inputs *in, const struct err *e)
{
    if (in->problems++ == 0)
        in->first = *e;
    else if (in->problems == 2)
        fprintf(stderr, "sinew: %s: %s\n", err_name(in->first.code), in->first.text);
    if (in->problems > 1)
        fprintf(stderr, "sinew: %s: %s\n", err_name(e->code), e->text);
}

/* Is there a node that writes this checkpoint (a simulated one), so that it need not exist yet? */
static int is_made(const struct dag *d, const char *path)
{
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (!n->stage->writes_files || n->stage->scope != SCOPE_CHECKPOINT)
            continue;
        if (strcmp(n->checkpoint, path) == 0 ||
            (n->cell->logits_base && strcmp(n->cell->logits_base, path) == 0) ||
            (n->cell->logits_tuned && strcmp(n->cell->logits_tuned, path) == 0))
            return 1;
    }
    return 0;
}

/* Is this file the logits of some cell? They are no checkpoint, and have formats of their own. */
static int is_logits(const struct dag *d, const char *path)
{
    for (int i = 0; i < d->config->ncells; i++) {
        const struct cell *c = &d->config->cells[i];
        if ((c->logits_base && logits_is_file_of(path, c->logits_base)) ||
            (c->logits_tuned && logits_is_file_of(path, c->logits_tuned)))
            return 1;
    }
    return 0;
}

static err_t open_logits(const char *path, struct arena *a, struct err *e)
{
    struct logits l;
    err_t code = logits_open(&l, path, a, e);
    logits_close(&l);
    return code;
}

static struct opened *find_opened(struct inputs *in, const char *path)
{
    for (int i = 0; i < in->n; i++)
        if (strcmp(in->list[i].path, path) == 0)
            return &in->list[i];
    return NULL;
}

struct open_arg {
    struct inputs *in;
    const struct dag *dag;
};

/* Opens one input's headers; a problem is noted, not passed up. */
static err_t open_input(void *arg, const char *path, struct err *e)
{
    struct open_arg *o = arg;
    struct inputs *in = o->in;
    if (find_opened(in, path))
        return ERR_OK;
    if (!checkpoint_exists(path) && is_made(o->dag, path))
        return ERR_OK;
    TRY(arena_grow(in->arena, "check.inputs", in->n + 1, &in->cap, &in->list, e));
    struct opened *x = &in->list[in->n];
    if (!(x->path = arena_strdup(in->arena, path, e)))
        return e->code;
    in->n++;
    struct err bad;
    err_clear(&bad);
    x->ok = (is_logits(o->dag, path) ? open_logits(x->path, in->arena, &bad)
                                     : checkpoint_open(&x->checkpoint, x->path, in->arena, &bad)) == ERR_OK;
    checkpoint_close(&x->checkpoint);
    if (!x->ok)
        complain(in, &bad);
    return ERR_OK;
}

/* Do the two checkpoints match as each stage that compares them will have it? */
static void match_inputs(struct inputs *in, const struct config *c, const struct cell *cell,
                         const struct opened *base, const struct opened *tuned)
{
    for (int i = 0; i < c->nnodes; i++) {
        struct match_policy policy, other;
        struct err bad;
        int known = 0;
        if (!c->nodes[i].stage->matches)
            continue;
        c->nodes[i].stage->matches(c->nodes[i].params, &policy);
        for (int k = 0; k < i && !known; k++)
            if (c->nodes[k].stage->matches) {
                c->nodes[k].stage->matches(c->nodes[k].params, &other);
                known = match_policy_same(&policy, &other);
            }
        err_clear(&bad);
        if (!known &&
            pair_check(&base->checkpoint, &tuned->checkpoint, &policy, cell->name, in->arena, &bad) != ERR_OK)
            complain(in, &bad);
    }
}

static err_t open_inputs(struct inputs *in, const struct dag *d, struct err *e)
{
    struct open_arg arg = {in, d};
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (!n->stage->files)
            continue;
        struct ctx ctx = node_ctx(d, n, in->arena);
        TRY(n->stage->files(&ctx, open_input, &arg, e));
    }
    for (int i = 0; i < d->config->ncells; i++) {
        const struct cell *c = &d->config->cells[i];
        struct opened *base = find_opened(in, c->base), *tuned = find_opened(in, c->tuned);
        if (base && tuned && base->ok && tuned->ok)
            match_inputs(in, d->config, c, base, tuned);
    }
    return ERR_OK;
}

/* Where some input is not as it should be: the cells that lack a checkpoint, and those whose checkpoint
 * cannot be used. */
static void list_cells(struct inputs *in, const struct dag *d)
{
    const struct config *c = d->config;
    int missing = 0, incomplete = 0;
    for (int i = 0; i < c->ncells + c->nabsent; i++) {
        const struct cell *cell = &c->cells[i];
        const char *lacks = presence_lacks(d, cell);
        struct opened *base = find_opened(in, cell->base), *tuned = find_opened(in, cell->tuned);
        int bad = !lacks && ((base && !base->ok) || (tuned && !tuned->ok));
        missing += lacks != NULL;
        incomplete += bad;
        if (lacks)
            printf("missing    %s: expected in %s\n", cell->name, lacks);
        else if (bad)
            printf("incomplete %s: %s\n", cell->name, base && !base->ok ? cell->base : cell->tuned);
    }
    printf("%d cells: %d present, %d incomplete, %d missing\n", c->ncells + c->nabsent,
           c->ncells + c->nabsent - missing - incomplete, incomplete, missing);
    fflush(stdout);
}

static err_t check_root(struct runner *r, struct inputs *in, struct err *e)
{
    const struct dag *d = r->dag;
    TRY(open_inputs(in, d, e));
    if (in->problems > 0 || d->config->nabsent > 0)
        list_cells(in, d);
    if (in->problems == 1)
        *e = in->first;
    else if (in->problems > 1)
        err_set(e, ERR_DATA, "%d problems with the inputs of %s", in->problems, d->config->file);
    return e->code;
}

err_t verb_check(struct runner *r, struct err *e)
{
    struct inputs in = {.arena = r->arena};
    if (r->comm->me == 0 && check_root(r, &in, e) == ERR_OK)
        printf("%s: study %s: %d cells, %d stages, %d nodes; %d inputs open and match; nothing was written\n",
               r->dag->config->file, r->dag->config->study, r->dag->config->ncells, r->dag->config->nnodes,
               r->dag->nnodes, in.n);
    return comm_agree(r->comm, e);
}

/* ---- plan ---- */

struct line {
    int nodes, fresh, unknown;
    double read, write, flops, memory, sec;
};

static void add_node(struct runner *r, struct inputs *in, const struct node *n, const struct freshness *f,
                     struct line *at)
{
    at->nodes++;
    if (f->state == STATE_FRESH) {
        at->fresh++;
        return;
    }
    const struct config *c = r->dag->config;
    struct plan_view view = {.cell = n->cell,
                             .ncells = n->ncells,
                             .np = r->comm->np,
                             .memory_bytes = c->memory_bytes,
                             .read = c->read,
                             .params = c->nodes[n->decl].params};
    const char *base = n->checkpoint ? n->checkpoint : n->cell ? n->cell->base : n->base;
    struct opened *b = base ? find_opened(in, base) : NULL;
    struct opened *t = n->cell && !n->checkpoint ? find_opened(in, n->cell->tuned) : NULL;
    view.base = b && b->ok ? &b->checkpoint : NULL;
    view.tuned = t && t->ok ? &t->checkpoint : NULL;
    struct estimate x = {0};
    if (n->stage->plan)
        n->stage->plan(&view, &x);
    at->unknown += n->stage->plan && !x.known;
    at->read += x.read_bytes;
    at->write += x.write_bytes;
    at->flops += x.flops;
    at->memory = x.process_bytes > at->memory ? x.process_bytes : at->memory;
    at->sec += ((x.read_bytes + x.write_bytes) / READ_RATE + x.flops / FLOP_RATE) / r->comm->np;
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

static err_t plan_root(struct runner *r, struct err *e)
{
    const struct dag *d = r->dag;
    const struct config *c = d->config;
    struct inputs in = {.arena = r->arena};
    struct freshness *all;
    TRY(check_root(r, &in, e));
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
            TRY(fresh_node(d, i, all, r->arena, e));
            add_node(r, &in, &d->nodes[i], &all[i], &at);
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
           READ_RATE / 1e9, FLOP_RATE / 1e9);
    if (total.unknown)
        printf("?: the checkpoints do not exist yet, a stage of this study makes them; plan again after it "
               "has run\n");
    if (over > (double)c->memory_bytes)
        return err_set(
            e, ERR_SYSTEM,
            "%s would need %s on a process, over memory_per_process; raise it or use more processes",
            over_name, human_bytes(over, memory, sizeof memory));
    return ERR_OK;
}

err_t verb_plan(struct runner *r, struct err *e)
{
    if (r->comm->me == 0)
        plan_root(r, e);
    return comm_agree(r->comm, e);
}

/* ---- status ---- */

static err_t status_root(struct runner *r, struct err *e)
{
    const struct dag *d = r->dag;
    struct freshness *all;
    struct arena scratch;
    int count[STATE_COUNT] = {0}, missing = 0;
    TRY(arena_array(r->arena, "status.states", d->nnodes, &all, e));
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        TRY(fresh_node(d, i, all, r->arena, e));
        count[all[i].state]++;
        missing += n->stage->scope != SCOPE_STUDY && all[i].state != STATE_FRESH;
        printf("%-8s %-16s %s%s%s\n", fresh_name(all[i].state), d->config->nodes[n->decl].name, n->label,
               all[i].why[0] ? ": " : "", all[i].why);
    }
    for (int i = d->config->ncells; i < d->config->ncells + d->config->nabsent; i++)
        printf("%-8s %-16s %s: expected in %s\n", "absent", "checkpoint", d->config->cells[i].name,
               presence_lacks(d, &d->config->cells[i]));
    arena_init(&scratch, r->mem);
    const char *archive = access(d->archive, F_OK) != 0                        ? "missing"
                          : missing == 0 && archive_is_fresh(d, all, &scratch) ? "fresh"
                                                                               : "stale";
    arena_release(&scratch);
    printf("%-8s %-16s %s\n", archive, "archive", d->archive);
    printf("%d nodes: %d fresh, %d stale, %d partial, %d missing\n", d->nnodes, count[STATE_FRESH],
           count[STATE_STALE], count[STATE_PARTIAL], count[STATE_MISSING]);
    return ERR_OK;
}

err_t verb_status(struct runner *r, struct err *e)
{
    if (r->comm->me == 0)
        status_root(r, e);
    return comm_agree(r->comm, e);
}
