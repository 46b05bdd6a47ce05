/* Lock: one run at a time works on a file: PATH.lock beside it says which.
 *
 * Where the file system has locks (flock) that file is locked, and a holder that ends in whatever way has
 * given it back. Where it has none (NFS without lockd, some Lustre, BeeGFS and FUSE mounts answer ENOLCK,
 * ENOTSUP, ENOSYS or 524) the file itself is the lock: it comes into being with its text, at once, for one
 * process alone. Of a holder on this machine it is known whether it lives. One on another machine gives a
 * sign of life: its process sets the file's time anew every few seconds. Who has given none for
 * LOCK_DEAD_SEC, by the file server's own clock, has ended; for LOCK_LOST_SEC, where the user says so
 * (--take-over).
 *
 * What the locks save is work, not data: a file is written under a name of its writer's own (base/file.h),
 * and two runs that take each other for dead complete the same one. */
#ifndef SINEW_LOCK_H
#define SINEW_LOCK_H

#include "base/comm.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/locks/holder.h"

#include <limits.h>
#include <pthread.h>

enum { LOCK_BEAT_SEC = 5, LOCK_LOST_SEC = 20, LOCK_DEAD_SEC = 120 };

/* A lock that this process holds, or (held 0) does not. */
struct lock {
    int held, fd; /* fd: -1 where the file system has no locks */
    char path[PATH_MAX];
    struct lock_holder own; /* what the file says */
};

/* What locks are made of. */
enum locks_kind { LOCKS_UNKNOWN, LOCKS_FLOCK, LOCKS_FILE };

/* What a run knows of locks: each process has its own, and holds one lock at the most. */
struct locks {
    struct lock_holder self;
    enum locks_kind kind; /* UNKNOWN: this process has not asked yet */
    int take_over;        /* who is silent for LOCK_LOST_SEC has ended */
    struct lock
        folder;      /* process 0: OUTPUT/.lock, which all runs in the folder share; fd -1: there is none */
    struct lock now; /* under mutex where it is changed, and where it gives its signs of life */
    int started, ends;
    pthread_t pulse;
    pthread_mutex_t mutex;
    pthread_cond_t end;
};

/* Who holds a lock that was not to be had, or was looked at. */
struct lock_report {
    int held;                /* by one that lives, as far as can be told */
    struct lock_holder who;  /* pid 0: it does not say */
    enum holder_state state; /* UNKNOWN: only its signs of life tell */
    double silent_sec;       /* of UNKNOWN: since the last of these */
};

/* Collective. Makes the output folder where it is not there, and begins the signs of life of whatever lock is
 * held until locks_end. Errors:
 * SYSTEM where nothing can be written, or where an older sinew, which knows one lock for the folder alone, is
 * at work there. */
err_t locks_start(struct locks *l, const struct comm *c, const char *output, int take_over, struct err *e);

/* Local. Gives back what is held. Returns 1 on process 0 where no other run is in the folder (where there are
 * no locks: always), 0 else. Safe on a zeroed or an ended one. */
int locks_end(struct locks *l);

/* Local. Takes the lock of path, where no other is held: l->now.held says whether it was to be had, and if
 * not, report says who has it. The folder must be there, or is made. Errors: SYSTEM where nothing can be
 * written. */
err_t lock_take(struct locks *l, const char *path, struct lock_report *report, struct err *e);

/* Local. Gives it back. Safe where none is held. */
void lock_drop(struct locks *l);

/* Local. Removes what a run that was killed left of the lock of path. None is held. */
void lock_tidy(struct locks *l, const char *path);

/* Local. Who holds the lock of path? As lock_take sees it; where only signs of life tell, a file is made for
 * a moment, for the file server's clock. */
void lock_look(const struct locks *l, const char *path, struct lock_report *report);

/* Local. "process 77 on node1", "a process that ..." into text; returns it. */
const char *lock_who(const struct lock_report *report, char *text, int size);

#endif
