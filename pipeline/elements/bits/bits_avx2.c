/* AVX2 has no instruction that packs the chosen elements of a vector: a table of places by the bits of a mask
 * does it, eight elements of 32 bits at a time; elements of 16 bits go as pairs, the old and the new. */
#include "elements/bits/bits_avx2.h"

#include "elements/magnitude/magnitude_avx2.h"

#if defined(__x86_64__)

/* Which of 32 elements of 16 bits differ, given where they are the same. */
AVX2_INLINE uint32_t differ_16(__m256i same_0, __m256i same_1)
{
    __m256i same = _mm256_permute4x64_epi64(_mm256_packs_epi16(same_0, same_1), 0xd8);
    return ~(uint32_t)_mm256_movemask_epi8(same);
}

AVX2_INLINE uint64_t differ_64(const __m256i x[4], const __m256i y[4])
{
    uint64_t low = differ_16(_mm256_cmpeq_epi16(x[0], y[0]), _mm256_cmpeq_epi16(x[1], y[1]));
    uint64_t high = differ_16(_mm256_cmpeq_epi16(x[2], y[2]), _mm256_cmpeq_epi16(x[3], y[3]));
    return low | high << 32;
}

/* Packs those of 64 elements that differ, as the word says, as pairs of old and new bits: one stream of
 * stores that overlap, where two would get into each other's way. Returns how many. */
AVX2_INLINE int64_t pack_64(const uint16_t *a, const uint16_t *b, const uint64_t *word, uint32_t *pairs)
{
    const uint8_t *mask = (const uint8_t *)word;
    int64_t differ = 0;
    for (int k = 0; k < 8; k += 2) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(a + 8 * k)),
                y = _mm256_loadu_si256((const __m256i *)(b + 8 * k));
        __m256i low = _mm256_unpacklo_epi16(x, y), high = _mm256_unpackhi_epi16(x, y);
        __m256i first = _mm256_permute2x128_si256(low, high, 0x20),
                second = _mm256_permute2x128_si256(low, high, 0x31);
        __m256i lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)bits_places[mask[k]]));
        _mm256_storeu_si256((__m256i *)(pairs + differ), _mm256_permutevar8x32_epi32(first, lanes));
        differ += __builtin_popcount(mask[k]);
        lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)bits_places[mask[k + 1]]));
        _mm256_storeu_si256((__m256i *)(pairs + differ), _mm256_permutevar8x32_epi32(second, lanes));
        differ += __builtin_popcount(mask[k + 1]);
    }
    return differ;
}

/* The old and the new bits of n pairs. */
AVX2 static void split_pairs(const uint32_t *pairs, int64_t n, uint16_t *old_bits, uint16_t *new_bits)
{
    const __m256i low = _mm256_set1_epi32(0xffff);
    for (int64_t i = 0; i < n; i += 16) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(pairs + i)),
                y = _mm256_loadu_si256((const __m256i *)(pairs + i + 8));
        __m256i a = _mm256_packus_epi32(_mm256_and_si256(x, low), _mm256_and_si256(y, low)),
                b = _mm256_packus_epi32(_mm256_srli_epi32(x, 16), _mm256_srli_epi32(y, 16));
        _mm256_storeu_si256((__m256i *)(old_bits + i), _mm256_permute4x64_epi64(a, 0xd8));
        _mm256_storeu_si256((__m256i *)(new_bits + i), _mm256_permute4x64_epi64(b, 0xd8));
    }
}

/* Packs those of n elements that differ: a multiple of 64, at most MAGNITUDE_AVX2_CHUNK. Returns how many. */
AVX2 static int64_t pack_16(const uint16_t *a, const uint16_t *b, int64_t n, const uint64_t *words,
                            uint16_t *old_bits, uint16_t *new_bits)
{
    uint32_t pairs[MAGNITUDE_AVX2_CHUNK + 16];
    int64_t differ = 0;
    for (int64_t i = 0; i < n; i += 64)
        differ += pack_64(a + i, b + i, words + i / 64, pairs + differ);
    split_pairs(pairs, differ, old_bits, new_bits);
    return differ;
}

