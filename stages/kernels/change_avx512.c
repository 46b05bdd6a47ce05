/* The AVX-512 loops of change.c. Each gives the very bits of the portable one: integer counts, and sums in
 * the same eight lanes. */
#include "change_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vbmi2,bmi,bmi2,popcnt,lzcnt")))

/* ---- magnitudes of the base ---- */

/* Elements outside the window: their lanes in `out`. Exact zeros are common (padding rows, biases), the rest
 * is rare. */
AVX512 static void count_outside(int64_t *bins, __m512i bin, __mmask32 out)
{
    __mmask32 zero = _mm512_mask_cmpeq_epi16_mask(out, bin, _mm512_setzero_si512());
    bins[0] += __builtin_popcount(zero);
    out &= ~zero;
    if (!out)
        return;
    uint16_t lane[32];
    _mm512_storeu_si512(lane, bin);
    for (; out; out &= out - 1)
        bins[lane[__builtin_ctz(out)]]++;
}

/* 32 bins as 16-bit lanes -> 16 indices of the pairs table, counted. */
AVX512 static inline void count_pairs(int64_t *bins, uint32_t *count, __m512i bin, int64_t *dummies)
{
    const __m512i first = _mm512_set1_epi16(CHANGE_WINDOW_0), window = _mm512_set1_epi16(CHANGE_WINDOW - 1);
    __m512i code = _mm512_sub_epi16(bin, first);
    __mmask32 out = _mm512_cmpgt_epu16_mask(code, window);
    if (__builtin_expect(out != 0, 0)) {
        count_outside(bins, bin, out);
        code = _mm512_maskz_mov_epi16(~out, code); /* they go to code 0 and are taken off again */
        *dummies += __builtin_popcount(out);
    }
    /* the odd lane of each pair moves next to the even one: even + 128 * odd */
    __m512i index =
        _mm512_or_si512(_mm512_and_si512(code, _mm512_set1_epi32(0x7f)), _mm512_srli_epi32(code, 9));
    uint32_t at[16] __attribute__((aligned(64)));
    _mm512_store_si512(at, index);
    for (int i = 0; i < 16; i++)
        count[at[i]]++;
}

AVX512 int64_t change_pairs_bf16_avx512(int64_t *bins, struct change_pairs *pairs, const uint16_t *w,
                                        int64_t n)
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff);
    int64_t m = n - n % 32, dummies = 0;
    for (int64_t i = 0; i < m; i += 32)
        count_pairs(bins, pairs->count,
                    _mm512_srli_epi16(_mm512_and_si512(_mm512_loadu_si512(w + i), magnitude), 5), &dummies);
    bins[CHANGE_WINDOW_0] -= dummies;
    pairs->elements += m;
    return m;
}

AVX512 int64_t change_pairs_f32_avx512(int64_t *bins, struct change_pairs *pairs, const uint32_t *w,
                                       int64_t n)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    int64_t m = n - n % 32, dummies = 0;
    for (int64_t i = 0; i < m; i += 32) {
        __m512i a = _mm512_srli_epi32(_mm512_and_si512(_mm512_loadu_si512(w + i), magnitude), 21);
        __m512i b = _mm512_srli_epi32(_mm512_and_si512(_mm512_loadu_si512(w + i + 16), magnitude), 21);
        __m512i bin =
            _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(a)), _mm512_cvtepi32_epi16(b), 1);
        count_pairs(bins, pairs->count, bin, &dummies);
    }
    bins[CHANGE_WINDOW_0] -= dummies;
    pairs->elements += m;
    return m;
}

/* ---- changed elements ---- */

/* |new - old| rounded to bf16, as its 15 bits, of 16 elements. */
AVX512 static inline __m512i delta_bits(__m256i a, __m256i b)
{
    __m512 x = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(a), 16));
    __m512 y = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
    __m512 d = _mm512_sub_ps(y, x);
    __m512i bits = _mm512_castps_si512(d);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i even = _mm512_add_epi32(
        bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))); /* to nearest, ties to even */
    __mmask16 nan = _mm512_cmp_ps_mask(d, d, _CMP_UNORD_Q);
    bits = _mm512_and_si512(_mm512_srli_epi32(even, 16), _mm512_set1_epi32(0x7fff));
    return _mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(0x7fc0));
}

