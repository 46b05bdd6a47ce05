/* Scratch: a folder of this run's own that goes with it, also where a signal ends the run.
 *
 * One for a process. SIGTERM, SIGINT and SIGHUP then remove it, in the signal's handler and so without
 * waiting for anything, and end the process as they would have: a run in a scratch folder has nothing to keep
 * (engine/stop.h is for those that have). SIGKILL leaves it behind. */
#ifndef SINEW_SCRATCH_H
#define SINEW_SCRATCH_H

#include "base/comm.h"
#include "base/err.h"
#include "base/mem.h"

/* Local, on every process of a run whose process 0 has such a folder: these signals end its work at once, so
 * that no other makes files anew in a folder that is gone, and the others some seconds after process 0.
 * Called in the thread that does the work. Signals that are ignored (nohup) stay so. */
void scratch_listen(const struct comm *c);

/* Local. Makes a new folder NAME-XXXXXX in `in`; its path, arena-owned, in *path. Errors: SYSTEM. */
err_t scratch_make(const char *in, const char *name, const char **path, struct arena *a, struct err *e);

/* Local. Removes the folder with all that is in it; safe where there is none. Links are not followed. */
void scratch_remove(void);

#endif
