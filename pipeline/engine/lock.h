/* Lock: one sinew at a time works in an output folder.
 *
 * The file .lock in it names its holder (holder.h). Where the file system has locks (flock) the file is
 * locked, and a holder that ends in whatever way has given it back. Where it has none (NFS without lockd,
 * some Lustre, BeeGFS and FUSE mounts answer ENOLCK, ENOTSUP, ENOSYS or 524) the file itself is the lock: it
 * comes into being with its text, at once, for one process alone. One whose holder has ended on this machine
 * is taken over; of other machines that cannot be known, and the message says what to remove. */
#ifndef SINEW_LOCK_H
#define SINEW_LOCK_H

#include "base/comm.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/holder.h"

/* Held by process 0. Zero-initialised: not held. */
struct lock {
    int held, fd;           /* fd: -1 where the file system has no locks */
    const char *path;       /* of the file it lies on, which lock_drop removes */
    struct lock_holder own; /* what that file says */
};

/* Collective. Makes the folder where it is not there and takes its lock, until lock_drop or the end of the
 * process. Where the file system has no locks all processes are told (h5_without_locks). path: owned by the
 * arena. Errors: SYSTEM where another sinew holds it, or where nothing can be written. */
err_t lock_take(struct lock *l, const struct comm *c, const char *output, struct arena *a, struct err *e);

/* Local. Gives the lock back. Safe where it is not held. */
void lock_drop(struct lock *l);

#endif
