/* The plain loop of largest.c: the reference. */
#include "elements/largest/largest_loops.h"

#include <string.h>

int64_t largest_pack_portable(const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        const float d = b[i] - a[i];
        uint32_t bits;
        memcpy(&bits, &d, sizeof bits);
        bits &= 0x7fffffff;
        out[found] = bits; /* overwritten, where it is none: no branch that is hard to foretell */
        found += bits >= least && bits < LARGEST_INFINITE;
    }
    return found;
}

/* Without branches that would be hard to foretell: what is listed, and what is below all, adds to a sum that
 * nobody asks for. */
int64_t largest_split_portable(const struct largest_edges *x, const uint32_t *size, int64_t n, uint32_t *list,
                               struct largest_sums *sums)
{
    uint64_t squares[LARGEST_WINDOWS + 1] = {0};
    int64_t listed = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t one = size[i], octave = (one >> 23) - x->exponent, rest = one & 0x7fffff,
                       m = one >> 23 > 0 ? rest | 1U << 23 : rest << 1;
        int place = 0; /* even: in a region, odd: within a window */
        for (int k = 0; k < 2 * LARGEST_WINDOWS; k++)
            place += one < x->edge[k];
        const int region = place % 2 ? LARGEST_WINDOWS : place / 2, odd = octave >= LARGEST_OCTAVES;
        const uint64_t wide = (uint64_t)m << (octave & (LARGEST_OCTAVES - 1));
        list[listed] = one;
        listed += place % 2;
        squares[odd ? LARGEST_WINDOWS : region] += wide * wide;
        if (odd && region < LARGEST_WINDOWS && x->edge[2 * region] > 0)
            sums->odd[sums->nodd++] = one;
    }
    for (int k = 0; k < LARGEST_WINDOWS; k++)
        sums->squares[k] += x->edge[2 * k] > 0 ? squares[k] : 0;
    return listed;
}

const struct largest_loops largest_portable = {.pack = largest_pack_portable,
                                               .split = largest_split_portable};
