#include "engine/hosts/lookout.h"

#include "base/hash.h"
#include "base/terminal.h"
#include "base/text.h"
#include "engine/hosts/launcher.h"
#include "engine/state/jobs.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 10, /* until a host is lost */ OWN_ROUNDS = 2, STACK_BYTES = 256 << 10 };

/* A process as the watcher saw it last. */
struct watched {
    uint64_t last; /* hash of its record */
    int rounds;    /* for which that has been the same */
};

struct lookout {
    char path[PATH_MAX];
    const struct hosts *hosts;
    int me, np, round_sec, lost_rounds, own_rounds;
    struct watched *process; /* all np of them; those that are not watched stay zero */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int running, ending;
};

/* ---- a round ---- */

/* Process 0 looks after all on other hosts, the first of these after process 0; both after themselves. */
static int is_watched(const struct lookout *w, int p)
{
    const int *first = w->hosts->first;
    return p == w->me || (w->me == 0 ? first[p] != first[0] : p == 0);
}

/* One look at a record. Returns for how many rounds it has been the same. */
static int look(struct lookout *w, int fd, int p)
{
    char record[JOBS_RECORD];
    struct watched *x = &w->process[p];
    if (pread(fd, record, sizeof record, (off_t)(p + 1) * JOBS_RECORD) != (ssize_t)sizeof record)
        return x->rounds; /* what cannot be read tells nothing */
    uint64_t now = hash_bytes(record, sizeof record);
    x->rounds = now == x->last ? x->rounds + 1 : 0;
    x->last = now;
    return x->rounds;
}

static void forget(struct lookout *w)
{
    for (int p = 0; p < w->np; p++)
        w->process[p].rounds = 0;
}

/* The first process that is lost; -1: none. Opened anew each time, so that a network file system asks its
 * server. Where this process's own beats do not arrive either, the files are what is slow. */
static int find_lost(struct lookout *w)
{
    int lost = -1, fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -1;
    int own = look(w, fd, w->me);
    for (int p = 0; p < w->np; p++)
        if (p != w->me && is_watched(w, p) && look(w, fd, p) >= w->lost_rounds && lost < 0)
            lost = p;
    close(fd);
    if (own < w->own_rounds)
        return lost;
    forget(w);
    return -1;
}

/* ---- the end ---- */

/* Nobody can be agreed with: the main thread waits in MPI for the one that is lost. */
static void end_job(const struct lookout *w, int lost)
{
    char who[80];
    const int first = w->hosts->first[lost];
    terminal_wipe_any(stderr);
    fprintf(
        stderr,
        "sinew: %s: host %s (%s) has not been heard of for %d s: it is frozen, off, or cut from the output "
        "folder; the job ends here, and the same command goes on with what is complete [process %d on %s]\n",
        err_name(ERR_SYSTEM), w->hosts->name[lost], hosts_processes(w->hosts, w->np, first, who, sizeof who),
        w->lost_rounds * w->round_sec, w->me, w->hosts->name[w->me]);
    fflush(stderr);
    launcher_end_soon();
    _exit(err_status(ERR_SYSTEM));
}

static void *watches(void *arg)
{
    struct lookout *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->ending) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += w->round_sec;
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
        if (w->ending)
            break;
        pthread_mutex_unlock(&w->lock);
        int lost = find_lost(w);
        pthread_mutex_lock(&w->lock);
        if (lost >= 0 && !w->ending)
            end_job(w, lost);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- begin and end ---- */

/* Signals are the main thread's. */
static void start_thread(struct lookout *w)
{
    pthread_attr_t attributes;
    pthread_condattr_t clock;
    sigset_t all, before;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->running = pthread_create(&w->thread, &attributes, watches, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* Seconds after which a host is lost; 0: never. */
static err_t lost_after(double every_sec, int *sec, struct err *e)
{
    const char *given = getenv("SINEW_LOST_AFTER");
    char *end;
    *sec = LOOKOUT_LOST_SEC > 3 * every_sec ? LOOKOUT_LOST_SEC : (int)(3 * every_sec);
    if (!given || !given[0])
        return ERR_OK;
    long n = strtol(given, &end, 10);
    if (*end != '\0' || n < 0 || n > 86400)
        return err_set(e, ERR_CONFIG,
                       "SINEW_LOST_AFTER=%s: expected a number of seconds from 0 (never) to 86400", given);
    *sec = (int)n;
    return ERR_OK;
}

/* Who watches: process 0, and the first process that is on another host than it. */
static int is_watcher(const struct hosts *h, const struct comm *c)
{
    int other = 0;
    while (other < c->np && h->first[other] == h->first[0])
        other++;
    return c->me == 0 || c->me == other;
}

err_t lookout_start(struct lookout **out, const struct hosts *h, const struct comm *c, const char *path,
                    double every_sec, struct arena *a, struct err *e)
{
    struct lookout *w = NULL;
    int sec = 0;
    *out = NULL;
    if (h->n == 1)
        return ERR_OK;
    if (lost_after(every_sec, &sec, e) == ERR_OK && sec > 0 && path && is_watcher(h, c) &&
        arena_array(a, "lookout", 1, &w, e) == ERR_OK)
        arena_array(a, "lookout.processes", c->np, &w->process, e);
    TRY_ALL(c, e);
    if (!w)
        return ERR_OK;
    w->hosts = h;
    w->me = c->me;
    w->np = c->np;
    w->round_sec = sec > ROUNDS ? sec / ROUNDS : 1;
    w->lost_rounds = (sec + w->round_sec - 1) / w->round_sec;
    w->own_rounds = OWN_ROUNDS + (int)(every_sec / w->round_sec);
    snprintf(w->path, sizeof w->path, "%s", path);
    start_thread(w);
    *out = w;
    return ERR_OK;
}

void lookout_end(struct lookout *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->ending = 1;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    if (w->running)
        pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
}
