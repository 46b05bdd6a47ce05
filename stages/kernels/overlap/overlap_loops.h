/* Between overlap_counts.c and its vector loops; nobody else includes it. */
#ifndef SINEW_OVERLAP_LOOPS_H
#define SINEW_OVERLAP_LOOPS_H

#include "kernels/overlap/overlap_counts.h"

enum {
    OVERLAP_PLANES = 16,        /* bits of a position's counter: OVERLAP_MAX_CELLS has so many */
    OVERLAP_SLICED_CELLS = 255, /* up to here the vector loops keep a sum for each value of the counter */
    OVERLAP_SLICED_PLANES = 8
};

/* Local. Bits that a counter up to k takes, 0 <= k <= OVERLAP_MAX_CELLS. */
static inline int overlap_planes(int k)
{
    int planes = 0;
    while (planes < OVERLAP_PLANES && (k >> planes) != 0)
        planes++;
    return planes;
}

/* Local. The reference: adds the counters of 64 positions, bit b of each in plane[b], to exactly[]. any: the
 * positions whose counter is not 0. */
void overlap_tally(const uint64_t *plane, int planes, uint64_t any, int64_t *exactly);

#if defined(__x86_64__)
/* Local. overlap_count and overlap_consensus by vectors, k >= 1. */
void overlap_count_avx2(const uint64_t *masks, int64_t stride, int k, int64_t nwords, uint64_t *room,
                        int64_t *own, int64_t *both, int64_t *exactly);
void overlap_count_avx512(const uint64_t *masks, int64_t stride, int k, int64_t nwords, int64_t *own,
                          int64_t *both);
void overlap_consensus_avx2(const uint64_t *masks, int64_t stride, int k, int64_t nwords, int64_t *exactly);
void overlap_consensus_avx512(const uint64_t *masks, int64_t stride, int k, int64_t nwords, int64_t *exactly);
#endif

#endif
