/* The AVX-512 loop of largest.c. It compresses in registers: the form that stores to memory is slow on some
 * processors. */
#include "elements/largest/largest_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

AVX512 static int64_t pack(const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512i from = _mm512_set1_epi32((int)least),
                  wide = _mm512_set1_epi32((int)(LARGEST_INFINITE - least));
    int64_t found = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i d = _mm512_castps_si512(_mm512_sub_ps(_mm512_loadu_ps(b + i), _mm512_loadu_ps(a + i)));
        d = _mm512_and_si512(d, magnitude);
        /* what is below comes round to far above */
        __mmask16 in = _mm512_cmplt_epu32_mask(_mm512_sub_epi32(d, from), wide);
        _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi32(in, d));
        found += __builtin_popcount(in);
    }
    return found + largest_pack_portable(a + i, b + i, n - i, least, out + found);
}

/* Which of 16 sizes are in each region, and within a window. */
struct size_places {
    __mmask16 region[LARGEST_WINDOWS], listed;
};

AVX512_INLINE struct size_places places_of(const struct largest_edges *x, __m512i size, __mmask16 some)
{
    struct size_places p = {.listed = 0};
    for (int k = 0; k < LARGEST_WINDOWS; k++) {
        const __mmask16 below =
                            _mm512_mask_cmplt_epu32_mask(some, size, _mm512_set1_epi32((int)x->edge[2 * k])),
                        inside = _mm512_mask_cmpge_epu32_mask(below, size,
                                                              _mm512_set1_epi32((int)x->edge[2 * k + 1]));
        p.region[k] = x->edge[2 * k] > 0 ? (__mmask16)(some & ~below) : 0;
        p.listed |= inside;
        some = (__mmask16)(below & ~inside);
    }
    return p;
}

AVX512 static int64_t split(const struct largest_edges *x, const uint32_t *size, int64_t n, uint32_t *list,
                            struct largest_sums *sums)
{
    const __m512i exponent = _mm512_set1_epi32((int)x->exponent),
                  octaves = _mm512_set1_epi32(LARGEST_OCTAVES), hidden = _mm512_set1_epi32(1 << 23),
                  rest = _mm512_set1_epi32((1 << 23) - 1);
    __m512i sum[LARGEST_WINDOWS];
    int64_t listed = 0;
    for (int k = 0; k < LARGEST_WINDOWS; k++)
        sum[k] = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 some = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffffu);
        const __m512i s = _mm512_maskz_loadu_epi32(some, size + i), biased = _mm512_srli_epi32(s, 23),
                      octave = _mm512_sub_epi32(biased, exponent), low = _mm512_and_si512(s, rest);
        const struct size_places p = places_of(x, s, some);
        const __mmask16 near = _mm512_cmplt_epu32_mask(octave, octaves);
        __m512i m = _mm512_mask_or_epi32(_mm512_slli_epi32(low, 1), _mm512_test_epi32_mask(biased, biased),
                                         low, hidden);
        m = _mm512_sllv_epi32(m, octave);
        _mm512_storeu_si512(list + listed, _mm512_maskz_compress_epi32(p.listed, s));
        listed += __builtin_popcount(p.listed);
        __mmask16 odd = 0;
        for (int k = 0; k < LARGEST_WINDOWS; k++) {
            const __m512i even = _mm512_maskz_mov_epi32(p.region[k] & near, m),
                          upper = _mm512_srli_epi64(even, 32);
            sum[k] = _mm512_add_epi64(sum[k], _mm512_mul_epu32(even, even));
            sum[k] = _mm512_add_epi64(sum[k], _mm512_mul_epu32(upper, upper));
            odd |= (__mmask16)(p.region[k] & ~near);
        }
        for (unsigned left = odd; left != 0; left &= left - 1)
            sums->odd[sums->nodd++] = size[i + __builtin_ctz(left)];
    }
    for (int k = 0; k < LARGEST_WINDOWS; k++) {
        uint64_t lane[8]; /* the compiler's own sum of them is one of signed numbers, which this fills */
        _mm512_storeu_si512(lane, sum[k]);
        for (int i = 0; i < 8; i++)
            sums->squares[k] += lane[i];
    }
    return listed;
}

const struct largest_loops largest_avx512 = {.pack = pack, .split = split};

#endif
