#include "magnitude_avx512.h"

#if defined(__x86_64__)

#include <string.h>

MAGNITUDE_TARGET void magnitude_begin(struct magnitude_counts *c, enum arithmetic arithmetic,
                                      const void *bits, int64_t n)
{
    int top = magnitude_sample(arithmetic, bits, n);
    /* the eight octaves that end with the largest of the samples, inside one range */
    int first = top / 4 * 4 - (MAGNITUDE_WINDOW - 4), range = top / MAGNITUDE_RANGE * MAGNITUDE_RANGE;
    __m512i none = _mm512_setzero_si512();
    *c = (struct magnitude_counts){first < range ? range : first, none, none, none, none, none};
}

MAGNITUDE_TARGET int magnitude_end_chunk(struct magnitude_counts *c, const struct magnitude_counts *before,
                                         const struct magnitude_aside *aside, enum arithmetic arithmetic,
                                         const void *bits, int64_t n, int64_t *bins)
{
    if (_mm512_test_epi16_mask(c->other, _mm512_set1_epi16(0x6000))) {
        *c = *before;
        magnitude_count(ISA_PORTABLE, arithmetic, bits, n, bins);
        return 1;
    }
    int64_t *range = bins + c->first / MAGNITUDE_RANGE * MAGNITUDE_RANGE;
    for (int64_t i = 0; i < aside->n; i++)
        range[(uint8_t)(c->first + aside->code[i])]++;
    return 0;
}

MAGNITUDE_TARGET void magnitude_end(const struct magnitude_counts *c, int64_t *bins)
{
    int64_t all[MAGNITUDE_OCTAVES], low[MAGNITUDE_OCTAVES], high[MAGNITUDE_OCTAVES], both[MAGNITUDE_OCTAVES];
    _mm512_storeu_si512(all, c->all);
    _mm512_storeu_si512(low, c->low);
    _mm512_storeu_si512(high, c->high);
    _mm512_storeu_si512(both, c->both);
    for (int o = 0; o < MAGNITUDE_OCTAVES && c->first + 4 * o < MAGNITUDE_BINS; o++) {
        int64_t *bin = bins + c->first + 4 * o;
        bin[0] += all[o] - low[o] - high[o] + both[o];
        bin[1] += low[o] - both[o];
        bin[2] += high[o] - both[o];
        bin[3] += both[o];
    }
}

/* 32 elements of the compare type as 16 bits: sign, exponent, seven mantissa bits. */
MAGNITUDE_TARGET static inline __m512i load_32(int wide, const void *bits, int64_t i)
{
    const uint32_t *w = (const uint32_t *)bits + i;
    if (!wide)
        return _mm512_loadu_si512((const uint16_t *)bits + i);
    return _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_loadu_si512(w), 16))),
        _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_loadu_si512(w + 16), 16)), 1);
}

MAGNITUDE_TARGET static inline __attribute__((always_inline)) int64_t
count(int wide, enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    struct magnitude_counts c, before;
    struct magnitude_aside aside;
    int64_t m = n - n % 64;
    if (m < MAGNITUDE_LEAST)
        return 0;
    magnitude_begin(&c, arithmetic, bits, m);
    for (int64_t from = 0; from < m; from += MAGNITUDE_CHUNK) {
        int64_t to = m - from < MAGNITUDE_CHUNK ? m : from + MAGNITUDE_CHUNK;
        before = c;
        aside.n = 0;
        for (int64_t i = from; i < to; i += 64)
            magnitude_step(&c, &aside, load_32(wide, bits, i), load_32(wide, bits, i + 32));
        magnitude_end_chunk(&c, &before, &aside, arithmetic, (const char *)bits + from * (wide ? 4 : 2),
                            to - from, bins);
    }
    magnitude_end(&c, bins);
    return m;
}

MAGNITUDE_TARGET int64_t magnitude_count_avx512(enum arithmetic arithmetic, const void *bits, int64_t n,
                                                int64_t *bins)
{
    return arithmetic == ARITHMETIC_BF16 ? count(0, arithmetic, bits, n, bins)
                                         : count(1, arithmetic, bits, n, bins);
}

#else
extern int magnitude_avx512_is_for_x86; /* a translation unit must declare something */
#endif
