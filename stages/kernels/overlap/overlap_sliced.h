/* The text of overlap_consensus by vectors: counters of positions are made bit by bit, in planes, and divided
 * by their values. Included by one file for each instruction set, which first defines
 * - SLICED_TARGET, SLICED_INLINE: what functions begin with (isa.h)
 * - SLICED_CONSENSUS: the name of the function made here
 * - vec, a type of LANES words, and vec_zero, vec_xor, vec_and, vec_or, vec_load, vec_store
 * - vec_any: is a bit set?
 * - vec_load_first: the first n words, the others 0
 * - vec_adder: digit += a + b, bit by bit; returns what is carried
 * - the type sums_of and sums_begin, sums_add, sums_end: positions by the values of their counters, up to k
 *
 * With none defined it is empty. */
#ifndef SINEW_OVERLAP_SLICED_H
#define SINEW_OVERLAP_SLICED_H

#include "kernels/overlap/overlap_loops.h"

#ifdef SLICED_CONSENSUS

#include <stddef.h>

/* The next n words of masks a stride apart. */
struct overlap_source {
    const uint64_t *words;
    int64_t stride, n;
};

/* The next mask's vector, or with `last` what is left to fill one. */
SLICED_INLINE vec next_one(struct overlap_source *s, const int last)
{
    vec x = last ? vec_load_first(s->words, s->n) : vec_load(s->words);
    s->words += s->stride;
    return x;
}

/* The next two and four masks, with the planes before; what is carried is returned. */
SLICED_INLINE vec next_two(struct overlap_source *s, const int last, vec *plane)
{
    vec a = next_one(s, last);
    return vec_adder(&plane[0], a, next_one(s, last));
}

SLICED_INLINE vec next_four(struct overlap_source *s, const int last, vec *plane)
{
    vec a = next_two(s, last, plane);
    return vec_adder(&plane[1], a, next_two(s, last, plane));
}

/* Adds to the counters' bits from..planes-1. */
SLICED_INLINE void ripple(vec *plane, const int from, const int planes, vec carry)
{
#pragma GCC unroll 16
    for (int b = from; b < planes; b++) {
        vec sum = vec_xor(plane[b], carry);
        carry = vec_and(plane[b], carry);
        plane[b] = sum;
    }
}

/* Adds k masks to counters of their positions: bit b of each in plane[b], for b < planes. A tree of full
 * adders (Harley and Seal) by eight masks: carries ripple up once for every eight. */
SLICED_INLINE void add_masks(struct overlap_source s, const int last, int k, const int planes, vec *plane)
{
    for (; planes > 3 && k >= 8; k -= 8) {
        vec a = next_four(&s, last, plane);
        ripple(plane, 3, planes, vec_adder(&plane[2], a, next_four(&s, last, plane)));
    }
    if (planes > 2 && k >= 4)
        ripple(plane, 2, planes, next_four(&s, last, plane));
    if (planes > 1 && (k & 2))
        ripple(plane, 1, planes, next_two(&s, last, plane));
    if (k & 1)
        ripple(plane, 0, planes, next_one(&s, last));
}

SLICED_INLINE void add_words(struct overlap_source s, const int last, int k, const int planes, sums_of *sums,
                             int64_t *exactly)
{
    vec plane[OVERLAP_SLICED_PLANES], any = vec_zero();
#pragma GCC unroll 8
    for (int b = 0; b < planes; b++)
        plane[b] = vec_zero();
    add_masks(s, last, k, planes, plane);
#pragma GCC unroll 8
    for (int b = 0; b < planes; b++)
        any = vec_or(any, plane[b]);
    if (vec_any(any))
        sums_add(sums, plane, planes, k, exactly);
}

SLICED_INLINE void consensus(struct overlap_source s, int k, const int planes, int64_t *exactly)
{
    sums_of sums;
    sums_begin(&sums, k);
    for (; s.n >= LANES; s.n -= LANES, s.words += LANES)
        add_words(s, 0, k, planes, &sums, exactly);
    if (s.n > 0)
        add_words(s, 1, k, planes, &sums, exactly);
    sums_end(&sums, k, exactly);
}

#define CONSENSUS(planes)                                                                          \
    SLICED_TARGET static void consensus_##planes(struct overlap_source s, int k, int64_t *exactly) \
    {                                                                                              \
        consensus(s, k, planes, exactly);                                                          \
    }
CONSENSUS(1)
CONSENSUS(2)
CONSENSUS(3)
CONSENSUS(4)
CONSENSUS(5)
CONSENSUS(6)
CONSENSUS(7)
CONSENSUS(8)

/* More cells than there are sums for: the counters are made by vectors and divided by words. */
SLICED_TARGET static void consensus_many(struct overlap_source s, int k, int64_t *exactly)
{
    int planes = overlap_planes(k);
    for (; s.n > 0; s.n -= LANES, s.words += LANES) {
        vec plane[OVERLAP_PLANES];
        uint64_t bits[OVERLAP_PLANES][LANES];
        for (int b = 0; b < OVERLAP_PLANES; b++)
            plane[b] = vec_zero();
        if (s.n >= LANES)
            add_masks(s, 0, k, OVERLAP_PLANES, plane);
        else
            add_masks(s, 1, k, OVERLAP_PLANES, plane);
        for (int b = 0; b < planes; b++)
            vec_store(bits[b], plane[b]);
        for (int lane = 0; lane < LANES; lane++) {
            uint64_t one[OVERLAP_PLANES], any = 0;
            for (int b = 0; b < planes; b++)
                any |= one[b] = bits[b][lane];
            if (any != 0)
                overlap_tally_portable(one, planes, any, exactly);
        }
    }
}

SLICED_TARGET void SLICED_CONSENSUS(const struct overlap_masks *m, int64_t *exactly)
{
    static void (*const sliced[])(struct overlap_source, int, int64_t *) = {
        NULL,        consensus_1, consensus_2, consensus_3, consensus_4,
        consensus_5, consensus_6, consensus_7, consensus_8};
    (m->k > OVERLAP_SLICED_CELLS ? consensus_many : sliced[overlap_planes(m->k)])(
        (struct overlap_source){m->words, m->stride, m->n}, m->k, exactly);
}

#endif
#endif
