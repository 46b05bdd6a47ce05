#include "elements/codes/codes_loops.h"

#include "elements/convert/convert_avx512.h"

#if defined(__x86_64__)

#include <math.h>

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
AVX512_INLINE __m512 product(enum codes kind, __m256i half, __m512 scale)
{
    __m512 x = _mm512_cvtph_ps(half);
    if (kind != CODES_E5M2)
        x = _mm512_mul_ps(x, _mm512_set1_ps(kind == CODES_E4M3 ? 256 : 128));
    return _mm512_mul_ps(x, scale);
}

/* 32 codes under one scale as bf16. */
AVX512_INLINE __m512i products(enum codes kind, __m256i codes, __m512 scale)
{
    __m512i h = half_of(kind, _mm512_cvtepu8_epi16(codes));
    return convert_narrow_32(product(kind, _mm512_castsi512_si256(h), scale),
                             product(kind, _mm512_extracti64x4_epi64(h, 1), scale));
}

AVX512_INLINE void decode_each(enum codes kind, const uint8_t *codes, int64_t n, float scale, uint16_t *out)
{
    const __m512 s = _mm512_set1_ps(scale);
    for (int64_t i = 0; i < n; i += 32) {
        __mmask32 some = n - i < 32 ? (__mmask32)((1u << (n - i)) - 1) : (__mmask32)-1;
        _mm512_mask_storeu_epi16(out + i, some, products(kind, _mm256_maskz_loadu_epi8(some, codes + i), s));
    }
}

/* The products of a scale and all codes without their sign: the lower bytes of them, and the upper ones. */
struct codes_table {
    __m512i low[2], high[2];
};

AVX512_INLINE struct codes_table table_of(enum codes kind, float scale)
{
    static const uint8_t first[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                      16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    const __m256i codes = _mm256_loadu_si256((const __m256i *)first);
    const __m512i even = _mm512_slli_epi16(_mm512_cvtepu8_epi16(codes), 1); /* words; their upper bytes: 0 */
    const __m512i packed = _mm512_packus_epi16(even, _mm512_add_epi16(even, _mm512_set1_epi16(64)));
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i lower = _mm512_permutexvar_epi64(order, packed),
                  upper = _mm512_or_si512(lower, _mm512_set1_epi8(1));
    const __m512 s = _mm512_set1_ps(scale);
    struct codes_table t;
    for (int k = 0; k < 2; k++) {
        __m512i x = products(kind, _mm256_add_epi8(codes, _mm256_set1_epi8((char)(64 * k))), s),
                y = products(kind, _mm256_add_epi8(codes, _mm256_set1_epi8((char)(64 * k + 32))), s);
        t.low[k] = _mm512_permutex2var_epi8(x, lower, y);
        t.high[k] = _mm512_permutex2var_epi8(x, upper, y);
    }
    return t;
}

/* Which of 64 codes are NaN. */
AVX512_INLINE __mmask64 nan_of(enum codes kind, __m512i c)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    if (kind == CODES_E4M3FNUZ)
        return _mm512_cmpeq_epi8_mask(c, sign);
    return _mm512_cmpgt_epu8_mask(_mm512_or_si512(c, sign),
                                  _mm512_set1_epi8((char)(kind == CODES_E4M3 ? 0xfe : 0xfc)));
}

/* 64 codes under the table's scale, which is finite and not 0, so that what is NaN is one by itself. out:
 * those that `low` and `high` say of the first and the other half. */
AVX512_INLINE void look_up(enum codes kind, const struct codes_table *t, __m512i c, __mmask32 low,
                           __mmask32 high, uint16_t *out)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    c = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), c); /* as unpacking has them */
    __mmask64 nan = nan_of(kind, c);
    __m512i lower = _mm512_permutex2var_epi8(t->low[0], c, t->low[1]),
            upper = _mm512_permutex2var_epi8(t->high[0], c, t->high[1]);
    upper = _mm512_ternarylogic_epi64(upper, c, sign, 0x78); /* upper ^ (c & sign) */
    lower = _mm512_mask_mov_epi8(lower, nan, _mm512_set1_epi8((char)0xc0));
    upper = _mm512_mask_mov_epi8(upper, nan, _mm512_set1_epi8(0x7f));
    _mm512_mask_storeu_epi16(out, low, _mm512_unpacklo_epi8(lower, upper));
    _mm512_mask_storeu_epi16(out + 32, high, _mm512_unpackhi_epi8(lower, upper));
}

AVX512_INLINE void decode_by_table(enum codes kind, const struct codes_table *t, const uint8_t *codes,
                                   int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 64 <= n; i += 64)
        look_up(kind, t, _mm512_loadu_si512(codes + i), (__mmask32)-1, (__mmask32)-1, out + i);
    if (i == n)
        return;
    const __mmask64 some = ((__mmask64)1 << (n - i)) - 1;
    look_up(kind, t, _mm512_maskz_loadu_epi8(some, codes + i), (__mmask32)some, (__mmask32)(some >> 32),
            out + i);
}

/* A table costs as much as 128 codes by themselves. */
AVX512_INLINE void decode(enum codes kind, const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                          int64_t group, uint16_t *out)
{
    enum { WORTH = 256 };
    for (int64_t i = 0, end; i < n; i = end) {
        const float scale = scales[i / group];
        end = i + group < n ? i + group : n;
        if (rows * (end - i) < WORTH || !isfinite(scale) || scale == 0) {
            for (int64_t r = 0; r < rows; r++)
                decode_each(kind, codes + r * n + i, end - i, scale, out + r * n + i);
        } else {
            const struct codes_table t = table_of(kind, scale);
            for (int64_t r = 0; r < rows; r++)
                decode_by_table(kind, &t, codes + r * n + i, end - i, out + r * n + i);
        }
    }
}

AVX512 static void decode_e4m3(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                               int64_t group, uint16_t *out)
{
    decode(CODES_E4M3, codes, rows, n, scales, group, out);
}

AVX512 static void decode_e4m3fnuz(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                                   int64_t group, uint16_t *out)
{
    decode(CODES_E4M3FNUZ, codes, rows, n, scales, group, out);
}

AVX512 static void decode_e5m2(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                               int64_t group, uint16_t *out)
{
    decode(CODES_E5M2, codes, rows, n, scales, group, out);
}

/* The sixteen products of a group are a table that codes are looked up in, 32 at once. It stands twice in the
 * register: five bits of an index count, and the fifth is another code's. */
AVX512_INLINE void decode_row_e2m1(const uint8_t *codes, int64_t n, const float *scales, int64_t group,
                                   uint16_t *out)
{
    static const float value[16] = {CODES_E2M1_VALUES};
    const __m512 values = _mm512_loadu_ps(value);
    for (int64_t i = 0, end; i < n; i = end) {
        __m256i half = convert_narrow_16(_mm512_mul_ps(values, _mm512_set1_ps(scales[i / group])));
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

AVX512 static void decode_e2m1(const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                               int64_t group, uint16_t *out)
{
    for (int64_t r = 0; r < rows; r++)
        decode_row_e2m1(codes + r * (n / 2), n, scales, group, out + r * n);
}

const struct codes_loops codes_avx512 = {.decode = {[CODES_E4M3] = decode_e4m3,
                                                    [CODES_E4M3FNUZ] = decode_e4m3fnuz,
                                                    [CODES_E5M2] = decode_e5m2,
                                                    [CODES_E2M1] = decode_e2m1}};

#endif
