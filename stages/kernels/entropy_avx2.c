/* The loops of entropy_lanes.h with AVX2: eight float64 are two registers. */
#include "entropy_loops.h"
#include "isa.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define ENTROPY_TARGET __attribute__((target(ISA_AVX2_TARGET)))
#define ENTROPY_VECTOR struct entropy_vector
#define ENTROPY_LOOPS entropy_avx2
#define ENTROPY_BY_HALVES
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

INLINE vec vec_half_bf16(const uint16_t *x, int half)
{
    __m128i low = _mm_loadu_si128((const __m128i *)x), high = _mm_loadu_si128((const __m128i *)(x + 8));
    if (half) {
        low = _mm_and_si128(low, _mm_set1_epi32((int)0xffff0000));
        high = _mm_and_si128(high, _mm_set1_epi32((int)0xffff0000));
    } else {
        low = _mm_slli_epi32(low, 16);
        high = _mm_slli_epi32(high, 16);
    }
    return (vec){_mm256_cvtps_pd(_mm_castsi128_ps(low)), _mm256_cvtps_pd(_mm_castsi128_ps(high))};
}

INLINE vec vec_half_f16(const uint16_t *x, int half)
{
    return (vec){_mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(x + 8 * half)))),
                 _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(x + 8 * half + 4))))};
}

INLINE vec vec_codes_bf16(int64_t code)
{
    __m128i low = _mm_add_epi32(_mm_set1_epi32((int)code), _mm_setr_epi32(0, 1, 2, 3)),
            high = _mm_add_epi32(low, _mm_set1_epi32(4));
    return (vec){_mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(low, 16))),
                 _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(high, 16)))};
}

INLINE vec vec_codes_f16(int64_t code)
{
    __m128i codes = _mm_add_epi16(_mm_set1_epi16((short)code), _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
    return (vec){_mm256_cvtps_pd(_mm_cvtph_ps(codes)),
                 _mm256_cvtps_pd(_mm_cvtph_ps(_mm_srli_si128(codes, 8)))};
}

INLINE vec vec_half_f32(const float *x, int half)
{
    return (vec){_mm256_cvtps_pd(_mm_loadu_ps(x + 8 * half)),
                 _mm256_cvtps_pd(_mm_loadu_ps(x + 8 * half + 4))};
}

INLINE vec vec_half_f64(const double *x, int half)
{
    return (vec){_mm256_loadu_pd(x + 8 * half), _mm256_loadu_pd(x + 8 * half + 4)};
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

INLINE __m256 in_order(__m256 x)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
}

/* A gather is many small operations on some processors. Here a shuffle selects the low halves of eight roots,
 * another the high ones, to which the exponent is added. */
INLINE vec vec_power(vec t)
{
    const __m256 t0 = _mm256_castsi256_ps(load((const uint32_t *)entropy_table)),
                 t1 = _mm256_castsi256_ps(load((const uint32_t *)(entropy_table + 4)));
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

#define ENTROPY_RANGE16 range16

struct codes {
    __m256i u_least, u_most, s_least, s_most;
};

INLINE struct codes look(const uint16_t *at, struct codes c)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)at);
    return (struct codes){_mm256_min_epu16(c.u_least, x), _mm256_max_epu16(c.u_most, x),
                          _mm256_min_epi16(c.s_least, x), _mm256_max_epi16(c.s_most, x)};
}

/* The least, as unsigned numbers, of 16 lanes after ^ flip, and ^ flip again: with flip = 0xffff it is the
 * largest, with 0x8000 the least of signed numbers, with 0x7fff the largest of these. */
INLINE uint16_t fold(__m256i x, int flip)
{
    x = _mm256_xor_si256(x, _mm256_set1_epi16((short)flip));
    __m128i least = _mm_min_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return (uint16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(least)) ^ flip);
}

