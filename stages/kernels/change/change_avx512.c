/* The AVX-512 loops of change.c. Each gives the very bits of the portable one: integer counts, and sums in
 * the same lanes.
 *
 * Histograms are made as in magnitude_avx512.c: a byte with one bit set says an element's class, a
 * Galois-field multiplication turns 8 bytes by 8 bits around, and population counts of 64-bit lanes count
 * eight classes at once. */
#include "kernels/change/change_loops.h"

#include "elements/magnitude/turn_avx512.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum {
    STRIP = CHANGE_STRIP,
    CLASSES = 16 /* of a histogram: exponents of a window, or log2 of 16-bit distances */
};

/* Adds n (a multiple of CHANGE_LANES) normal sizes to the lanes. A square of 8 significant bits is exact, so
 * that one rounding is all there is, as in the reference. */
AVX512 static void add_sums(struct change_lanes *lanes, const uint16_t *size, int64_t n)
{
    enum { VECTORS = CHANGE_LANES / 8 };
    const __m512i bias = _mm512_set1_epi64((int64_t)(1023 - 127) << 52);
    __m512d abs[VECTORS], squares[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        abs[v] = _mm512_loadu_pd(lanes->abs + 8 * v);
        squares[v] = _mm512_loadu_pd(lanes->squares + 8 * v);
    }
    for (int64_t i = 0; i < n; i += CHANGE_LANES)
        for (int v = 0; v < VECTORS; v++) {
            __m512i wide = _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)(size + i + 8 * v)));
            __m512d x = _mm512_castsi512_pd(_mm512_add_epi64(_mm512_slli_epi64(wide, 52 - 7), bias));
            abs[v] = _mm512_add_pd(abs[v], x);
            squares[v] = _mm512_fmadd_pd(x, x, squares[v]);
        }
    for (int v = 0; v < VECTORS; v++) {
        _mm512_storeu_pd(lanes->abs + 8 * v, abs[v]);
        _mm512_storeu_pd(lanes->squares + 8 * v, squares[v]);
    }
}

/* Adds to updated[] how many of n (a multiple of 32, at most STRIP) sizes are above the tolerances that lie
 * within the span, a few at a time. */
AVX512 static void count_updated(int64_t *updated, const uint16_t *size, int64_t n,
                                 const struct change_within *w)
{
    enum { AT_ONCE = 4 };
    const __m512i one = _mm512_set1_epi16(1);
    for (int t = 0; t < w->n; t += AT_ONCE) {
        __m512i at[AT_ONCE], above[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            above[k] = _mm512_setzero_si512();
            at[k] = _mm512_set1_epi16((short)(t + k < w->n ? w->at[t + k] : 0x7fff));
        }
        for (int64_t i = 0; i < n; i += 32) {
            __m512i x = _mm512_loadu_si512(size + i);
            for (int k = 0; k < AT_ONCE; k++)
                above[k] = _mm512_mask_add_epi16(above[k], _mm512_cmpgt_epi16_mask(x, at[k]), above[k], one);
        }
        for (int k = 0; k < AT_ONCE && t + k < w->n; k++)
            updated[w->which[t + k]] += _mm512_reduce_add_epi32(_mm512_madd_epi16(above[k], one));
    }
}

/* Adds to lane c of sum[0], c - 8 of sum[1] how many of 64 elements are of class c; low, high: one bit set in
 * one of both bytes of an element, or none. */
AVX512_INLINE void add_classes(__m512i sum[2], __m512i low, __m512i high)
{
    low = turn_classes(low);
    high = turn_classes(high);
    sum[0] = _mm512_add_epi64(sum[0], _mm512_popcnt_epi64(low));
    sum[1] = _mm512_add_epi64(sum[1], _mm512_popcnt_epi64(high));
}

/* Counts n (a multiple of 64, at most STRIP) bytes at count[byte]: those of the 16 classes that end with
 * `last` as bits, the others one by one. */
AVX512 static void count_bytes(int64_t *count, const uint8_t *byte, int64_t n, int last)
{
    const __m512i classes = _mm512_set1_epi8(CLASSES);
    const __m512i one_hot =
        _mm512_broadcast_i32x4(_mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m512i one_hot_above =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, -128));
    const int first = last - (CLASSES - 1);
    const __m512i begin = _mm512_set1_epi8((char)first);
    __m512i sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    uint8_t aside[STRIP + 64];
    int64_t naside = 0, in_class[CLASSES];
    for (int64_t i = 0; i < n; i += 64) {
        __m512i code = _mm512_sub_epi8(_mm512_loadu_si512(byte + i), begin);
        __mmask64 in = _mm512_cmplt_epu8_mask(code, classes);
        _mm512_storeu_si512(aside + naside, _mm512_maskz_compress_epi8(~in, code));
        naside += __builtin_popcountll(~in);
        add_classes(sum, _mm512_maskz_shuffle_epi8(in, one_hot, code),
                    _mm512_maskz_shuffle_epi8(in, one_hot_above, code));
    }
    _mm512_storeu_si512(in_class, sum[0]);
    _mm512_storeu_si512(in_class + 8, sum[1]);
    for (int k = 0; k < CLASSES; k++)
        if (in_class[k] > 0) /* a class before 0 is empty */
            count[first + k] += in_class[k];
    for (int64_t j = 0; j < naside; j++)
        count[(uint8_t)(first + aside[j])]++;
}

