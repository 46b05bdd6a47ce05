/* Comparison: what a study of one pair found, as a page for a terminal or as one JSON object. */
#ifndef SINEW_COMPARISON_H
#define SINEW_COMPARISON_H

#include "base/text.h"
#include "engine/runner.h"

/* Local (process 0's work). The pair that the runner's study has, from its archive, added to out: what was
 * taken of each side, the verdicts, sparsity by criterion, modules, rank, what was left out. Errors: DATA
 * where the archive lacks the cell; SYSTEM. */
err_t comparison_write(struct text *out, const struct runner *r, int json, struct arena *a, struct err *e);

#endif
