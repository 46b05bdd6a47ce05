/* Steps: a trainer writes step 100 as iter_0000100, a pattern says iter_{step}. Where the folder with the
 * plain number is absent, the one with the number padded by zeros is meant.
 *
 * config_parse looks at nothing outside; this does, once, before the graph is built. A checkpoint that was
 * read and then removed is known by what was made of it, so that it keeps its name. */
#ifndef SINEW_STEPS_H
#define SINEW_STEPS_H

#include "base/comm.h"
#include "study/config.h"

enum { STEPS_DIGITS = 12 /* of a padded number, at most */, STEPS_PATHS = 4 };

#define STEPS_MARK "\001" /* in the place of the step in a path that waits for its digits */

/* Of a cell: its base, tuned, logits_base and logits_tuned with the mark in the place of {step}; NULL where
 * the pattern has none. */
struct steps {
    const char *path[STEPS_PATHS];
};

/* Collective. Looks at the disk for every path of a cell of the matrix whose pattern has {step} and that is
 * not there as it is; where one folder is there with the number padded to at most STEPS_DIGITS, the cell's
 * path becomes that one. Errors: DATA where several are there, naming two; SYSTEM (memory). */
err_t steps_settle(const struct comm *c, struct config *config, struct arena *a, struct err *e);

#endif