/* Exponents of n (a multiple of 64, at most STRIP) normal sizes, of which the greatest is `most`. */
AVX512 static void count_exponents(int64_t *exponents, const uint16_t *size, int64_t n, uint32_t most)
{
    uint8_t byte[STRIP];
    for (int64_t i = 0; i < n; i += 64) {
        __m512i x = _mm512_srli_epi16(_mm512_loadu_si512(size + i), 7),
                y = _mm512_srli_epi16(_mm512_loadu_si512(size + i + 32), 7);
        _mm512_storeu_si512(byte + i, _mm512_packus_epi16(x, y)); /* in no order */
    }
    count_bytes(exponents + (-127 - CHANGE_EXPONENT_0), byte, n, (int)(most >> 7));
}

/* 32 elements' steps from old to new: bit patterns on one line with both zeros at 0, the difference taken
 * modulo 2^16, where it fits. */
AVX512_INLINE __m512i steps_of(__m512i a, __m512i b)
{
    const __m512i zero = _mm512_set1_epi16((short)0x8000); /* the negative one */
    a = _mm512_mask_sub_epi16(a, _mm512_movepi16_mask(a), zero, a);
    b = _mm512_mask_sub_epi16(b, _mm512_movepi16_mask(b), zero, b);
    return _mm512_sub_epi16(_mm512_max_epi16(a, b), _mm512_min_epi16(a, b));
}

/* |new - old| of 32 elements rounded to bf16, as 15 bits each. */
AVX512_INLINE __m512i difference_of(__m512i a, __m512i b)
{
    const __m512i half = _mm512_set1_epi32(0x7fff), odd = _mm512_set1_epi32(0x10000),
                  one = _mm512_set1_epi32(1), upper = _mm512_set1_epi32((int)0xffff0000);
    /* elements at even places, and those at odd ones, where they are: floats but for a shift */
    __m512i half_of[2];
    half_of[0] = _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(_mm512_slli_epi32(b, 16)),
                                                   _mm512_castsi512_ps(_mm512_slli_epi32(a, 16))));
    half_of[1] = _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(_mm512_and_si512(b, upper)),
                                                   _mm512_castsi512_ps(_mm512_and_si512(a, upper))));
    for (int k = 0; k < 2; k++) { /* to nearest, ties to even: the upper half is the result */
        __mmask16 up = _mm512_test_epi32_mask(half_of[k], odd);
        half_of[k] = _mm512_add_epi32(half_of[k], half);
        half_of[k] = _mm512_mask_add_epi32(half_of[k], up, half_of[k], one);
    }
    __m512i d = _mm512_ternarylogic_epi64(upper, half_of[1], _mm512_srli_epi32(half_of[0], 16), 0xca);
    return _mm512_and_si512(d, _mm512_set1_epi16(0x7fff));
}

/* Differences and log2 of steps of n (a multiple of 64) elements, in one loop: each by itself waits for its
 * own chain of operations. size: |new - old|. count: how many steps are of each class, of those below 256 and
 * of the others. The highest bit of a byte is the lowest of the byte turned round, which stands alone in x &
 * -x; class c is then lane 7 - c. Returns 0 where all differences are normal: then span tells the least and
 * the greatest. -1: there are others, and count is of no use. */
