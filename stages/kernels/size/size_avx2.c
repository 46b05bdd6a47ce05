/* The loops of size_lanes.h with AVX2. */
#include "kernels/size/size_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SIZE_TARGET AVX2
#define SIZE_INLINE AVX2_INLINE
#define SIZE_TABLE size_avx2

enum { VEC_WIDTH = 4, SIZE_AT_ONCE = 4 };

typedef __m256d vec;

AVX2_INLINE vec vec_load(const double *from)
{
    return _mm256_loadu_pd(from);
}

AVX2_INLINE void vec_store(double *to, vec a)
{
    _mm256_storeu_pd(to, a);
}

AVX2_INLINE vec vec_add(vec a, vec b)
{
    return _mm256_add_pd(a, b);
}

AVX2_INLINE vec vec_sub(vec a, vec b)
{
    return _mm256_sub_pd(a, b);
}

AVX2_INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_pd(a, b);
}

AVX2_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_pd(a, b, c);
}

AVX2_INLINE vec vec_fms(vec a, vec b, vec c)
{
    return _mm256_fmsub_pd(a, b, c);
}

AVX2_INLINE vec vec_f32(const uint32_t *bits)
{
    return _mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)bits));
}

AVX2_INLINE vec vec_even(const uint16_t *bits)
{
    __m128i x = _mm_loadu_si128((const __m128i *)bits);
    return _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(x, 16)));
}

AVX2_INLINE vec vec_odd(const uint16_t *bits)
{
    __m128i x = _mm_loadu_si128((const __m128i *)bits);
    return _mm256_cvtps_pd(_mm_castsi128_ps(_mm_and_si128(x, _mm_set1_epi32((int)0xffff0000))));
}

AVX2_INLINE int finite_bf16(const uint16_t *bits)
{
    const __m256i infinite = _mm256_set1_epi16(0x7f80);
    __m256i x = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)bits), infinite),
            y = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(bits + 16)), infinite);
    x = _mm256_or_si256(_mm256_cmpeq_epi16(x, infinite), _mm256_cmpeq_epi16(y, infinite));
    return _mm256_testz_si256(x, x);
}

AVX2_INLINE int finite_f32(const uint32_t *bits)
{
    const __m256i infinite = _mm256_set1_epi32(0x7f800000);
    __m256i any = _mm256_setzero_si256();
    for (int k = 0; k < SIZE_LANES; k += 8) {
        __m256i x = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(bits + k)), infinite);
        any = _mm256_or_si256(any, _mm256_cmpeq_epi32(x, infinite));
    }
    return _mm256_testz_si256(any, any);
}

#endif

#include "kernels/size/size_lanes.h"