/* The same for a whole chunk, and its indices counted: packing waits for stores, counting for arithmetic, and
 * together they take little longer than one of them. */
AVX2 static int64_t pack_and_count(const uint16_t *a, const uint16_t *b, const uint64_t *words,
                                   uint16_t *old_bits, uint16_t *new_bits, struct magnitude_window *m)
{
    enum { INDICES = CLASSES_CHUNK / CLASSES_STEPS };
    uint32_t pairs[MAGNITUDE_AVX2_CHUNK + 16];
    int64_t differ = 0;
    for (int q = 0; q < 4; q++) {
        struct classes *c = q < 2 ? &m->lower : &m->upper;
        const uint8_t *index = q < 2 ? m->index_lower : m->index_upper;
        __m256i carry[CLASSES_STEPS];
        for (int i = 0; i < CLASSES_STEPS; i++, a += 64, b += 64, words++) {
            carry[i] = classes_step(c, q % 2, index + i * INDICES);
            differ += pack_64(a, b, words, pairs + differ);
        }
        classes_finish(c, q % 2, carry);
    }
    split_pairs(pairs, differ, old_bits, new_bits);
    return differ;
}

AVX2_INLINE void load(__m256i x[4], const uint16_t *a)
{
    for (int v = 0; v < 4; v++)
        x[v] = _mm256_loadu_si256((const __m256i *)(a + 16 * v));
}

static int64_t count_nonfinite(const int64_t *bins)
{
    int64_t sum = 0;
    for (int b = MAGNITUDE_INFINITE; b < MAGNITUDE_BINS; b++)
        sum += bins[b];
    return sum;
}

/* m >= MAGNITUDE_AVX2_LEAST elements, a multiple of 64, compared and counted in the same pass over registers.
 */
AVX2 static struct bits_found compare_and_count(const uint16_t *a, const uint16_t *b, int64_t m,
                                                uint64_t *words, uint16_t *old_bits, uint16_t *new_bits,
                                                int64_t *bins)
{
    struct magnitude_window counts;
    int64_t differ = 0, before = count_nonfinite(bins), to;
    magnitude_avx2_begin(&counts, ARITHMETIC_BF16, a, m);
    const __m256i first = magnitude_avx2_first(&counts);
    for (int64_t from = 0; from < m; from = to) {
        int64_t outside = 0;
        to = m - from < MAGNITUDE_AVX2_CHUNK ? m : from + MAGNITUDE_AVX2_CHUNK;
        for (int64_t i = from; i < to; i += 64) {
            __m256i x[4], y[4];
            load(x, a + i);
            load(y, b + i);
            words[i / 64] = differ_64(x, y);
            outside = magnitude_avx2_step(&counts, i - from, x, first, ARITHMETIC_BF16, a + i, outside);
        }
        if (to - from == MAGNITUDE_AVX2_CHUNK) {
            differ += pack_and_count(a + from, b + from, words + from / 64, old_bits + differ,
                                     new_bits + differ, &counts);
            magnitude_avx2_outsiders(&counts, outside, bins);
        } else {
            differ += pack_16(a + from, b + from, to - from, words + from / 64, old_bits + differ,
                              new_bits + differ);
            magnitude_avx2_end_chunk(&counts, to - from, outside, bins);
        }
    }
    magnitude_avx2_end(&counts, bins);
    return (struct bits_found){differ, count_nonfinite(bins) > before};
}

