#include "engine/teams.h"

#include "engine/node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOTICE_TAG = 1 };

/* A node that keeps its steps is begun where there is this much time before the limit: what it does in it
 * stands. */
static const double KEEPS_AFTER_SEC = 30;

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

static int stands_as_seen(const char *artifact, const struct schedule_slot *slot)
{
    struct file_stamp now;
    file_stamp_of(artifact, &now);
    return file_stamp_same(&now, &slot->seen);
}

/* Collective on the team. Takes the lock of a slot's node, on its first process: 0 where another run has it,
 * or has completed the node since it was decided upon. What fails is told at the next agreement. */
static int claim(struct work *w, const struct schedule_slot *slot, const struct comm *team, struct err *e)
{
    const char *path = w->r->dag->nodes[slot->node].path;
    int mine = team->me == 0 && stands_as_seen(path, slot);
    if (mine) {
        struct lock_report other;
        mine = lock_take(w->locks, path, &other, e) != ERR_OK || w->locks->now.held;
        if (w->locks->now.held && !stands_as_seen(path, slot)) {
            lock_drop(w->locks);
            mine = 0;
        }
    }
    comm_bcast(team, &mine, (int64_t)sizeof mine, 0);
    return mine;
}

enum slot_end teams_slot(struct work *w, const struct schedule_slot *slot, const struct comm *team,
                         struct progress *progress, int64_t done, struct err *e)
{
    enum slot_end end = SLOT_DONE;
    double least = w->longest_sec; /* what is gone where the node is not completed */
    if (w->r->dag->nodes[slot->node].stage->keeps_steps)
        least = fmin(least, fmin(KEEPS_AFTER_SEC, 2 * w->stop->keep_sec));
    if (!claim(w, slot, team, e))
        end = SLOT_PASSED;
    else if (stop_before(w->stop, team, least, e) == ERR_OK &&
             node_run(w, slot->node, team, progress, done, e) != ERR_OK) {
        failures_note(&w->failures, slot->node, team, e);
        end = SLOT_FAILED;
    }
    lock_drop(w->locks);
    return end;
}

err_t teams_settle(struct work *w, struct err *e)
{
    TRY(failures_share(&w->failures, w->r->comm, w->slots, w->nslots, e));
    for (int s = 0; s < w->nslots; s++) {
        int i = w->slots[s].node, end = (int)w->passed[s], failed = failures_lacks(&w->failures, i);
        w->awaited[i] = end == SLOT_PASSED    ? AWAITED_HOLDER
                        : end == SLOT_BLOCKED ? AWAITED_BELOW
                                              : AWAITED_NOT;
        w->settled[i] = end == SLOT_DONE || end == SLOT_FAILED ? SETTLED_RAN : SETTLED_NOT;
        if (w->settled[i])
            w->all[i].state = failed ? STATE_MISSING : STATE_FRESH;
        w->ran += w->settled[i] && !failed;
    }
    return ERR_OK;
}

/* Teams get smaller from slot to slot, so that who is in the team of a slot was in the one before, and knows
 * what it knew: that is why all meet at the end with the one error. */
err_t teams_run(struct work *w, const char *name, const char *units, struct err *e)
{
    const struct comm *c = w->r->comm;
    struct progress progress;
    double planned = 0, done = 0, n = w->nslots;
    int sent = 0;
    w->committed = 0;
    memset(w->passed, 0, (size_t)w->nslots * sizeof *w->passed);
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
        w->passed[s] = teams_slot(w, slot, team, &progress, (int64_t)(n * done / planned), e) == SLOT_PASSED;
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
    comm_max(c, w->passed, w->nslots);
    return teams_settle(w, e);
}
