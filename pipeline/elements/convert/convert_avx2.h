/* Floats in registers as bf16, with AVX2, for the loops that have them there: convert_avx2.c and
 * codes_avx2.c. */
#ifndef SINEW_CONVERT_AVX2_H
#define SINEW_CONVERT_AVX2_H

#include "base/isa.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Local. 8 floats, rounded as convert_narrow has it, each in 32 bits. */
AVX2_INLINE __m256i convert_narrow_8(__m256 x)
{
    const __m256i bits = _mm256_castps_si256(x), half = _mm256_set1_epi32(0x7fff);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, half), odd), 16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(up, _mm256_set1_epi32(0x7fc0), nan);
}

/* Local. 16 floats as bf16, in order. */
AVX2_INLINE __m256i convert_narrow_16(__m256 low, __m256 high)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(convert_narrow_8(low), convert_narrow_8(high)), 0xd8);
}

#endif
#endif
