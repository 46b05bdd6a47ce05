#include "engine/stop.h"

#include "base/log.h"
#include "engine/locks/holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STOP_TAG = 2 };
static const double LOOK_EVERY_SEC = 0.25;

/* ---- signals: they reach the process, and so does this ---- */

static const int caught[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
enum { NCAUGHT = sizeof caught / sizeof *caught };

static volatile sig_atomic_t first_signal;
static volatile time_t first_sec[NCAUGHT]; /* when each came first; 0: it did not */

static void note_signal(int number)
{
    struct timespec now;
    int k = 0, saved = errno;
    while (k < NCAUGHT - 1 && caught[k] != number)
        k++;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int again = first_sec[k] != 0 &&
                (number == SIGINT || (number == SIGTERM && now.tv_sec - first_sec[k] >= STOP_TERM_AGAIN_SEC));
    if (again) {
        signal(number, SIG_DFL);
        raise(number);
    }
    if (first_sec[k] == 0)
        first_sec[k] = now.tv_sec + (now.tv_sec == 0);
    if (first_signal == 0)
        first_signal = number;
    errno = saved;
}

void stop_listen(void)
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    for (int k = 0; k < NCAUGHT; k++) {
        struct sigaction before;
        if (sigaction(caught[k], NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup, & */
            sigaction(caught[k], &action, NULL);
    }
}

static const char *signal_name(int number)
{
    return number == SIGTERM   ? "SIGTERM"
           : number == SIGINT  ? "SIGINT"
           : number == SIGUSR1 ? "SIGUSR1"
                               : "SIGUSR2";
}

/* ---- the limit ---- */

/* [[D-]H:]MM:SS */
static double colons(const char *text)
{
    int days = 0, part[3] = {0}, n = 0, used = 0;
    if (strchr(text, '-')) {
        if (sscanf(text, "%6d-%n", &days, &used) != 1 || used == 0 || days < 0)
            return -1;
        text += used;
    }
    for (;; n++) {
        used = 0;
        if (n == 3 || text[0] < '0' || text[0] > '9' || sscanf(text, "%8d%n", &part[n], &used) != 1)
            return -1;
        text += used;
        if (*text != ':')
            break;
        text++;
    }
    if (*text || n == 0)
        return -1;
    double sec = 0;
    for (int i = 0; i <= n; i++)
        sec = sec * 60 + part[i];
    return sec + days * 86400.0;
}

double stop_duration(const char *text)
{
    static const struct {
        char unit;
        double sec;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end = NULL;
    if (strchr(text, ':'))
        return colons(text);
    double value = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    if (!end || !isfinite(value) || !end[0] || end[1])
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (*end == units[i].unit)
            return value * units[i].sec;
    return -1;
}

/* Seconds since a process began; negative where it cannot be told. */
static double age_of(pid_t pid)
{
    struct timespec now;
    int64_t ticks = holder_started(pid);
    if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return -1;
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec - (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Seconds from the start of the launcher of several processes, this one's parent, to this one's. Not of one
 * that was there long before: a daemon that starts many programs. */
static double launcher_sec(const struct comm *world)
{
    enum { LONGEST_SEC = 60 };
    double sec = world->np > 1 ? age_of(getppid()) - age_of(getpid()) : 0;
    return sec > 0 && sec <= LONGEST_SEC ? sec : 0;
}

/* Process 0. Seconds that are left, infinite where nobody says how many. A limit that was given began when
 * what the user started did, this process or the launcher of several; PBS tells the length of the job, which
 * began when its shell, the leader of the session, did. */
static err_t seconds_left(const char *limit, double started_ago, double *left, struct err *e)
{
    const char *variable = getenv("SINEW_TIME_LIMIT"), *end = getenv("SLURM_JOB_END_TIME"),
               *walltime = getenv("PBS_WALLTIME");
    const char *text = limit ? limit : variable && variable[0] ? variable : NULL;
    *left = INFINITY;
    if (text) {
        *left = stop_duration(text);
        if (*left < 0)
            return err_set(e, ERR_CONFIG,
                           "%s%s: no length of time; say 90s, 45m, 12h or 2d, or D-HH:MM:SS as Slurm does",
                           limit ? "--time-limit " : "SINEW_TIME_LIMIT=", text);
        *left = fmax(0, *left - started_ago);
    } else if (end && end[0]) {
        double at = strtod(end, NULL);
        if (isfinite(at) && at > 0)
            *left = fmax(0, at - (double)time(NULL));
    } else if (walltime && walltime[0]) {
        double all = strtod(walltime, NULL), age = age_of(getsid(0));
        if (isfinite(all) && all > 0 && age >= 0)
            *left = fmax(0, all - age);
    }
    return ERR_OK;
}

/* ---- asking ---- */

/* This process tells all others, whichever team they work in. */
static void tell(struct stop *s)
{
    const struct comm *c = s->world;
    memcpy(s->notice, s->why, sizeof s->notice);
    for (int p = 0; p < c->np; p++)
        MPI_TRY(p == c->me ? MPI_SUCCESS
                           : MPI_Isend(s->notice, STOP_WHY, MPI_BYTE, p, STOP_TAG, c->mpi, &s->notices[p]));
    s->sent = 1;
}

/* Has another process told? */
static void hear(struct stop *s)
{
    const struct comm *c = s->world;
    int there = 0;
    if (c->np > 1)
        MPI_TRY(MPI_Iprobe(MPI_ANY_SOURCE, STOP_TAG, c->mpi, &there, MPI_STATUS_IGNORE));
    if (!there)
        return;
    MPI_TRY(MPI_Recv(s->why, STOP_WHY, MPI_BYTE, MPI_ANY_SOURCE, STOP_TAG, c->mpi, MPI_STATUS_IGNORE));
    s->why[STOP_WHY - 1] = '\0';
    s->asked = 1;
    s->heard++;
}

/* Would what may come before the next agreement, and the end, reach beyond the limit? The longest of both so
 * far, and a quarter as much again: on a busy machine no two are alike. */
static int is_late(const struct stop *s, double from_sec, double sec)
{
    return from_sec + 1.25 * (sec + s->end_sec) >= s->deadline_sec;
}

static void look(struct stop *s, double now)
{
    s->looked_sec = now;
    if (s->world->me == 0 && access(s->file, F_OK) == 0)
        snprintf(s->why, sizeof s->why, "the file stop in the output folder");
    else
        hear(s);
}

/* What comm_agree calls. */
static void asked(void *arg, struct err *e)
{
    struct stop *s = arg;
    double now = clock_sec();
    s->gap_sec = fmax(s->gap_sec, now - s->polled_sec);
    s->polled_sec = now;
    if (!s->asked) {
        if (first_signal)
            snprintf(s->why, sizeof s->why, "%s", signal_name(first_signal));
        else if (is_late(s, now, s->gap_sec))
            snprintf(s->why, sizeof s->why, "the time limit");
        else if (now - s->looked_sec >= LOOK_EVERY_SEC)
            look(s, now);
        if (s->why[0] && !s->asked) {
            s->asked = 1;
            tell(s);
        }
    }
    if (s->asked)
        err_set(e, ERR_STOPPED, "%s", s->why);
}

err_t stop_start(struct stop *s, struct comm *world, const char *limit, const char *file, const char *mark,
                 struct arena *a, struct err *e)
{
    double told[2] = {INFINITY, 0}, now = clock_sec(); /* what is left; what a launcher took to start */
    *s = (struct stop){
        .world = world, .file = file, .mark = mark, .polled_sec = now, .end_sec = world->start_sec};
    if (world->me == 0) {
        s->marked = access(mark, F_OK) == 0;
        told[1] = launcher_sec(world);
        seconds_left(limit, fmax(0, age_of(getpid())) + told[1], &told[0], e);
    }
    if (e->code == ERR_OK)
        arena_array(a, "stop.notices", world->np, &s->notices, e);
    TRY_ALL(world, e);
    comm_bcast(world, told, (int64_t)sizeof told, 0);
    for (int p = 0; p < world->np; p++)
        s->notices[p] = MPI_REQUEST_NULL;
    s->deadline_sec = now + told[0];
    s->keep_sec = told[0] / 10;
    s->end_sec += told[1];
    world->interrupt = asked;
    world->interrupt_arg = s;
    return ERR_OK;
}

void stop_measured(struct stop *s, double sec)
{
    s->end_sec = fmax(s->end_sec, sec);
}

err_t stop_before(struct stop *s, const struct comm *c, double sec, struct err *e)
{
    if (e->code == ERR_OK && !s->asked && is_late(s, clock_sec(), sec)) {
        snprintf(s->why, sizeof s->why, "the time limit");
        s->asked = 1;
        tell(s);
    }
    return comm_agree(c, e);
}

void stop_end(struct stop *s)
{
    struct comm *c = s->world;
    if (!c || !c->interrupt)
        return;
    c->interrupt = NULL;
    int64_t senders = s->sent;
    comm_sum(c, &senders, 1);
    for (int64_t due = senders - s->sent - s->heard; due > 0; due--) {
        char why[STOP_WHY];
        MPI_TRY(MPI_Recv(why, STOP_WHY, MPI_BYTE, MPI_ANY_SOURCE, STOP_TAG, c->mpi, MPI_STATUS_IGNORE));
    }
    if (s->sent)
        MPI_TRY(MPI_Waitall(c->np, s->notices, MPI_STATUSES_IGNORE));
}

/* The mark of a run that ended well goes, and with that of a whole study those of its parts. */
static void remove_marks(const char *mark)
{
    const char *name = strrchr(mark, '/'), whole[] = "/.stopped";
    unlink(mark);
    if (!name || strcmp(name, whole) != 0)
        return;
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", (int)(name - mark), mark);
    DIR *list = opendir(folder);
    for (const struct dirent *x; list && (x = readdir(list));)
        if (strncmp(x->d_name, whole + 1, strlen(whole + 1)) == 0)
            unlinkat(dirfd(list), x->d_name, 0);
    if (list)
        closedir(list);
}

void stop_say(const struct stop *s, int64_t ran, int64_t steps, int last, const char *config, struct err *e)
{
    char why[STOP_WHY], parts[80] = "";
    if (last)
        unlink(s->file);
    if (e->code != ERR_STOPPED) {
        if (e->code == ERR_OK)
            remove_marks(s->mark);
        return;
    }
    snprintf(why, sizeof why, "%.*s", STOP_WHY - 1, e->text);
    int again = ran == 0 && steps == 0 && s->marked;
    err_clear(e);
    if (again) {
        err_set(
            e, ERR_SYSTEM,
            "stopped again by %s before anything of a node was kept, as the last time: the same would come of it once "
            "more; give the job more time or more processes ('sinew plan %s' tells how long its nodes take)",
            why, config);
        return;
    }
    int fd = open(s->mark, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd >= 0)
        close(fd);
    if (steps > 0)
        snprintf(parts, sizeof parts, ", and %lld step%s of what was in work", (long long)steps,
                 steps == 1 ? "" : "s");
    err_set(e, ERR_STOPPED,
            "stopped by %s; %lld node%s done in this run and kept%s; 'sinew run %s' goes on from here", why,
            (long long)ran, ran == 1 ? " was" : "s were", parts, config);
}
