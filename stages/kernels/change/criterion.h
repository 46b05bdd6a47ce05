/* Criterion: when an element counts as updated, for all stages that ask. Pure: no MPI, no files, no
 * allocation. */
#ifndef SINEW_CRITERION_H
#define SINEW_CRITERION_H

#include "elements/tensor.h"

#include <stdint.h>

enum criterion_kind {                     /* in the order of the stages' parameters */
                      CRITERION_ABSOLUTE, /* |difference| > tolerance */
                      CRITERION_BITS,     /* bits differ */
                      CRITERION_RELATIVE  /* |difference| > eta * max(|w0|, |w1|) */
};

struct criterion {
    enum criterion_kind kind;
    enum arithmetic arithmetic;
    double tolerance, eta; /* tolerance in weight units, as tolerance_rounded gives it */
};

/* Local. flag[i] = 1 where element i of n counts as updated from its old to its new bits in the compare type,
 * else 0. Except by their bits, NaN and Inf differences always count, as torch.isclose never calls them
 * close. */
void criterion_flags(const struct criterion *c, const void *old_bits, const void *new_bits, int64_t n,
                     uint8_t *flag);

/* Local, pure. How many of n elements count as updated. */
int64_t criterion_count(const struct criterion *c, const void *old_bits, const void *new_bits, int64_t n);

#endif
