/* Is a row of logits a whole distribution? What was cut before it was written, and lists of the largest, have
 * an entropy too, but not the policy's. Pure: no MPI, no files, no allocation. */
#ifndef SINEW_WHOLE_H
#define SINEW_WHOLE_H

#include "elements/tensor.h"

#include <stdint.h>

/* Local. Adds 1 to what holds of the row of n logits of `type` (BF16, F16, F32 or F64):
 *   *cut      fewer than half of the logits are there: the others are -Inf, or -9000 and below, which stands
 *             for it in what some programs write. All are counted only where a quarter of a sample, spread
 * evenly, is not there; *of_logs  they could be logarithms of probabilities, none above 0, which sum to 1.02
 * at the most: to 1, as they are rounded; *lacking  and these sum to less than 0.95. Rows longer than 4096
 * are no lists of the largest, and not looked at for the last two. */
void whole_count(enum dtype type, const void *logits, int64_t n, int64_t *cut, int64_t *of_logs,
                 int64_t *lacking);

#endif
