/* The verbs that look and do not touch: check, plan, status, a file each. Process 0 does the work; the others
 * wait for its verdict. */
#ifndef SINEW_VERBS_H
#define SINEW_VERBS_H

#include "engine/runner.h"

/* Collective. Validates the headers of all inputs: every checkpoint and logits file is opened, every pair
 * matched. Each problem is printed on stderr as it is found. Errors: DATA, the problem if there is one, or
 * how many there are. */
err_t verb_check(struct runner *r, struct err *e);

/* Collective. Check, then a table of the stages: nodes, fresh, bytes, flops, memory per process, estimated
 * time. */
err_t verb_plan(struct runner *r, struct err *e);

/* Collective. One line per node: state, node, label and, where it is stale, why. */
err_t verb_status(struct runner *r, struct err *e);

#endif