ENTROPY_TARGET static struct entropy_range range16(const uint16_t *x, int64_t n)
{
    uint16_t few[16];
    if (n < 16) {
        for (int64_t i = 0; i < 16; i++)
            few[i] = x[i < n ? i : 0];
        x = few;
        n = 16;
    }
    __m256i first = _mm256_set1_epi16((short)x[0]);
    struct codes c = {first, first, first, first};
    int64_t i = 0;
    for (; n - i >= 64; i += 64) /* that the loop itself takes little */
        c = look(x + i + 48, look(x + i + 32, look(x + i + 16, look(x + i, c))));
    for (; n - i >= 16; i += 16)
        c = look(x + i, c);
    c = look(x + n - 16, c);
    return entropy_range_of((struct entropy_codes){fold(c.u_least, 0), fold(c.u_most, 0xffff),
                                                   (int16_t)fold(c.s_least, 0x8000),
                                                   (int16_t)fold(c.s_most, 0x7fff)});
}

#define ENTROPY_ADD_TABULATED add_tabulated
ENTROPY_TARGET static void add_tabulated(const uint16_t *x, const uint16_t *counted, int64_t n,
                                         const struct entropy_scale *w, int clamp, const void *ahead,
                                         uint32_t *counters, const double *table, struct entropy_sums *sums);

#include "entropy_lanes.h"

/* Four probabilities. A gather would be slower. */
INLINE __m256d four(const double *table, uint16_t a, uint16_t b, uint16_t c, uint16_t d)
{
    __m128d low = _mm_loadh_pd(_mm_load_sd(table + a), table + b),
            high = _mm_loadh_pd(_mm_load_sd(table + c), table + d);
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(low), high, 1);
}

struct tabulated {
    __m256d top, low, p_even, p_odd, dp_even, dp_odd;
};

INLINE __m256d below_top(const struct tabulated *t, __m128i bits, int clamp)
{
    __m256d d = _mm256_sub_pd(_mm256_cvtps_pd(_mm_castsi128_ps(bits)), t->top);
    return clamp ? _mm256_max_pd(d, t->low) : d;
}

/* Eight logits, of which the even ones are in other lanes than the odd ones. */
INLINE void look_up(struct tabulated *t, const uint16_t *x, const double *table, int clamp)
{
    uint32_t a = entropy_two(x), b = entropy_two(x + 2), c = entropy_two(x + 4), d = entropy_two(x + 6);
    __m128i bits = _mm_loadu_si128((const __m128i *)x);
    __m256d even = four(table, (uint16_t)a, (uint16_t)b, (uint16_t)c, (uint16_t)d),
            odd = four(table, a >> 16, b >> 16, c >> 16, d >> 16);
    t->p_even = _mm256_add_pd(t->p_even, even);
    t->p_odd = _mm256_add_pd(t->p_odd, odd);
    t->dp_even = _mm256_fmadd_pd(below_top(t, _mm_slli_epi32(bits, 16), clamp), even, t->dp_even);
    bits = _mm_and_si128(bits, _mm_set1_epi32((int)0xffff0000));
    t->dp_odd = _mm256_fmadd_pd(below_top(t, bits, clamp), odd, t->dp_odd);
}

INLINE void sum_tabulated(const uint16_t *x, const uint16_t *counted, int64_t n,
                          const struct entropy_scale *w, int clamp, const void *ahead, uint32_t *counters,
                          const double *table, struct entropy_sums *sums)
{
    struct tabulated a = {.top = _mm256_set1_pd(w->top), .low = _mm256_set1_pd(w->low)}, b = a;
    for (int64_t i = 0; i < n; i += ENTROPY_LANES) {
        look_up(&a, x + i, table, clamp);
        ENTROPY_COUNT(i, 0);
        look_up(&b, x + i + 8, table, clamp);
        ENTROPY_COUNT(i, 1);
    }
    sums->p += entropy_fold((vec){a.p_even, b.p_even}, (vec){a.p_odd, b.p_odd});
    sums->dp += entropy_fold((vec){a.dp_even, b.dp_even}, (vec){a.dp_odd, b.dp_odd});
}

ENTROPY_TARGET static void add_tabulated(const uint16_t *x, const uint16_t *counted, int64_t n,
                                         const struct entropy_scale *w, int clamp, const void *ahead,
                                         uint32_t *counters, const double *table, struct entropy_sums *sums)
{
    if (clamp)
        sum_tabulated(x, counted, n, w, 1, ahead, counters, table, sums);
    else
        sum_tabulated(x, counted, n, w, 0, ahead, counters, table, sums);
}

#else
extern int entropy_avx2_is_for_x86; /* a translation unit must declare something */
#endif
