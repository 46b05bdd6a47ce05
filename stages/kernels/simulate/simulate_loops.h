/* The inner loops of simulate.c with AVX2, and the numbers that both forms share. Both give the same bits:
 * the same exactly rounded operations in the same order. For the kernel alone. */
#ifndef SINEW_SIMULATE_LOOPS_H
#define SINEW_SIMULATE_LOOPS_H

#include "base/isa.h"

#include <stdint.h>

/* SplitMix64: what the counter goes up by, and the factors of its output function. */
#define SIMULATE_STEP 0x9e3779b97f4a7c15u
#define SIMULATE_MIX_1 0xbf58476d1ce4e5b9u
#define SIMULATE_MIX_2 0x94d049bb133111ebu

#define SIMULATE_UNIT 4.0327403e-10f /* sqrt(3) / 2^32 */

/* exp(x): 1 / ln 2, ln 2 in two parts, and the Taylor series. */
#define SIMULATE_LOG2_E 1.4426950408889634
#define SIMULATE_LN2_HIGH 0.693147180369123816490
#define SIMULATE_LN2_LOW 1.90821492927058770002e-10
enum { SIMULATE_DEGREE = 10 };
static const double simulate_taylor[SIMULATE_DEGREE + 1] = {
    1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800};

#if defined(__x86_64__)
/* Local. The first of n results, as many as fill vectors; returns how many. */
int64_t simulate_four_sums_avx2(uint64_t key, int64_t first, int64_t n, float *out);
int64_t simulate_exponentials_avx2(const float *x, double top, int64_t n, double *out);
#endif

#endif
