/* Sight: do all hosts of a job see the same files? A folder that is a disk of its own on each host gives half
 * results, or none after hours; this is found out before work begins. */
#ifndef SINEW_SIGHT_H
#define SINEW_SIGHT_H

#include "engine/hosts/hosts.h"
#include "study/dag.h"

/* Collective. On every host one process looks for a file that process 0 has just made in the study's output
 * folder, and for the cells' checkpoints that process 0 sees (of many, the first ones). Nothing on one host.
 * Errors: SYSTEM, naming the folder, and the host that does not see it. */
err_t sight_check(const struct hosts *h, const struct comm *c, const struct dag *d, struct arena *a,
                  struct err *e);

#endif
