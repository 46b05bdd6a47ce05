/* Across: nodes of several stages side by side. A node begins when what it needs is there, not when its
 * stage's turn comes, and whichever process is free takes it: one that others' programs hold up takes fewer.
 *
 * For stages whose nodes one process each does by itself, on processes of one host: who takes what, and what
 * is done, stands in memory that they share. A stage with a node for a team of several, and one that writes
 * files for others to read, is a point where all meet, and so are the archive and the report. Taken first is
 * the node with the longest way ahead: its own time and that of the longest chain of nodes that need each
 * other on top of it (HEFT: Topcuoglu, Hariri, Wu, IEEE TPDS 13, 2002). Memory is bounded as ever, as a
 * process has one node at a time. Results do not depend on any of it. */
#ifndef SINEW_ACROSS_H
#define SINEW_ACROSS_H

#include "engine/running.h"

/* Collective. Makes what the processes share, for the run, where they can: w->shared, which running_end gives
 * back. */
void across_start(struct work *w);

/* Local, the same on all processes. Is it there? Else stages run one after the other. */
int across_can(const struct work *w);

/* Collective. Decides (decision.h) upon the declared stages from the k-th in order on, as long as they can
 * run side by side: those before the *end-th, whose slots are in w->slots. *end == k: not even the first can;
 * it is decided upon, and its slots are there. Errors: as decision_take. */
err_t across_take(struct work *w, int k, int *end, struct err *e);

/* Collective. Runs them, as teams_run does one stage, with the lines of the log of each: its first when its
 * first node begins, its last when the last one has ended. Nodes that need what another run has, or what
 * failed, are not run (w->passed). Errors: the stages'; STOPPED. */
err_t across_run(struct work *w, int k, int end, struct err *e);

#endif
