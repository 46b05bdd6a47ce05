/* Heartbeat: what each process of a running job is at, on the disk, so that who looks from outside can tell a
 * job that runs from one that was killed, and at what.
 *
 * One file per job in the folder .jobs of the output folder (jobs.h reads it), a record of a fixed size for
 * each process, written in its place. A thread of each process writes it every few seconds, however long a
 * kernel runs, and opens and closes the file each time, so that a network file system brings it to the
 * server. The thread touches no MPI and takes no memory. The file goes at the end of a run, good or bad: one
 * that stays is of a job that was killed. Nothing depends on it: what cannot be written is not said. */
#ifndef SINEW_HEARTBEAT_H
#define SINEW_HEARTBEAT_H

#include "base/comm.h"
#include "base/mem.h"

struct heartbeat;

/* Collective. Makes the job's file and begins to beat; files of jobs that are known to be dead are removed.
 * The heartbeat is the arena's, and so is the path. *h is NULL where there is none. Errors: SYSTEM (memory).
 */
err_t heartbeat_start(struct heartbeat **h, const struct comm *c, const char *output, struct arena *a,
                      struct err *e);

/* Local. This process is now at a node: its stage's name, what it works on, its artifact; all "" for none. h:
 * NULL does nothing, here and below. */
void heartbeat_at(struct heartbeat *h, const char *node, const char *label, const char *artifact);

/* Local. How far it is with it, 0 to 1. */
void heartbeat_share(void *h, double share);

/* Local. At which part of it, such as a tensor; a new node is at none. */
void heartbeat_item(void *h, const char *item);

/* Local. The job's file, and the seconds between two beats; NULL where there is none. */
const char *heartbeat_file(const struct heartbeat *h, double *every_sec);

/* Local. The thread has ended; process 0 removes the file, and the folder where it is empty. */
void heartbeat_end(struct heartbeat *h);

#endif
