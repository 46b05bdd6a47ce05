/* The loops of entropy_lanes.h with AVX2: eight float64 are two registers. */
#include "kernels/entropy/entropy_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define ENTROPY_TARGET AVX2
#define ENTROPY_INLINE AVX2_INLINE
#define ENTROPY_LOOPS entropy_avx2
#define ENTROPY_BY_HALVES

struct entropy_vector_avx2 {
    __m256d low, high;
};
typedef struct entropy_vector_avx2 vec;

AVX2_INLINE vec vec_set(double x)
{
    return (vec){_mm256_set1_pd(x), _mm256_set1_pd(x)};
}

AVX2_INLINE vec vec_add(vec a, vec b)
{
    return (vec){_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)};
}

AVX2_INLINE vec vec_sub(vec a, vec b)
{
    return (vec){_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)};
}

AVX2_INLINE vec vec_mul(vec a, vec b)
{
    return (vec){_mm256_mul_pd(a.low, b.low), _mm256_mul_pd(a.high, b.high)};
}

AVX2_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return (vec){_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}

AVX2_INLINE vec vec_fms(vec a, vec b, vec c)
{
    return (vec){_mm256_fmsub_pd(a.low, b.low, c.low), _mm256_fmsub_pd(a.high, b.high, c.high)};
}

AVX2_INLINE vec vec_max(vec a, vec b)
{
    return (vec){_mm256_max_pd(a.low, b.low), _mm256_max_pd(a.high, b.high)};
}

AVX2_INLINE vec vec_keep(vec p, vec d, vec low)
{
    return (vec){_mm256_and_pd(p.low, _mm256_cmp_pd(d.low, low.low, _CMP_GT_OQ)),
                 _mm256_and_pd(p.high, _mm256_cmp_pd(d.high, low.high, _CMP_GT_OQ))};
}

AVX2_INLINE void vec_store(double *out, vec a)
{
    _mm256_storeu_pd(out, a.low);
    _mm256_storeu_pd(out + 4, a.high);
}

AVX2_INLINE vec vec_codes_bf16(int64_t code)
{
    __m128i low = _mm_add_epi32(_mm_set1_epi32((int)code), _mm_setr_epi32(0, 1, 2, 3)),
            high = _mm_add_epi32(low, _mm_set1_epi32(4));
    return (vec){_mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(low, 16))),
                 _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(high, 16)))};
}

AVX2_INLINE vec vec_codes_f16(int64_t code)
{
    __m128i codes = _mm_add_epi16(_mm_set1_epi16((short)code), _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
    return (vec){_mm256_cvtps_pd(_mm_cvtph_ps(codes)),
                 _mm256_cvtps_pd(_mm_cvtph_ps(_mm_srli_si128(codes, 8)))};
}

AVX2_INLINE vec vec_half_f32(const float *x, int half)
{
    return (vec){_mm256_cvtps_pd(_mm_loadu_ps(x + 8 * half)),
                 _mm256_cvtps_pd(_mm_loadu_ps(x + 8 * half + 4))};
}

AVX2_INLINE vec vec_half_f64(const double *x, int half)
{
    return (vec){_mm256_loadu_pd(x + 8 * half), _mm256_loadu_pd(x + 8 * half + 4)};
}

AVX2_INLINE __m256 in_order(__m256 x)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
}

/* A gather is many small operations on some processors. Here a shuffle selects the low halves of eight roots,
 * another the high ones, to which the exponent is added. */
AVX2_INLINE vec vec_power(vec t)
{
    const __m256 t0 = _mm256_loadu_ps((const float *)entropy_table),
                 t1 = _mm256_loadu_ps((const float *)(entropy_table + 4));
    /* the halves of roots 0, 1, 4, 5, 2, 3, 6, 7, put in order */
    const __m256 roots_low = in_order(_mm256_shuffle_ps(t0, t1, 0x88)),
                 roots_high = in_order(_mm256_shuffle_ps(t0, t1, 0xdd));
    __m256i n =
        _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castpd_ps(t.low), _mm256_castpd_ps(t.high), 0x88));
    __m256 low = _mm256_permutevar8x32_ps(roots_low, n), high = _mm256_permutevar8x32_ps(roots_high, n);
    high = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(high), _mm256_slli_epi32(n, 17)));
    return (vec){_mm256_castps_pd(_mm256_unpacklo_ps(low, high)),
                 _mm256_castps_pd(_mm256_unpackhi_ps(low, high))};
}

#include "kernels/entropy/entropy_range16_avx2.h"
#include "kernels/entropy/entropy_lanes.h"

#endif
