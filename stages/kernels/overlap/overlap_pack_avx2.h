/* Masks without the positions that are set in none of them, for the AVX2 loops of overlap_counts.c. Where
 * training changes little these are most: they are left out of all masks at once, before each meets each
 * other, and the words that are left then hold several of the masks'. */
#ifndef SINEW_OVERLAP_PACK_AVX2_H
#define SINEW_OVERLAP_PACK_AVX2_H

#include "kernels/overlap/overlap_loops.h"

enum { OVERLAP_PACK_WORDS = 1024 }; /* of a mask at once, before positions are left out */

/* How the words of a strip are packed: so many of them in one, each with the positions any[] left, from bit
 * shift[] on. Words of which too many are left to share one follow behind the others. */
struct overlap_packing {
    int together;
    int64_t n, shared, nalone; /* words, those that hold several, and those that hold one */
    uint64_t any[OVERLAP_PACK_WORDS];
    uint8_t shift[OVERLAP_PACK_WORDS];
    uint16_t alone[OVERLAP_PACK_WORDS];
};

#if defined(__x86_64__)
/* Local. Is it worth while on this processor? */
int overlap_pack_fast(void);

/* Local. How the first p->n words of the masks are packed, so that at most `most` words are left of a mask.
 * Returns 0 where that is hardly less. */
int overlap_pack_plan(struct overlap_packing *p, const struct overlap_masks *m, int64_t most);

/* Local. The masks without the positions left out, p->shared + p->nalone words and then zeros, a room_stride
 * apart, which is no less. */
void overlap_pack(const struct overlap_packing *p, const struct overlap_masks *m, uint64_t *room,
                  int64_t room_stride);
#endif

#endif
