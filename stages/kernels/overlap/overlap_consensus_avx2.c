/* overlap_consensus with AVX2. Positions are counted in the bytes of a vector for each value, which are added
 * up before they overflow. */
#include "kernels/overlap/overlap_avx2.h"

#if defined(__x86_64__)

#include "elements/adder_avx2.h"

#define SLICED_TARGET AVX2
#define SLICED_INLINE AVX2_INLINE
#define SLICED_CONSENSUS overlap_consensus_avx2
#define vec_adder adder_two
#define vec_load words_load
#define vec_load_first words_load_first
#define vec_store words_store

enum { LANES = OVERLAP_AVX2_LANES, FULL = 31 /* vectors whose bits a byte can count */ };

typedef __m256i vec;

AVX2_INLINE vec vec_zero(void)
{
    return _mm256_setzero_si256();
}

AVX2_INLINE vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

AVX2_INLINE vec vec_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

AVX2_INLINE vec vec_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

AVX2_INLINE int vec_any(vec a)
{
    return !_mm256_testz_si256(a, a);
}

typedef struct overlap_sums_avx2 {
    __m256i of[OVERLAP_SLICED_CELLS + 1];
    int added; /* vectors */
} sums_of;

AVX2_INLINE void sums_begin(sums_of *s, int k)
{
    s->added = 0;
    for (int c = 0; c < 4 * (k / 4 + 1); c++)
        s->of[c] = vec_zero();
}

/* Adds to the bytes of four sums the positions `where`, by the lowest two bits of their counters: low[c]
 * those where the bits are c, but low[0] all others. Often there are none. */
AVX2_INLINE void add_four(__m256i where, const __m256i *low, __m256i *sum)
{
    if (_mm256_testz_si256(where, where))
        return;
    sum[0] = _mm256_add_epi8(sum[0], words_bytes(_mm256_andnot_si256(low[0], where)));
#pragma GCC unroll 3
    for (int c = 1; c < 4; c++)
        sum[c] = _mm256_add_epi8(sum[c], words_bytes(_mm256_and_si256(low[c], where)));
}

/* Adds to the bytes of sum[c] the positions whose counter is c, for c <= k and some beyond. */
AVX2_INLINE void add_values(const __m256i *plane, const int planes, int k, __m256i *sum)
{
    const __m256i zero = vec_zero(), p0 = plane[0], p1 = planes > 1 ? plane[1] : zero;
    const __m256i low[4] = {_mm256_or_si256(p0, p1), _mm256_andnot_si256(p1, p0), _mm256_andnot_si256(p0, p1),
                            _mm256_and_si256(p0, p1)};
    for (int top = 0; top <= k >> 5; top++) {
        __m256i where = _mm256_set1_epi64x(-1);
#pragma GCC unroll 3
        for (int b = 5; b < planes; b++) {
            __m256i want = _mm256_set1_epi64x(-(int64_t)((top >> (b - 5)) & 1));
            where = _mm256_andnot_si256(_mm256_xor_si256(plane[b], want), where);
        }
        if (planes > 5 && _mm256_testz_si256(where, where))
            continue;
#pragma GCC unroll 8
        for (int high = 0; high < 8; high++) {
            if (high > 0 && (planes <= 2 || high >> (planes - 2) != 0))
                continue;
            __m256i here = where;
#pragma GCC unroll 3
            for (int b = (planes < 5 ? planes : 5) - 1; b >= 2; b--)
                here = (high >> (b - 2)) & 1 ? _mm256_and_si256(here, plane[b])
                                             : _mm256_andnot_si256(plane[b], here);
            if (32 * top + 4 * high > k)
                return;
            add_four(here, low, sum + 32 * top + 4 * high);
        }
    }
}

AVX2_INLINE void sums_end(sums_of *s, int k, int64_t *exactly)
{
    for (int c = 1; c <= k; c++)
        exactly[c] += words_lanes(words_sum_bytes(s->of[c]));
}

AVX2_INLINE void sums_add(sums_of *s, const __m256i *plane, const int planes, int k, int64_t *exactly)
{
    add_values(plane, planes, k, s->of);
    if (++s->added < FULL)
        return;
    sums_end(s, k, exactly);
    sums_begin(s, k);
}

#include "kernels/overlap/overlap_sliced.h"

#endif
