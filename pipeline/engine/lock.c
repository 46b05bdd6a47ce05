#include "engine/lock.h"

#include "base/path.h"
#include "hdf5/h5.h"

#include <errno.h>
#include <fcntl.h>
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

static err_t refuse(const char *output, const char *path, enum holder_state state,
                    const struct lock_holder *h, struct err *e)
{
    char who[160] = "", remedy[400] = "";
    if (h->pid > 0)
        snprintf(who, sizeof who, ", process %lld on %s", (long long)h->pid, h->host);
    if (state == HOLDER_UNKNOWN)
        snprintf(remedy, sizeof remedy, "; if that has ended, remove %.300s", path);
    return err_set(e, ERR_SYSTEM,
                   "%s is in use by another run of sinew%s; wait for it, or give this study another output%s",
                   output, who, remedy);
}

static err_t cannot_write(const char *output, struct err *e)
{
    return err_set(e, ERR_SYSTEM, "%s: cannot be written: %s", output, strerror(errno));
}

/* Writes who holds into the file; 0 where all of it is there. */
static int write_holder(int fd, const struct lock_holder *h)
{
    char text[HOLDER_TEXT];
    int n = holder_write(h, text);
    return pwrite(fd, text, (size_t)n, 0) == n ? 0 : -1;
}

/* ---- where the file system has locks ---- */

/* The holder removes the file at the end, so a lock that was got on a file no longer there counts for
 * nothing.
 */
static err_t lock_file(struct lock *l, const char *output, struct err *e)
{
    for (;;) {
        struct stat held, there;
        struct lock_holder h;
        int fd = open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
            return cannot_write(output, e);
        int got = flock(fd, LOCK_EX | LOCK_NB) == 0;
        enum holder_state state = holder_read(&h, l->path);
        /* without the lock it is held; with it, by a machine whose mount has none */
        if (!got || (strcmp(h.lock, "file") == 0 && state != HOLDER_DEAD)) {
            close(fd);
            return refuse(output, l->path, got ? state : HOLDER_ALIVE, &h, e);
        }
        if (fstat(fd, &held) == 0 && stat(l->path, &there) == 0 && held.st_ino == there.st_ino) {
            holder_self(&l->own, "flock");
            if (ftruncate(fd, 0) == 0)
                write_holder(fd, &l->own); /* for people: on a full disk the lock holds all the same */
            l->held = 1;
            l->fd = fd;
            return ERR_OK;
        }
        close(fd);
    }
}

/* ---- where it has none ---- */

/* Gives the file of this process the lock's name, if that is free: 1; 0: it is not; -1: neither. A network
 * may lose the answer, but not the count of names. Where a file can have one name alone, the lock's is made,
 * and then written. */
static int become(struct lock *l, const char *mine)
{
    struct stat st;
    int why = link(mine, l->path) == 0 ? 0 : errno;
    if (why == 0 || (stat(mine, &st) == 0 && st.st_nlink == 2))
        return 1;
    if (why == EEXIST)
        return 0;
    int fd = open(l->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno == EEXIST ? 0 : -1;
    int written = write_holder(fd, &l->own) == 0;
    written = close(fd) == 0 && written;
    if (!written)
        unlink(l->path);
    return written ? 1 : -1;
}

/* Removes the lock of a dead holder, unless it is another's by now. One process at a time does so: whoever
 * has made the file beside it. mine: a file of now, by the file system's clock. */
static void take_over(const struct lock *l, const char *mine, const struct lock_holder *dead)
{
    char taking[4096];
    struct lock_holder now;
    struct stat other, own;
    if (snprintf(taking, sizeof taking, "%s.taking", l->path) >= (int)sizeof taking)
        return;
    int fd = open(taking, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        if (stat(taking, &other) == 0 && stat(mine, &own) == 0 &&
            own.st_mtime - other.st_mtime > TAKEOVER_SEC)
            unlink(taking);
        return;
    }
    close(fd);
    enum holder_state state = holder_read(&now, l->path);
    if (state == HOLDER_NONE || (state == HOLDER_DEAD && holder_same(&now, dead)))
        unlink(l->path);
    unlink(taking);
}

static err_t own_file(struct lock *l, const char *output, const char *mine, struct err *e)
{
    for (int empty = 0, tries = 0;; tries++) {
        struct lock_holder h;
        int got = become(l, mine);
        if (got < 0)
            return cannot_write(output, e);
        if (got > 0) {
            l->held = 1;
            l->fd = -1;
            return ERR_OK;
        }
        enum holder_state state = holder_read(&h, l->path);
        if (state == HOLDER_ALIVE || state == HOLDER_UNKNOWN || tries > TAKEN_TRIES)
            return refuse(output, l->path, state, &h, e);
        if (state == HOLDER_DEAD || ++empty > EMPTY_TRIES)
            take_over(l, mine, &h);
        pause_a_little();
    }
}

/* ---- both ---- */

/* Process 0. A file of this process's own tells which of them it is. */
static err_t acquire(struct lock *l, const char *output, struct arena *a, struct err *e)
{
    holder_self(&l->own, "file");
    char *mine = arena_printf(a, e, "%s.%s.%lld", l->path, l->own.host, (long long)l->own.pid);
    if (!mine)
        return e->code;
    unlink(mine); /* of a process of the same number, or a link */
    int fd = open(mine, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return cannot_write(output, e);
    int has_locks = flock(fd, LOCK_EX | LOCK_NB) == 0;
    int written = has_locks || write_holder(fd, &l->own) == 0;
    written = close(fd) == 0 && written;
    err_t code = !written ? cannot_write(output, e) : has_locks ? ERR_OK : own_file(l, output, mine, e);
    unlink(mine);
    return code == ERR_OK && has_locks ? lock_file(l, output, e) : code;
}

err_t lock_take(struct lock *l, const struct comm *c, const char *output, struct arena *a, struct err *e)
{
    int without = 0;
    *l = (struct lock){0};
    if (c->me == 0 && path_make_dir(output, e) == ERR_OK && (l->path = path_join(a, output, ".lock", e)))
        acquire(l, output, a, e);
    TRY_ALL(c, e);
    without = l->held && l->fd < 0;
    comm_bcast(c, &without, (int64_t)sizeof without, 0);
    if (without)
        h5_without_locks();
    return ERR_OK;
}

void lock_drop(struct lock *l)
{
    struct lock_holder h;
    if (!l->held)
        return;
    holder_read(&h, l->path);
    if (l->fd >= 0 || holder_same(&h, &l->own))
        unlink(l->path);
    if (l->fd >= 0)
        close(l->fd);
    l->held = 0;
}
