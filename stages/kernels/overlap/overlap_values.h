/* Positions by the values of their counters, for loops whose set counts the bits of bytes: these are added up
 * in the bytes of a vector for each value, before they overflow. Included by one file for each instruction
 * set before overlap_sliced.h, whose sums_of, sums_begin, sums_add and sums_end are made here; it has defined
 * what that one wants, and
 * - OVERLAP_SUMS: the name of the struct behind sums_of
 * - vec_andnot: b AND NOT a
 * - vec_bits: set bits of each byte
 * - vec_add_bytes, and vec_sum: all bytes of a vector added up
 * - vec_all: every bit or none
 *
 * With none defined it is empty. */
#ifndef SINEW_OVERLAP_VALUES_H
#define SINEW_OVERLAP_VALUES_H

#include "kernels/overlap/overlap_loops.h"

#ifdef OVERLAP_SUMS

enum { FULL = 31 /* vectors whose bits a byte can count */ };

typedef struct OVERLAP_SUMS {
    vec of[OVERLAP_SLICED_CELLS + 1];
    int added; /* vectors */
} sums_of;

SLICED_INLINE void sums_begin(sums_of *s, int k)
{
    s->added = 0;
    for (int c = 0; c < 4 * (k / 4 + 1); c++)
        s->of[c] = vec_zero();
}

/* Adds to the bytes of four sums the positions `where`, by the lowest two bits of their counters: low[c]
 * those where the bits are c, but low[0] all others. Often there are none. */
SLICED_INLINE void add_four(vec where, const vec *low, vec *sum)
{
    if (!vec_any(where))
        return;
    sum[0] = vec_add_bytes(sum[0], vec_bits(vec_andnot(low[0], where)));
#pragma GCC unroll 3
    for (int c = 1; c < 4; c++)
        sum[c] = vec_add_bytes(sum[c], vec_bits(vec_and(low[c], where)));
}

/* Adds to the bytes of sum[c] the positions whose counter is c, for c <= k and some beyond. */
SLICED_INLINE void add_values(const vec *plane, const int planes, int k, vec *sum)
{
    const vec zero = vec_zero(), p0 = plane[0], p1 = planes > 1 ? plane[1] : zero;
    const vec low[4] = {vec_or(p0, p1), vec_andnot(p1, p0), vec_andnot(p0, p1), vec_and(p0, p1)};
    for (int top = 0; top <= k >> 5; top++) {
        vec where = vec_all(1);
#pragma GCC unroll 3
        for (int b = 5; b < planes; b++)
            where = vec_andnot(vec_xor(plane[b], vec_all((top >> (b - 5)) & 1)), where);
        if (planes > 5 && !vec_any(where))
            continue;
#pragma GCC unroll 8
        for (int high = 0; high < 8; high++) {
            if (high > 0 && (planes <= 2 || high >> (planes - 2) != 0))
                continue;
            vec here = where;
#pragma GCC unroll 3
            for (int b = (planes < 5 ? planes : 5) - 1; b >= 2; b--)
                here = (high >> (b - 2)) & 1 ? vec_and(here, plane[b]) : vec_andnot(plane[b], here);
            if (32 * top + 4 * high > k)
                return;
            add_four(here, low, sum + 32 * top + 4 * high);
        }
    }
}

SLICED_INLINE void sums_end(sums_of *s, int k, int64_t *exactly)
{
    for (int c = 1; c <= k; c++)
        exactly[c] += vec_sum(s->of[c]);
}

SLICED_INLINE void sums_add(sums_of *s, const vec *plane, const int planes, int k, int64_t *exactly)
{
    add_values(plane, planes, k, s->of);
    if (++s->added < FULL)
        return;
    sums_end(s, k, exactly);
    sums_begin(s, k);
}

#endif
#endif
