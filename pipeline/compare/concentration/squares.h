/* Squares: an exact sum of squares of float32 sizes, an integer addition each. Pure: no MPI, no files, no
 * allocation. */
#ifndef SINEW_SQUARES_H
#define SINEW_SQUARES_H

#include "base/xsum.h"

/* By exponent: a size is m 2^(exponent - 150), of up to 24 bits m, so that 64 bits hold the sum of m^2 of as
 * many sizes as a run may have. Zero-initialise. */
enum { SQUARES_EXPONENTS = 256, SQUARES_MANTISSA = 23, SQUARES_MOST = 1 << 16 };
_Static_assert(SQUARES_MOST <= 1 << (64 - 2 * (SQUARES_MANTISSA + 1)), "sums of squares fit 64 bits");
struct squares_run {
    uint64_t sum[SQUARES_EXPONENTS];
};

/* Local, pure. m of a finite size, as bits without the sign. */
static inline uint64_t squares_mantissa(uint32_t bits)
{
    const uint64_t exponent = bits >> SQUARES_MANTISSA, rest = bits & ((1U << SQUARES_MANTISSA) - 1);
    return exponent > 0 ? rest | 1U << SQUARES_MANTISSA : rest << 1;
}

/* Local. Adds a finite size, as bits without the sign: at most SQUARES_MOST to a run. */
static inline void squares_add(struct squares_run *run, uint32_t bits)
{
    const uint64_t m = squares_mantissa(bits);
    run->sum[bits >> SQUARES_MANTISSA] += m * m;
}

/* Local. sum += m2 2^(2 (exponent - 150)), an integer m2 of sizes with this exponent. */
void squares_to(unsigned __int128 m2, int exponent, struct xsum *sum);

/* Local. sum += what the run holds. */
void squares_of_run(const struct squares_run *run, struct xsum *sum);

#endif
