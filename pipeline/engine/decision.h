/* Decision: which nodes of a stage run, because they are picked and not fresh, and on which processes. */
#ifndef SINEW_DECISION_H
#define SINEW_DECISION_H

#include "engine/running.h"

/* Collective. Decides which of nodes [from, to) run, and where: w->todo, w->slots and the keys of those in
 * w->all are the same on all processes then. What is taken of checkpoints that say so stands in the log.
 * Errors: DATA where a picked node lacks what it needs; SYSTEM. */
err_t decision_take(struct work *w, int from, int to, struct err *e);

#endif
