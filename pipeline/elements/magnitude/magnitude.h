/* Magnitude: the histogram of |w| by exponent and two mantissa bits (quarter octaves), the strata of the
 * matched chance overlap. Pure: no MPI, no files, no allocation. */
#ifndef SINEW_MAGNITUDE_H
#define SINEW_MAGNITUDE_H

#include "base/isa.h"
#include "elements/tensor.h"

enum {
    MAGNITUDE_BINS = 1024,     /* the top 10 bits of |w| in the compare type */
    MAGNITUDE_INFINITE = 0x3fc /* the bin of infinities; NaN may lie above it */
};

/* Local. The bin of element i of an array in the compare type. */
static inline int magnitude_bin(enum arithmetic arithmetic, const void *bits, int64_t i)
{
    return arithmetic == ARITHMETIC_BF16 ? (((const uint16_t *)bits)[i] & 0x7fff) >> 5
                                         : (int)((((const uint32_t *)bits)[i] & 0x7fffffff) >> 21);
}

/* Local. Lower edge of a bin in weight units. */
double magnitude_bin_lower(int bin);

/* Local. Adds n elements in the compare type to bins[MAGNITUDE_BINS]. Every instruction set gives the same
 * counts. */
void magnitude_count(enum isa isa, enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins);

#endif
