/* Decision: which nodes of a stage run, because they are picked and not fresh, and on which processes. */
#ifndef SINEW_DECISION_H
#define SINEW_DECISION_H

#include "engine/running.h"

/* Collective. Decides which of nodes [from, to), which are one stage's, run, and where: w->todo and the keys
 * of those in w->all are the same on all processes then, and so are their slots, which join the w->nslots
 * that are there. ahead: what was decided upon of nodes [ahead, from) runs before them, and is theirs to
 * need. Errors: DATA where a picked node lacks what it needs; SYSTEM. */
err_t decision_take(struct work *w, int ahead, int from, int to, struct err *e);

/* Process 0. A line of the log on what is taken of each checkpoint that nodes [from, to) are about to read
 * and that says so; of many, of the first ones unless every node has a line. */
void decision_tell(const struct work *w, int from, int to);

#endif
