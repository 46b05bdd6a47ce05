/* Between overlap_counts.c and its loops; nobody else includes it. */
#ifndef SINEW_OVERLAP_LOOPS_H
#define SINEW_OVERLAP_LOOPS_H

#include "kernels/overlap/overlap_counts.h"

enum {
    OVERLAP_PLANES = 16,        /* bits of a position's counter: OVERLAP_MAX_CELLS has so many */
    OVERLAP_SLICED_CELLS = 255, /* up to here the vector loops keep a sum for each value of the counter */
    OVERLAP_SLICED_PLANES = 8
};

/* k >= 1 masks of n words each, a stride apart. */
struct overlap_masks {
    const uint64_t *words;
    int64_t stride, n;
    int k;
};

struct overlap_loops {
    /* overlap_count. */
    void (*count)(const struct overlap_masks *m, uint64_t *room, int64_t *own, int64_t *both,
                  int64_t *exactly);
    /* overlap_consensus. */
    void (*consensus)(const struct overlap_masks *m, int64_t *exactly);
};

ISA_TABLES(struct overlap_loops, overlap);

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
void overlap_tally_portable(const uint64_t *plane, int planes, uint64_t any, int64_t *exactly);

/* Local. overlap_count by loops that count pairs and consensus one after the other: in pieces of the masks,
 * so short that the second-level cache still holds the words. */
void overlap_count_by_pieces(const struct overlap_masks *m,
                             void (*pairs)(const struct overlap_masks *m, int64_t *own, int64_t *both),
                             void (*consensus)(const struct overlap_masks *m, int64_t *exactly), int64_t *own,
                             int64_t *both, int64_t *exactly);

#endif
