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

const struct largest_loops largest_avx512 = {.pack = pack};

#endif
