#include "engine/locks/lock.h"

#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    EMPTY_TRIES = 20,  /* so often a file without a text is looked at: it may be in the making */
    TAKEN_TRIES = 600, /* so often a takeover by another is waited for */
    PAUSE_MS = 50,     /* between two looks */
    TAKEOVER_SEC = 60  /* a takeover that has taken longer was cut short */
};

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
}

/* Writes who holds into the file; 0 where all of it is there. An older text is cut behind the new one, and
 * not before: a file that was made empty and written is brought to the disk when it is closed (ext4), which
 * takes a hundred times as long as the lock. */
static int write_holder(int fd, const struct lock_holder *h)
{
    char text[HOLDER_TEXT];
    struct stat st;
    int n = holder_write(h, text);
    if (pwrite(fd, text, (size_t)n, 0) != n)
        return -1;
    return fstat(fd, &st) == 0 && st.st_size > n ? ftruncate(fd, n) : 0;
}

static double seconds_of(const struct stat *st)
{
    return (double)st->st_mtim.tv_sec + 1e-9 * (double)st->st_mtim.tv_nsec;
}

/* A file of this process's own beside path, under a partial name (base/file.h). */
static int own_name(const char *path, char name[PATH_MAX])
{
    char mark[FILE_MARK];
    file_mark(mark);
    return snprintf(name, PATH_MAX, "%s.partial.%s", path, mark) < PATH_MAX;
}

/* ---- is the holder alive? ---- */

/* Now, by the clock of the file system that file `mine` lies on, which is made where it is not there; NULL,
 * or where that fails: by this machine's. */