AVX512 static int take_differences(const uint16_t *old_bits, const uint16_t *new_bits, int64_t n,
                                   uint16_t *size, struct change_span *span, int64_t *count)
{
    const __m512i zero = _mm512_setzero_si512(), low_byte = _mm512_set1_epi16(255);
    const __m512i reverse = _mm512_set1_epi64((long long)0x8040201008040201ull);
    __m512i sum[2] = {zero, zero};
    __m512i most = zero, least = _mm512_set1_epi16(0x7fff);
    for (int64_t i = 0; i < n; i += 64) {
        __m512i a0 = _mm512_loadu_si512(old_bits + i), b0 = _mm512_loadu_si512(new_bits + i);
        __m512i a1 = _mm512_loadu_si512(old_bits + i + 32), b1 = _mm512_loadu_si512(new_bits + i + 32);
        __m512i d0 = difference_of(a0, b0), d1 = difference_of(a1, b1);
        _mm512_storeu_si512(size + i, d0);
        _mm512_storeu_si512(size + i + 32, d1);
        most = _mm512_max_epu16(_mm512_max_epu16(most, d0), d1);
        least = _mm512_min_epu16(_mm512_min_epu16(least, d0), d1);
        __m512i x = steps_of(a0, b0), y = steps_of(a1, b1);
        __m512i low = _mm512_packus_epi16(_mm512_and_si512(x, low_byte), _mm512_and_si512(y, low_byte)),
                high = _mm512_packus_epi16(_mm512_srli_epi16(x, 8), _mm512_srli_epi16(y, 8));
        __mmask64 small = _mm512_testn_epi8_mask(high, high);
        low = _mm512_gf2p8affine_epi64_epi8(low, reverse, 0);
        high = _mm512_gf2p8affine_epi64_epi8(high, reverse, 0);
        add_classes(sum, _mm512_and_si512(low, _mm512_maskz_sub_epi8(small, zero, low)),
                    _mm512_and_si512(high, _mm512_sub_epi8(zero, high)));
    }
    _mm512_storeu_si512(count, sum[0]);
    _mm512_storeu_si512(count + 8, sum[1]);
    uint16_t lane[2][32];
    _mm512_storeu_si512(lane[0], most);
    _mm512_storeu_si512(lane[1], least);
    return change_span_of_16(lane[0], lane[1], 32, span);
}

AVX512 static void add_bf16(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                            const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    uint16_t size[STRIP];
    int64_t m = n - n % 64;
    for (int64_t i = 0; i < m; i += STRIP) {
        int64_t part = m - i < STRIP ? m - i : STRIP;
        struct change_span span;
        int64_t steps[CLASSES];
        if (take_differences(old_bits + i, new_bits + i, part, size, &span, steps) != 0) {
            change_add_bf16_portable(c, lanes, old_bits + i, new_bits + i, part, limit, ntolerances);
            continue;
        }
        add_sums(lanes, size, part);
        struct change_within within =
            change_add_span(c, ARITHMETIC_BF16, span, part, limit, lanes->sizes ? 0 : ntolerances);
        if (lanes->sizes) {
            change_count_sizes(lanes->sizes, size, part, CHANGE_WAYS_BF16, span.least, span.most);
        } else {
            count_updated(c->counts.updated, size, part, &within);
            count_exponents(c->counts.exponents, size, part, span.most);
        }
        for (int k = 0; k < 8; k++) {
            c->counts.steps[1 + k] += steps[7 - k];
            c->counts.steps[1 + 8 + k] += steps[8 + 7 - k];
        }
    }
    change_add_bf16_portable(c, lanes, old_bits + m, new_bits + m, n - m, limit, ntolerances);
}

/* ---- float32 ---- */

/* 16 elements' floor(log2(steps)) from old to new, where they differ in more than the sign of 0: bit patterns
 * on one line with both zeros at 0, the difference taken modulo 2^32, where it fits. */
AVX512_INLINE __m512i log2_steps_32(__m512i a, __m512i b)
{
    const __m512i zero = _mm512_set1_epi32((int)0x80000000); /* the negative one */
    a = _mm512_mask_sub_epi32(a, _mm512_movepi32_mask(a), zero, a);
    b = _mm512_mask_sub_epi32(b, _mm512_movepi32_mask(b), zero, b);
    __m512i steps = _mm512_sub_epi32(_mm512_max_epi32(a, b), _mm512_min_epi32(a, b));
    return _mm512_sub_epi32(_mm512_set1_epi32(31), _mm512_lzcnt_epi32(steps));
}

/* Fills s from n (a multiple of 64) elements. most_steps: the greatest of these. Returns 0 where all
 * differences are normal: then span tells the least and the greatest. -1: there are others. */
AVX512 static int take_differences_32(const uint32_t *old_bits, const uint32_t *new_bits, int64_t n,
                                      struct change_strip *s, struct change_span *span, int *most_steps)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i most = _mm512_setzero_si512(), least = magnitude, top = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += 64) {
        __m512i d[4], log[4];
        for (int v = 0; v < 4; v++) {
            __m512i a = _mm512_loadu_si512(old_bits + i + 16 * v),
                    b = _mm512_loadu_si512(new_bits + i + 16 * v);
            d[v] = _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(b), _mm512_castsi512_ps(a)));
            d[v] = _mm512_and_si512(d[v], magnitude);
            _mm512_storeu_si512(s->size + i + 16 * v, d[v]);
            most = _mm512_max_epu32(most, d[v]);
            least = _mm512_min_epu32(least, d[v]);
            log[v] = log2_steps_32(a, b);
            d[v] = _mm512_srli_epi32(d[v], CHANGE_SIZE_REST);
        }
        __m512i x = _mm512_packus_epi32(d[0], d[1]), y = _mm512_packus_epi32(d[2], d[3]);
        _mm512_storeu_si512(s->bin + i, x);
        _mm512_storeu_si512(s->bin + i + 32, y);
        __m512i e = _mm512_packus_epi16(_mm512_srli_epi16(x, 8), _mm512_srli_epi16(y, 8));
        _mm512_storeu_si512(s->exponent + i, e);
        e = _mm512_packs_epi16(_mm512_packs_epi32(log[0], log[1]), _mm512_packs_epi32(log[2], log[3]));
        _mm512_storeu_si512(s->steps + i, e);
        top = _mm512_max_epu8(top, e);
    }
    uint32_t lane[2][16];
    uint8_t byte[64];
    _mm512_storeu_si512(lane[0], most);
    _mm512_storeu_si512(lane[1], least);
    _mm512_storeu_si512(byte, top);
    *most_steps = 0;
    for (int k = 0; k < 64; k++)
        *most_steps = byte[k] > *most_steps ? byte[k] : *most_steps;
    return change_span_of_32(lane[0], lane[1], 16, span);
}

