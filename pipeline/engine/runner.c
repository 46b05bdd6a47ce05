#include "engine/runner.h"

#include "engine/lock.h"
#include "engine/schedule.h"
#include "engine/stop.h"
#include "base/path.h"
#include "study/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one node ---- */

enum {
    MAX_LEVELS = 32,
    NOTICE_TAG = 1,
    MOST_NOTES = 12, /* lines on what is taken of checkpoints */
    KEEP_SHARE = 32  /* of the memory, one part in so many is for headers while stages run that read none */
};

struct work {
    struct runner *r;
    const struct selection *selection;
    struct comm team[MAX_LEVELS]; /* this process's team of each level, once there was a node for one */
    struct freshness *all;        /* per node; of nodes to do on all processes, of the others on process 0 */
    char *picked;                 /* per node; process 0 */
    char *todo;                   /* per node, same on all processes */
    struct schedule_slot *slots;  /* the stage's nodes to do, in running order; same on all processes */
    int nslots;
    MPI_Request *notices; /* to every process, of this one's failure */
    int64_t ran;          /* nodes that ran */
    int64_t committed;    /* of the stage at work, by teams that this process is the first of */
    int built;            /* the archive was */
    double stage_bytes;   /* read and written by this process for the stage's nodes */
    double busy_sec;      /* spent in them */
    double longest_sec;   /* the longest of them */
    struct stop *stop;
    size_t peak_bytes;
};

