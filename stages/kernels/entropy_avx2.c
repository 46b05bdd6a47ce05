/* The loops of entropy_lanes.h with AVX2: eight float64 are two registers. */
#include "entropy_loops.h"
#include "isa.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define ENTROPY_TARGET __attribute__((target(ISA_AVX2_TARGET)))
#define ENTROPY_VECTOR struct entropy_vector
#define ENTROPY_LOOPS entropy_avx2
#define INLINE ENTROPY_TARGET static inline __attribute__((always_inline))

struct entropy_vector {
    __m256d low, high;
};
typedef struct entropy_vector vec;

INLINE vec vec_set(double x)
{
    return (vec){_mm256_set1_pd(x), _mm256_set1_pd(x)};
}

INLINE vec vec_add(vec a, vec b)
{
    return (vec){_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)};
}

INLINE vec vec_sub(vec a, vec b)
{
    return (vec){_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)};
}

INLINE vec vec_mul(vec a, vec b)
{
    return (vec){_mm256_mul_pd(a.low, b.low), _mm256_mul_pd(a.high, b.high)};
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return (vec){_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}

INLINE vec vec_fms(vec a, vec b, vec c)
{
    return (vec){_mm256_fmsub_pd(a.low, b.low, c.low), _mm256_fmsub_pd(a.high, b.high, c.high)};
}

INLINE vec vec_max(vec a, vec b)
{
    return (vec){_mm256_max_pd(a.low, b.low), _mm256_max_pd(a.high, b.high)};
}

INLINE vec vec_keep(vec p, vec d, vec low)
{
    return (vec){_mm256_and_pd(p.low, _mm256_cmp_pd(d.low, low.low, _CMP_GT_OQ)),
                 _mm256_and_pd(p.high, _mm256_cmp_pd(d.high, low.high, _CMP_GT_OQ))};
}

INLINE void vec_store(double *out, vec a)
{
    _mm256_storeu_pd(out, a.low);
    _mm256_storeu_pd(out + 4, a.high);
}

/* Eight floats as two registers of float64 */
INLINE vec widen(__m256 x)
{
    return (vec){_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

INLINE void vec_load_bf16(const uint16_t *x, vec *a, vec *b)
{
    __m256i both = _mm256_loadu_si256((const __m256i *)x);
    *a = widen(_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)));
    *b = widen(_mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000))));
}

INLINE void vec_load_f16(const uint16_t *x, vec *a, vec *b)
{
    *a = widen(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x)));
    *b = widen(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + 8))));
}

INLINE void vec_load_f32(const float *x, vec *a, vec *b)
{
    *a = widen(_mm256_loadu_ps(x));
    *b = widen(_mm256_loadu_ps(x + 8));
}

INLINE void vec_load_f64(const double *x, vec *a, vec *b)
{
    *a = (vec){_mm256_loadu_pd(x), _mm256_loadu_pd(x + 4)};
    *b = (vec){_mm256_loadu_pd(x + 8), _mm256_loadu_pd(x + 12)};
}

INLINE __m256i load(const uint32_t *x)
{
    return _mm256_loadu_si256((const __m256i *)x);
}

INLINE int vec_any(const uint32_t *p, const uint32_t *q)
{
    __m256i any =
        _mm256_or_si256(_mm256_or_si256(load(p), load(p + 8)), _mm256_or_si256(load(q), load(q + 8)));
    return !_mm256_testz_si256(any, any);
}

INLINE vec vec_counts(const uint32_t *p, const uint32_t *q)
{
    __m256i n = _mm256_add_epi32(load(p), load(q));
    return (vec){_mm256_cvtepi32_pd(_mm256_castsi256_si128(n)),
                 _mm256_cvtepi32_pd(_mm256_extracti128_si256(n, 1))};
}

INLINE __m256d power(__m256d t)
{
    __m256i bits = _mm256_castpd_si256(t), k = _mm256_and_si256(bits, _mm256_set1_epi64x(15));
    __m256i root = _mm256_i64gather_epi64((const long long *)entropy_table, k, 8);
    return _mm256_castsi256_pd(_mm256_add_epi64(root, _mm256_slli_epi64(bits, 48)));
}

INLINE vec vec_power(vec t)
{
    return (vec){power(t.low), power(t.high)};
}

#include "entropy_lanes.h"

#else
extern int entropy_avx2_is_for_x86; /* a translation unit must declare something */
#endif
