/* Sums of entropies by token id, in fixed point: integers, so that they can be added up in any order. No MPI,
 * no files. */
#ifndef SINEW_ID_SUMS_H
#define SINEW_ID_SUMS_H

#include <math.h>
#include <stdint.h>

enum {
    ID_SUMS_EACH = 3, /* words of an id, [3][nids]: count, high and low parts of the sum */
    ID_SUMS_MOST_NATS = 64,
    ID_SUMS_FIXED_BITS = 54, /* H < 64 nats as an integer of 2^-54 nats, below 2^60 */
    ID_SUMS_LOW_BITS = 28    /* its low part: 2^35 of them can be added, and 2^31 of the high part */
};

/* Local. Counts an entropy, 0 <= nats < ID_SUMS_MOST_NATS, for an id. */
static inline void id_sums_add(int64_t *sums, int64_t nids, int64_t id, double nats)
{
    int64_t fixed = llrint(ldexp(nats, ID_SUMS_FIXED_BITS));
    sums[id]++;
    sums[nids + id] += fixed >> ID_SUMS_LOW_BITS;
    sums[2 * nids + id] += fixed & (((int64_t)1 << ID_SUMS_LOW_BITS) - 1);
}

/* Local. The mean entropy of an id that was counted. */
static inline double id_sums_mean(const int64_t *sums, int64_t nids, int64_t id)
{
    __int128 sum = ((__int128)sums[nids + id] << ID_SUMS_LOW_BITS) + sums[2 * nids + id];
    return ldexp((double)sum, -ID_SUMS_FIXED_BITS) / (double)sums[id];
}

#endif
