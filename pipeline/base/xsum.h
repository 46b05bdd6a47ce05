/* Exact sums of doubles, independent of order and therefore of the number of processes.
 *
 * An accumulator is a fixed-point number of int64 limbs, 32 bits of value each, wide enough for every finite
 * double; adding is exact, and two accumulators are added by adding their limbs as integers, so a reduction
 * over processes is comm_sum over XSUM_LIMBS words. (The idea is Kulisch's long accumulator with delayed
 * carries; see Neal, arXiv:1505.05571.) Up to 2^30 additions between normalisations are safe; xsum_add
 * normalises by itself. */
#ifndef SINEW_XSUM_H
#define SINEW_XSUM_H

#include <stdint.h>

enum { XSUM_LIMBS = 68 }; /* bit 0 of limb 0 has weight 2^-1074; 68*32 = 2176 bits */

struct xsum {
    int64_t limb[XSUM_LIMBS];
    int64_t adds; /* since the last normalisation */
};

/* Local. Adds a finite double exactly. A NaN or Inf must not be passed. */
void xsum_add(struct xsum *s, double x);

/* Local. Adds n times x exactly; x finite, n not negative. */
void xsum_add_times(struct xsum *s, double x, int64_t n);

/* Local. dst += src, which is as it was. */
void xsum_add_sum(struct xsum *dst, const struct xsum *src);

/* Local. Carries propagated, each limb in (-2^32, 2^32): call before reducing over processes. */
void xsum_normalise(struct xsum *s);

/* Local. The sum, correctly rounded to double; same limbs, same result. */
double xsum_value(const struct xsum *s);

#endif
