/* The loops of size_lanes.h with AVX-512. */
#include "kernels/size/size_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SIZE_TARGET AVX512
#define SIZE_INLINE AVX512_INLINE
#define SIZE_TABLE size_avx512

enum { VEC_WIDTH = 8, SIZE_AT_ONCE = 4 };

typedef __m512d vec;

AVX512_INLINE vec vec_load(const double *from)
{
    return _mm512_loadu_pd(from);
}

AVX512_INLINE void vec_store(double *to, vec a)
{
    _mm512_storeu_pd(to, a);
}

AVX512_INLINE vec vec_add(vec a, vec b)
{
    return _mm512_add_pd(a, b);
}

AVX512_INLINE vec vec_sub(vec a, vec b)
{
    return _mm512_sub_pd(a, b);
}

AVX512_INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_pd(a, b);
}

AVX512_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_pd(a, b, c);
}

AVX512_INLINE vec vec_fms(vec a, vec b, vec c)
{
    return _mm512_fmsub_pd(a, b, c);
}

AVX512_INLINE vec vec_f32(const uint32_t *bits)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps((const float *)(const void *)bits));
}

AVX512_INLINE vec vec_even(const uint16_t *bits)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)bits);
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)));
}

AVX512_INLINE vec vec_odd(const uint16_t *bits)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)bits);
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32((int)0xffff0000))));
}

AVX512_INLINE int finite_bf16(const uint16_t *bits)
{
    const __m512i infinite = _mm512_set1_epi16(0x7f80);
    __m512i x = _mm512_and_si512(_mm512_loadu_si512(bits), infinite);
    return _mm512_cmpeq_epi16_mask(x, infinite) == 0;
}

AVX512_INLINE int finite_f32(const uint32_t *bits)
{
    const __m512i infinite = _mm512_set1_epi32(0x7f800000);
    __m512i x = _mm512_and_si512(_mm512_loadu_si512(bits), infinite),
            y = _mm512_and_si512(_mm512_loadu_si512(bits + 16), infinite);
    return (_mm512_cmpeq_epi32_mask(x, infinite) | _mm512_cmpeq_epi32_mask(y, infinite)) == 0;
}

#endif

#include "kernels/size/size_lanes.h"
