/* Between simulate.c and its loops, and the numbers that all of them share; nobody else includes it. All give
 * the same bits: the same exactly rounded operations in the same order. */
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

/* The output function of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
 * OOPSLA 2014). */
static inline uint64_t simulate_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * SIMULATE_MIX_1;
    z = (z ^ (z >> 27)) * SIMULATE_MIX_2;
    return z ^ (z >> 31);
}

/* Number `index` of the sequence that SplitMix64 makes from seed `key`. */
static inline uint64_t simulate_draw(uint64_t key, int64_t index)
{
    return simulate_mix(key + ((uint64_t)index + 1) * SIMULATE_STEP);
}

/* The sum of four 32-bit uniforms, cut out of 64 random bits with overlaps that touch only their low halves.
 * Its variance is 2^64 / 3. Unit variance, |z| < 3.47, excess kurtosis -0.3: normal enough for directions. */
static inline float simulate_four_sum(uint64_t h)
{
    float a = (float)(int32_t)(uint32_t)h, b = (float)(int32_t)(uint32_t)(h >> 16);
    float c = (float)(int32_t)(uint32_t)(h >> 32), d = (float)(int32_t)(uint32_t)(h >> 48 | h << 16);
    return ((a + b) + (c + d)) * SIMULATE_UNIT;
}

struct simulate_loops {
    /* simulate_four_sum of the draws [first, first+n). */
    void (*four_sums)(uint64_t key, int64_t first, int64_t n, float *out);
    /* exp(x - top) of n numbers, within 1e-9 of it, relatively; x - top in [-700, 700]. */
    void (*exponentials)(const float *x, double top, int64_t n, double *out);
};

ISA_TABLES(struct simulate_loops, simulate);

/* Local. The reference. */
void simulate_four_sums_portable(uint64_t key, int64_t first, int64_t n, float *out);
void simulate_exponentials_portable(const float *x, double top, int64_t n, double *out);

#endif
