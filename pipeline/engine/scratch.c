#include "engine/scratch.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
enum { NCAUGHT = sizeof caught / sizeof *caught };

/* A handler has no arguments of ours. */
static char folder[PATH_MAX]; /* set while no signal can come in between; "": none */
static pthread_t worker;
static int waits; /* another process has the folder */

/* ---- removing, by calls that a signal's handler may make: none that takes memory ---- */

enum {
    LISTED = 4096,     /* bytes of entries at once */
    DEEPEST = 32,      /* folders in folders */
    NAME_OFFSET = 19,  /* of an entry's name in what getdents64 gives: after inode, offset, length and type */
    LENGTH_OFFSET = 16 /* of its length */
};

static void remove_in(int parent, const char *name, int depth);

/* Removes what the open folder lists; the number of entries that were tried. */
static int remove_listed(int fd, int depth)
{
    _Alignas(8) char list[LISTED];
    long n;
    int tried = 0;
    while ((n = syscall(SYS_getdents64, fd, list, sizeof list)) > 0) {
        uint16_t length;
        for (long at = 0; at < n; at += length) {
            const char *name = list + at + NAME_OFFSET;
            memcpy(&length, list + at + LENGTH_OFFSET, sizeof length);
            if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
                continue;
            tried++;
            if (unlinkat(fd, name, 0) != 0)
                remove_in(fd, name, depth + 1);
        }
    }
    return tried;
}

/* Folders are listed from the start again until nothing is left: what is removed meanwhile may hide others.
 */
static void remove_in(int parent, const char *name, int depth)
{
    int fd = depth > DEEPEST ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (int pass = 0; fd >= 0 && pass < 100 && lseek(fd, 0, SEEK_SET) == 0; pass++)
        if (remove_listed(fd, depth) == 0)
            break;
    if (fd >= 0)
        close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* ---- signals ---- */

static void end(int number)
{
    enum { LOOKS = 5, LOOK_MS = 10, WAIT_MS = 3000 };
    int saved = errno;
    if (!pthread_equal(pthread_self(), worker)) { /* which is not to go on meanwhile */
        pthread_kill(worker, number);
        errno = saved;
        return;
    }
    if (waits) /* mpirun kills all as soon as one has ended: the first is to be that one */
        poll(NULL, 0, WAIT_MS);
    for (int look = 0; folder[0] && look < LOOKS; look++) { /* others get the signal a little later */
        remove_in(AT_FDCWD, folder, 0);
        poll(NULL, 0, LOOK_MS);
    }
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t this;
    sigemptyset(&this);
    sigaddset(&this, number);
    sigaction(number, &action, NULL);
    raise(number);
    pthread_sigmask(SIG_UNBLOCK, &this, NULL);
}

static void block(sigset_t *before)
{
    sigset_t all;
    sigemptyset(&all);
    for (int k = 0; k < NCAUGHT; k++)
        sigaddset(&all, caught[k]);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

void scratch_listen(const struct comm *c)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_RESTART};
    worker = pthread_self();
    waits = c->me != 0;
    for (int k = 0; k < NCAUGHT; k++) /* one at a time: removing is done once */
        sigaddset(&action.sa_mask, caught[k]);
    for (int k = 0; k < NCAUGHT; k++) {
        struct sigaction before;
        if (sigaction(caught[k], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(caught[k], &action, NULL);
    }
}

/* ---- the folder ---- */

err_t scratch_make(const char *in, const char *name, const char **path, struct arena *a, struct err *e)
{
    char *made = arena_printf(a, e, "%s/%s-XXXXXX", in, name);
    sigset_t before;
    if (!made)
        return e->code;
    if (strlen(made) >= sizeof folder)
        return err_set(e, ERR_SYSTEM, "%s: the path is too long; set TMPDIR", in);
    block(&before);
    int fine = mkdtemp(made) != NULL;
    int why = errno;
    if (fine)
        memcpy(folder, made, strlen(made) + 1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *path = made;
    if (!fine && file_is_room(why))
        return file_cannot(e, made, "created", why, 0, 0);
    return fine ? ERR_OK
                : err_set(e, ERR_SYSTEM, "%s: cannot be made: %s; set TMPDIR, or name a folder with --report",
                          made, strerror(why));
}

void scratch_remove(void)
{
    sigset_t before;
    block(&before);
    if (folder[0])
        remove_in(AT_FDCWD, folder, 0);
    folder[0] = '\0';
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
