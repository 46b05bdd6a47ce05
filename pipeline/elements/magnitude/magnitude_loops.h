/* Between magnitude.c and its loops, which the loops of bits.c go on with; nobody else includes it. */
#ifndef SINEW_MAGNITUDE_LOOPS_H
#define SINEW_MAGNITUDE_LOOPS_H

#include "elements/magnitude/magnitude.h"

struct magnitude_loops {
    /* magnitude_count. */
    void (*count)(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins);
};

ISA_TABLES(struct magnitude_loops, magnitude);

/* Local. The reference. */
void magnitude_count_portable(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins);

/* Local. The largest bin of some of n >= 64 elements, those that are not finite left out: where a window of
 * bins may end. */
int magnitude_sample(enum arithmetic arithmetic, const void *bits, int64_t n);

#endif
