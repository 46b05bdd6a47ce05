/* The loops of entropy_lanes.h with AVX-512. */
#include "entropy_loops.h"
#include "isa.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define ENTROPY_TARGET __attribute__((target(ISA_AVX512_TARGET)))
#define ENTROPY_VECTOR __m512d
#define ENTROPY_LOOPS entropy_avx512
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

INLINE void vec_load_bf16(const uint16_t *x, vec *a, vec *b)
{
    __m256i both = _mm256_loadu_si256((const __m256i *)x);
    *a = _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)));
    *b = _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000))));
}

INLINE void vec_load_f16(const uint16_t *x, vec *a, vec *b)
{
    *a = _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x)));
    *b = _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + 8))));
}

INLINE void vec_load_f32(const float *x, vec *a, vec *b)
{
    *a = _mm512_cvtps_pd(_mm256_loadu_ps(x));
    *b = _mm512_cvtps_pd(_mm256_loadu_ps(x + 8));
}

INLINE void vec_load_f64(const double *x, vec *a, vec *b)
{
    *a = _mm512_loadu_pd(x);
    *b = _mm512_loadu_pd(x + 8);
}

INLINE int vec_any(const uint32_t *p, const uint32_t *q)
{
    __m512i any = _mm512_or_si512(_mm512_loadu_si512(p), _mm512_loadu_si512(q));
    return _mm512_test_epi32_mask(any, any) != 0;
}

INLINE vec vec_counts(const uint32_t *p, const uint32_t *q)
{
    return _mm512_cvtepi32_pd(
        _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)q)));
}

INLINE vec vec_power(vec t)
{
    __m512i bits = _mm512_castpd_si512(t);
    __m512d root =
        _mm512_permutex2var_pd(_mm512_loadu_pd(entropy_table), bits, _mm512_loadu_pd(entropy_table + 8));
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(root), _mm512_slli_epi64(bits, 48)));
}

#define ENTROPY_RANGE16 range16

struct keys {
    __m512i least, most, smallest;
};

INLINE struct keys look(__m512i x, struct keys k)
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff);
    /* x ^ (sign & magnitude) */
    __m512i key = _mm512_ternarylogic_epi64(x, _mm512_srai_epi16(x, 15), magnitude, 0x78);
    return (struct keys){_mm512_min_epi16(k.least, key), _mm512_max_epi16(k.most, key),
                         _mm512_min_epi16(k.smallest, _mm512_and_si512(x, magnitude))};
}

/* The least of 32 lanes; of -1 - x it is -1 - the largest of x. */
INLINE int64_t fold(__m512i x)
{
    __m256i half = _mm256_min_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    __m128i least = _mm_min_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    /* minpos is of unsigned lanes */
    __m128i lowest = _mm_minpos_epu16(_mm_xor_si128(least, _mm_set1_epi16((short)0x8000)));
    return (int16_t)((unsigned)_mm_cvtsi128_si32(lowest) ^ 0x8000u);
}

ENTROPY_TARGET static struct entropy_range range16(const uint16_t *x, int64_t n)
{
    const __m512i largest = _mm512_set1_epi16(0x7fff), ones = _mm512_set1_epi16(-1);
    struct keys k = {largest, _mm512_xor_si512(largest, ones), largest};
    int64_t i = 0;
    for (; n - i >= 32; i += 32)
        k = look(_mm512_loadu_si512(x + i), k);
    if (i < n) {
        /* the first logit stands in for those that are not there */
        __mmask32 in = (__mmask32)(((uint32_t)1 << (n - i)) - 1);
        k = look(_mm512_mask_loadu_epi16(_mm512_set1_epi16((short)x[0]), in, x + i), k);
    }
    return (struct entropy_range){fold(k.least), -1 - fold(_mm512_xor_si512(k.most, ones)), fold(k.smallest)};
}

#include "entropy_lanes.h"

#else
extern int entropy_avx512_is_for_x86; /* a translation unit must declare something */
#endif