/* Collective on c. Wall time, bytes and memory of a node over its processes, into the artifact. */
static void write_times(const struct comm *c, double sec, size_t peak, struct h5 *artifact, double bytes,
                        struct err *e)
{
    double min = sec, max = sec, sum = sec;
    int64_t most = (int64_t)peak;
    if (c->np > 1) {
        MPI_TRY(MPI_Allreduce(&sec, &min, 1, MPI_DOUBLE, MPI_MIN, c->mpi));
        MPI_TRY(MPI_Allreduce(&sec, &max, 1, MPI_DOUBLE, MPI_MAX, c->mpi));
        MPI_TRY(MPI_Allreduce(&sec, &sum, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
        MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
        comm_max(c, &most, 1);
    }
    if (!artifact)
        return;
    h5_set_real(artifact, "/", "time_min_sec", min, e);
    h5_set_real(artifact, "/", "time_mean_sec", sum / c->np, e);
    h5_set_real(artifact, "/", "time_max_sec", max, e);
    h5_set_real(artifact, "/", "bytes_moved", bytes, e);
    h5_set_real(artifact, "/", "peak_bytes", (double)most, e);
    h5_set_int(artifact, "/", "processes", c->np, e);
}

/* Collective on c. Runs node i on the processes of c and completes its artifact. */
static err_t run_node(struct work *w, int i, const struct comm *c, struct progress *progress, int64_t done,
                      struct err *e)
{
    struct runner *r = w->r;
    const struct node *n = &r->dag->nodes[i];
    const struct node_decl *decl = &r->dag->config->nodes[n->decl];
    struct arena arena;
    struct artifact out = {.comm = c};
    double before = w->stage_bytes, started = clock_sec();
    arena_init(&arena, r->mem);
    r->mem->peak_bytes = r->mem->live_bytes;
    struct ctx ctx = node_ctx(r->dag, n, &arena);
    if (n->stage->scope == SCOPE_STUDY)
        tables_of_archive(&arena, &ctx.tables, &ctx.ntables, e);
    ctx.comm = c;
    ctx.headers = r->headers;
    ctx.log = r->log;
    ctx.progress = progress;
    ctx.progress_done = done;
    ctx.out = &out;
    ctx.bytes_done = &w->stage_bytes;
    headers_round(r->headers);
    log_detail(r->log, "%s of %s", decl->name, n->label);
    err_t code = artifact_begin(&out, c, n->path, &arena, e);
    if (code == ERR_OK)
        code = n->stage->run(&ctx, e);
    if (code == ERR_OK && (code = artifact_bulk_done(&out, e)) == ERR_OK) {
        struct h5 *h = NULL;
        if (c->me == 0 && artifact_tables(&out, &h, e) == ERR_OK)
            fresh_mark(r->dag, i, &w->all[i], h, e);
        write_times(c, clock_sec() - started, r->mem->peak_bytes, h, w->stage_bytes - before, e);
        code = comm_agree(c, e);
    }
    double ends = clock_sec();
    artifact_end(&out, code == ERR_OK, e);
    w->committed += out.committed;
    stop_measured(w->stop, clock_sec() - ends);
    w->longest_sec = fmax(w->longest_sec, clock_sec() - started);
    code = e->code;
    err_item(e, "%s of %s", decl->name, n->label);
    w->busy_sec += clock_sec() - started;
    w->peak_bytes = r->mem->peak_bytes > w->peak_bytes ? r->mem->peak_bytes : w->peak_bytes;
    arena_release(&arena);
    return code;
}

/* ---- deciding ---- */

/* Process 0. A picked node cannot run where something it needs is neither fresh nor picked before it. */
static err_t check_inputs(struct work *w, int i, struct err *e)
{
    const struct dag *d = w->r->dag;
    const struct node *n = &d->nodes[i];
    if (n->stage->scope == SCOPE_STUDY)
        return ERR_OK; /* it reads the archive */
    for (int k = 0; k < n->ninputs; k++) {
        int below = n->input_nodes[k];
        const struct freshness *f = &w->all[below];
        if (f->state == STATE_FRESH)
            continue;
        const struct node *b = &d->nodes[below];
        const char *name = d->config->nodes[b->decl].name, *file = d->config->file;
        char only[400] = "";
        if (b->stage->scope == SCOPE_CELL)
            snprintf(only, sizeof only, " --cell %.380s", b->label);
        return err_set(
            e, ERR_DATA,
            "%s of %s needs %s of %s, whose artifact %s is %s%s%s; run 'sinew run %s --stage %s%s' first, or "
            "'sinew run %s' for everything",
            d->config->nodes[n->decl].name, n->label, name, b->label, b->path, fresh_name(f->state),
            f->why[0] ? ": " : "", f->why, file, name, only, file);
    }
    return ERR_OK;
}

/* Collective. Whoever runs a node writes its key: process 0 hands out what it found out about nodes [from,
 * to). */
static err_t share_keys(struct work *w, int from, int to, struct err *e)
{
    const struct comm *c = w->r->comm;
    if (c->np == 1)
        return ERR_OK;
    int64_t bytes = 0, at = 0;
    char *texts = NULL;
    for (int i = from; i < to && c->me == 0; i++)
        bytes += w->todo[i] ? (int64_t)strlen(w->all[i].files_text) + 1 : 0;
    comm_bcast(c, &bytes, (int64_t)sizeof bytes, 0);
    arena_array(w->r->arena, "runner.files", bytes, &texts, e);
    TRY_ALL(c, e);
    for (int i = from; i < to && c->me == 0; i++) {
        size_t n = w->todo[i] ? strlen(w->all[i].files_text) + 1 : 0;
        memcpy(texts + at, w->all[i].files_text, n);
        at += (int64_t)n;
    }
    comm_bcast(c, texts, bytes, 0);
    comm_bcast(c, w->all + from, (to - from) * (int64_t)sizeof *w->all, 0);
    at = 0;
    for (int i = from; i < to; i++)
        if (w->todo[i]) {
            w->all[i].files_text = texts + at; /* process 0's own, or the other's copy of it */
            at += (int64_t)strlen(texts + at) + 1;
        }
    return ERR_OK;
}

/* Process 0. A line of the log on what is taken of each checkpoint that is about to be read and says so; of
 * many, of the first ones unless every node has a line. */
static void tell_notes(const struct work *w, int from, int to)
{
    int said = 0;
    for (int i = from; i < to && w->r->log->level >= LOG_INFO; i++) {
        const struct node *n = &w->r->dag->nodes[i];
        struct checkpoint *c = NULL;
        struct err no; /* what cannot be opened is the stage's to report */
        err_clear(&no);
        if (!w->todo[i] || !n->checkpoint || n->stage->writes_files || !checkpoint_exists(n->checkpoint))
            continue;
        if (headers_get(w->r->headers, n->checkpoint, &n->choice, &c, &no) == ERR_OK && c->note)
            if (said++ < MOST_NOTES || w->r->log->level >= LOG_DETAIL)
                log_info(w->r->log, "%s: %s", n->label, c->note);
        headers_put(w->r->headers, c);
    }
    if (said > MOST_NOTES && w->r->log->level < LOG_DETAIL)
        log_info(w->r->log,
                 "of %d other checkpoints likewise: --verbose tells, and /provenance/notes of the archive",
                 said - MOST_NOTES);
}

/* Collective. Decides which of nodes [from, to) run, and where. */
static err_t decide(struct work *w, int from, int to, struct err *e)
{
    const struct comm *c = w->r->comm;
    const struct selection *s = w->selection;
    headers_round(w->r->headers);
    if (c->me == 0) {
        for (int i = from; i < to && e->code == ERR_OK; i++) {
            fresh_node(w->r->dag, i, w->all, w->r->headers, w->r->arena, e);
            w->todo[i] = w->picked[i] && (s->force || s->stages.n > 0 || w->all[i].state != STATE_FRESH);
            if (w->todo[i] && e->code == ERR_OK)
                check_inputs(w, i, e);
        }
    }
    if (c->me == 0 && e->code == ERR_OK) {
        struct arena scratch;
        tell_notes(w, from, to);
        arena_init(&scratch, w->r->mem);
        schedule_nodes(w->r->dag, from, to, w->todo, c->np, w->r->headers, w->slots, &w->nslots, &scratch, e);
        arena_release(&scratch);
    }
    comm_rest(c);
    TRY_ALL(c, e);
    comm_bcast(c, w->todo + from, to - from, 0);
    comm_bcast(c, &w->nslots, (int64_t)sizeof w->nslots, 0);
    comm_bcast(c, w->slots, w->nslots * (int64_t)sizeof *w->slots, 0);
    for (int k = 0; k < w->nslots; k++) {
        struct comm *team = &w->team[w->slots[k].level];
        if (team->np == 0)
            comm_team(c, w->slots[k].level, team);
    }
    return share_keys(w, from, to, e);
}

static const char *units_of(enum scope s)
{
    return s == SCOPE_CHECKPOINT ? "checkpoints"
           : s == SCOPE_CELL     ? "cells"
           : s == SCOPE_BASE     ? "bases"
                                 : "study";
}

/* Collective. The stage's last line: wall time, time of a process, rate over all, largest memory of one. */
static void report_stage(struct work *w, const char *name, const char *units, int64_t n, double sec)
{
    const struct comm *c = w->r->comm;
    double min, mean, max, bytes;
    int64_t most = (int64_t)w->peak_bytes;
    MPI_TRY(MPI_Allreduce(&w->busy_sec, &min, 1, MPI_DOUBLE, MPI_MIN, c->mpi));
    MPI_TRY(MPI_Allreduce(&w->busy_sec, &mean, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
    MPI_TRY(MPI_Allreduce(&w->busy_sec, &max, 1, MPI_DOUBLE, MPI_MAX, c->mpi));
    MPI_TRY(MPI_Allreduce(&w->stage_bytes, &bytes, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
    comm_max(c, &most, 1);
    char time[32], rate[32], peak[32];
    log_info(w->r->log, "%-14s %lld %s in %s (a process: min %.2f, mean %.2f, max %.2f s)%s%s%s, memory %s",
             name, (long long)n, units, human_sec(sec, time, sizeof time), min, mean / c->np, max,
             bytes > 0 ? ", " : "", bytes > 0 ? human_bytes(bytes / sec, rate, sizeof rate) : "",
             bytes > 0 ? "/s" : "", human_bytes((double)most, peak, sizeof peak));
}

/* ---- side by side ---- */

/* A process whose node failed tells all others, so that none begins another node; those at work are completed
 * first. Its own team knows already: the first process of it speaks. */
static void send_notices(struct work *w)
{
    const struct comm *c = w->r->comm;
    for (int p = 0; p < c->np; p++)
        MPI_TRY(MPI_Isend(NULL, 0, MPI_BYTE, p, NOTICE_TAG, c->mpi, &w->notices[p]));
}

/* Collective, after a failure. Takes what notices there are, so that none outlives the stage. sent: by this
 * process. */
static void take_notices(struct work *w, int sent)
{
    const struct comm *c = w->r->comm;
    int64_t senders = sent;
    comm_sum(c, &senders, 1);
    for (int64_t i = 0; i < senders; i++)
        MPI_TRY(MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, NOTICE_TAG, c->mpi, MPI_STATUS_IGNORE));
    if (sent)
        MPI_TRY(MPI_Waitall(c->np, w->notices, MPI_STATUSES_IGNORE));
}

/* Collective on the team. Has another team failed? */
static int others_failed(const struct work *w, const struct comm *team)
{
    int failed = 0;
    if (team->me == 0)
        MPI_TRY(MPI_Iprobe(MPI_ANY_SOURCE, NOTICE_TAG, w->r->comm->mpi, &failed, MPI_STATUS_IGNORE));
    comm_bcast(team, &failed, (int64_t)sizeof failed, 0);
    return failed;
}

/* Collective. The stage's nodes in their slots. After a failure all processes meet at the end, with the one
 * error: teams get smaller from slot to slot, so that who is in the team of a slot was in the one before, and
 * knows what it knew. */
static err_t run_nodes(struct work *w, const char *name, const char *units, struct err *e)
{
    const struct comm *c = w->r->comm;
    struct progress progress;
    double planned = 0, done = 0, n = w->nslots;
    int sent = 0;
    w->committed = 0;
    progress_start(&progress, w->r->log, name, units, w->nslots);
    progress.sharers = c->np;
    for (int s = 0; s < w->nslots; s++)
        if (w->slots[s].team == comm_team_of(c->np, w->slots[s].level, c->me))
            planned += w->slots[s].sec;
    for (int s = 0; s < w->nslots && e->code == ERR_OK; s++) {
        const struct schedule_slot *slot = &w->slots[s];
        const struct comm *team = &w->team[slot->level];
        if (slot->team != comm_team_of(c->np, slot->level, c->me))
            continue;
        if (slot->level > 0 && others_failed(w, team))
            break;
        if (stop_before(w->stop, team, w->longest_sec, e) == ERR_OK)
            run_node(w, slot->node, team, &progress, (int64_t)(n * done / planned), e);
        done += slot->sec; /* the other teams are about as far with theirs */
        double share = n * done / planned;
        progress_at(&progress, (int64_t)share, share - floor(share), w->stage_bytes);
        if (e->code == ERR_OK || slot->level == 0)
            continue;
        if (e->process >= 0) /* the team's number, among all */
            e->process += c->me - team->me;
        if ((sent = team->me == 0))
            send_notices(w);
    }
    progress_end(&progress);
    comm_rest(c);
    err_t code = comm_agree(c, e);
    if (code != ERR_OK) {
        take_notices(w, sent);
        int64_t kept = w->committed;
        comm_sum(c, &kept, 1);
        w->ran += kept;
        return code;
    }
    for (int s = 0; s < w->nslots; s++)
        w->all[w->slots[s].node].state = STATE_FRESH;
    w->ran += w->nslots;
    return ERR_OK;
}

/* Collective. All nodes of the k-th declared stage in order. */
static err_t run_stage(struct work *w, int k, struct err *e)
{
    const struct dag *d = w->r->dag;
    int from = d->first[k], to = d->first[k + 1];
    if (from == to)
        return ERR_OK;
    const char *name = d->config->nodes[d->order[k]].name, *units = units_of(d->nodes[from].stage->scope);
    TRY(decide(w, from, to, e));
    if (!d->nodes[from].stage->files) /* its nodes want the memory that many headers take */
        headers_trim(w->r->headers, w->r->mem->budget_bytes / KEEP_SHARE);
    if (w->nslots == 0) {
        log_detail(w->r->log, "%-14s %d %s, nothing to do", name, to - from, units);
        return ERR_OK;
    }
    if (w->r->comm->me == 0 && d->nodes[from].stage->scope == SCOPE_STUDY && access(d->archive, F_OK) != 0)
        err_set(e, ERR_DATA, "%s needs the archive %s, which is not there; 'sinew run %s' makes it", name,
                d->archive, d->config->file);
    TRY_ALL(w->r->comm, e);
    double started = clock_sec();
    w->stage_bytes = w->busy_sec = w->longest_sec = 0;
    w->peak_bytes = 0;
    log_info(w->r->log, "%-14s %d of %d %s to do", name, w->nslots, to - from, units);
    TRY(run_nodes(w, name, units, e));
    report_stage(w, name, units, w->nslots, clock_sec() - started);
    return ERR_OK;
}

/* Collective. Puts the archive together where everything below is fresh and it is not up to date. *ready: it
 * is, now. */
static err_t run_archive(struct work *w, int *ready, struct err *e)
{
    struct runner *r = w->r;
    int missing = 0, built = 0;
    const char *first = "", *first_label = "";
    *ready = 0;
    if (r->comm->me == 0) {
        struct arena scratch;
        arena_init(&scratch, r->mem);
        for (int i = 0; i < r->dag->nnodes; i++)
            if (r->dag->nodes[i].stage->scope != SCOPE_STUDY && w->all[i].state != STATE_FRESH &&
                missing++ == 0) {
                first = r->dag->config->nodes[r->dag->nodes[i].decl].name;
                first_label = r->dag->nodes[i].label;
            }
        if (missing == 0 && !archive_is_fresh(r->dag, w->all, &scratch)) {
            archive_build(r->dag, w->all, r->provenance, &scratch, e);
            built = 1;
        }
        *ready = missing == 0;
        arena_release(&scratch);
    }
    comm_rest(r->comm);
    TRY_ALL(r->comm, e);
    comm_bcast(r->comm, ready, (int64_t)sizeof *ready, 0);
    comm_bcast(r->comm, &built, (int64_t)sizeof built, 0);
    w->built = built;
    if (built) {
        log_info(r->log, "%-14s %s", "archive", r->dag->archive);
    } else if (missing > 0) {
        log_info(r->log, "%-14s not built: %d nodes are not fresh, first %s of %s; 'sinew run %s' runs them",
                 "archive", missing, first, first_label, r->dag->config->file);
    }
    return ERR_OK;
}

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

/* Collective. What work_end gives back, whether it succeeded or not. */
static err_t work_init(struct work *w, struct runner *r, const struct selection *s, struct err *e)
{
    *w = (struct work){.r = r, .selection = s};
    if (arena_array(r->arena, "runner.states", r->dag->nnodes, &w->all, e) == ERR_OK &&
        arena_array(r->arena, "runner.todo", r->dag->nnodes, &w->todo, e) == ERR_OK)
        if (arena_array(r->arena, "runner.slots", r->dag->nnodes, &w->slots, e) == ERR_OK)
            arena_array(r->arena, "runner.notices", r->comm->np, &w->notices, e);
    if (e->code == ERR_OK && r->comm->me == 0)
        pick_nodes(w, e);
    return comm_agree(r->comm, e);
}

/* Collective. */
static void work_end(struct work *w)
{
    for (int level = MAX_LEVELS - 1; level >= 0; level--)
        if (w->team[level].np > 0)
            comm_team_free(w->r->comm, &w->team[level]);
}

/* A base's node, and the folder that the path leads to. */
struct base_folder {
    int decl, node;
    dev_t device;
    ino_t inode;
};

/* Nodes of one stage whose bases are one folder stand together, in the nodes' order. */
static int folder_order(const void *a, const void *b)
{
    const struct base_folder *x = a, *y = b;
    if (x->decl != y->decl)
        return x->decl < y->decl ? -1 : 1;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static int same_folder(const struct base_folder *a, const struct base_folder *b)
{
    return a->decl == b->decl && a->device == b->device && a->inode == b->inode;
}

/* Process 0. Two bases that are one folder under two spellings are two bases to overlap: said, because
 * nothing else shows it. */
static err_t warn_of_spellings(const struct runner *r, struct err *e)
{
    const struct dag *d = r->dag;
    struct base_folder *folders;
    int n = 0;
    TRY(arena_array(r->arena, "runner.bases", d->nnodes, &folders, e));
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *node = &d->nodes[i];
        struct stat st;
        if (node->stage->scope == SCOPE_BASE && stat(node->base, &st) == 0)
            folders[n++] = (struct base_folder){node->decl, i, st.st_dev, st.st_ino};
    }
    qsort(folders, (size_t)n, sizeof *folders, folder_order);
    for (int i = 1, first = 0; i < n; i++) {
        first = same_folder(&folders[first], &folders[i]) ? first : i;
        for (int k = first; k < i; k++)
            log_warn(
                r->log,
                "%s and %s are the same base; cells on the one are not compared with cells on the other: "
                "write the path alike",
                d->nodes[folders[k].node].base, d->nodes[folders[i].node].base);
    }
    arena_drop(r->arena, folders);
    return ERR_OK;
}

static err_t run_all(struct work *w, struct err *e)
{
    struct runner *r = w->r;
    const struct dag *d = r->dag;
    const struct selection *s = w->selection;
    int ready = 0, archived = 0;
    for (int k = 0; k < d->config->nnodes; k++) {
        int study = d->first[k] < d->first[k + 1] && d->nodes[d->first[k]].stage->scope == SCOPE_STUDY;
        if (study && !archived) {
            TRY(run_archive(w, &ready, e));
            archived = 1;
        }
        if (study && !ready && s->stages.n == 0)
            continue; /* a report of half a study would mislead */
        TRY(run_stage(w, k, e));
    }
    if (!archived)
        TRY(run_archive(w, &ready, e));
    if (w->ran == 0 && !w->built)
        log_info(r->log, "nothing to do: all %d nodes%s are fresh, archive %s", d->nnodes,
                 s->stages.n || s->cells.n ? " picked" : "", d->archive);
    else
        log_info(r->log, "done: %lld nodes ran%s%s", (long long)w->ran, ready ? ", archive " : "",
                 ready ? d->archive : "");
    return ERR_OK;
}

/* Collective. Does `all`, with w made up for it and given back. It may be asked to end early. */
static err_t until_stopped(struct runner *r, const struct selection *s,
                           err_t (*all)(struct work *, struct err *), struct err *e)
{
    const char *output = r->dag->config->output, *file = path_join(r->arena, output, "stop", e),
               *mark = path_join(r->arena, output, ".stopped", e);
    TRY_ALL(r->comm, e);
    struct comm world = *r->comm;
    struct runner mine = *r;
    struct stop stop;
    struct work w;
    TRY(stop_start(&stop, &world, r->time_limit, file, mark, r->arena, e));
    mine.comm = &world;
    err_t code = work_init(&w, &mine, s, e);
    w.stop = &stop;
    if (code == ERR_OK)
        all(&w, e);
    work_end(&w);
    stop_end(&stop);
    if (world.me == 0)
        stop_say(&stop, w.ran, r->dag->config->file, e);
    return comm_agree(r->comm, e);
}

/* Collective. Does `all` under the lock of the output folder. */
static err_t with_lock(struct runner *r, const struct selection *s, err_t (*all)(struct work *, struct err *),
                       struct err *e)
{
    struct lock lock;
    err_t code = lock_take(&lock, r->comm, r->dag->config->output, r->arena, e);
    if (code == ERR_OK)
        code = until_stopped(r, s, all, e);
    lock_drop(&lock);
    return code;
}

err_t runner_run(struct runner *r, const struct selection *s, struct err *e)
{
    if (r->comm->me == 0)
        warn_of_spellings(r, e);
    TRY_ALL(r->comm, e);
    return with_lock(r, s, run_all, e);
}

/* Collective. The nodes of the whole study, which stand behind all others; of those process 0 finds out the
 * keys, for the study's own. */
static err_t report_all(struct work *w, struct err *e)
{
    struct runner *r = w->r;
    const struct dag *d = r->dag;
    if (d->nnodes == 0 || d->nodes[d->nnodes - 1].stage->scope != SCOPE_STUDY)
        return err_set(e, ERR_CONFIG,
                       "%s: the config declares no report stage; add 'report: {needs: [...]}' to stages",
                       d->config->file);
    for (int i = 0; i < d->nnodes; i++) {
        if (d->nodes[i].stage->scope == SCOPE_STUDY) {
            struct progress progress;
            TRY(decide(w, i, i + 1, e));
            progress_start(&progress, r->log, d->config->nodes[d->nodes[i].decl].name, units_of(SCOPE_STUDY),
                           1);
            err_t code = run_node(w, i, r->comm, &progress, 0, e);
            progress_end(&progress);
            if (code != ERR_OK)
                return code;
        } else if (r->comm->me == 0 && e->code == ERR_OK) {
            fresh_node(d, i, w->all, r->headers, r->arena, e);
        }
    }
    log_info(r->log, "report %s/report", d->config->output);
    return ERR_OK;
}

err_t runner_report(struct runner *r, struct err *e)
{
    const struct dag *d = r->dag;
    const struct selection all = {.force = 1};
    if (r->comm->me == 0 && access(d->archive, F_OK) != 0)
        err_set(e, ERR_DATA, "there is no archive %s to report from; 'sinew run %s' makes it", d->archive,
                d->config->file);
    TRY_ALL(r->comm, e);
    return with_lock(r, &all, report_all, e);
}
