/* Sets of elements as bits, for AVX-512 loops that count classes without a table in memory: a byte with one
 * bit set says an element's class, and turned round, 64-bit lane c holds which of 64 elements are of class c,
 * so that a population count counts eight classes at once. */
#ifndef SINEW_TURN_AVX512_H
#define SINEW_TURN_AVX512_H

#include "base/isa.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

/* Local. In each 64-bit lane, 8 bytes by 8 bits turned round: bit k of byte i becomes bit i of byte k. */
AVX512_INLINE __m512i turn_bits(__m512i bytes)
{
    return _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64((long long)0x8040201008040201ull), bytes, 0);
}

/* Local. Lane c: which of 64 bytes have bit c, the first byte in the lowest bit. */
AVX512_INLINE __m512i turn_classes(__m512i bytes)
{
    /* byte 8 i + k comes from byte 8 k + i */
    static const uint8_t by_bit[64] = {0, 8,  16, 24, 32, 40, 48, 56, 1, 9,  17, 25, 33, 41, 49, 57,
                                       2, 10, 18, 26, 34, 42, 50, 58, 3, 11, 19, 27, 35, 43, 51, 59,
                                       4, 12, 20, 28, 36, 44, 52, 60, 5, 13, 21, 29, 37, 45, 53, 61,
                                       6, 14, 22, 30, 38, 46, 54, 62, 7, 15, 23, 31, 39, 47, 55, 63};
    return _mm512_permutexvar_epi8(_mm512_loadu_si512(by_bit), turn_bits(bytes));
}

#endif
#endif
