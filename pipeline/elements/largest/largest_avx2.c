/* The AVX2 loop of largest.c: those of eight that are large are brought together by a table of places. */
#include "elements/largest/largest_loops.h"

#include "elements/bits/bits_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

AVX2 static int64_t pack(const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    const __m256i below = _mm256_set1_epi32((int)least - 1), infinite = _mm256_set1_epi32(LARGEST_INFINITE);
    int64_t found = 0, i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i d = _mm256_castps_si256(_mm256_sub_ps(_mm256_loadu_ps(b + i), _mm256_loadu_ps(a + i)));
        d = _mm256_and_si256(d, magnitude);
        __m256i in = _mm256_and_si256(_mm256_cmpgt_epi32(d, below), _mm256_cmpgt_epi32(infinite, d));
        const int mask = _mm256_movemask_ps(_mm256_castsi256_ps(in));
        __m256i lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)bits_places[mask]));
        _mm256_storeu_si256((__m256i *)(out + found), _mm256_permutevar8x32_epi32(d, lanes));
        found += __builtin_popcount((unsigned)mask);
    }
    return found + largest_pack_portable(a + i, b + i, n - i, least, out + found);
}

const struct largest_loops largest_avx2 = {.pack = pack, .split = largest_split_portable};

#endif
