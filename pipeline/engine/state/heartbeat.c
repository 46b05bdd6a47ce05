#include "engine/state/heartbeat.h"

#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "engine/state/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BEAT_EVERY_SEC = 2,   /* of a job of few processes */
    BEAT_MOST_SEC = 30,   /* of one of many */
    BEAT_PROCESSES = 100, /* which write less often, so that about so many write in BEAT_EVERY_SEC */
    STACK_BYTES = 256 << 10,
    FORGOTTEN_SEC = 7 * 86400 /* a file of a job elsewhere that is silent for so long is removed */
};
static const double AT_ONCE_SEC = 0.25; /* a new node is written so soon after the last beat */

struct heartbeat {
    char path[PATH_MAX];
    char folder[PATH_MAX];
    int first; /* this is process 0, which removes the file */
    int running;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int ending, news;       /* news: the node changed since the last beat */
    struct job_process now; /* guarded by the lock; node_sec is when the node began, by clock_sec */
    double started_sec, written_sec, every_sec;
};

/* ---- writing ---- */

/* "number host pid up node_sec share now peak, the memory before and after, artifact, node, label, item", one
 * to a field, blanks to the record's end. */
static int compose(const struct job_process *p, char text[JOBS_RECORD])
{
    const struct memory_room *b = &p->before, *a = &p->after;
    int n =
        snprintf(text, JOBS_RECORD,
                 "%d\t%s\t%lld\t%.3f\t%.3f\t%.6f\t%lld\t%lld\t%lld\t%d\t%lld\t%lld\t%lld\t%lld\t%s\t%s\t%s\t",
                 p->number, p->host, (long long)p->pid, p->up_sec, p->node_sec, p->share,
                 (long long)p->now_bytes, (long long)p->peak_bytes, (long long)a->limit_bytes, a->of_group,
                 (long long)b->kills_group, (long long)a->kills_group, (long long)b->kills_machine,
                 (long long)a->kills_machine, p->artifact, p->node, p->label);
    if (n < 0 || n >= JOBS_RECORD)
        return -1;
    const int item = snprintf(text + n, (size_t)(JOBS_RECORD - n), "%s\t", p->item);
    n += item > 0 && item < JOBS_RECORD - n ? item : 0; /* else there is no room for it */
    memset(text + n, ' ', (size_t)(JOBS_RECORD - n));
    text[JOBS_RECORD - 1] = '\n';
    return 0;
}

/* Closing is what brings it to the server of a network file system. */
static void write_at(const char *path, const char *text, int64_t at)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    ssize_t ignored = pwrite(fd, text, JOBS_RECORD, (off_t)at);
    (void)ignored;
    close(fd);
}

/* The lock is held; it is given back while the file system is waited for. */
static void beat(struct heartbeat *h)
{
    char text[JOBS_RECORD];
    double now = clock_sec();
    struct job_process p = h->now;
    h->written_sec = now;
    h->news = 0;
    pthread_mutex_unlock(&h->lock);
    p.up_sec = now - h->started_sec;
    p.node_sec = now - p.node_sec;
    memory_resident(&p.now_bytes, &p.peak_bytes);
    memory_room_look(&p.after);
    if (compose(&p, text) == 0)
        write_at(h->path, text, (int64_t)(p.number + 1) * JOBS_RECORD);
    pthread_mutex_lock(&h->lock);
}

/* The lock is held. Waits until the next beat is due: sooner where there is news. */
static void wait_until_due(struct heartbeat *h)
{
    for (;;) {
        struct timespec until;
        double due = h->written_sec + (h->news ? AT_ONCE_SEC : h->every_sec);
        if (h->ending || clock_sec() >= due)
            return;
        until.tv_sec = (time_t)due;
        until.tv_nsec = (long)(1e9 * (due - (double)until.tv_sec));
        pthread_cond_timedwait(&h->wake, &h->lock, &until);
    }
}

static void *beats(void *arg)
{
    struct heartbeat *h = arg;
    pthread_mutex_lock(&h->lock);
    while (!h->ending) {
        beat(h);
        wait_until_due(h);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* Signals are the main thread's. */
static void start_thread(struct heartbeat *h)
{
    pthread_attr_t attributes;
    pthread_condattr_t clock;
    sigset_t all, before;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    h->running = pthread_create(&h->thread, &attributes, beats, h) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* ---- the file ---- */

static const char *scheduler_number(void)
{
    static const char *const names[] = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0] && strlen(value) < 60 && !strpbrk(value, " \t\n"))
            return value;
    }
    return "-";
}

/* The first record: the holder's line, as in a lock (holder.h), then the job's. */
static void compose_head(const struct heartbeat *h, const struct lock_holder *self, int np,
                         char text[JOBS_RECORD])
{
    char line[HOLDER_TEXT];
    holder_write(self, line);
    int n = snprintf(text, JOBS_RECORD, "%sjob 1 %d %.0f %s\n", line, np, h->every_sec, scheduler_number());
    memset(text + n, ' ', (size_t)(JOBS_RECORD - n));
    text[JOBS_RECORD - 1] = '\n';
}