static double now_by(const char *mine)
{
    struct stat st;
    struct timespec now;
    int fd = mine ? open(mine, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666) : -1;
    int told = fd >= 0 && futimens(fd, NULL) == 0 && fstat(fd, &st) == 0;
    if (fd >= 0)
        close(fd);
    if (told)
        return seconds_of(&st);
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds since the last sign of life of who holds an open lock file. One from the future is of before the
 * clock was set back: it is made one of now, and counted from here on, as it would seem new for as long.
 * mine: see now_by. */
static double silent_of(int fd, const struct stat *st, const char *mine)
{
    const double silent = now_by(mine) - seconds_of(st);
    if (silent < -LOCK_BEAT_SEC)
        futimens(fd, NULL); /* not where it is another user's */
    return fmax(0, silent);
}

/* Of an open lock file, which the file system lets have (locked 1: by nobody now; -1: it has no locks) or not
 * (0): does its holder live? The kernel knows the truth about flock of its own processes. Of others' it is
 * not believed that nobody has the lock as long as there are signs of life: a mount may keep its locks to
 * itself (localflock, local_lock). mine: see now_by. */
static void judge(const struct locks *l, int fd, int locked, const char *mine, struct lock_report *r)
{
    struct stat st;
    *r = (struct lock_report){.state = HOLDER_NONE};
    r->state = holder_read_open(&r->who, fd, &l->self);
    int near = holder_is_near(&r->who, &l->self), by_flock = strcmp(r->who.lock, "flock") == 0;
    if (locked > 0 && r->who.pid == 0 && strcmp(r->who.lock, "file") != 0)
        r->state = HOLDER_NONE; /* whatever stands there */
    else if (near && locked == 0)
        r->state = HOLDER_ALIVE;
    else if (near && by_flock && locked > 0)
        r->state = HOLDER_DEAD;
    if (r->state == HOLDER_UNKNOWN && fstat(fd, &st) == 0)
        r->silent_sec = silent_of(fd, &st, mine);
    int signs = r->silent_sec < (l->take_over ? LOCK_LOST_SEC : LOCK_DEAD_SEC);
    r->held = r->state == HOLDER_ALIVE || (r->state == HOLDER_UNKNOWN && signs) ||
              (r->state == HOLDER_NONE && locked == 0);
}

void lock_look(const struct locks *l, const char *path, struct lock_report *report)
{
    char name[PATH_MAX], mine[PATH_MAX];
    *report = (struct lock_report){.state = HOLDER_NONE};
    if (snprintf(name, sizeof name, "%s.lock", path) >= (int)sizeof name || !own_name(name, mine))
        return;
    int fd = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    int got = flock(fd, LOCK_SH | LOCK_NB) == 0;
    judge(l, fd, got ? 1 : errno == EWOULDBLOCK ? 0 : -1, mine, report);
    if (report->state == HOLDER_UNKNOWN)
        unlink(mine);
    close(fd);
}

const char *lock_who(const struct lock_report *report, char *text, int size)
{
    if (report->who.pid > 0)
        snprintf(text, (size_t)size, "process %lld on %s", (long long)report->who.pid, report->who.host);
    else
        snprintf(text, (size_t)size, "another run");
    return text;
}

/* ---- where the file system has locks ---- */

/* Takes the lock: 1; 0: it is held, as report says; -1: errno says why not. The
 * holder removes the file at the end, so a lock that was got on a file no longer there counts for nothing. */
static int lock_file(const struct locks *l, struct lock *got, const char *mine, struct lock_report *r)
{
    for (;;) {
        struct stat held, there;
        int fd = open(got->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
            return -1;
        int locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        judge(l, fd, locked, mine, r);
        if (r->state == HOLDER_UNKNOWN)
            unlink(mine);
        int same = fstat(fd, &held) == 0 && stat(got->path, &there) == 0 && held.st_ino == there.st_ino;
        if (same && locked && !r->held) {
            snprintf(got->own.lock, sizeof got->own.lock, "flock");
            write_holder(fd, &got->own); /* for people: on a full disk the lock holds all the same */
            got->fd = fd;
            return 1;
        }
        if (same && !r->held) /* of a machine that is lost, which the file server waits for */
            unlink(got->path);
        close(fd);
        if (same && r->held)
            return 0;
    }
}

/* ---- where it has none ---- */

/* Gives the file of this process the lock's name, if that is free: 1; 0: it is not; -1: neither. A network
 * may lose the answer, but not the count of names. Where a file can have one name alone, the lock's is made,
 * and then written. */
static int become(const char *path, const struct lock_holder *own, const char *mine)
{
    struct stat st;
    int why = link(mine, path) == 0 ? 0 : errno;
    if (why == 0 || (stat(mine, &st) == 0 && st.st_nlink == 2))
        return 1;
    if (why == EEXIST)
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno == EEXIST ? 0 : -1;
    int written = write_holder(fd, own) == 0;
    written = close(fd) == 0 && written;
    if (!written)
        unlink(path);
    return written ? 1 : -1;
}

static void judge_there(const struct locks *l, const char *path, const char *mine, struct lock_report *r)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    judge(l, fd, -1, mine, r);
    if (fd >= 0)
        close(fd);
}

/* Removes the lock of a dead holder, unless it is another's by now. One process at a time does so: whoever
 * has made the file beside it. mine: a file of now, by the file system's clock. */
static void take_over(const struct locks *l, const char *path, const char *mine,
                      const struct lock_report *dead)
{
    char taking[PATH_MAX];
    struct lock_report now;
    struct stat other, own;
    if (snprintf(taking, sizeof taking, "%s.taking", path) >= (int)sizeof taking)
        return;
    int fd = open(taking, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        if (stat(taking, &other) == 0 && stat(mine, &own) == 0 &&
            own.st_mtime - other.st_mtime > TAKEOVER_SEC)
            unlink(taking);
        return;
    }
    close(fd);
    judge_there(l, path, mine, &now);
    if (now.state == HOLDER_NONE || (!now.held && holder_same(&now.who, &dead->who)))
        unlink(path);
    unlink(taking);
}

/* Takes the lock by a file of this process's own, `mine`, that is there: as lock_file. */
static int become_holder(const struct locks *l, struct lock *got, const char *mine, struct lock_report *r)
{
    for (int empty = 0, tries = 0;; tries++) {
        int is = become(got->path, &got->own, mine);
        if (is != 0)
            return is;
        judge_there(l, got->path, mine, r);
        r->held = r->held || tries > TAKEN_TRIES;
        if (r->held)
            return 0;
        if (r->state != HOLDER_NONE || ++empty > EMPTY_TRIES)
            take_over(l, got->path, mine, r);
        pause_a_little();
    }
}

static int own_file(const struct locks *l, struct lock *got, const char *mine, struct lock_report *r)
{
    snprintf(got->own.lock, sizeof got->own.lock, "file");
    unlink(mine); /* of a process of the same number, or a link */
    int fd = open(mine, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    int written = fd >= 0 && write_holder(fd, &got->own) == 0;
    written = fd >= 0 && close(fd) == 0 && written;
    int answer = written ? become_holder(l, got, mine, r) : -1, why = errno;
    unlink(mine);
    errno = why;
    return answer;
}

/* ---- both ---- */

/* Has the file system of a path locks? A file of this process's own tells; once. 0 where none can be made. */
static int probe(struct locks *l, const char *mine)
{
    if (l->kind != LOCKS_UNKNOWN)
        return 1;
    unlink(mine); /* of a process of the same number, or a link */
    int fd = open(mine, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return 0;
    l->kind = flock(fd, LOCK_EX | LOCK_NB) == 0 ? LOCKS_FLOCK : LOCKS_FILE;
    close(fd);
    unlink(mine);
    return 1;
}

static int try_to_take(struct locks *l, struct lock *got, const char *mine, struct lock_report *r)
{
    if (!probe(l, mine))
        return -1;
    return l->kind == LOCKS_FLOCK ? lock_file(l, got, mine, r) : own_file(l, got, mine, r);
}

err_t lock_take(struct locks *l, const char *path, struct lock_report *report, struct err *e)
{
    struct lock got = {.fd = -1, .own = l->self};
    char mine[PATH_MAX], folder[PATH_MAX];
    *report = (struct lock_report){.state = HOLDER_NONE};
    if (snprintf(got.path, sizeof got.path, "%s.lock", path) >= (int)sizeof got.path ||
        !own_name(got.path, mine))
        return err_set(e, ERR_SYSTEM, "%s: path too long", path);
    int answer = try_to_take(l, &got, mine, report);
    if (answer < 0 && errno == ENOENT) {
        snprintf(folder, sizeof folder, "%.*s", (int)(path_last(path) - path), path);
        TRY(path_make_dir(folder, e));
        answer = try_to_take(l, &got, mine, report);
    }
    if (answer < 0)
        return file_cannot(e, got.path, "written", errno, 0, 0);
    if (answer > 0) {
        got.held = 1;
        pthread_mutex_lock(&l->mutex);
        l->now = got;
        pthread_mutex_unlock(&l->mutex);
    }
    return ERR_OK;
}

/* Is the file that is there still the one that this process made the lock? */
static int is_mine(const struct lock *k)
{
    struct lock_holder h;
    struct stat held, there;
    if (k->fd >= 0)
        return fstat(k->fd, &held) == 0 && stat(k->path, &there) == 0 && held.st_ino == there.st_ino;
    holder_read(&h, k->path);
    return holder_same(&h, &k->own);
}

void lock_drop(struct locks *l)
{
    if (!l->now.held)
        return;
    pthread_mutex_lock(&l->mutex);
    struct lock k = l->now;
    l->now.held = 0;
    pthread_mutex_unlock(&l->mutex);
    if (is_mine(&k))
        unlink(k.path);
    if (k.fd >= 0)
        close(k.fd);
    else
        file_sweep(k.path); /* of those that were killed while they asked for it */
}

void lock_tidy(struct locks *l, const char *path)
{
    char name[PATH_MAX];
    struct lock_report other;
    struct err ignored;
    err_clear(&ignored);
    if (snprintf(name, sizeof name, "%s.lock", path) < (int)sizeof name && access(name, F_OK) == 0 &&
        lock_take(l, path, &other, &ignored) == ERR_OK)
        lock_drop(l);
}

/* ---- signs of life ---- */

/* A thread of its own: a kernel may take minutes. It makes no call to MPI, and hears no signal. */
static void *pulse(void *arg)
{
    struct locks *l = arg;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&l->mutex);
    while (!l->ends) {
        next.tv_sec += LOCK_BEAT_SEC;
        while (!l->ends && pthread_cond_timedwait(&l->end, &l->mutex, &next) == 0)
            ;
        if (l->now.held && !l->ends && l->now.fd >= 0)
            futimens(l->now.fd, NULL);
        else if (l->now.held && !l->ends)
            utimensat(AT_FDCWD, l->now.path, NULL, AT_SYMLINK_NOFOLLOW);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

static err_t start_pulse(struct locks *l, struct err *e)
{
    pthread_condattr_t by_steps;
    sigset_t all, before;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_init(&by_steps);
    pthread_condattr_setclock(&by_steps, CLOCK_MONOTONIC);
    pthread_cond_init(&l->end, &by_steps);
    pthread_condattr_destroy(&by_steps);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&l->pulse, NULL, pulse, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->started = !failed;
    if (!failed)
        return ERR_OK;
    pthread_cond_destroy(&l->end);
    pthread_mutex_destroy(&l->mutex);
    return err_set(e, ERR_SYSTEM, "no thread can be started: %s", strerror(failed));
}

/* ---- the folder ---- */

/* Process 0. OUTPUT/.lock is shared by all runs in the folder, where there are locks. */
static err_t share_folder(struct locks *l, const char *output, struct err *e)
{
    struct lock *k = &l->folder;
    char mine[PATH_MAX];
    if (snprintf(k->path, sizeof k->path, "%s/.lock", output) >= (int)sizeof k->path ||
        !own_name(k->path, mine))
        return err_set(e, ERR_SYSTEM, "%s: path too long", output);
    if (!probe(l, mine))
        return file_cannot(e, output, "written", errno, 0, 0);
    for (int tries = 0; l->kind == LOCKS_FLOCK;) {
        struct stat held, there;
        struct lock_holder h;
        int fd = open(k->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
            return file_cannot(e, output, "written", errno, 0, 0);
        int locked = flock(fd, LOCK_SH | LOCK_NB) == 0;
        int same = fstat(fd, &held) == 0 && stat(k->path, &there) == 0 && held.st_ino == there.st_ino;
        if (locked && same) {
            k->held = 1;
            k->fd = fd;
            break;
        }
        enum holder_state state = holder_read_open(&h, fd, &l->self);
        close(fd);
        if (!locked && tries++ > EMPTY_TRIES) /* one that ends has it for a moment */
            return err_set(
                e, ERR_SYSTEM,
                "%s is in use by another run of sinew%s%s, an older one that wants the folder for itself; wait "
                "for it, or give this study another output",
                output, state == HOLDER_NONE ? "" : " on ", state == HOLDER_NONE ? "" : h.host);
        if (!locked)
            pause_a_little();
    }
    return ERR_OK;
}

err_t locks_start(struct locks *l, const struct comm *c, const char *output, int take_over, struct err *e)
{
    int none = 0;
    *l = (struct locks){.take_over = take_over, .folder.fd = -1, .now.fd = -1};
    holder_self(&l->self, "-");
    if (c->me == 0 && path_make_dir(output, e) == ERR_OK)
        share_folder(l, output, e);
    if (e->code == ERR_OK)
        start_pulse(l, e);
    if (comm_agree(c, e) != ERR_OK) {
        locks_end(l);
        return e->code;
    }
    none = l->kind == LOCKS_FILE;
    comm_bcast(c, &none, (int64_t)sizeof none, 0);
    if (none)
        l->kind = LOCKS_FILE;
    return ERR_OK;
}

int locks_end(struct locks *l)
{
    int alone = 1;
    lock_drop(l);
    if (l->started) {
        pthread_mutex_lock(&l->mutex);
        l->ends = 1;
        pthread_cond_signal(&l->end);
        pthread_mutex_unlock(&l->mutex);
        pthread_join(l->pulse, NULL);
        pthread_cond_destroy(&l->end);
        pthread_mutex_destroy(&l->mutex);
        l->started = 0;
    }
    if (l->folder.held) {
        alone = flock(l->folder.fd, LOCK_EX | LOCK_NB) == 0;
        if (alone)
            unlink(l->folder.path);
        close(l->folder.fd);
        l->folder.held = 0;
    }
    return alone;
}
