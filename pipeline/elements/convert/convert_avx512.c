/* The AVX-512 loops of tensor_to_compare. */
#include "elements/convert/convert_avx512.h"

#include "elements/convert/convert_loops.h"

#if defined(__x86_64__)

AVX512 static void f32_to_bf16(const uint32_t *in, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
        _mm512_storeu_si512(out + i, convert_narrow_32(_mm512_castsi512_ps(_mm512_loadu_si512(in + i)),
                                                       _mm512_castsi512_ps(_mm512_loadu_si512(in + i + 16))));
    convert_portable.f32_to_bf16(in + i, n - i, out + i);
}

AVX512_INLINE __m512 halves(const uint16_t *in)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)in));
}

AVX512 static void f16_to_bf16(const uint16_t *in, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
        _mm512_storeu_si512(out + i, convert_narrow_32(halves(in + i), halves(in + i + 16)));
    convert_portable.f16_to_bf16(in + i, n - i, out + i);
}

AVX512 static void f16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_si512(out + i, _mm512_castps_si512(halves(in + i)));
    convert_portable.f16_to_f32(in + i, n - i, out + i);
}

AVX512 static void bf16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(in + i)));
        _mm512_storeu_si512(out + i, _mm512_slli_epi32(x, 16));
    }
    convert_portable.bf16_to_f32(in + i, n - i, out + i);
}

const struct convert_loops convert_avx512 = {
    .f32_to_bf16 = f32_to_bf16,
    .f16_to_bf16 = f16_to_bf16,
    .f16_to_f32 = f16_to_f32,
    .bf16_to_f32 = bf16_to_f32,
};

#endif
