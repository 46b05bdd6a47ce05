/* The AVX2 loops of tensor_to_compare. */
#include "elements/convert/convert_avx2.h"

#include "elements/convert/convert_loops.h"

#if defined(__x86_64__)

AVX2_INLINE __m256 floats(const uint32_t *in)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)in));
}

AVX2_INLINE __m256 halves(const uint16_t *in)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)in));
}

AVX2 static void f32_to_bf16(const uint32_t *in, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(out + i), convert_narrow_16(floats(in + i), floats(in + i + 8)));
    convert_portable.f32_to_bf16(in + i, n - i, out + i);
}

AVX2 static void f16_to_bf16(const uint16_t *in, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((__m256i *)(out + i), convert_narrow_16(halves(in + i), halves(in + i + 8)));
    convert_portable.f16_to_bf16(in + i, n - i, out + i);
}

AVX2 static void f16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_castps_si256(halves(in + i)));
    convert_portable.f16_to_f32(in + i, n - i, out + i);
}

AVX2 static void bf16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(in + i)));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_slli_epi32(x, 16));
    }
    convert_portable.bf16_to_f32(in + i, n - i, out + i);
}

const struct convert_loops convert_avx2 = {
    .f32_to_bf16 = f32_to_bf16,
    .f16_to_bf16 = f16_to_bf16,
    .f16_to_f32 = f16_to_f32,
    .bf16_to_f32 = bf16_to_f32,
};

#endif
