/* Teams: the nodes of a stage run side by side, each on its team of processes. */
#ifndef SINEW_TEAMS_H
#define SINEW_TEAMS_H

#include "engine/running.h"

/* Collective. Runs the stage's nodes in their slots (decision.h), each under its lock; those that another run
 * has, or has completed meanwhile, are passed over (w->passed, w->awaited). name, units: of the stage, for
 * the progress line. After a failure on any process no other node begins, those at work are completed first,
 * and all processes return with the one error. Errors: the stage's; STOPPED. */
err_t teams_run(struct work *w, const char *name, const char *units, struct err *e);

#endif