/* Adds n (a multiple of CHANGE_LANES) finite sizes to the lanes. A square of 24 significant bits is exact, so
 * that one rounding is all there is, as in the reference. */
AVX512 static void add_sums_32(struct change_lanes *lanes, const uint32_t *size, int64_t n)
{
    enum { VECTORS = CHANGE_LANES / 8 };
    __m512d abs[VECTORS], squares[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        abs[v] = _mm512_loadu_pd(lanes->abs + 8 * v);
        squares[v] = _mm512_loadu_pd(lanes->squares + 8 * v);
    }
    for (int64_t i = 0; i < n; i += CHANGE_LANES)
        for (int v = 0; v < VECTORS; v++) {
            __m512d x =
                _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(size + i + 8 * v))));
            abs[v] = _mm512_add_pd(abs[v], x);
            squares[v] = _mm512_fmadd_pd(x, x, squares[v]);
        }
    for (int v = 0; v < VECTORS; v++) {
        _mm512_storeu_pd(lanes->abs + 8 * v, abs[v]);
        _mm512_storeu_pd(lanes->squares + 8 * v, squares[v]);
    }
}

/* As count_updated. */
AVX512 static void count_updated_32(int64_t *updated, const uint32_t *size, int64_t n,
                                    const struct change_within *w)
{
    enum { AT_ONCE = 4 };
    const __m512i one = _mm512_set1_epi32(1);
    for (int t = 0; t < w->n; t += AT_ONCE) {
        __m512i at[AT_ONCE], above[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            above[k] = _mm512_setzero_si512();
            at[k] = _mm512_set1_epi32((int)(t + k < w->n ? w->at[t + k] : 0x7fffffff));
        }
        for (int64_t i = 0; i < n; i += 16) {
            __m512i x = _mm512_loadu_si512(size + i);
            for (int k = 0; k < AT_ONCE; k++)
                above[k] = _mm512_mask_add_epi32(above[k], _mm512_cmpgt_epi32_mask(x, at[k]), above[k], one);
        }
        for (int k = 0; k < AT_ONCE && t + k < w->n; k++)
            updated[w->which[t + k]] += _mm512_reduce_add_epi32(above[k]);
    }
}

AVX512 static void add_f32(struct change *c, struct change_lanes *lanes, const uint32_t *old_bits,
                           const uint32_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    struct change_strip s;
    int64_t m = n - n % 64;
    for (int64_t i = 0; i < m; i += STRIP) {
        int64_t part = m - i < STRIP ? m - i : STRIP;
        struct change_span span;
        int most_steps;
        if (take_differences_32(old_bits + i, new_bits + i, part, &s, &span, &most_steps) != 0) {
            change_add_f32_portable(c, lanes, old_bits + i, new_bits + i, part, limit, ntolerances);
            continue;
        }
        add_sums_32(lanes, s.size, part);
        struct change_within within = change_add_span(c, ARITHMETIC_F32, span, part, limit, ntolerances);
        count_updated_32(c->counts.updated, s.size, part, &within);
        if (lanes->sizes)
            change_count_sizes(lanes->sizes, s.bin, part, CHANGE_WAYS_F32, span.least >> CHANGE_SIZE_REST,
                               span.most >> CHANGE_SIZE_REST);
        else
            count_bytes(c->counts.exponents + (-127 - CHANGE_EXPONENT_0), s.exponent, part,
                        (int)(span.most >> 23));
        count_bytes(c->counts.steps + 1, s.steps, part, change_steps_end(most_steps));
    }
    change_add_f32_portable(c, lanes, old_bits + m, new_bits + m, n - m, limit, ntolerances);
}

const struct change_loops change_avx512 = {
    .add_bf16 = add_bf16,
    .add_f32 = add_f32,
};

#endif
