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
AVX2_INLINE void decode_each(enum codes kind, const uint8_t *codes, int64_t n, const float *scale,
                             uint16_t *out)
{
    const __m256 s = _mm256_set1_ps(*scale);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i c = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(codes + i)));
        __m256i h = half_of(kind, c);
        __m256i x = convert_narrow_16(product(kind, _mm256_castsi256_si128(h), s),
                                      product(kind, _mm256_extracti128_si256(h, 1), s));
        _mm256_storeu_si256((__m256i *)(out + i), x);
    }
    if (i < n)
        codes_portable.decode[kind](codes + i, 1, n - i, scale, n - i, out + i);
}

/* ---- three mantissa bits, by a table ---- */

/* Of three mantissa bits the products with a scale differ in their exponents alone, as long as none leaves
 * the normal numbers: the lower and the upper bytes of those of exponent 0, and of the subnormal codes. */
struct mantissa_table {
    __m256i low, high;
};

/* Is every product, that of 0 apart, far within the normal numbers? */
AVX2_INLINE int is_moderate(float scale)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    const uint32_t exponent = bits >> 23 & 0xff;
    return exponent >= 40 && exponent < 200;
}

AVX2_INLINE struct mantissa_table mantissas_of(enum codes kind, float scale)
{
    /* of exponent 8, whose place in a bf16 is above the seven mantissa bits; then the subnormal ones */
    static const uint8_t codes[16] = {64, 65, 66, 67, 68, 69, 70, 71, 0, 1, 2, 3, 4, 5, 6, 7};
    uint16_t value[16];
    uint8_t byte[2][16];
    codes_portable.decode[kind](codes, 1, 16, &scale, 16, value);
    for (int k = 0; k < 16; k++) {
        value[k] = (uint16_t)(value[k] - (k < 8 ? 8 << 7 : 0));
        byte[0][k] = (uint8_t)(value[k] & 0xff);
        byte[1][k] = (uint8_t)(value[k] >> 8);
    }
    return (struct mantissa_table){_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)byte[0])),
                                   _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)byte[1]))};
}

/* 32 codes under the table's scale. */
AVX2_INLINE void look_up(enum codes kind, const struct mantissa_table *t, const uint8_t *codes, uint16_t *out)
{
    const __m256i zero = _mm256_setzero_si256(), eight = _mm256_set1_epi8(8);
    __m256i c = _mm256_loadu_si256((const __m256i *)codes);
    c = _mm256_permute4x64_epi64(c, 0xd8); /* as unpacking has them */
    const __m256i sign = _mm256_and_si256(c, _mm256_set1_epi8((char)0x80)),
                  magnitude = _mm256_andnot_si256(sign, c),
                  exponent = _mm256_and_si256(_mm256_srli_epi16(magnitude, 3), _mm256_set1_epi8(15)),
                  subnormal = _mm256_and_si256(_mm256_cmpeq_epi8(exponent, zero), eight),
                  at = _mm256_or_si256(_mm256_and_si256(c, _mm256_set1_epi8(7)), subnormal),
                  low = _mm256_shuffle_epi8(t->low, at), high = _mm256_shuffle_epi8(t->high, at),
                  nan = kind == CODES_E4M3 ? _mm256_cmpeq_epi8(magnitude, _mm256_set1_epi8(0x7f))
                                           : _mm256_cmpeq_epi8(c, _mm256_set1_epi8((char)0x80));
    for (int k = 0; k < 2; k++) {
#define UNPACK(a, b) (k == 0 ? _mm256_unpacklo_epi8(a, b) : _mm256_unpackhi_epi8(a, b))
        __m256i x = _mm256_add_epi16(UNPACK(low, high), _mm256_srli_epi16(UNPACK(zero, exponent), 1));
        x = _mm256_xor_si256(x, UNPACK(zero, sign));
        x = _mm256_blendv_epi8(x, _mm256_set1_epi16(0x7fc0), UNPACK(nan, nan));
        _mm256_storeu_si256((__m256i *)(out + 16 * k), x);
#undef UNPACK
    }
}

/* The table of a scale serves all rows; it is not worth while for few codes. */
AVX2_INLINE void decode(enum codes kind, const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                        int64_t group, uint16_t *out)
{
    enum { WORTH = 512 };
    for (int64_t i = 0, end; i < n; i = end) {
        const float *scale = &scales[i / group];
        end = i + group < n ? i + group : n;
        const int by_table = kind != CODES_E5M2 && rows * (end - i) >= WORTH && is_moderate(*scale);
        struct mantissa_table t = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        if (by_table)
            t = mantissas_of(kind, *scale);
        for (int64_t r = 0; r < rows; r++) {
            int64_t j = i;
            for (; by_table && j + 32 <= end; j += 32)
                look_up(kind, &t, codes + r * n + j, out + r * n + j);
            decode_each(kind, codes + r * n + j, end - j, scale, out + r * n + j);
        }
    }
}

AVX2 static void decode_e4m3(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                             int64_t group, uint16_t *out)
{
    decode(CODES_E4M3, codes, rows, n, scales, group, out);
}

AVX2 static void decode_e4m3fnuz(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                                 int64_t group, uint16_t *out)
{
    decode(CODES_E4M3FNUZ, codes, rows, n, scales, group, out);
}

AVX2 static void decode_e5m2(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                             int64_t group, uint16_t *out)
{
    decode(CODES_E5M2, codes, rows, n, scales, group, out);
}

/* ---- four bits ---- */

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
