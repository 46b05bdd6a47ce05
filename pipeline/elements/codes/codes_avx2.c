#include "elements/codes/codes_loops.h"

#include "elements/convert/convert_avx2.h"

#if defined(__x86_64__)

/* The f16 whose number is 2^-8 of an E4M3 code's, 2^-7 of an E4M3FNUZ code's, exactly, subnormals
 * included; or that of an E5M2 code. */
AVX2_INLINE __m256i half_of(enum codes kind, __m256i c)
{
    if (kind == CODES_E5M2)
        return _mm256_slli_epi16(c, 8);
    __m256i magnitude = _mm256_and_si256(c, _mm256_set1_epi16(0x7f));
    __m256i nan = kind == CODES_E4M3 ? _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7f))
                                     : _mm256_cmpeq_epi16(c, _mm256_set1_epi16(0x80));
    __m256i sign = _mm256_slli_epi16(_mm256_and_si256(c, _mm256_set1_epi16(0x80)), 8);
    __m256i h = _mm256_or_si256(sign, _mm256_slli_epi16(magnitude, 7));
    return _mm256_blendv_epi8(h, _mm256_set1_epi16(0x7e00), nan);
}

/* 8 halves as floats: their numbers, and then the scale's product, which alone may round. */
AVX2_INLINE __m256 product(enum codes kind, __m128i half, __m256 scale)
{
    __m256 x = _mm256_cvtph_ps(half);
    if (kind != CODES_E5M2)
        x = _mm256_mul_ps(x, _mm256_set1_ps(kind == CODES_E4M3 ? 256 : 128));
    return _mm256_mul_ps(x, scale);
}

/* Groups whose elements come in sixteens, as far as they do; the portable loop has the rest of each. */
AVX2_INLINE void decode(enum codes kind, codes_loop *rest, const uint8_t *codes, int64_t n,
                        const float *scales, int64_t group, uint16_t *out)
{
    for (int64_t i = 0, end; i < n; i = end) {
        const float *scale = &scales[i / group];
        const __m256 s = _mm256_set1_ps(*scale);
        end = i + group < n ? i + group : n;
        for (; i + 16 <= end; i += 16) {
            __m256i c = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(codes + i)));
            __m256i h = half_of(kind, c);
            __m256i x = convert_narrow_16(product(kind, _mm256_castsi256_si128(h), s),
                                          product(kind, _mm256_extracti128_si256(h, 1), s));
            _mm256_storeu_si256((__m256i *)(out + i), x);
        }
        if (i < end)
            rest(codes + i, 1, end - i, scale, end - i, out + i);
    }
}

AVX2 static void decode_e4m3(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                             int64_t group, uint16_t *out)
{
    for (int64_t r = 0; r < rows; r++)
        decode(CODES_E4M3, codes_portable.decode[CODES_E4M3], codes + r * n, n, scales, group, out + r * n);
}

AVX2 static void decode_e4m3fnuz(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                                 int64_t group, uint16_t *out)
{
    for (int64_t r = 0; r < rows; r++)
        decode(CODES_E4M3FNUZ, codes_portable.decode[CODES_E4M3FNUZ], codes + r * n, n, scales, group,
               out + r * n);
}

AVX2 static void decode_e5m2(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                             int64_t group, uint16_t *out)
{
    for (int64_t r = 0; r < rows; r++)
        decode(CODES_E5M2, codes_portable.decode[CODES_E5M2], codes + r * n, n, scales, group, out + r * n);
}

/* The sixteen products of a group, lower and upper bytes apart, as tables that bytes are looked up in. */
AVX2_INLINE void tables(float scale, __m128i *lower, __m128i *upper)
{
    static const float value[16] = {CODES_E2M1_VALUES};
    const __m256 s = _mm256_set1_ps(scale);
    __m256i product = convert_narrow_16(_mm256_mul_ps(_mm256_loadu_ps(value), s),
                                        _mm256_mul_ps(_mm256_loadu_ps(value + 8), s));
    __m128i a = _mm256_castsi256_si128(product), b = _mm256_extracti128_si256(product, 1);
    const __m128i byte = _mm_set1_epi16(0xff);
    *lower = _mm_packus_epi16(_mm_and_si128(a, byte), _mm_and_si128(b, byte));
    *upper = _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8));
}

/* 16 elements: 8 bytes. */
AVX2_INLINE void decode_8_bytes(const uint8_t *codes, __m128i lower, __m128i upper, uint16_t *out)
{
    const __m128i four = _mm_set1_epi8(15);
    __m128i c = _mm_loadl_epi64((const __m128i *)codes);
    __m128i both = _mm_unpacklo_epi8(_mm_and_si128(c, four), _mm_and_si128(_mm_srli_epi16(c, 4), four));
    __m128i low = _mm_shuffle_epi8(lower, both), high = _mm_shuffle_epi8(upper, both);
    _mm_storeu_si128((__m128i *)out, _mm_unpacklo_epi8(low, high));
    _mm_storeu_si128((__m128i *)(out + 8), _mm_unpackhi_epi8(low, high));
}

AVX2_INLINE void decode_row_e2m1(const uint8_t *codes, int64_t n, const float *scales, int64_t group,
                                 uint16_t *out)
{
    for (int64_t i = 0, end; i < n; i = end) {
        const float *scale = &scales[i / group];
        __m128i lower, upper;
        end = i + group < n ? i + group : n;
        tables(*scale, &lower, &upper);
        for (; i + 16 <= end; i += 16)
            decode_8_bytes(codes + i / 2, lower, upper, out + i);
        if (i < end)
            codes_portable.decode[CODES_E2M1](codes + i / 2, 1, end - i, scale, group, out + i);
    }
}

AVX2 static void decode_e2m1(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                             int64_t group, uint16_t *out)
{
    for (int64_t r = 0; r < rows; r++)
        decode_row_e2m1(codes + r * (n / 2), n, scales, group, out + r * n);
}

const struct codes_loops codes_avx2 = {.decode = {[CODES_E4M3] = decode_e4m3,
                                                  [CODES_E4M3FNUZ] = decode_e4m3fnuz,
                                                  [CODES_E5M2] = decode_e5m2,
                                                  [CODES_E2M1] = decode_e2m1}};

#endif
