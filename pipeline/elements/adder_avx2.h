/* Sums of bits, for AVX2 loops that count many bits at once: a vector holds 256 one-bit counters, several
 * vectors are the digits of as many larger ones, and a full adder takes two vectors at a time (Harley and
 * Seal). */
#ifndef SINEW_ADDER_AVX2_H
#define SINEW_ADDER_AVX2_H

#include "base/isa.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Local. digit += a + b, bit by bit; returns what is carried into the next digit. */
AVX2_INLINE __m256i adder_two(__m256i *digit, __m256i a, __m256i b)
{
    __m256i half = _mm256_xor_si256(a, b),
            carry = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(half, *digit));
    *digit = _mm256_xor_si256(half, *digit);
    return carry;
}

#endif
#endif
