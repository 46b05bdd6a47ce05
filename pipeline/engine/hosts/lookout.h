/* Lookout: notices that a host of a job is frozen, off, or cut from the output folder, and ends the job.
 *
 * MPI waits for ever for a process that does not answer, and a launcher for its daemon. The heartbeats
 * (heartbeat.h) tell: a thread of process 0 reads those of the processes on other hosts, and the first of
 * these reads process 0's. A record that does not change while the watcher's own does is of a process that
 * does not run, or does not reach the files; after LOOKOUT_LOST_SEC its host is named and the job is ended,
 * to be gone on with later. Time is counted by the watcher's own rounds, so that a job that was suspended as
 * a whole has lost nobody. The thread calls no MPI. */
#ifndef SINEW_LOOKOUT_H
#define SINEW_LOOKOUT_H

#include "engine/hosts/hosts.h"

enum { LOOKOUT_LOST_SEC = 40 };

struct lookout;

/* Collective. Begins to watch where the job is on several hosts and there is a heartbeat. path: its file,
 * NULL: none; every_sec: between two of its beats, of which LOOKOUT_LOST_SEC is at least three. `h` must last
 * until the end. SINEW_LOST_AFTER in the environment is another number of seconds, 0 for never. *w is
 * NULL where this process watches nobody. Errors: SYSTEM (memory); CONFIG where the environment's number is
 * none. */
err_t lookout_start(struct lookout **w, const struct hosts *h, const struct comm *c, const char *path,
                    double every_sec, struct arena *a, struct err *e);

/* Local. The thread has ended. w: NULL does nothing. */
void lookout_end(struct lookout *w);

#endif
