/* Teams: the nodes of a stage run side by side, each on its team of processes. */
#ifndef SINEW_TEAMS_H
#define SINEW_TEAMS_H

#include "engine/running.h"

/* How a slot ended, in w->passed. */
enum slot_end {
    SLOT_DONE,
    SLOT_PASSED,  /* another run has the node, or has completed it */
    SLOT_BLOCKED, /* what it needs was passed, or failed */
    SLOT_FAILED
};

/* Collective on the team. Runs a slot's node under its lock. What fails is in e, and told at the next
 * agreement of all; where the run goes on without the node, e is clear and the answer SLOT_FAILED. */
enum slot_end teams_slot(struct work *w, const struct schedule_slot *slot, const struct comm *team,
                         struct progress *progress, int64_t done, struct err *e);

/* Collective. Notes on all processes how the slots ended, by w->passed, which is the same on all. Errors:
 * SYSTEM (memory). */
err_t teams_settle(struct work *w, struct err *e);

/* Collective. Runs the stage's nodes in their slots (decision.h), each under its lock; those that another run
 * has, or has completed meanwhile, are passed over (w->passed, w->awaited). name, units: of the stage, for
 * the progress line. After a failure on any process no other node begins, those at work are completed first,
 * and all processes return with the one error. Errors: the stage's; STOPPED. */
err_t teams_run(struct work *w, const char *name, const char *units, struct err *e);

#endif