/* log2 of the steps between old and new, plus one; 0 for no step: the index into change_counts.steps. */
AVX512 static inline __m512i steps_index(__m256i a, __m256i b)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fff);
    __m512i x = _mm512_cvtepi16_epi32(a),
            y = _mm512_cvtepi16_epi32(b); /* the sign of the float is the sign of the lane */
    __m512i p = _mm512_and_si512(x, magnitude), q = _mm512_and_si512(y, magnitude);
    p = _mm512_mask_sub_epi32(p, _mm512_movepi32_mask(x), _mm512_setzero_si512(), p);
    q = _mm512_mask_sub_epi32(q, _mm512_movepi32_mask(y), _mm512_setzero_si512(), q);
    return _mm512_sub_epi32(_mm512_set1_epi32(32),
                            _mm512_lzcnt_epi32(_mm512_abs_epi32(_mm512_sub_epi32(p, q))));
}

/* Adds 16 sizes (bf16 bits, finite) to the lanes, eight at a time. */
AVX512 static inline void add_sums(__m512d *sum, __m512d *squares, __m512i bits)
{
    __m512 size = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(size)),
            high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(size, 1));
    *sum = _mm512_add_pd(*sum, low);
    *squares = _mm512_add_pd(*squares, _mm512_mul_pd(low, low));
    *sum = _mm512_add_pd(*sum, high);
    *squares = _mm512_add_pd(*squares, _mm512_mul_pd(high, high));
}

enum {
    EXPONENTS = 256,
    STEPS = 32,
    BUNCH = 32 * 1024
}; /* a bunch of elements keeps 16-bit counters from overflowing */

/* One bunch, a multiple of 32 elements all of which, and whose differences, are finite; -1 at the first 32
 * where that is not so, so that the caller takes the portable loop for them. Returns how many were added. */
AVX512 static int64_t add_bunch(struct change *c, __m512d *sum, __m512d *squares, const uint16_t *old_bits,
                                const uint16_t *new_bits, int64_t n, const uint16_t *limit, int ntolerances,
                                uint32_t *joint)
{
    const __m512i infinity = _mm512_set1_epi16(0x7f80), magnitude = _mm512_set1_epi16(0x7fff);
    const __m512i one = _mm512_set1_epi16(1);
    __m512i counter[CHANGE_TOLERANCES], zeros = _mm512_setzero_si512(), most = _mm512_setzero_si512();
    for (int t = 0; t < ntolerances; t++)
        counter[t] = _mm512_setzero_si512();
    int64_t i = 0;
    for (; i < n; i += 32) {
        __m512i a = _mm512_loadu_si512(old_bits + i), b = _mm512_loadu_si512(new_bits + i);
        __m512i low = delta_bits(_mm512_castsi512_si256(a), _mm512_castsi512_si256(b));
        __m512i high = delta_bits(_mm512_extracti64x4_epi64(a, 1), _mm512_extracti64x4_epi64(b, 1));
        __m512i d = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(low)),
                                       _mm512_cvtepi32_epi16(high), 1);
        __m512i top = _mm512_max_epu16(
            d, _mm512_max_epu16(_mm512_and_si512(a, magnitude), _mm512_and_si512(b, magnitude)));
        __mmask32 subnormal =
            _mm512_cmplt_epu16_mask(_mm512_sub_epi16(d, one), _mm512_set1_epi16(0x7f)); /* 1..0x7f */
        if (__builtin_expect(_mm512_cmpge_epu16_mask(top, infinity) | subnormal, 0))
            break;
        zeros = _mm512_mask_add_epi16(zeros, _mm512_cmpeq_epi16_mask(d, _mm512_setzero_si512()), zeros, one);
        for (int t = 0; t < ntolerances; t++)
            counter[t] = _mm512_mask_add_epi16(
                counter[t], _mm512_cmpgt_epu16_mask(d, _mm512_set1_epi16((short)limit[t])), counter[t], one);
        most = _mm512_max_epu16(most, d);
        add_sums(sum, squares, low);
        add_sums(sum, squares, high);
        /* exponent of |delta| (8 bits) and log2 of the steps (5 bits) in one table, one increment for both */
        uint32_t at[32] __attribute__((aligned(64)));
        __m512i steps_low = steps_index(_mm512_castsi512_si256(a), _mm512_castsi512_si256(b));
        __m512i steps_high = steps_index(_mm512_extracti64x4_epi64(a, 1), _mm512_extracti64x4_epi64(b, 1));
        _mm512_store_si512(at, _mm512_or_si512(_mm512_slli_epi32(_mm512_srli_epi32(low, 7), 5), steps_low));
        _mm512_store_si512(at + 16,
                           _mm512_or_si512(_mm512_slli_epi32(_mm512_srli_epi32(high, 7), 5), steps_high));
        for (int k = 0; k < 32; k++)
            joint[at[k]]++;
    }
    uint16_t lane[32];
    int64_t none = 0;
    _mm512_storeu_si512(lane, zeros);
    for (int k = 0; k < 32; k++)
        none += lane[k];
    c->counts.nonzero += i - none;
    for (int t = 0; t < ntolerances; t++) {
        _mm512_storeu_si512(lane, counter[t]);
        for (int k = 0; k < 32; k++)
            c->counts.updated[t] += lane[k];
    }
    _mm512_storeu_si512(lane, most);
    for (int k = 0; k < 32; k++) {
        double size = bf16_to_float(lane[k]);
        c->max_abs = size > c->max_abs ? size : c->max_abs;
    }
    return i;
}

