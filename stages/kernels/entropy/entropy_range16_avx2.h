/* Ranges of codes of 16 bits with AVX2, for the loops of AVX-512 too: next to wider vectors an Intel core
 * adds narrow ones on fewer ports. Included by entropy_avx2.c and entropy_avx512.c. */
#ifndef SINEW_ENTROPY_RANGE16_AVX2_H
#define SINEW_ENTROPY_RANGE16_AVX2_H

#include "kernels/entropy/entropy_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define ENTROPY_RANGE16 range16

typedef struct codes_seen_avx2 {
    __m256i u_least, u_most, s_most;
} codes_seen;

AVX2_INLINE __m256i load(const uint16_t *x)
{
    return _mm256_loadu_si256((const __m256i *)x);
}

AVX2_INLINE codes_seen codes_all(uint16_t code)
{
    __m256i all = _mm256_set1_epi16((short)code);
    return (codes_seen){all, all, all};
}

AVX2_INLINE codes_seen look(__m256i x, codes_seen c)
{
    return (codes_seen){_mm256_min_epu16(c.u_least, x), _mm256_max_epu16(c.u_most, x),
                        _mm256_max_epi16(c.s_most, x)};
}

AVX2_INLINE codes_seen codes_look(const uint16_t *x, codes_seen c)
{
    return look(load(x + 16), look(load(x), c));
}

/* The least, as unsigned numbers, of 16 lanes after ^ flip, and ^ flip again: with flip = 0xffff it is the
 * largest, with 0x7fff the largest of signed numbers. */
AVX2_INLINE uint16_t fold(__m256i x, int flip)
{
    x = _mm256_xor_si256(x, _mm256_set1_epi16((short)flip));
    __m128i least = _mm_min_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return (uint16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(least)) ^ flip);
}

AVX2_INLINE struct entropy_range codes_range(codes_seen c)
{
    return entropy_range_of(
        (struct entropy_codes){fold(c.u_least, 0), fold(c.u_most, 0xffff), (int16_t)fold(c.s_most, 0x7fff)});
}

AVX2 static struct entropy_range range16(const uint16_t *x, int64_t n)
{
    uint16_t few[16];
    if (n < 16) {
        for (int64_t i = 0; i < 16; i++)
            few[i] = x[i < n ? i : 0];
        x = few;
        n = 16;
    }
    codes_seen c = codes_all(x[0]), d = c; /* two at once, since each waits for the one before */
    int64_t i = 0;
    for (; n - i >= 64; i += 64) {
        c = look(load(x + i + 32), look(load(x + i), c));
        d = look(load(x + i + 48), look(load(x + i + 16), d));
    }
    c = (codes_seen){_mm256_min_epu16(c.u_least, d.u_least), _mm256_max_epu16(c.u_most, d.u_most),
                     _mm256_max_epi16(c.s_most, d.s_most)};
    for (; n - i >= 16; i += 16)
        c = look(load(x + i), c);
    c = look(load(x + n - 16), c);
    return codes_range(c);
}

#endif
#endif
