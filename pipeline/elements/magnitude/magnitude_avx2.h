/* The AVX2 step of the histogram of magnitudes, for the loops that have the elements in registers:
 * magnitude_avx2.c and bits_avx2.c. Nobody else includes it.
 *
 * Elements are counted by carry-save adders (classes_avx2.h) in a window of 32 bins, eight octaves, which
 * holds all but one in a hundred weights of a tensor; the others are found by their place and counted one by
 * one. */
#ifndef SINEW_MAGNITUDE_AVX2_H
#define SINEW_MAGNITUDE_AVX2_H

#include "elements/magnitude/classes_avx2.h"
#include "elements/magnitude/magnitude_loops.h"

#if defined(__x86_64__)

enum {
    MAGNITUDE_AVX2_CHUNK = CLASSES_CHUNK, /* elements counted at once */
    MAGNITUDE_AVX2_LEAST = 1024,          /* fewer are not worth a window */
    MAGNITUDE_AVX2_WINDOW = 2 * CLASSES
};

/* What is counted so far, and the chunk that is being filled, whose bytes are out of order within 32
 * elements.
 */
struct magnitude_window {
    int first; /* the window's first bin */
    struct classes lower, upper;
    uint8_t index_lower[MAGNITUDE_AVX2_CHUNK], index_upper[MAGNITUDE_AVX2_CHUNK];
    uint16_t outside[MAGNITUDE_AVX2_CHUNK + 2]; /* bins of elements outside the window */
};

/* Local. Nothing counted; the window, which holds no infinity, is chosen by some of the n >=
 * MAGNITUDE_AVX2_LEAST elements. */
void magnitude_avx2_begin(struct magnitude_window *m, enum arithmetic arithmetic, const void *bits,
                          int64_t n);

/* Local. Ends a chunk of n elements (a multiple of 64, at most MAGNITUDE_AVX2_CHUNK): the noutside that are
 * noted go to bins[]. */
void magnitude_avx2_end_chunk(struct magnitude_window *m, int64_t n, int64_t noutside, int64_t *bins);

/* Local. The second half of that alone. */
void magnitude_avx2_outsiders(const struct magnitude_window *m, int64_t n, int64_t *bins);

/* Local. Adds what is counted to bins[]. */
void magnitude_avx2_end(struct magnitude_window *m, int64_t *bins);

/* The place among 64 elements of each byte of four vectors packed into two; one more for no byte. */
extern const uint8_t magnitude_avx2_place[65];

/* Local. Elements [i, i + 64) of the chunk, which begin at `bits`; x holds 16 each: sign, exponent and seven
 * mantissa bits. Those outside the window are noted behind the n that are; returns how many are noted now.
 * Without a branch as long as there are two more at most, because how many there are is hard to foretell. */
AVX2_INLINE int64_t magnitude_avx2_step(struct magnitude_window *m, int64_t i, const __m256i x[4],
                                        __m256i first, enum arithmetic arithmetic, const void *bits,
                                        int64_t n)
{
    const __m256i half = _mm256_set1_epi8(CLASSES);
    uint64_t out = 0;
    for (int k = 0; k < 2; k++) { /* doubling drops the sign; below the window comes round to far above it */
        __m256i a = _mm256_sub_epi16(_mm256_add_epi16(x[2 * k], x[2 * k]), first),
                b = _mm256_sub_epi16(_mm256_add_epi16(x[2 * k + 1], x[2 * k + 1]), first);
        __m256i code = _mm256_packus_epi16(_mm256_srli_epi16(a, 6), _mm256_srli_epi16(b, 6));
        __m256i lower = classes_index(code), upper = classes_index(_mm256_sub_epi8(code, half));
        out |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_and_si256(lower, upper)) << (32 * k);
        _mm256_storeu_si256((__m256i *)(m->index_lower + i + 32 * k), lower);
        _mm256_storeu_si256((__m256i *)(m->index_upper + i + 32 * k), upper);
    }
    for (int k = 0; k < 2; k++, out &= out - 1) {
        m->outside[n] = (uint16_t)magnitude_bin(arithmetic, bits, magnitude_avx2_place[_tzcnt_u64(out)]);
        n += out != 0;
    }
    for (; __builtin_expect(out != 0, 0); out &= out - 1)
        m->outside[n++] = (uint16_t)magnitude_bin(arithmetic, bits, magnitude_avx2_place[_tzcnt_u64(out)]);
    return n;
}

/* Local. The window's beginning as the step wants it. */
AVX2_INLINE __m256i magnitude_avx2_first(const struct magnitude_window *m)
{
    return _mm256_set1_epi16((short)(m->first << 6));
}

/* Local. magnitude_count. */
void magnitude_count_avx2(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins);

#endif
#endif
