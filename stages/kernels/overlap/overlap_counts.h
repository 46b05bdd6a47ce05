/* Overlap counts: the inner loops that compare K bitmaps of updated elements, and the mean and variance of a
 * chance overlap. Pure: no MPI, no files, no allocation. Bitmaps are 64-bit words, least significant bit
 * first; mask k of K begins at masks + k * stride, at any word. Every instruction set counts the same. */
#ifndef SINEW_OVERLAP_COUNTS_H
#define SINEW_OVERLAP_COUNTS_H

#include "base/isa.h"

#include <stdint.h>

/* More masks than anyone compares at once; the consensus counters have room for so many. */
enum {
    OVERLAP_MAX_CELLS = 65535,
    OVERLAP_ROOM = 1 << 15 /* words to work in */
};

/* Pairs (i, j), i < j, of k masks: how many, and the place of one in the order (0,1) (0,2) ... (1,2) ... */
static inline int64_t overlap_pairs(int64_t k)
{
    return k * (k - 1) / 2;
}

static inline int64_t overlap_pair(int64_t k, int64_t i, int64_t j)
{
    return i * (2 * k - i - 1) / 2 + (j - i - 1);
}

/* Local. own[i] += set bits of mask i, both[pair] += set bits of mask i AND mask j, for all i < j < k, over
 * nwords words; and where exactly is not NULL what overlap_consensus adds there. own: k values, both:
 * overlap_pairs(k) values (may be NULL where k is 1). room: OVERLAP_ROOM words, which hold nothing before or
 * after. Works strip by strip, so that a word comes from memory once however many pairs there are. */
void overlap_count(enum isa isa, const uint64_t *masks, int64_t stride, int k, int64_t nwords, uint64_t *room,
                   int64_t *own, int64_t *both, int64_t *exactly);

/* Local. exactly[c] += positions that are set in exactly c of the k masks, c = 1..k, over nwords words;
 * exactly[0] is left alone (the unused bits after a tensor's end would count there). exactly: k + 1 values, k
 * <= OVERLAP_MAX_CELLS. */
void overlap_consensus(enum isa isa, const uint64_t *masks, int64_t stride, int k, int64_t nwords,
                       int64_t *exactly);

/* Local. Adds mean and variance of the number of elements common to two independent random subsets of u1 and
 * u2 out of n elements: the hypergeometric distribution, mean u1 u2 / n, variance u1 u2 (n - u1) (n - u2) /
 * (n^2 (n - 1)). n >= 0, 0 <= u1, u2 <= n; n < 2 has no variance. */
void overlap_chance(int64_t n, int64_t u1, int64_t u2, double *mean, double *variance);

/* Local. a / b, NaN where b is not above 0; how many deviations found lies above what chance gives, NaN where
 * chance has none. */
double overlap_ratio(double a, double b);
double overlap_score(double found, double expected, double variance);

#endif