AVX512 int64_t change_add_bf16_avx512(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                                      const uint16_t *new_bits, int64_t n, const float *limit,
                                      int ntolerances)
{
    uint32_t joint[EXPONENTS * STEPS];
    uint16_t limit_bits[CHANGE_TOLERANCES];
    int64_t m = n - n % 32, done = 0;
    if (m < 256) /* clearing and reading the table would cost more */
        return 0;
    memset(joint, 0, sizeof joint);
    for (int t = 0; t < ntolerances; t++)
        limit_bits[t] = bf16_from_float(limit[t]);
    __m512d sum = _mm512_setzero_pd(), squares = _mm512_setzero_pd();
    while (done < m) {
        int64_t part = m - done < BUNCH ? m - done : BUNCH;
        int64_t added = add_bunch(c, &sum, &squares, old_bits + done, new_bits + done, part, limit_bits,
                                  ntolerances, joint);
        done += added;
        if (added == part)
            continue;
        /* 32 elements with something odd among them: through the lanes by the reference */
        struct change_lanes between;
        _mm512_storeu_pd(between.abs, sum);
        _mm512_storeu_pd(between.squares, squares);
        struct change odd = {0}; /* bins are counted below for all */
        change_add_range(&odd, &between, ARITHMETIC_BF16, old_bits, new_bits, done, done + 32, limit,
                         ntolerances);
        memset(odd.counts.bin_updated, 0, sizeof odd.counts.bin_updated);
        change_merge(c, &odd);
        sum = _mm512_loadu_pd(between.abs);
        squares = _mm512_loadu_pd(between.squares);
        done += 32;
    }
    _mm512_storeu_pd(lanes->abs, sum);
    _mm512_storeu_pd(lanes->squares, squares);
    for (int e = 0; e < EXPONENTS; e++)
        for (int s = 0; s < STEPS; s++) {
            int64_t count = joint[e * STEPS + s];
            if (count == 0)
                continue;
            c->counts.steps[s] += count;
            if (e > 0) /* exponent field 0 is an exact zero here: subnormals went the other way */
                c->counts.exponents[e - 127 - CHANGE_EXPONENT_0] += count;
        }
    /* magnitudes of the old values, two tables against waiting */
    uint32_t bins[2][CHANGE_BINS];
    memset(bins, 0, sizeof bins);
    for (int64_t i = 0; i < m; i += 2) {
        bins[0][(old_bits[i] & 0x7fff) >> 5]++;
        bins[1][(old_bits[i + 1] & 0x7fff) >> 5]++;
    }
    for (int b = 0; b < CHANGE_BINS; b++)
        c->counts.bin_updated[b] += (int64_t)bins[0][b] + bins[1][b];
    return m;
}

#else
extern int change_avx512_is_for_x86; /* a translation unit must declare something */
#endif
