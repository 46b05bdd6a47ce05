#include "elements/codes/codes_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* 16 floats as bf16, as narrow of tensor.c does it. */
AVX512_INLINE __m256i narrow_16(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    up = _mm512_mask_mov_epi32(_mm512_srli_epi32(up, 16), nan, _mm512_set1_epi32(0x7fc0));
    return _mm512_cvtepi32_epi16(up);
}

/* The f16 whose number is 2^-8 of an E4M3 code's, 2^-7 of an E4M3FNUZ code's, exactly, subnormals
 * included; or that of an E5M2 code. */
AVX512_INLINE __m512i half_of(enum codes kind, __m512i c)
{
    if (kind == CODES_E5M2)
        return _mm512_slli_epi16(c, 8);
    __m512i magnitude = _mm512_and_si512(c, _mm512_set1_epi16(0x7f));
    __mmask32 nan = kind == CODES_E4M3 ? _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7f))
                                       : _mm512_cmpeq_epi16_mask(c, _mm512_set1_epi16(0x80));
    __m512i sign = _mm512_slli_epi16(_mm512_and_si512(c, _mm512_set1_epi16(0x80)), 8);
    __m512i h = _mm512_or_si512(sign, _mm512_slli_epi16(magnitude, 7));
    return _mm512_mask_mov_epi16(h, nan, _mm512_set1_epi16(0x7e00));
}

/* 16 halves as floats: their numbers, and then the scale's product, which alone may round. */
AVX512_INLINE __m256i product(enum codes kind, __m256i half, __m512 scale)
{
    __m512 x = _mm512_cvtph_ps(half);
    if (kind != CODES_E5M2)
        x = _mm512_mul_ps(x, _mm512_set1_ps(kind == CODES_E4M3 ? 256 : 128));
    return narrow_16(_mm512_mul_ps(x, scale));
}

AVX512_INLINE void decode(enum codes kind, const uint8_t *codes, int64_t n, const float *scales,
                          int64_t group, uint16_t *out)
{
    for (int64_t i = 0, end; i < n; i = end) {
        const __m512 s = _mm512_set1_ps(scales[i / group]);
        end = i + group < n ? i + group : n;
        for (; i < end; i += 32) {
            __mmask32 some = end - i < 32 ? (__mmask32)((1u << (end - i)) - 1) : (__mmask32)-1;
            __m512i h = half_of(kind, _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(some, codes + i)));
            __m512i x =
                _mm512_inserti64x4(_mm512_castsi256_si512(product(kind, _mm512_castsi512_si256(h), s)),
                                   product(kind, _mm512_extracti64x4_epi64(h, 1), s), 1);
            _mm512_mask_storeu_epi16(out + i, some, x);
        }
    }
}

AVX512 static void decode_e4m3(const uint8_t *codes, int64_t n, const float *scales, int64_t group,
                               uint16_t *out)
{
    decode(CODES_E4M3, codes, n, scales, group, out);
}

AVX512 static void decode_e4m3fnuz(const uint8_t *codes, int64_t n, const float *scales, int64_t group,
                                   uint16_t *out)
{
    decode(CODES_E4M3FNUZ, codes, n, scales, group, out);
}

AVX512 static void decode_e5m2(const uint8_t *codes, int64_t n, const float *scales, int64_t group,
                               uint16_t *out)
{
    decode(CODES_E5M2, codes, n, scales, group, out);
}

/* The sixteen products of a group are a table that codes are looked up in, 32 at once. It stands twice in the
 * register: five bits of an index count, and the fifth is another code's. */
AVX512 static void decode_e2m1(const uint8_t *codes, int64_t n, const float *scales, int64_t group,
                               uint16_t *out)
{
    static const float value[16] = {CODES_E2M1_VALUES};
    const __m512 values = _mm512_loadu_ps(value);
    for (int64_t i = 0, end; i < n; i = end) {
        __m256i half = narrow_16(_mm512_mul_ps(values, _mm512_set1_ps(scales[i / group])));
        const __m512i table = _mm512_inserti64x4(_mm512_castsi256_si512(half), half, 1);
        end = i + group < n ? i + group : n;
        for (; i < end; i += 32) {
            int64_t left = end - i < 32 ? end - i : 32;
            __mmask16 bytes = (__mmask16)((1u << ((left + 1) / 2)) - 1);
            __mmask32 some = left < 32 ? (__mmask32)((1u << left) - 1) : (__mmask32)-1;
            __m512i c = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(bytes, codes + i / 2));
            /* a byte's first code is in the lower word, its second in the upper */
            c = _mm512_or_si512(c, _mm512_slli_epi32(c, 12));
            _mm512_mask_storeu_epi16(out + i, some, _mm512_permutexvar_epi16(c, table));
        }
    }
}

const struct codes_loops codes_avx512 = {.decode = {[CODES_E4M3] = decode_e4m3,
                                                    [CODES_E4M3FNUZ] = decode_e4m3fnuz,
                                                    [CODES_E5M2] = decode_e5m2,
                                                    [CODES_E2M1] = decode_e2m1}};

#endif
