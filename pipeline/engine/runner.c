#include "engine/runner.h"

#include "engine/across.h"
#include "engine/decision.h"
#include "engine/hosts/sight.h"
#include "engine/others.h"
#include "engine/spellings.h"
#include "engine/teams.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/text.h"

#include <stdio.h>
#include <unistd.h>

/* Collective. The stage's last line: wall time, time of a process, rate over all, largest memory of one. */
static void report_stage(struct work *w, const char *name, const char *units, int64_t n, double sec)
{
    const struct comm *c = w->r->comm;
    struct stage_totals t = {.n = n, .sec = sec, .peak_bytes = (int64_t)w->peak_bytes};
    MPI_TRY(MPI_Allreduce(&w->busy_sec, &t.min, 1, MPI_DOUBLE, MPI_MIN, c->mpi));
    MPI_TRY(MPI_Allreduce(&w->busy_sec, &t.mean, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
    MPI_TRY(MPI_Allreduce(&w->busy_sec, &t.max, 1, MPI_DOUBLE, MPI_MAX, c->mpi));
    MPI_TRY(MPI_Allreduce(&w->stage_bytes, &t.bytes, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
    comm_max(c, &t.peak_bytes, 1);
    t.mean /= c->np;
    running_say(w, name, units, &t);
}

/* Process 0's, on all. Before a node of the whole study reads the archive. */
static void look_at_archive(const struct runner *r, struct err *e)
{
    struct arena scratch;
    if (r->comm->me > 0)
        return;
    arena_init(&scratch, r->mem);
    archive_look(r->dag, &scratch, e);
    arena_release(&scratch);
}

/* Collective. The nodes of the k-th declared stage in order that were decided upon, on their teams; the next
 * stage begins when the last of them has ended. */
static err_t run_decided(struct work *w, int k, struct err *e)
{
    const struct dag *d = w->r->dag;
    int from = d->first[k], to = d->first[k + 1];
    const char *name = d->config->nodes[d->order[k]].name,
               *units = running_units(d->nodes[from].stage->scope);
    running_trim(w, d->nodes[from].stage);
    if (w->nslots == 0) {
        log_detail(w->r->log, "%-14s %d %s, nothing to do", name, to - from, units);
        return ERR_OK;
    }
    if (w->r->comm->me == 0)
        decision_tell(w, from, to);
    if (w->r->comm->me == 0 && d->nodes[from].stage->scope == SCOPE_STUDY && access(d->archive, F_OK) != 0)
        err_set(e, ERR_DATA, "%s needs the archive %s, which is not there; 'sinew run %s' makes it", name,
                d->archive, d->config->file);
    else if (d->nodes[from].stage->scope == SCOPE_STUDY)
        look_at_archive(w->r, e);
    TRY_ALL(w->r->comm, e);
    double started = clock_sec();
    w->stage_bytes = w->busy_sec = w->longest_sec = 0;
    w->peak_bytes = 0;
    int64_t before = w->ran;
    log_info(w->r->log, "%-14s %d of %d %s to do", name, w->nslots, to - from, units);
    TRY(teams_run(w, name, units, e));
    int64_t passed = 0;
    for (int s = 0; s < w->nslots; s++)
        passed += w->passed[s] == SLOT_PASSED;
    if (passed > 0)
        log_info(w->r->log, "%-14s %lld of them are other runs'", name, (long long)passed);
    if (w->ran > before)
        report_stage(w, name, units, w->ran - before, clock_sec() - started);
    return ERR_OK;
}

/* Collective. All nodes of the k-th declared stage in order. */
static err_t run_stage(struct work *w, int k, struct err *e)
{
    int from = w->r->dag->first[k], to = w->r->dag->first[k + 1];
    if (from == to)
        return ERR_OK;
    w->nslots = 0;
    TRY(decision_take(w, from, from, to, e));
    return run_decided(w, k, e);
}

/* Collective. Stages from the *k-th declared in order on, at least one: as many as can run side by side
 * (across.h), or one alone. *k: the next. */
static err_t run_stages(struct work *w, int *k, struct err *e)
{
    int end = *k + 1;
    if (!across_can(w)) {
        TRY(run_stage(w, *k, e));
        *k = end;
        return ERR_OK;
    }
    TRY(across_take(w, *k, &end, e));
    if (end == *k) {
        TRY(run_decided(w, *k, e));
        *k = end + 1;
        return ERR_OK;
    }
    int64_t failed = w->failures.nfailed;
    TRY(across_run(w, *k, end, e));
    if (w->failures.nfailed == failed) /* else what needs those is left, or made of the others */
        *k = end;
    return ERR_OK;
}

/* ---- the archive ---- */

/* Process 0. What changed between a node and one above it would make an archive of two studies. */
static err_t inputs_have_stood(const struct work *w, struct err *e)
{
    const struct runner *r = w->r;
    for (int i = 0; i < r->dag->nnodes && e->code == ERR_OK; i++)
        if (w->settled[i] == SETTLED_RAN && !failures_lacks(&w->failures, i))
            fresh_still(r->dag, i, &w->all[i], r->headers, r->mem, e);
    return e->code;
}

/* Process 0. Puts the archive together under its lock; *held: another run has that. */
static err_t build_archive(struct work *w, int *held, struct arena *scratch, struct err *e)
{
    struct runner *r = w->r;
    struct lock_report other;
    TRY(lock_take(w->locks, r->dag->archive, &other, e));
    *held = !w->locks->now.held;
    if (!*held && !archive_is_fresh(r->dag, w->all, scratch)) { /* who had it may have built it */
        w->built++;
        if (inputs_have_stood(w, e) == ERR_OK)
            archive_build(r->dag, w->all, r->provenance, scratch, e);
    }
    lock_drop(w->locks);
    return e->code;
}

/* Process 0. The first node below the study's that is not fresh, and that is not given up, and how many there
 * are; -1. */
static int first_missing(const struct work *w, int *missing)
{
    const struct dag *d = w->r->dag;
    int first = -1;
    *missing = 0;
    for (int i = d->nnodes - 1; i >= 0; i--)
        if (d->nodes[i].stage->scope != SCOPE_STUDY && w->all[i].state != STATE_FRESH &&
            !failures_lacks(&w->failures, i)) {
            first = i;
            (*missing)++;
        }
    return first;
}

/* Collective. Puts the archive together where everything below is fresh and it is not up to date. *ready: it
 * is, now. */
static err_t run_archive(struct work *w, int *ready, struct err *e)
{
    struct runner *r = w->r;
    const struct dag *d = r->dag;
    double waited_sec = 0;
    int missing = 0, first = -1, before = w->built;
    for (int held = 1; held;) {
        if (r->comm->me == 0 && others_look(w, d->nnodes, 1, e) == ERR_OK) {
            struct arena scratch;
            arena_init(&scratch, r->mem);
            first = first_missing(w, &missing);
            held = 0;
            failures_tell(&w->failures, d, w->all);
            if (missing == 0 && !archive_is_fresh(d, w->all, &scratch))
                build_archive(w, &held, &scratch, e);
            else if (missing == 0)
                lock_tidy(w->locks, d->archive);
            *ready = missing == 0;
            arena_release(&scratch);
        }
        comm_rest(r->comm);
        TRY_ALL(r->comm, e);
        comm_bcast(r->comm, &held, (int64_t)sizeof held, 0);
        if (held)
            TRY(others_wait_for(w, "the archive", d->archive, &waited_sec, e));
    }
    comm_bcast(r->comm, ready, (int64_t)sizeof *ready, 0);
    comm_bcast(r->comm, &w->built, (int64_t)sizeof w->built, 0);
    if (w->built > before)
        log_info(r->log, "%-14s %s", "archive", d->archive);
    else if (missing > 0)
        log_info(r->log, "%-14s not built: %d nodes are not fresh, first %s of %s; 'sinew run %s' runs them",
                 "archive", missing, d->config->nodes[d->nodes[first].decl].name, d->nodes[first].label,
                 d->config->file);
    return ERR_OK;
}

/* ---- all of it ---- */

static int is_of_study(const struct dag *d, int k)
{
    return d->first[k] < d->first[k + 1] && d->nodes[d->first[k]].stage->scope == SCOPE_STUDY;
}

/* Collective. The nodes below the study's. What other runs have is waited for, and looked at again: they may
 * have failed, or died. */
static err_t run_below(struct work *w, struct err *e)
{
    const struct dag *d = w->r->dag;
    for (int again = 1; again;) {
        for (int k = 0; k < d->config->nnodes;)
            if (d->first[k] == d->first[k + 1] || is_of_study(d, k))
                k++;
            else
                TRY(run_stages(w, &k, e));
        TRY(others_wait(w, &again, e));
    }
    return ERR_OK;
}

/* Collective. The archive, and the study's own nodes, which read it: not of half a study, which would
 * mislead, unless they are asked for. */
static err_t run_study(struct work *w, int *ready, struct err *e)
{
    const struct dag *d = w->r->dag;
    for (int again = 1; again;) {
        TRY(run_archive(w, ready, e));
        for (int k = 0; k < d->config->nnodes; k++)
            if (is_of_study(d, k) && (*ready || w->selection->stages.n > 0))
                TRY(run_stage(w, k, e));
        TRY(others_wait(w, &again, e));
    }
    return ERR_OK;
}

static err_t run_all(struct work *w, struct err *e)
{
    struct runner *r = w->r;
    const struct dag *d = r->dag;
    const struct selection *s = w->selection;
    int ready = 0;
    TRY(run_below(w, e));
    TRY(run_study(w, &ready, e));
    if (r->comm->me == 0 && ready && access(d->archive, F_OK) != 0)
        err_set(
            e, ERR_SYSTEM,
            "%s: is not there any more: the output folder was removed or renamed while the study ran; put it "
            "back, or run again",
            d->archive);
    TRY_ALL(r->comm, e);
    if (w->ran == 0 && !w->built && w->failures.nfailed == 0)
        log_info(r->log, "nothing to do: all %d nodes%s are fresh, archive %s", d->nnodes,
                 s->stages.n || s->cells.n ? " picked" : "", d->archive);
    else
        log_info(r->log, "done: %lld nodes ran%s%s", (long long)w->ran, ready ? ", archive " : "",
                 ready ? d->archive : "");
    if (r->comm->me == 0)
        failures_end(&w->failures, d, r->log, ready, e);
    return comm_agree(r->comm, e);
}

/* Collective. Does `all` while it is watched whether the other hosts are there. */
static void watched(struct work *w, err_t (*all)(struct work *, struct err *), struct err *e)
{
    struct lookout *lookout = NULL;
    double every_sec;
    const char *file = heartbeat_file(w->heartbeat, &every_sec);
    if (lookout_start(&lookout, &w->hosts, w->r->comm, file, every_sec, w->r->arena, e) == ERR_OK)
        all(w, e);
    lookout_end(lookout);
}

/* The name of a mark of stops: runs of other parts of the study do not take it for their own. */
static const char *mark_of(const struct selection *s, struct arena *a, struct err *e)
{
    struct text t = {.arena = a};
    char hash[HASH_TEXT];
    if (s->stages.n + s->cells.n == 0)
        return ".stopped";
    for (int i = 0; i < s->stages.n; i++)
        text_add(&t, e, "stage %s\n", s->stages.v[i]);
    for (int i = 0; i < s->cells.n; i++)
        text_add(&t, e, "cell %s\n", s->cells.v[i]);
    if (e->code != ERR_OK)
        return "";
    hash_text(t.text, hash);
    return arena_printf(a, e, ".stopped-%.16s", hash);
}

/* Collective. Does `all`, with w made up for it and given back. It may be asked to end early. */
static err_t until_stopped(struct runner *r, const struct selection *s,
                           err_t (*all)(struct work *, struct err *), struct err *e)
{
    const char *output = r->dag->config->output, *file = path_join(r->arena, output, "stop", e),
               *name = mark_of(s, r->arena, e), *mark = name ? path_join(r->arena, output, name, e) : NULL;
    TRY_ALL(r->comm, e);
    struct comm world = *r->comm;
    struct runner mine = *r;
    struct locks locks;
    struct stop stop;
    struct work w;
    TRY(locks_start(&locks, &world, output, r->take_over, e)); /* which makes the folder */
    if (stop_start(&stop, &world, r->time_limit, file, mark, r->arena, e) != ERR_OK) {
        locks_end(&locks);
        return e->code;
    }
    mine.comm = &world;
    err_t code = running_init(&w, &mine, s, e);
    w.stop = &stop;
    w.locks = &locks;
    if (code == ERR_OK && hosts_gather(&w.hosts, &world, r->arena, e) == ERR_OK &&
        sight_check(&w.hosts, &world, r->dag, r->arena, e) == ERR_OK &&
        heartbeat_start(&w.heartbeat, &world, output, r->arena, e) == ERR_OK) {
        across_start(&w);
        watched(&w, all, e);
    }
    heartbeat_end(w.heartbeat);
    running_end(&w);
    stop_end(&stop);
    int last = locks_end(&locks);
    int64_t steps = w.steps;
    comm_sum(&world, &steps, 1);
    if (w.waited)
        stop.marked = 0; /* who did nothing but wait for others may do so again */
    if (world.me == 0)
        stop_say(&stop, w.ran, steps, last, r->dag->config->file, e);
    return comm_agree(r->comm, e);
}

err_t runner_run(struct runner *r, const struct selection *s, struct err *e)
{
    if (r->comm->me == 0)
        spellings_warn(r, e);
    TRY_ALL(r->comm, e);
    return until_stopped(r, s, run_all, e);
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
        if (d->nodes[i].stage->scope != SCOPE_STUDY) {
            if (r->comm->me == 0 && e->code == ERR_OK)
                fresh_node(d, i, w->all, r->headers, r->arena, e);
            continue;
        }
        for (int again = 1; again;) { /* another run may be at it */
            w->nslots = 0;
            TRY(decision_take(w, i, i, i + 1, e));
            TRY(teams_run(w, d->config->nodes[d->nodes[i].decl].name, running_units(SCOPE_STUDY), e));
            TRY(others_wait(w, &again, e));
        }
    }
    log_info(r->log, "report %s/report", d->config->output);
    return ERR_OK;
}

err_t runner_report(struct runner *r, struct err *e)
{
    const struct selection all = {.force = 1};
    look_at_archive(r, e);
    TRY_ALL(r->comm, e);
    return until_stopped(r, &all, report_all, e);
}