/* Jobs that have ended without removing their file: the next run begins anew, and what they said is past. */
static void remove_dead(const char *output, struct arena *run)
{
    struct arena a;
    struct job_record *jobs;
    struct err no; /* what cannot be read stays */
    int n = 0;
    err_clear(&no);
    arena_init(&a, run->mem);
    if (jobs_read(output, &jobs, &n, &a, &no) == ERR_OK)
        for (int i = 0; i < n; i++)
            if (jobs[i].state == JOB_KILLED && (holder_read(&jobs[i].holder, jobs[i].path) == HOLDER_DEAD ||
                                                jobs[i].age_sec > FORGOTTEN_SEC))
                unlink(jobs[i].path);
    arena_release(&a);
}

/* Process 0. All records are there from the beginning, so that a disk that fills up later does not matter. */
static int make_file(struct heartbeat *h, const char *output, int np)
{
    struct lock_holder self;
    char name[128], text[JOBS_RECORD];
    holder_self(&self, "file");
    if (snprintf(h->folder, sizeof h->folder, "%s/" JOBS_FOLDER, output) >= (int)sizeof h->folder ||
        snprintf(h->path, sizeof h->path, "%.3900s/%s", h->folder,
                 jobs_name(self.host, self.pid, name, sizeof name)) >= (int)sizeof h->path)
        return -1;
    unlink(h->path); /* of a process of the same number */
    int fd = -1;
    for (int tries = 0; tries < 3 && fd < 0; tries++) /* another job may have removed the folder, empty */
        if (mkdir(h->folder, 0777) == 0 || errno == EEXIST)
            fd = open(h->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return -1;
    compose_head(h, &self, np, text);
    int fine = write(fd, text, JOBS_RECORD) == JOBS_RECORD;
    memset(text, ' ', JOBS_RECORD);
    text[JOBS_RECORD - 1] = '\n';
    for (int p = 0; p < np && fine; p++)
        fine = write(fd, text, JOBS_RECORD) == JOBS_RECORD;
    fine = close(fd) == 0 && fine;
    if (!fine)
        unlink(h->path);
    return fine ? 0 : -1;
}

err_t heartbeat_start(struct heartbeat **out, const struct comm *c, const char *output, struct arena *a,
                      struct err *e)
{
    struct heartbeat *h = NULL;
    int made = 0;
    *out = NULL;
    if (arena_array(a, "heartbeat", 1, &h, e) == ERR_OK) {
        double every = (double)BEAT_EVERY_SEC * (1 + c->np / BEAT_PROCESSES);
        h->every_sec = every < BEAT_MOST_SEC ? every : BEAT_MOST_SEC;
        h->started_sec = clock_sec();
        h->first = c->me == 0;
    }
    TRY_ALL(c, e);
    if (c->me == 0) {
        remove_dead(output, a);
        made = c->np <= JOBS_MOST && make_file(h, output, c->np) == 0;
    }
    comm_bcast(c, &made, (int64_t)sizeof made, 0);
    comm_bcast(c, h->path, (int64_t)sizeof h->path, 0);
    if (!made)
        return ERR_OK;
    h->now = (struct job_process){.number = c->me, .pid = getpid(), .artifact = "-"};
    gethostname(h->now.host, sizeof h->now.host - 1);
    h->now.host[strcspn(h->now.host, " \t\n")] = '\0';
    h->now.node_sec = h->started_sec;
    memory_room_look(&h->now.before);
    start_thread(h);
    *out = h;
    return ERR_OK;
}

void heartbeat_at(struct heartbeat *h, const char *node, const char *label, const char *artifact)
{
    if (!h)
        return;
    double now = clock_sec();
    pthread_mutex_lock(&h->lock);
    snprintf(h->now.node, sizeof h->now.node, "%s", node);
    snprintf(h->now.label, sizeof h->now.label, "%s", label);
    text_plain(h->now.node, 0);
    text_plain(h->now.label, 0);
    if (artifact[0])
        hash_text(artifact, h->now.artifact);
    else
        snprintf(h->now.artifact, sizeof h->now.artifact, "-");
    h->now.item[0] = '\0';
    h->now.node_sec = now;
    h->now.share = 0;
    if (artifact[0] && !h->news) {
        h->news = 1;
        pthread_cond_signal(&h->wake);
    }
    pthread_mutex_unlock(&h->lock);
}

void heartbeat_share(void *arg, double share)
{
    struct heartbeat *h = arg;
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->now.share = share;
    pthread_mutex_unlock(&h->lock);
}

void heartbeat_item(void *arg, const char *item)
{
    struct heartbeat *h = arg;
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    snprintf(h->now.item, sizeof h->now.item, "%s", item);
    text_plain(h->now.item, 0);
    pthread_mutex_unlock(&h->lock);
}

const char *heartbeat_file(const struct heartbeat *h, double *every_sec)
{
    *every_sec = h ? h->every_sec : 0;
    return h ? h->path : NULL;
}

void heartbeat_end(struct heartbeat *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->ending = 1;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
    if (h->running)
        pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    if (h->first) {
        unlink(h->path);
        rmdir(h->folder);
    }
}
