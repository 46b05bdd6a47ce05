#include "engine/across.h"

#include "engine/decision.h"
#include "engine/teams.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NAP_LEAST = 200, /* microseconds, while what is needed is not there */
    NAP_MOST = 2000,
    NAPS_OF_EACH = 16 /* before they get longer */
};

/* What becomes of a slot: where not one of these, it has ended, and this is SLOTS and how (teams.h). */
enum { SLOT_FREE, SLOT_TAKEN, SLOTS };

/* What a process has had of a stage, written by it alone. What belongs to an end is written before it. */
struct across_tally {
    _Atomic double busy_sec, first_sec, last_sec, bytes, planned_sec;
    _Atomic int64_t peak_bytes, begun, ended, done, passed;
};

/* A run of stages, as each process has it. */
struct across {
    struct work *w;
    /* In the memory that all share: */
    _Atomic int *over;          /* a node failed, or the run is asked to stop: no other begins */
    _Atomic int *state, *by;    /* per slot; the process that took it */
    struct across_tally *tally; /* [stage][process] */
    /* This process's: */
    int from, stages;    /* declared stages, in order */
    int *slot_of;        /* per node: its slot, -1: it is fresh */
    int *stage_of;       /* per slot, from 0 */
    int first;           /* no slot before it is free */
    int *total;          /* per stage: its slots */
    char *said;          /* per stage: how many of its two lines */
    double *longest_sec; /* per stage: the longest node that this process had */
    double planned_sec;
    struct progress progress;
};

/* ---- what is shared ---- */

enum { LINE = 64 };

static size_t tally_bytes(const struct work *w)
{
    return (size_t)w->r->dag->config->nnodes * (size_t)w->r->comm->np * sizeof(struct across_tally);
}

void across_start(struct work *w)
{
    const size_t slots = (size_t)w->r->dag->nnodes * sizeof(_Atomic int);
    if (w->r->comm->np > 1 && w->hosts.n == 1)
        comm_share(w->r->comm, LINE + tally_bytes(w) + 2 * slots, &w->shared);
}

int across_can(const struct work *w)
{
    return w->shared.memory != NULL;
}

static void clear_board(struct across *x)
{
    const struct work *w = x->w;
    char *at = w->shared.memory;
    x->over = (_Atomic int *)(void *)at;
    x->tally = (struct across_tally *)(void *)(at + LINE);
    x->state = (_Atomic int *)(void *)(at + LINE + tally_bytes(w));
    x->by = x->state + w->r->dag->nnodes;
    comm_rest(w->r->comm); /* nobody looks at the last one's any more */
    if (w->r->comm->me == 0)
        memset(at, 0, w->shared.bytes);
    comm_rest(w->r->comm);
}

static struct across_tally *tally_of(const struct across *x, int stage, int process)
{
    return &x->tally[(int64_t)stage * x->w->r->comm->np + process];
}

/* ---- which stages ---- */

/* Are slots [from, w->nslots) of processes by themselves? */
static int are_alone(const struct work *w, int from)
{
    const int alone = comm_levels(w->r->comm->np);
    for (int s = from; s < w->nslots; s++)
        if (w->slots[s].level != alone)
            return 0;
    return 1;
}

err_t across_take(struct work *w, int k, int *end, struct err *e)
{
    const struct dag *d = w->r->dag;
    int at = k;
    w->nslots = 0;
    for (int meets = 0; at < d->config->nnodes && !meets; at++) {
        int from = d->first[at], to = d->first[at + 1], before = w->nslots;
        if (from == to)
            continue;
        if (d->nodes[from].stage->scope == SCOPE_STUDY)
            break;
        if (decision_take(w, d->first[k], from, to, e) == ERR_DATA && before > 0) {
            err_clear(
                e); /* all know of it; it is said when its turn comes, and what stands before it is done */
            w->nslots = before;
            break;
        }
        TRY(e->code);
        meets = d->nodes[from].stage->writes_files && w->nslots > before;
        if (are_alone(w, before))
            continue;
        if (at > k)
            w->nslots = before; /* it is decided upon again when its turn comes */
        break;
    }
    *end = at;
    return ERR_OK;
}

/* ---- the order ---- */

static int by_way_ahead(const void *a, const void *b)
{
    const struct schedule_slot *x = a, *y = b;
    return x->sec != y->sec ? (x->sec < y->sec ? 1 : -1) : x->node - y->node;
}

