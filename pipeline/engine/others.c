#include "engine/others.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

/* Looks are this far apart, and further with the time that was waited. A line of the log tells for whom. */
static const double FIRST_NAP_SEC = 0.05, LONGEST_NAP_SEC = 1, SAY_EVERY_SEC = 60;

/* A wait, as process 0 keeps it. */
struct wait {
    double began_sec, said_sec;
    int64_t pid; /* of whom it was said */
    char what[300];
};

int others_have(struct work *w, int i)
{
    struct lock_report r;
    if (w->awaited[i] == AWAITED_NOT && w->all[i].state != STATE_FRESH) {
        lock_look(w->locks, w->r->dag->nodes[i].path, &r);
        w->awaited[i] = r.held ? AWAITED_HOLDER : AWAITED_NOT;
    }
    return w->awaited[i] != AWAITED_NOT;
}

err_t others_look(struct work *w, int to, int all, struct err *e)
{
    const struct dag *d = w->r->dag;
    int anew =
        w->selection->force || w->selection->stages.n > 0; /* what is picked is run, whoever else did */
    for (int i = 0; i < to; i++) {
        struct file_stamp now;
        if (w->settled[i] || (w->awaited[i] == AWAITED_NOT && !all) || (anew && w->picked[i]))
            continue;
        if (all && d->nodes[i].stage->scope == SCOPE_STUDY)
            continue; /* it is of the archive that comes: what it is of the old one decides nothing */
        file_stamp_of(d->nodes[i].path, &now);
        if (file_stamp_same(&now, &w->seen[i]))
            continue;
        w->seen[i] = now;
        TRY(fresh_node(d, i, w->all, w->r->headers, w->r->arena, e));
        w->settled[i] = w->all[i].state == STATE_FRESH ? SETTLED_FRESH : SETTLED_NOT;
        if (w->settled[i])
            w->awaited[i] = AWAITED_NOT;
    }
    return ERR_OK;
}

/* ---- waiting ---- */

/* Process 0. A line on whom is waited for, when that changes, and every minute. */
static void say(struct work *w, struct wait *x, const char *what, int more, const struct lock_report *r)
{
    char who[120], others[60] = "", silent[200] = "";
    double now = clock_sec();
    if (x->said_sec > 0 && x->pid == r->who.pid && now - x->said_sec < SAY_EVERY_SEC)
        return;
    x->pid = r->who.pid;
    x->said_sec = now;
    if (more > 0)
        snprintf(others, sizeof others, ", and %d other node%s", more, more > 1 ? "s" : "");
    if (r->state == HOLDER_UNKNOWN && r->silent_sec > LOCK_LOST_SEC)
        snprintf(
            silent, sizeof silent,
            "; no sign of life for %.0f s: after %d it is taken over, and by a run with --take-over after %d",
            r->silent_sec, LOCK_DEAD_SEC, LOCK_LOST_SEC);
    log_info(w->r->log, "%-14s for %s, which %s has%s%s", "waiting", what, lock_who(r, who, sizeof who),
             others, silent);
}

/* Process 0. Sleeps for a while, not much longer once it is asked to stop. */
static void nap(const struct comm *c, double waited_sec)
{
    enum { SLICE_MS = 50 };
    double sec = fmin(LONGEST_NAP_SEC, fmax(FIRST_NAP_SEC, waited_sec / 8));
    struct err asked; /* the next agreement brings it */
    err_clear(&asked);
    for (double slept = 0; slept < sec && comm_asked(c, &asked) == ERR_OK; slept += SLICE_MS / 1e3)
        nanosleep(&(struct timespec){.tv_nsec = SLICE_MS * 1000000L}, NULL);
}

/* Process 0. Has one of the awaited nodes been completed or let go of? Counts them. */
static int look(struct work *w, struct wait *x, int *n)
{
    const struct dag *d = w->r->dag;
    struct lock_report first = {.who.pid = 0};
    int at = -1;
    *n = 0;
    for (int i = 0; i < d->nnodes; i++) {
        struct lock_report r;
        struct file_stamp now;
        *n += w->picked[i] && w->awaited[i] != AWAITED_NOT;
        if (w->awaited[i] != AWAITED_HOLDER)
            continue;
        file_stamp_of(d->nodes[i].path, &now);
        lock_look(w->locks, d->nodes[i].path, &r);
        if (!r.held || !file_stamp_same(&now, &w->seen[i]))
            return 1;
        if (at < 0) {
            at = i;
            first = r;
        }
    }
    if (*n > 0 && at < 0) /* what they need has been completed since */
        return 1;
    if (*n > 0) {
        snprintf(x->what, sizeof x->what, "%.60s of %.200s", d->config->nodes[d->nodes[at].decl].name,
                 d->nodes[at].label);
        say(w, x, x->what, *n - 1, &first);
    }
    return 0;
}

err_t others_wait(struct work *w, int *again, struct err *e)
{
    const struct comm *c = w->r->comm;
    struct wait x = {.began_sec = clock_sec()};
    for (int over = 0; !over;) {
        int n = 0, changed = 0;
        if (c->me == 0) {
            changed = look(w, &x, &n);
            over = changed || n == 0;
            w->waited |= n > 0;
            if (n > 0) /* however often it comes here */
                nap(c, changed ? 0 : clock_sec() - x.began_sec);
        }
        comm_rest(c);
        TRY_ALL(c, e);
        comm_bcast(c, &over, (int64_t)sizeof over, 0);
        comm_bcast(c, &changed, (int64_t)sizeof changed, 0);
        *again = changed;
    }
    return ERR_OK;
}

err_t others_wait_for(struct work *w, const char *what, const char *path, double *waited_sec, struct err *e)
{
    const struct comm *c = w->r->comm;
    if (c->me == 0) {
        struct wait x = {0};
        struct lock_report r;
        double began = clock_sec();
        lock_look(w->locks, path, &r);
        if (r.held && *waited_sec <= 0)
            say(w, &x, what, 0, &r);
        nap(c, *waited_sec);
        *waited_sec += clock_sec() - began;
    }
    comm_rest(c);
    return comm_agree(c, e);
}
