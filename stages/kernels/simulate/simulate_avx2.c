/* The inner loops of simulate.c with AVX2: eight draws, or four exponentials, at a time. */
#include "kernels/simulate/simulate_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { DRAWS = 8, DOUBLES = 4 };

/* The low 64 bits of the products. AVX2 multiplies 32 bits by 32. */
AVX2_INLINE __m256i times(__m256i z, uint64_t factor)
{
    __m256i low = _mm256_set1_epi64x((long long)(factor & 0xffffffffu)),
            high = _mm256_set1_epi64x((long long)(factor >> 32));
    __m256i crossed =
        _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(z, 32), low), _mm256_mul_epu32(z, high));
    return _mm256_add_epi64(_mm256_mul_epu32(z, low), _mm256_slli_epi64(crossed, 32));
}

AVX2_INLINE __m256i mix(__m256i z)
{
    z = times(_mm256_xor_si256(z, _mm256_srli_epi64(z, 30)), SIMULATE_MIX_1);
    z = times(_mm256_xor_si256(z, _mm256_srli_epi64(z, 27)), SIMULATE_MIX_2);
    return _mm256_xor_si256(z, _mm256_srli_epi64(z, 31));
}

/* Halves of 64-bit numbers as floats. */
AVX2_INLINE __m256 floats(__m256i low_half, __m256i high_half)
{
    return _mm256_cvtepi32_ps(
        _mm256_or_si256(_mm256_srli_epi32(low_half, 16), _mm256_slli_epi32(high_half, 16)));
}

AVX2 static void four_sums(uint64_t key, int64_t first, int64_t n, float *out)
{
    const uint64_t step = SIMULATE_STEP, at = key + ((uint64_t)first + 1) * step;
    /* Counters in the order in which _mm256_shuffle_ps, which works within halves of a register, makes
     * consecutive ones of them. */
    __m256i a = _mm256_set_epi64x((long long)(at + 5 * step), (long long)(at + 4 * step),
                                  (long long)(at + step), (long long)at);
    __m256i b = _mm256_add_epi64(a, _mm256_set1_epi64x((long long)(2 * step)));
    const __m256i next = _mm256_set1_epi64x((long long)(DRAWS * step));
    int64_t i = 0;
    for (; i + DRAWS <= n; i += DRAWS) {
        __m256 x = _mm256_castsi256_ps(mix(a)), y = _mm256_castsi256_ps(mix(b));
        __m256i low = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88)),
                high = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd));
        __m256 outer = _mm256_add_ps(_mm256_cvtepi32_ps(low), floats(low, high)),
               inner = _mm256_add_ps(_mm256_cvtepi32_ps(high), floats(high, low));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_add_ps(outer, inner), _mm256_set1_ps(SIMULATE_UNIT)));
        a = _mm256_add_epi64(a, next);
        b = _mm256_add_epi64(b, next);
    }
    simulate_four_sums_portable(key, first + i, n - i, out + i);
}

AVX2 static void exponentials(const float *x, double top, int64_t n, double *out)
{
    int64_t i = 0;
    for (; i + DOUBLES <= n; i += DOUBLES) {
        __m256d d = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)), _mm256_set1_pd(top));
        __m256d k = _mm256_floor_pd(
            _mm256_add_pd(_mm256_mul_pd(d, _mm256_set1_pd(SIMULATE_LOG2_E)), _mm256_set1_pd(0.5)));
        __m256d r = _mm256_sub_pd(_mm256_sub_pd(d, _mm256_mul_pd(k, _mm256_set1_pd(SIMULATE_LN2_HIGH))),
                                  _mm256_mul_pd(k, _mm256_set1_pd(SIMULATE_LN2_LOW)));
        __m256d p = _mm256_set1_pd(simulate_taylor[SIMULATE_DEGREE]);
        for (int j = SIMULATE_DEGREE - 1; j >= 0; j--)
            p = _mm256_add_pd(_mm256_mul_pd(p, r), _mm256_set1_pd(simulate_taylor[j]));
        __m256i power = _mm256_slli_epi64(
            _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(k)), _mm256_set1_epi64x(1023)), 52);
        _mm256_storeu_pd(out + i, _mm256_mul_pd(p, _mm256_castsi256_pd(power)));
    }
    simulate_exponentials_portable(x + i, top, n - i, out + i);
}

const struct simulate_loops simulate_avx2 = {
    .four_sums = four_sums,
    .exponentials = exponentials,
};

#endif