/* Puts the slots into the order in which they are taken, the same on all processes: a node's way ahead is
 * longer than that of all that need it, and so it stands before them. */
static err_t put_in_order(struct across *x, struct arena *a, struct err *e)
{
    struct work *w = x->w;
    const struct dag *d = w->r->dag;
    double *above, *own;
    TRY(arena_array(a, "across.above", d->nnodes, &above, e));
    TRY(arena_array(a, "across.own", d->nnodes, &own, e));
    for (int s = 0; s < w->nslots; s++) {
        x->slot_of[w->slots[s].node] = s;
        own[w->slots[s].node] = w->slots[s].sec;
        x->planned_sec += w->slots[s].sec;
    }
    for (int i = d->nnodes - 1; i >= 0; i--) { /* those that need it stand behind it */
        double way = above[i];                 /* through what is fresh, too */
        if (x->slot_of[i] >= 0)
            way = w->slots[x->slot_of[i]].sec += above[i];
        for (int k = 0; k < d->nodes[i].ninputs; k++)
            above[d->nodes[i].input_nodes[k]] = fmax(above[d->nodes[i].input_nodes[k]], way);
    }
    qsort(w->slots, (size_t)w->nslots, sizeof *w->slots, by_way_ahead);
    for (int s = 0; s < w->nslots; s++) {
        int i = w->slots[s].node, k = 0;
        w->slots[s].sec = own[i];
        x->slot_of[i] = s;
        while (i >= d->first[x->from + k + 1])
            k++;
        x->stage_of[s] = k;
        x->total[k]++;
    }
    return ERR_OK;
}

/* ---- taking ---- */

/* Is what node i needs there: 1; not yet: 0; not in this run: -1. What is fresh is asked what it needs
 * itself, as far as this run decides upon that: a node may read what its input stands on. */
static int is_there(const struct across *x, int i)
{
    const struct dag *d = x->w->r->dag;
    const struct node *n = &d->nodes[i];
    int there = 1;
    for (int k = 0; k < n->ninputs; k++) {
        int below = n->input_nodes[k], s = x->slot_of[below], is = 1;
        if (s >= 0) {
            int state = atomic_load(&x->state[s]);
            is = state > SLOTS + SLOT_DONE ? -1 : state >= SLOTS;
        } else if (below >= d->first[x->from])
            is = is_there(x, below);
        if (is < 0)
            return -1;
        there &= is;
    }
    return there;
}

static int take(struct across *x, int s)
{
    int is = SLOT_FREE;
    if (!atomic_compare_exchange_strong(&x->state[s], &is, SLOT_TAKEN))
        return 0;
    atomic_store(&x->by[s], x->w->r->comm->me);
    return 1;
}

static void add(_Atomic double *to, double x)
{
    atomic_store(to, atomic_load(to) + x); /* one process writes it */
}

/* A slot that this process has taken has ended. */
static void end_slot(struct across *x, int s, enum slot_end end)
{
    struct across_tally *t = tally_of(x, x->stage_of[s], x->w->r->comm->me);
    add(&t->planned_sec, x->w->slots[s].sec);
    atomic_fetch_add(&t->done, end == SLOT_DONE);
    atomic_fetch_add(&t->passed, end == SLOT_PASSED);
    atomic_store(&x->state[s], SLOTS + (int)end);
    atomic_fetch_add(&t->ended, 1);
}

/* The next slot for this process, which it has taken; -1: none is ready. *waits: some will be. */
static int next_slot(struct across *x, int *waits)
{
    const int n = x->w->nslots;
    *waits = 0;
    while (x->first < n && atomic_load(&x->state[x->first]) != SLOT_FREE)
        x->first++;
    for (int s = x->first; s < n; s++) {
        if (atomic_load(&x->state[s]) != SLOT_FREE)
            continue;
        int ready = is_there(x, x->w->slots[s].node); /* may it begin? */
        *waits |= ready == 0;
        if (ready != 0 && take(x, s)) {
            if (ready > 0)
                return s;
            end_slot(x, s, SLOT_BLOCKED);
            *waits = 1; /* what needs it is to be looked at again */
        }
    }
    return -1;
}

/* ---- the log ---- */

static const char *name_of(const struct across *x, int stage)
{
    const struct dag *d = x->w->r->dag;
    return d->config->nodes[d->order[x->from + stage]].name;
}

