/* Floats in registers as bf16, with AVX-512, for the loops that have them there: convert_avx512.c and
 * codes_avx512.c. */
#ifndef SINEW_CONVERT_AVX512_H
#define SINEW_CONVERT_AVX512_H

#include "base/isa.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

/* Local. 16 floats, rounded as convert_narrow has it: in the upper halves, with something below. */
AVX512_INLINE __m512i convert_rounded_16(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512i up = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    up = _mm512_mask_add_epi32(up, odd, bits, _mm512_set1_epi32(0x8000));
    return _mm512_mask_mov_epi32(up, nan, _mm512_set1_epi32(0x7fc00000));
}

/* Local. 32 floats as bf16, in order. */
AVX512_INLINE __m512i convert_narrow_32(__m512 low, __m512 high)
{
    static const uint16_t upper[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                       33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    return _mm512_permutex2var_epi16(convert_rounded_16(low), _mm512_loadu_si512(upper),
                                     convert_rounded_16(high));
}

/* Local. 16 floats as bf16, in order. */
AVX512_INLINE __m256i convert_narrow_16(__m512 x)
{
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(convert_rounded_16(x), 16));
}

#endif
#endif
