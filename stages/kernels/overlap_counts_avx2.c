/* The AVX2 loops of overlap_counts.c: the same integers, by vectors of four words. */
#include "overlap_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target(ISA_AVX2_TARGET)))
#define INLINE AVX2 static inline __attribute__((always_inline))

/* Words of all masks in one strip: 128 KiB, within the second-level cache; few processors with AVX2 have less
 * than 256 KiB. */
enum { LANES = 4, STRIP_WORDS = 1 << 14, STRIP_LEAST = 64 };

/* Set bits of each word. A nibble's come from a table that fits a register (Mula). */
INLINE __m256i popcount(__m256i x)
{
    const __m256i nibble = _mm256_set1_epi8(15),
                  table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2,
                                           2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble)),
            high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(x, 4), nibble));
    return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

INLINE int64_t lanes(__m256i x)
{
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return _mm_extract_epi64(two, 0) + _mm_extract_epi64(two, 1);
}

/* plane += a + b, bit by bit; returns what is carried. */
INLINE __m256i add_two(__m256i *plane, __m256i a, __m256i b)
{
    __m256i half = _mm256_xor_si256(a, b),
            carry = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(half, *plane));
    *plane = _mm256_xor_si256(half, *plane);
    return carry;
}

INLINE __m256i load(const uint64_t *words)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)words);
}

/* ---- pairs ---- */

/* Set bits of a AND b. Eight vectors are added up by full adders before anything is counted (Harley and
 * Seal). */
AVX2 static int64_t count_and(const uint64_t *a, const uint64_t *b, int64_t n)
{
    __m256i ones = _mm256_setzero_si256(), twos = ones, fours = ones, sum = ones;
    int64_t w = 0, rest = 0;
#define BOTH(i) _mm256_and_si256(load(a + w + (i)*LANES), load(b + w + (i)*LANES))
    for (; w + 8 * LANES <= n; w += 8 * LANES) {
        __m256i two_a = add_two(&ones, BOTH(0), BOTH(1)), two_b = add_two(&ones, BOTH(2), BOTH(3));
        __m256i four_a = add_two(&twos, two_a, two_b);
        two_a = add_two(&ones, BOTH(4), BOTH(5));
        two_b = add_two(&ones, BOTH(6), BOTH(7));
        __m256i four_b = add_two(&twos, two_a, two_b);
        sum = _mm256_add_epi64(sum, popcount(add_two(&fours, four_a, four_b)));
    }
#undef BOTH
    for (; w < n; w++)
        rest += __builtin_popcountll(a[w] & b[w]);
    return 8 * lanes(sum) + 4 * lanes(popcount(fours)) + 2 * lanes(popcount(twos)) + lanes(popcount(ones)) +
           rest;
}

AVX2 void overlap_count_avx2(const uint64_t *masks, int64_t stride, int k, int64_t nwords, int64_t *own,
                             int64_t *both)
{
    uint16_t live[OVERLAP_MAX_CELLS];
    int64_t length = STRIP_WORDS / k / (8 * LANES) * (8 * LANES);
    length = length < STRIP_LEAST ? STRIP_LEAST : length;
    for (int64_t at = 0; at < nwords; at += length) {
        int64_t n = nwords - at < length ? nwords - at : length;
        int nlive = 0;
        for (int i = 0; i < k; i++) {
            const uint64_t *mask = masks + i * stride + at;
            int64_t set = count_and(mask, mask, n);
            own[i] += set;
            /* Nothing in common with an empty set: tensors that never change are frequent. */
            if (set > 0)
                live[nlive++] = (uint16_t)i;
        }
        for (int i = 0; i < nlive; i++)
            for (int j = i + 1; j < nlive; j++)
                both[overlap_pair(k, live[i], live[j])] +=
                    count_and(masks + live[i] * stride + at, masks + live[j] * stride + at, n);
    }
}

/* ---- consensus ---- */

/* Adds to the counters' bits from..planes-1. */
INLINE void ripple(__m256i *plane, int from, int planes, __m256i carry)
{
    for (int b = from; b < planes; b++) {
        __m256i sum = _mm256_xor_si256(plane[b], carry);
        carry = _mm256_and_si256(plane[b], carry);
        plane[b] = sum;
    }
}

