/* Node: one node run on the processes of a team, from its artifact's beginning to its completion. */
#ifndef SINEW_NODE_H
#define SINEW_NODE_H

#include "engine/running.h"

/* Collective on c. Runs node i, whose key w->all holds on all of c, and completes its artifact. done: nodes
 * of the stage that were done before, for the progress line. What it took is added to w's sums. Errors: the
 * stage's, with the node named (err_item); SYSTEM. */
err_t node_run(struct work *w, int i, const struct comm *c, struct progress *progress, int64_t done,
               struct err *e);

#endif
