/* Between the AVX2 loops of overlap_counts.c; nobody else includes it. */
#ifndef SINEW_OVERLAP_AVX2_H
#define SINEW_OVERLAP_AVX2_H

#include "kernels/overlap/overlap_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { OVERLAP_AVX2_LANES = 4 }; /* words of a vector */

/* Local. overlap_consensus. */
void overlap_consensus_avx2(const struct overlap_masks *m, int64_t *exactly);

AVX2_INLINE __m256i words_load(const uint64_t *words)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)words);
}

/* Local. The first n words, the others 0. */
AVX2_INLINE __m256i words_load_first(const uint64_t *words, int64_t n)
{
    __m256i is = _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
    return _mm256_maskload_epi64((const long long *)(const void *)words, is);
}

AVX2_INLINE void words_store(uint64_t *words, __m256i x)
{
    _mm256_storeu_si256((__m256i *)(void *)words, x);
}

/* Local. Set bits of each byte. A nibble's come from a table that fits a register (Mula). */
AVX2_INLINE __m256i words_bytes(__m256i x)
{
    const __m256i nibble = _mm256_set1_epi8(15),
                  table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2,
                                           2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(x, 4), nibble)));
}

AVX2_INLINE __m256i words_sum_bytes(__m256i x)
{
    return _mm256_sad_epu8(x, _mm256_setzero_si256());
}

AVX2_INLINE int64_t words_lanes(__m256i x)
{
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return _mm_extract_epi64(two, 0) + _mm_extract_epi64(two, 1);
}

#endif
#endif