static const char *units_of(const struct across *x, int stage)
{
    const struct dag *d = x->w->r->dag;
    return running_units(d->nodes[d->first[x->from + stage]].stage->scope);
}

/* What the processes had of a stage, added up. */
static struct stage_totals add_up(const struct across *x, int stage, int64_t *begun, int64_t *ended,
                                  int64_t *passed)
{
    struct stage_totals all = {.min = INFINITY};
    double first = INFINITY, last = 0;
    const int np = x->w->r->comm->np;
    *begun = *ended = *passed = 0;
    for (int p = 0; p < np; p++) {
        struct across_tally *t = tally_of(x, stage, p);
        *ended += atomic_load(&t->ended);
        double busy = atomic_load(&t->busy_sec); /* what belongs to an end was written before it */
        *passed += atomic_load(&t->passed);
        all.n += atomic_load(&t->done);
        all.min = fmin(all.min, busy);
        all.max = fmax(all.max, busy);
        all.mean += busy / np;
        all.bytes += atomic_load(&t->bytes);
        if (atomic_load(&t->peak_bytes) > all.peak_bytes)
            all.peak_bytes = atomic_load(&t->peak_bytes);
        if (atomic_load(&t->begun) > 0) {
            first = fmin(first, atomic_load(&t->first_sec));
            last = fmax(last, atomic_load(&t->last_sec));
            *begun += atomic_load(&t->begun);
        }
    }
    all.sec = last - first;
    return all;
}

/* Process 0. The lines that are due: of stages that have begun, and of those that have ended. */
static void say(struct across *x)
{
    const struct log *log = x->w->r->log;
    const struct dag *d = x->w->r->dag;
    for (int k = 0; k < x->stages && x->w->r->comm->me == 0; k++) {
        int64_t begun, ended, passed;
        if (x->said[k] == 2 || x->total[k] == 0)
            continue;
        struct stage_totals t = add_up(x, k, &begun, &ended, &passed);
        if (x->said[k] == 0 && (begun > 0 || ended > 0)) {
            int from = d->first[x->from + k], to = d->first[x->from + k + 1];
            decision_tell(x->w, from, to);
            log_info(log, "%-14s %d of %d %s to do", name_of(x, k), x->total[k], to - from, units_of(x, k));
            x->said[k] = 1;
        }
        if (ended < x->total[k])
            continue;
        x->said[k] = 2;
        if (passed > 0)
            log_info(log, "%-14s %lld of them are other runs'", name_of(x, k), (long long)passed);
        if (t.n > 0)
            running_say(x->w, name_of(x, k), units_of(x, k), &t);
    }
}

/* The share of the planned time that lies behind all. */
static double share_done(const struct across *x)
{
    double sec = 0;
    for (int i = 0; i < x->stages * x->w->r->comm->np; i++)
        sec += atomic_load(&x->tally[i].planned_sec);
    return x->planned_sec > 0 ? fmin(1, sec / x->planned_sec) : 0;
}

/* ---- a process's work ---- */

static void run_slot(struct across *x, int s, struct err *e)
{
    struct work *w = x->w;
    const struct comm *self = &w->team[w->slots[s].level];
    const struct dag *d = w->r->dag;
    const int stage = x->stage_of[s];
    struct across_tally *t = tally_of(x, stage, w->r->comm->me);
    double bytes = w->stage_bytes, n = w->nslots;
    w->busy_sec = 0;
    w->peak_bytes = 0;
    w->longest_sec = x->longest_sec[stage];
    if (atomic_load(&t->begun) == 0)
        atomic_store(&t->first_sec, clock_sec());
    atomic_store(&t->last_sec, clock_sec());
    atomic_fetch_add(&t->begun, 1);
    say(x);
    running_trim(w, d->nodes[w->slots[s].node].stage);
    enum slot_end end = teams_slot(w, &w->slots[s], self, &x->progress, (int64_t)(n * share_done(x)), e);
    x->longest_sec[stage] = w->longest_sec;
    add(&t->busy_sec, w->busy_sec);
    add(&t->bytes, w->stage_bytes - bytes);
    if ((int64_t)w->peak_bytes > atomic_load(&t->peak_bytes))
        atomic_store(&t->peak_bytes, (int64_t)w->peak_bytes);
    atomic_store(&t->last_sec, clock_sec());
    if (e->code != ERR_OK) {
        if (e->process >= 0) /* its number alone, among all */
            e->process += w->r->comm->me - self->me;
        atomic_store(x->over, 1);
        return;
    }
    end_slot(x, s, end);
}

