#include "elements/magnitude/magnitude_avx2.h"

#if defined(__x86_64__)

AVX2 void magnitude_avx2_begin(struct magnitude_window *m, enum arithmetic arithmetic, const void *bits,
                               int64_t n)
{
    enum { ABOVE = 2 }; /* bins above the largest of the samples, where larger ones will be */
    int last = magnitude_sample(arithmetic, bits, n) + ABOVE;
    last = last < MAGNITUDE_INFINITE ? last : MAGNITUDE_INFINITE - 1;
    m->first = last < MAGNITUDE_AVX2_WINDOW ? 0 : last - (MAGNITUDE_AVX2_WINDOW - 1);
    classes_begin(&m->lower);
    classes_begin(&m->upper);
}

#define PLACES(from) \
    (from), (from) + 1, (from) + 2, (from) + 3, (from) + 4, (from) + 5, (from) + 6, (from) + 7
const uint8_t magnitude_avx2_place[65] = {PLACES(0),  PLACES(16), PLACES(8),  PLACES(24), PLACES(32),
                                          PLACES(48), PLACES(40), PLACES(56), 0};

void magnitude_avx2_outsiders(const struct magnitude_window *m, int64_t n, int64_t *bins)
{
    for (int64_t i = 0; i < n; i++)
        bins[m->outside[i]]++;
}

void magnitude_avx2_end_chunk(struct magnitude_window *m, int64_t n, int64_t noutside, int64_t *bins)
{
    classes_add(&m->lower, m->index_lower, n);
    classes_add(&m->upper, m->index_upper, n);
    magnitude_avx2_outsiders(m, noutside, bins);
}

AVX2 void magnitude_avx2_end(struct magnitude_window *m, int64_t *bins)
{
    classes_end(&m->lower);
    classes_end(&m->upper);
    for (int k = 0; k < CLASSES; k++) {
        bins[m->first + k] += m->lower.count[k];
        bins[m->first + CLASSES + k] += m->upper.count[k];
    }
}

/* 16 elements of the compare type as 16 bits: sign, exponent, seven mantissa bits. */
AVX2 static inline __m256i load_16(int wide, const void *bits, int64_t i)
{
    if (!wide)
        return _mm256_loadu_si256((const __m256i *)((const uint16_t *)bits + i));
    const __m256i *x = (const __m256i *)((const uint32_t *)bits + i);
    __m256i a = _mm256_srli_epi32(_mm256_loadu_si256(x), 16),
            b = _mm256_srli_epi32(_mm256_loadu_si256(x + 1), 16);
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8); /* back in order */
}

/* Counts elements [0, m) and returns m, at most n. */
AVX2_INLINE int64_t count(int wide, enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    struct magnitude_window m;
    int64_t all = n - n % 64, to;
    if (all < MAGNITUDE_AVX2_LEAST)
        return 0;
    magnitude_avx2_begin(&m, arithmetic, bits, all);
    const __m256i first = magnitude_avx2_first(&m);
    for (int64_t from = 0; from < all; from = to) {
        int64_t outside = 0;
        to = all - from < MAGNITUDE_AVX2_CHUNK ? all : from + MAGNITUDE_AVX2_CHUNK;
        for (int64_t i = from; i < to; i += 64) {
            const __m256i x[4] = {load_16(wide, bits, i), load_16(wide, bits, i + 16),
                                  load_16(wide, bits, i + 32), load_16(wide, bits, i + 48)};
            outside = magnitude_avx2_step(&m, i - from, x, first, wide ? ARITHMETIC_F32 : ARITHMETIC_BF16,
                                          (const char *)bits + i * (wide ? 4 : 2), outside);
        }
        magnitude_avx2_end_chunk(&m, to - from, outside, bins);
    }
    magnitude_avx2_end(&m, bins);
    return all;
}

AVX2 void magnitude_count_avx2(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    int64_t done = arithmetic == ARITHMETIC_BF16 ? count(0, arithmetic, bits, n, bins)
                                                 : count(1, arithmetic, bits, n, bins);
    magnitude_count_portable(arithmetic, (const char *)bits + done * arithmetic_bytes(arithmetic), n - done,
                             bins);
}

const struct magnitude_loops magnitude_avx2 = {.count = magnitude_count_avx2};

#endif
