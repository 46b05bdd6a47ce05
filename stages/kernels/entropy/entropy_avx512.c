/* The loops of entropy_lanes.h with AVX-512. */
#include "kernels/entropy/entropy_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define ENTROPY_TARGET AVX512
#define ENTROPY_INLINE AVX512_INLINE
#define ENTROPY_LOOPS entropy_avx512
#define ENTROPY_LOAD_APART
#define ENTROPY_DEPOSIT _pdep_u64

typedef __m512d vec;

AVX512_INLINE vec vec_set(double x)
{
    return _mm512_set1_pd(x);
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

AVX512_INLINE vec vec_max(vec a, vec b)
{
    return _mm512_max_pd(a, b);
}

AVX512_INLINE vec vec_keep(vec p, vec d, vec low)
{
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(d, low, _CMP_GT_OQ), p);
}

AVX512_INLINE void vec_store(double *out, vec a)
{
    _mm512_storeu_pd(out, a);
}

AVX512_INLINE vec vec_codes_bf16(int64_t code)
{
    __m256i codes = _mm256_add_epi32(_mm256_set1_epi32((int)code), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(codes, 16)));
}

AVX512_INLINE vec vec_codes_f16(int64_t code)
{
    __m128i codes = _mm_add_epi16(_mm_set1_epi16((short)code), _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm512_cvtps_pd(_mm256_cvtph_ps(codes));
}

AVX512_INLINE vec vec_half_f32(const float *x, int half)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(x + 8 * half));
}

AVX512_INLINE vec vec_half_f64(const double *x, int half)
{
    return _mm512_loadu_pd(x + 8 * half);
}

AVX512_INLINE vec vec_power(vec t)
{
    __m512i bits = _mm512_castpd_si512(t);
    __m512i root = _mm512_permutexvar_epi64(bits, _mm512_loadu_si512(entropy_table));
    return _mm512_castsi512_pd(_mm512_add_epi64(root, _mm512_slli_epi64(bits, 49)));
}

#include "kernels/entropy/entropy_range16_avx2.h"
#include "kernels/entropy/entropy_lanes.h"

#endif