/* Counters of the positions of four words in k masks: bit b of each in plane[b], for b < planes. */
AVX2 static void add_masks(const uint64_t *masks, int64_t stride, int k, int planes, __m256i *plane)
{
    int i = 0;
    __m256i ones = _mm256_setzero_si256(), twos = ones;
    plane[0] = plane[1] = ones;
    for (; i + 4 <= k; i += 4, masks += 4 * stride) {
        __m256i two_a = add_two(&ones, load(masks), load(masks + stride)),
                two_b = add_two(&ones, load(masks + 2 * stride), load(masks + 3 * stride));
        ripple(plane, 2, planes, add_two(&twos, two_a, two_b));
    }
    plane[0] = ones;
    plane[1] = twos;
    for (; i < k; i++, masks += stride)
        ripple(plane, 0, planes, load(masks));
}

/* sum[c] += positions whose counter is c, c <= k: the counters' bits above the lowest two choose a group of
 * four values, and most groups are empty. */
AVX2 static void add_values(const __m256i *plane, int planes, int k, __m256i *sum)
{
    __m256i p0 = plane[0], p1 = plane[1];
    for (int high = 0; high <= k >> 2; high++) {
        __m256i where = _mm256_set1_epi64x(-1);
        for (int b = 2; b < planes; b++)
            where = (high >> (b - 2)) & 1 ? _mm256_and_si256(plane[b], where)
                                          : _mm256_andnot_si256(plane[b], where);
        if (_mm256_testz_si256(where, where))
            continue;
        __m256i without = _mm256_andnot_si256(p1, where), with = _mm256_and_si256(p1, where),
                *to = sum + 4 * (int64_t)high;
        to[0] = _mm256_add_epi64(to[0], popcount(_mm256_andnot_si256(p0, without)));
        to[1] = _mm256_add_epi64(to[1], popcount(_mm256_and_si256(p0, without)));
        to[2] = _mm256_add_epi64(to[2], popcount(_mm256_andnot_si256(p0, with)));
        to[3] = _mm256_add_epi64(to[3], popcount(_mm256_and_si256(p0, with)));
    }
}

/* The counters of four words, which are not all 0, where there are more cells than sums. */
AVX2 static void tally_words(const __m256i *plane, int planes, int64_t *exactly)
{
    uint64_t bits[OVERLAP_PLANES][LANES];
    for (int b = 0; b < planes; b++)
        _mm256_storeu_si256((__m256i *)(void *)bits[b], plane[b]);
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t one[OVERLAP_PLANES], any = 0;
        for (int b = 0; b < planes; b++)
            any |= one[b] = bits[b][lane];
        if (any != 0)
            overlap_tally(one, planes, any, exactly);
    }
}

AVX2 void overlap_consensus_avx2(const uint64_t *masks, int64_t stride, int k, int64_t nwords,
                                 int64_t *exactly)
{
    __m256i sum[OVERLAP_SLICED_CELLS + 1];
    int planes = overlap_planes(k), sliced = k <= OVERLAP_SLICED_CELLS;
    for (int c = 0; sliced && c < 4 * (k / 4 + 1); c++)
        sum[c] = _mm256_setzero_si256();
    int64_t w = 0;
    for (; w + LANES <= nwords; w += LANES) {
        __m256i plane[OVERLAP_PLANES], any = _mm256_setzero_si256();
        for (int b = 0; b < planes; b++)
            plane[b] = any;
        add_masks(masks + w, stride, k, planes, plane);
        for (int b = 0; b < planes; b++)
            any = _mm256_or_si256(any, plane[b]);
        if (_mm256_testz_si256(any, any))
            continue;
        if (sliced)
            add_values(plane, planes, k, sum);
        else
            tally_words(plane, planes, exactly);
    }
    for (int c = 1; sliced && c <= k; c++)
        exactly[c] += lanes(sum[c]);
    overlap_consensus(ISA_PORTABLE, masks + w, stride, k, nwords - w, exactly);
}

#endif
