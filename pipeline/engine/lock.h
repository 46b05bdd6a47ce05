/* Lock: one sinew at a time works in an output folder. */
#ifndef SINEW_LOCK_H
#define SINEW_LOCK_H

#include "base/comm.h"
#include "base/err.h"
#include "base/mem.h"

/* Held by process 0. Zero-initialised: not held. */
struct lock {
    int held, fd;
    const char *path; /* of the file it lies on, which lock_drop removes */
};

/* Collective. Makes the folder where it is not there and takes its lock, until lock_drop or the end of the
 * process. Where the file system knows no locks there is none, which is no error. path: owned by the arena.
 * Errors: SYSTEM where another sinew holds it, or where nothing can be written. */
err_t lock_take(struct lock *l, const struct comm *c, const char *output, struct arena *a, struct err *e);

/* Local. Gives the lock back. Safe where it is not held. */
void lock_drop(struct lock *l);

#endif
