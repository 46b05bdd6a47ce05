/* Schedule: which nodes run side by side, one process each, and which on all processes together.
 *
 * A node that is small beside the memory of a process is cheaper on one process than on many: nothing is
 * divided, nothing is agreed upon. Where a stage has several such nodes they are dealt out, the largest
 * first, to the process with the least to do; the others run one after the other on all processes. Results do
 * not depend on the choice. */
#ifndef SINEW_SCHEDULE_H
#define SINEW_SCHEDULE_H

#include "dag.h"

enum { SCHEDULE_ALL = -1 }; /* owner of a node that runs on all processes */

/* Local (process 0's work). For nodes [from, to) with todo[i]: owner[i - from] = the process that runs node i
 * alone, or SCHEDULE_ALL. np: processes. Errors: SYSTEM (memory). */
err_t schedule_nodes(const struct dag *d, int from, int to, const char *todo, int np, int *owner,
                     struct arena *scratch, struct err *e);

#endif