/* m elements, a multiple of 64. The largest magnitude tells whether anything is not finite. */
AVX2 static struct bits_found compare_alone(const uint16_t *a, const uint16_t *b, int64_t m, uint64_t *words,
                                            uint16_t *old_bits, uint16_t *new_bits)
{
    const __m256i magnitude = _mm256_set1_epi16(0x7fff);
    __m256i top = _mm256_setzero_si256();
    int64_t differ = 0, to;
    for (int64_t from = 0; from < m; from = to) {
        to = m - from < MAGNITUDE_AVX2_CHUNK ? m : from + MAGNITUDE_AVX2_CHUNK;
        for (int64_t i = from; i < to; i += 64) {
            __m256i x[4], y[4];
            load(x, a + i);
            load(y, b + i);
            for (int v = 0; v < 4; v++)
                top = _mm256_max_epi16(top, _mm256_and_si256(x[v], magnitude));
            words[i / 64] = differ_64(x, y);
        }
        differ +=
            pack_16(a + from, b + from, to - from, words + from / 64, old_bits + differ, new_bits + differ);
    }
    __m256i infinite = _mm256_cmpgt_epi16(top, _mm256_set1_epi16(0x7f7f));
    return (struct bits_found){differ, !_mm256_testz_si256(infinite, infinite)};
}

AVX2 static struct bits_found compare16(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                                        uint16_t *old_bits, uint16_t *new_bits, int64_t *bins)
{
    int64_t m = n - n % 64;
    struct bits_found head;
    if (bins && m >= MAGNITUDE_AVX2_LEAST)
        head = compare_and_count(a, b, m, words, old_bits, new_bits, bins);
    else {
        head = compare_alone(a, b, m, words, old_bits, new_bits);
        if (bins)
            magnitude_count_portable(ARITHMETIC_BF16, a, m, bins);
    }
    return bits_found_both(head,
                           bits_compare16_portable(a + m, b + m, n - m, words + m / 64,
                                                   old_bits + head.differ, new_bits + head.differ, bins));
}

AVX2 static struct bits_found compare32(const uint32_t *a, const uint32_t *b, int64_t n, uint64_t *words,
                                        uint32_t *old_bits, uint32_t *new_bits, int64_t *bins)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i top = _mm256_setzero_si256();
    int64_t m = n - n % 64, differ = 0;
    for (int64_t i = 0; i < m; i += 64) {
        uint64_t word = 0;
        for (int v = 0; v < 8; v++) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(a + i + 8 * v)),
                    y = _mm256_loadu_si256((const __m256i *)(b + i + 8 * v));
            __m256i same = _mm256_cmpeq_epi32(x, y);
            unsigned mask = ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(same)) & 0xff;
            __m256i lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)bits_places[mask]));
            _mm256_storeu_si256((__m256i *)(old_bits + differ), _mm256_permutevar8x32_epi32(x, lanes));
            _mm256_storeu_si256((__m256i *)(new_bits + differ), _mm256_permutevar8x32_epi32(y, lanes));
            differ += __builtin_popcount(mask);
            word |= (uint64_t)mask << (8 * v);
            top = _mm256_max_epi32(top, _mm256_and_si256(x, magnitude));
        }
        words[i / 64] = word;
    }
    if (bins)
        magnitude_count_avx2(ARITHMETIC_F32, a, m, bins);
    __m256i infinite = _mm256_cmpgt_epi32(top, _mm256_set1_epi32(0x7f7fffff));
    struct bits_found head = {differ, !_mm256_testz_si256(infinite, infinite)};
    return bits_found_both(head, bits_compare32_portable(a + m, b + m, n - m, words + m / 64,
                                                         old_bits + differ, new_bits + differ, bins));
}

/* ---- other loops ---- */

AVX2 void bits_narrow_avx2(uint64_t *words, int64_t nwords, const uint64_t *keep)
{
    int64_t at = 0;
    for (int64_t w = 0; w < nwords; w++) {
        uint64_t word = words[w];
        words[w] = word ? _pdep_u64(bits_next(keep, at), word) : 0;
        at += __builtin_popcountll(word);
    }
}

BITS_COUNT(AVX2, bits_count_avx2)

const struct bits_loops bits_avx2 = {
    .compare16 = compare16,
    .compare32 = compare32,
    .narrow = bits_narrow_avx2,
    .count = bits_count_avx2,
};

#endif