/* Asleep until what is needed may be there; it may be asked to stop meanwhile. */
static void nap(const struct across *x, int naps, struct err *e)
{
    long length = NAP_LEAST * (1L + naps / NAPS_OF_EACH);
    nanosleep(&(struct timespec){.tv_nsec = 1000 * (length < NAP_MOST ? length : NAP_MOST)}, NULL);
    if (comm_asked(x->w->r->comm, e) != ERR_OK)
        atomic_store(x->over, 1);
}

/* Takes slots until none is left for this process. */
static void work_through(struct across *x, struct err *e)
{
    const double n = x->w->nslots;
    for (int naps = 0; e->code == ERR_OK && !atomic_load(x->over);) {
        int waits, s = next_slot(x, &waits);
        if (s >= 0)
            run_slot(x, s, e);
        else if (!waits)
            break;
        else
            nap(x, naps++, e);
        if (s >= 0)
            naps = 0;
        double share = n * share_done(x);
        progress_at(&x->progress, (int64_t)share, share - floor(share), x->w->stage_bytes);
        say(x);
    }
}

/* ---- all of it ---- */

static err_t make_room(struct across *x, struct arena *a, struct err *e)
{
    const struct work *w = x->w;
    TRY(arena_array(a, "across.slots", w->r->dag->nnodes, &x->slot_of, e));
    TRY(arena_array(a, "across.stages", w->nslots, &x->stage_of, e));
    TRY(arena_array(a, "across.totals", x->stages, &x->total, e));
    TRY(arena_array(a, "across.said", x->stages, &x->said, e));
    TRY(arena_array(a, "across.longest", x->stages, &x->longest_sec, e));
    for (int i = 0; i < w->r->dag->nnodes; i++)
        x->slot_of[i] = -1;
    return put_in_order(x, a, e);
}

/* One stage has its own name and units in the progress line, several have none in common. */
static void start_progress(struct across *x, char *name, size_t size)
{
    int many = 0, at = 0;
    for (int k = 0; k < x->stages; k++)
        if (x->total[k] > 0) {
            many++;
            at = k;
        }
    snprintf(name, size, "%d stages", many);
    progress_start(&x->progress, x->w->r->log, many == 1 ? name_of(x, at) : name,
                   many == 1 ? units_of(x, at) : "nodes", x->w->nslots);
    x->progress.sharers = x->w->r->comm->np;
}

/* Collective. All are here, and know how each slot ended and who had it. */
static err_t meet(struct across *x, struct err *e)
{
    struct work *w = x->w;
    const struct comm *c = w->r->comm;
    progress_end(&x->progress);
    comm_rest(c);
    if (comm_agree(c, e) != ERR_OK) {
        int64_t kept = w->committed;
        comm_sum(c, &kept, 1);
        w->ran += kept;
        return e->code;
    }
    say(x);
    for (int s = 0; s < w->nslots; s++) {
        w->passed[s] = atomic_load(&x->state[s]) - SLOTS;
        w->slots[s].team = comm_team_of(c->np, w->slots[s].level, atomic_load(&x->by[s]));
    }
    return teams_settle(w, e);
}

err_t across_run(struct work *w, int k, int end, struct err *e)
{
    struct across x = {.w = w, .from = k, .stages = end - k};
    struct arena a;
    char name[32];
    if (w->nslots == 0) {
        for (int i = k; i < end; i++)
            if (w->r->dag->first[i] < w->r->dag->first[i + 1])
                log_detail(w->r->log, "%-14s %d %s, nothing to do", name_of(&x, i - k),
                           w->r->dag->first[i + 1] - w->r->dag->first[i], units_of(&x, i - k));
        return ERR_OK;
    }
    arena_init(&a, w->r->mem);
    make_room(&x, &a, e);
    if (comm_agree(w->r->comm, e) == ERR_OK) {
        w->stage_bytes = 0;
        w->committed = 0;
        clear_board(&x);
        start_progress(&x, name, sizeof name);
        work_through(&x, e);
        meet(&x, e);
    }
    arena_release(&a);
    return e->code;
}
