#include "elements/magnitude/magnitude_avx512.h"

#if defined(__x86_64__)

#include <string.h>

AVX512 void magnitude_begin(struct magnitude_counts *c, enum arithmetic arithmetic, const void *bits,
                            int64_t n)
{
    enum { ABOVE = 2 }; /* bins above the largest of the samples, where larger ones will be */
    int first = magnitude_sample(arithmetic, bits, n) + ABOVE + 1 - MAGNITUDE_WINDOW;
    int most = MAGNITUDE_BINS - MAGNITUDE_WINDOW;
    __m512i none = _mm512_setzero_si512();
    *c = (struct magnitude_counts){first < 0 ? 0 : first > most ? most : first, none, none, none, none};
}

/* 32 elements of the compare type as 16 bits: sign, exponent, seven mantissa bits. */
AVX512 static inline __m512i load_32(int wide, const void *bits, int64_t i)
{
    const uint32_t *w = (const uint32_t *)bits + i;
    if (!wide)
        return _mm512_loadu_si512((const uint16_t *)bits + i);
    return _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_loadu_si512(w), 16))),
        _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_loadu_si512(w + 16), 16)), 1);
}

/* Adds those of n elements that are far away to bins[]: zeros, of which there may be many, at once. */
AVX512 static void count_far(const struct magnitude_counts *c, enum arithmetic arithmetic, const void *bits,
                             int64_t n, int64_t *bins)
{
    const __m512i above = _mm512_set1_epi16(MAGNITUDE_FAR), below = _mm512_set1_epi16(-MAGNITUDE_FAR - 1);
    const __m512i lowest = _mm512_set1_epi16((short)-c->first);
    for (int64_t i = 0; i < n; i += 32) {
        __m512i d = magnitude_distance(c, load_32(arithmetic != ARITHMETIC_BF16, bits, i));
        uint32_t far = _mm512_cmpge_epi16_mask(d, above) | _mm512_cmple_epi16_mask(d, below);
        uint32_t zeros = far & _mm512_cmpeq_epi16_mask(d, lowest);
        bins[0] += __builtin_popcount(zeros);
        for (far &= ~zeros; far; far &= far - 1)
            bins[magnitude_bin(arithmetic, bits, i + __builtin_ctz(far))]++;
    }
}

/* Adds n elements put aside to bins[], but for the far ones. Four tables: neighbours often share a bin, and
 * an increment must not wait for the one before. */
AVX512 static void count_aside(const struct magnitude_counts *c, struct magnitude_aside *aside, int64_t n,
                               int64_t *bins)
{
    enum { TABLES = 4, ZERO = MAGNITUDE_FAR + 1 };
    uint16_t table[TABLES][2 * ZERO]; /* of a run, each has a quarter */
    memset(table, 0, sizeof table);
    memset(aside->distance + n, MAGNITUDE_FAR, TABLES);
    for (int64_t i = 0; i < n; i += TABLES)
        for (int t = 0; t < TABLES; t++)
            table[t][ZERO + aside->distance[i + t]]++;
    int from = c->first < MAGNITUDE_FAR ? -c->first : -MAGNITUDE_FAR;
    int to = MAGNITUDE_BINS - c->first < MAGNITUDE_FAR ? MAGNITUDE_BINS - c->first : MAGNITUDE_FAR;
    for (int d = from; d < to; d++)
        bins[c->first + d] +=
            table[0][ZERO + d] + table[1][ZERO + d] + table[2][ZERO + d] + table[3][ZERO + d];
}

/* Is one of these distances far? */
AVX512 static int any_far(const int8_t *distance, int64_t n)
{
    const __m512i above = _mm512_set1_epi8(MAGNITUDE_FAR), below = _mm512_set1_epi8(-MAGNITUDE_FAR - 1);
    uint64_t far = 0;
    for (int64_t i = 0; i < n; i += 64) {
        __m512i d = _mm512_loadu_si512(distance + i);
        uint64_t in = n - i < 64 ? ((uint64_t)1 << (n - i)) - 1 : ~(uint64_t)0;
        far |= in & (_mm512_cmpeq_epi8_mask(d, above) | _mm512_cmpeq_epi8_mask(d, below));
    }
    return far != 0;
}

AVX512 uint32_t magnitude_end_run(const struct magnitude_counts *c, struct magnitude_aside *aside,
                                  enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    uint32_t far = 0;
    int64_t at = 0, from = 0, bytes = arithmetic_bytes(arithmetic);
    for (int k = 0; from < n; k++, from += MAGNITUDE_CHUNK) {
        if (any_far(aside->distance + at, aside->upto[k] - at)) {
            count_far(c, arithmetic, (const char *)bits + from * bytes,
                      n - from < MAGNITUDE_CHUNK ? n - from : MAGNITUDE_CHUNK, bins);
            far |= (uint32_t)1 << k;
        }
        at = aside->upto[k];
    }
    count_aside(c, aside, at, bins);
    return far;
}

AVX512 void magnitude_end(const struct magnitude_counts *c, int64_t *bins)
{
    int64_t all[MAGNITUDE_OCTAVES], low[MAGNITUDE_OCTAVES], high[MAGNITUDE_OCTAVES], both[MAGNITUDE_OCTAVES];
    _mm512_storeu_si512(all, c->all);
    _mm512_storeu_si512(low, c->low);
    _mm512_storeu_si512(high, c->high);
    _mm512_storeu_si512(both, c->both);
    for (int o = 0; o < MAGNITUDE_OCTAVES; o++) {
        int64_t *bin = bins + c->first + 4 * o;
        bin[0] += all[o] - low[o] - high[o] + both[o];
        bin[1] += low[o] - both[o];
        bin[2] += high[o] - both[o];
        bin[3] += both[o];
    }
}

/* Counts elements [0, m) and returns m, at most n. */
AVX512_INLINE int64_t count(int wide, enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    struct magnitude_counts c;
    struct magnitude_aside aside;
    int64_t m = n - n % 64;
    if (m < MAGNITUDE_LEAST)
        return 0;
    magnitude_begin(&c, arithmetic, bits, m);
    for (int64_t from = 0, to; from < m; from = to) {
        int64_t naside = 0, at = from;
        to = m - from < MAGNITUDE_RUN * MAGNITUDE_CHUNK ? m : from + MAGNITUDE_RUN * MAGNITUDE_CHUNK;
        for (int k = 0; at < to; k++) {
            int64_t end = to - at < MAGNITUDE_CHUNK ? to : at + MAGNITUDE_CHUNK;
            for (; at < end; at += 64)
                naside =
                    magnitude_step(&c, &aside, naside, load_32(wide, bits, at), load_32(wide, bits, at + 32));
            aside.upto[k] = naside;
        }
        magnitude_end_run(&c, &aside, arithmetic, (const char *)bits + from * (wide ? 4 : 2), to - from,
                          bins);
    }
    magnitude_end(&c, bins);
    return m;
}

AVX512 void magnitude_count_avx512(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    int64_t done = arithmetic == ARITHMETIC_BF16 ? count(0, arithmetic, bits, n, bins)
                                                 : count(1, arithmetic, bits, n, bins);
    magnitude_count_portable(arithmetic, (const char *)bits + done * arithmetic_bytes(arithmetic), n - done,
                             bins);
}

const struct magnitude_loops magnitude_avx512 = {.count = magnitude_count_avx512};

#endif
