/* overlap_consensus with AVX-512. */
#include "kernels/overlap/overlap_avx512.h"

#if defined(__x86_64__)

#define SLICED_TARGET AVX512
#define SLICED_INLINE AVX512_INLINE
#define SLICED_CONSENSUS overlap_consensus_avx512

/* The three-input functions of VPTERNLOG, bit 4 a + 2 b + c of the number being their value. */
#define PARITY(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xe8)

enum { LANES = 8 };
typedef __m512i vec;

AVX512_INLINE vec vec_zero(void)
{
    return _mm512_setzero_si512();
}

AVX512_INLINE vec vec_xor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

AVX512_INLINE vec vec_and(vec a, vec b)
{
    return _mm512_and_si512(a, b);
}

AVX512_INLINE vec vec_or(vec a, vec b)
{
    return _mm512_or_si512(a, b);
}

AVX512_INLINE int vec_any(vec a)
{
    return _mm512_test_epi64_mask(a, a) != 0;
}

AVX512_INLINE vec vec_adder(vec *digit, vec a, vec b)
{
    vec carry = MAJORITY(*digit, a, b);
    *digit = PARITY(*digit, a, b);
    return carry;
}

AVX512_INLINE vec vec_load(const uint64_t *words)
{
    return _mm512_loadu_si512(words);
}

AVX512_INLINE vec vec_load_first(const uint64_t *words, int64_t n)
{
    return _mm512_maskz_loadu_epi64((__mmask8)((1u << n) - 1), words);
}

AVX512_INLINE void vec_store(uint64_t *words, vec a)
{
    _mm512_storeu_si512(words, a);
}

typedef struct overlap_sums_avx512 {
    __m512i of[OVERLAP_SLICED_CELLS + 1];
} sums_of;

AVX512_INLINE void sums_begin(sums_of *s, int k)
{
    for (int c = 0; c < 8 * (k / 8 + 1); c++)
        s->of[c] = vec_zero();
}

/* sum[c] += positions whose counter is c, for every c that so many planes can hold up to k and some beyond.
 * The three lowest planes are decided by one instruction, for eight values. */
AVX512_INLINE void add_values(const __m512i *plane, const int planes, int k, __m512i *sum)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i p0 = plane[0], p1 = planes > 1 ? plane[1] : zero, p2 = planes > 2 ? plane[2] : zero;
    __m512i low[8] = {_mm512_ternarylogic_epi64(p2, p1, p0, 1),  _mm512_ternarylogic_epi64(p2, p1, p0, 2),
                      _mm512_ternarylogic_epi64(p2, p1, p0, 4),  _mm512_ternarylogic_epi64(p2, p1, p0, 8),
                      _mm512_ternarylogic_epi64(p2, p1, p0, 16), _mm512_ternarylogic_epi64(p2, p1, p0, 32),
                      _mm512_ternarylogic_epi64(p2, p1, p0, 64), _mm512_ternarylogic_epi64(p2, p1, p0, 128)};
    for (int high = 0; high <= k >> 3; high++) {
        __m512i where = _mm512_set1_epi64(-1);
#pragma GCC unroll 5
        for (int b = 3; b < planes; b++)
            where = _mm512_and_si512(
                where, _mm512_xor_si512(plane[b], _mm512_set1_epi64(((high >> (b - 3)) & 1) - 1)));
        if (!_mm512_test_epi64_mask(where, where))
            continue;
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++)
            sum[8 * high + c] =
                _mm512_add_epi64(sum[8 * high + c], _mm512_popcnt_epi64(_mm512_and_si512(where, low[c])));
    }
}

AVX512_INLINE void sums_add(sums_of *s, const __m512i *plane, const int planes, int k, int64_t *exactly)
{
    (void)exactly;
    add_values(plane, planes, k, s->of);
}

AVX512_INLINE void sums_end(const sums_of *s, int k, int64_t *exactly)
{
    for (int c = 1; c <= k; c++)
        exactly[c] += _mm512_reduce_add_epi64(s->of[c]);
}

#include "kernels/overlap/overlap_sliced.h"

#endif
