/* The loops of entropy_lanes.h with AVX-512. */
#include "entropy_loops.h"
#include "isa.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define ENTROPY_TARGET __attribute__((target(ISA_AVX512_TARGET)))
#define ENTROPY_VECTOR __m512d
#define ENTROPY_LOOPS entropy_avx512
#define ENTROPY_LOAD_APART
#define INLINE ENTROPY_TARGET static inline __attribute__((always_inline))

typedef __m512d vec;

INLINE vec vec_set(double x)
{
    return _mm512_set1_pd(x);
}

INLINE vec vec_add(vec a, vec b)
{
    return _mm512_add_pd(a, b);
}

INLINE vec vec_sub(vec a, vec b)
{
    return _mm512_sub_pd(a, b);
}

INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_pd(a, b);
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_pd(a, b, c);
}

INLINE vec vec_fms(vec a, vec b, vec c)
{
    return _mm512_fmsub_pd(a, b, c);
}

INLINE vec vec_max(vec a, vec b)
{
    return _mm512_max_pd(a, b);
}

INLINE vec vec_keep(vec p, vec d, vec low)
{
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(d, low, _CMP_GT_OQ), p);
}

INLINE void vec_store(double *out, vec a)
{
    _mm512_storeu_pd(out, a);
}

INLINE vec vec_codes_bf16(int64_t code)
{
    __m256i codes = _mm256_add_epi32(_mm256_set1_epi32((int)code), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(codes, 16)));
}

INLINE vec vec_codes_f16(int64_t code)
{
    __m128i codes = _mm_add_epi16(_mm_set1_epi16((short)code), _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm512_cvtps_pd(_mm256_cvtph_ps(codes));
}

INLINE vec vec_half_f32(const float *x, int half)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(x + 8 * half));
}

INLINE vec vec_half_f64(const double *x, int half)
{
    return _mm512_loadu_pd(x + 8 * half);
}

INLINE vec vec_power(vec t)
{
    __m512i bits = _mm512_castpd_si512(t);
    __m512i root = _mm512_permutexvar_epi64(bits, _mm512_loadu_si512(entropy_table));
    return _mm512_castsi512_pd(_mm512_add_epi64(root, _mm512_slli_epi64(bits, 49)));
}

#define ENTROPY_RANGE16 range16

/* 256 bits wide: next to wider ones a processor adds narrow vectors on fewer ports. */
struct codes {
    __m256i u_least, u_most, s_most;
};

INLINE struct codes codes_all(uint16_t code)
{
    __m256i all = _mm256_set1_epi16((short)code);
    return (struct codes){all, all, all};
}

INLINE struct codes look(__m256i x, struct codes c)
{
    return (struct codes){_mm256_min_epu16(c.u_least, x), _mm256_max_epu16(c.u_most, x),
                          _mm256_max_epi16(c.s_most, x)};
}

INLINE struct codes codes_look(const uint16_t *x, struct codes c)
{
    c = look(_mm256_loadu_si256((const __m256i *)x), c);
    return look(_mm256_loadu_si256((const __m256i *)(x + 16)), c);
}

/* The least, as unsigned numbers, of 16 lanes after ^ flip, and ^ flip again: with flip = 0xffff it is the
 * largest, with 0x7fff the largest of signed numbers. */
INLINE uint16_t fold(__m256i x, int flip)
{
    x = _mm256_xor_si256(x, _mm256_set1_epi16((short)flip));
    __m128i least = _mm_min_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return (uint16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(least)) ^ flip);
}

INLINE struct entropy_range codes_range(struct codes c)
{
    return entropy_range_of(
        (struct entropy_codes){fold(c.u_least, 0), fold(c.u_most, 0xffff), (int16_t)fold(c.s_most, 0x7fff)});
}

ENTROPY_TARGET static struct entropy_range range16(const uint16_t *x, int64_t n)
{
    struct codes c = codes_all(x[0]);
    int64_t i = 0;
    for (; n - i >= 32; i += 32)
        c = codes_look(x + i, c);
    for (; i < n; i += 16) {
        /* the first logit stands in for those that are not there */
        __mmask16 in = (__mmask16)(n - i < 16 ? ((uint32_t)1 << (n - i)) - 1 : 0xffff);
        c = look(_mm256_mask_loadu_epi16(_mm256_set1_epi16((short)x[0]), in, x + i), c);
    }
    return codes_range(c);
}

#include "entropy_lanes.h"

#else
extern int entropy_avx512_is_for_x86; /* a translation unit must declare something */
#endif
