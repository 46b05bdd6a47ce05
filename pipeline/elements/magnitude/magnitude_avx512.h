/* The AVX-512 step of the histogram of magnitudes, for the loops that have the elements in registers:
 * magnitude_avx512.c and bits_avx512.c. Nobody else includes it.
 *
 * No table in memory, but sets of elements as bits. Of 64 elements, one byte each says how far the bin lies
 * above the window's beginning, or that it is far away. A table of one-hot bytes tells the octave; a
 * Galois-field multiplication turns 8 bytes by 8 bits around, so that a 64-bit lane holds which of the 64
 * elements lie in octave 0, another which in octave 1, and so on for all eight. The same turn gives the two
 * lower bits of all bytes. Four population counts of {octave, and with bit 0, with bit 1, with both} then
 * count 64 elements into 32 bins. What lies outside the window is put aside and counted one by one. */
#ifndef SINEW_MAGNITUDE_AVX512_H
#define SINEW_MAGNITUDE_AVX512_H

#include "elements/magnitude/magnitude_loops.h"
#include "elements/magnitude/turn_avx512.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum {
    MAGNITUDE_CHUNK = 2048, /* elements among which one far away is looked for: a multiple of 64 */
    MAGNITUDE_RUN = 32, /* chunks whose outsiders are put aside, then counted: the stores are done by then */
    MAGNITUDE_LEAST = 1024, /* fewer are not worth a window */
    MAGNITUDE_OCTAVES = 8,  /* of the window: as many as a byte has bits, and a vector 64-bit lanes */
    MAGNITUDE_WINDOW = 4 * MAGNITUDE_OCTAVES,
    MAGNITUDE_FAR = 127 /* bins above the window's beginning, or one more below: all that a byte can say */
};

/* A run's elements outside the window, as their distances from its beginning; chunk k's end at upto[k]. */
struct magnitude_aside {
    int64_t upto[MAGNITUDE_RUN];
    int8_t distance[MAGNITUDE_RUN * MAGNITUDE_CHUNK + 64];
};

/* The window's first bin, and what is counted so far: lane o of all, low, high, both: elements in octave o of
 * the window, those whose distance has bit 0, bit 1, both. */
struct magnitude_counts {
    int first;
    __m512i all, low, high, both;
};

/* Local. Nothing counted; the window is chosen by some of the n >= MAGNITUDE_LEAST elements. */
void magnitude_begin(struct magnitude_counts *c, enum arithmetic arithmetic, const void *bits, int64_t n);

/* Local. Ends a run of n elements: those put aside are added to bins[]. Returns a bit for each chunk with an
 * element that is far away. */
uint32_t magnitude_end_run(const struct magnitude_counts *c, struct magnitude_aside *aside,
                           enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins);

/* Local. Adds what is counted in the window to bins[]. */
void magnitude_end(const struct magnitude_counts *c, int64_t *bins);

/* Local. How many bins above the window's beginning 32 elements lie (sign, exponent and seven mantissa bits
 * each). */
AVX512 static inline __m512i magnitude_distance(const struct magnitude_counts *c, __m512i x)
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff), first = _mm512_set1_epi16((short)(c->first << 5));
    return _mm512_srai_epi16(_mm512_sub_epi16(_mm512_and_si512(x, magnitude), first), 5);
}

/* Local. Counts 64 elements, 32 each in x and y; naside are put aside; returns how many are now. */
AVX512_INLINE int64_t magnitude_step(struct magnitude_counts *c, struct magnitude_aside *aside,
                                     int64_t naside, __m512i x, __m512i y)
{
    static const uint8_t one_hot[64] = {1,  1,  1,  1,  2,  2,  2,  2,  4,  4,  4,  4,  8,   8,   8,   8,
                                        16, 16, 16, 16, 32, 32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 128};
    const __m512i bit_0 = _mm512_set1_epi64(0x3830282018100800),
                  bit_1 = _mm512_set1_epi64(0x3931292119110901);
    __m512i code = _mm512_packs_epi16(magnitude_distance(c, x), magnitude_distance(c, y)); /* in no order */
    __mmask64 out = _mm512_cmpgt_epu8_mask(code, _mm512_set1_epi8(MAGNITUDE_WINDOW - 1));
    _mm512_storeu_si512(aside->distance + naside, _mm512_maskz_compress_epi8(out, code));
    __m512i octave = _mm512_maskz_permutexvar_epi8(~out, code, _mm512_loadu_si512(one_hot));
    octave = turn_classes(octave);
    __m512i mantissa = turn_bits(code);
    __m512i low = _mm512_and_si512(octave, _mm512_permutexvar_epi8(bit_0, mantissa));
    __m512i high = _mm512_and_si512(octave, _mm512_permutexvar_epi8(bit_1, mantissa));
    c->all = _mm512_add_epi64(c->all, _mm512_popcnt_epi64(octave));
    c->low = _mm512_add_epi64(c->low, _mm512_popcnt_epi64(low));
    c->high = _mm512_add_epi64(c->high, _mm512_popcnt_epi64(high));
    c->both = _mm512_add_epi64(c->both, _mm512_popcnt_epi64(_mm512_and_si512(low, high)));
    return naside + __builtin_popcountll(out);
}

/* Local. magnitude_count. */
void magnitude_count_avx512(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins);

#endif
#endif
