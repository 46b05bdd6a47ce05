/* The AVX2 loops of change.c. Each gives the very bits of the portable one: integer counts, and sums in the
 * same lanes. Histograms are made by carry-save adders (classes_avx2.h). */
#include "kernels/change/change_loops.h"

#include "elements/magnitude/classes_avx2.h"

#if defined(__x86_64__)

enum { STRIP = CHANGE_STRIP };
_Static_assert((int)STRIP == (int)CLASSES_CHUNK, "a strip's classes are added at once");

AVX2_INLINE __m256i load(const void *x)
{
    return _mm256_loadu_si256(x);
}

/* Eight floats rounded to bf16, to nearest, ties to even: in their upper halves, with something below. */
AVX2_INLINE __m256i rounded(__m256 a)
{
    const __m256i half = _mm256_set1_epi32(0x7fff), one = _mm256_set1_epi32(1);
    __m256i x = _mm256_castps_si256(a);
    return _mm256_add_epi32(_mm256_add_epi32(x, half), _mm256_and_si256(_mm256_srli_epi32(x, 16), one));
}

/* b - a of 16 bf16 each, rounded to bf16: those at even places and those at odd ones apart, which are floats
 * where they are, but for a shift and what stands below. */
AVX2_INLINE __m256i difference(__m256i a, __m256i b)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000);
    __m256i even = rounded(_mm256_sub_ps(_mm256_castsi256_ps(_mm256_slli_epi32(b, 16)),
                                         _mm256_castsi256_ps(_mm256_slli_epi32(a, 16))));
    __m256i odd = rounded(_mm256_sub_ps(_mm256_castsi256_ps(_mm256_and_si256(b, upper)),
                                        _mm256_castsi256_ps(_mm256_and_si256(a, upper))));
    return _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xaa);
}

/* |new - old| rounded to bf16, n (a multiple of 16) elements, as 15 bits each. Returns 0 where all
 * differences are normal: then span tells the least and the greatest. -1: there are others. */
AVX2 static int take_differences(const uint16_t *old_bits, const uint16_t *new_bits, int64_t n,
                                 uint16_t *size, struct change_span *span)
{
    const __m256i magnitude = _mm256_set1_epi16(0x7fff);
    __m256i most = _mm256_setzero_si256(), least = magnitude;
    for (int64_t i = 0; i < n; i += 16) {
        __m256i a = load(old_bits + i), b = load(new_bits + i);
        __m256i d = _mm256_and_si256(difference(a, b), magnitude);
        _mm256_storeu_si256((__m256i *)(size + i), d);
        most = _mm256_max_epi16(most, d);
        least = _mm256_min_epi16(least, d);
    }
    uint16_t lane[2][16];
    _mm256_storeu_si256((__m256i *)lane[0], most);
    _mm256_storeu_si256((__m256i *)lane[1], least);
    return change_span_of_16(lane[0], lane[1], 16, span);
}

/* Adds n (a multiple of CHANGE_LANES) normal sizes to the lanes, half of them at a time: that many sums fit
 * the registers. A square of 8 significant bits is exact, so that one rounding is all there is, as in the
 * reference. */
AVX2 static void add_sums(struct change_lanes *lanes, const uint16_t *size, int64_t n)
{
    enum { VECTORS = CHANGE_LANES / 2 / 4 };
    const __m256i bias = _mm256_set1_epi64x((int64_t)(1023 - 127) << 52);
    for (int from = 0; from < CHANGE_LANES; from += CHANGE_LANES / 2) {
        __m256d abs[VECTORS], squares[VECTORS];
        for (int v = 0; v < VECTORS; v++) {
            abs[v] = _mm256_loadu_pd(lanes->abs + from + 4 * v);
            squares[v] = _mm256_loadu_pd(lanes->squares + from + 4 * v);
        }
        for (int64_t i = from; i < n; i += CHANGE_LANES)
            for (int v = 0; v < VECTORS; v++) {
                __m256i wide = _mm256_cvtepu16_epi64(_mm_loadl_epi64((const __m128i *)(size + i + 4 * v)));
                __m256d x = _mm256_castsi256_pd(_mm256_add_epi64(_mm256_slli_epi64(wide, 52 - 7), bias));
                abs[v] = _mm256_add_pd(abs[v], x);
                squares[v] = _mm256_fmadd_pd(x, x, squares[v]);
            }
        for (int v = 0; v < VECTORS; v++) {
            _mm256_storeu_pd(lanes->abs + from + 4 * v, abs[v]);
            _mm256_storeu_pd(lanes->squares + from + 4 * v, squares[v]);
        }
    }
}

/* Adds to updated[] how many of n (a multiple of 16, at most STRIP) sizes are above the tolerances that lie
 * within the span, a few at a time. */
AVX2 static void count_updated(int64_t *updated, const uint16_t *size, int64_t n,
                               const struct change_within *w)
{
    enum { AT_ONCE = 4 };
    const __m256i one = _mm256_set1_epi16(1);
    for (int t = 0; t < w->n; t += AT_ONCE) {
        __m256i at[AT_ONCE], above[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            above[k] = _mm256_setzero_si256();
            at[k] = _mm256_set1_epi16((short)(t + k < w->n ? w->at[t + k] : 0x7fff));
        }
        for (int64_t i = 0; i < n; i += 16) {
            __m256i x = load(size + i);
            for (int k = 0; k < AT_ONCE; k++)
                above[k] = _mm256_sub_epi16(above[k], _mm256_cmpgt_epi16(x, at[k]));
        }
        for (int k = 0; k < AT_ONCE && t + k < w->n; k++) {
            int32_t lane[8];
            _mm256_storeu_si256((__m256i *)lane, _mm256_madd_epi16(above[k], one));
            for (int j = 0; j < 8; j++)
                updated[w->which[t + k]] += lane[j];
        }
    }
}

/* A histogram of bytes of a run of strips, in a window of 16 classes. */
struct bytes_window {
    int64_t *count; /* of byte 0 */
    int first;      /* the window's first class */
    struct classes in;
};

AVX2 static void window_begin(struct bytes_window *w, int64_t *count)
{
    w->count = count;
    w->first = -CLASSES; /* none */
    classes_begin(&w->in);
}

/* Ends the window, and begins another that ends with `last`. */
AVX2 static void window_turn(struct bytes_window *w, int last)
{
    classes_end(&w->in);
    for (int k = 0; k < CLASSES; k++)
        if (w->in.count[k] > 0) /* a class before 0 is empty */
            w->count[w->first + k] += w->in.count[k];
    classes_begin(&w->in);
    w->first = last - (CLASSES - 1);
}

/* Counts n (a multiple of 32, at most STRIP) bytes: those in the window as classes, the others one by one.
 * The window should not end before last_wanted; where it has to be turned it ends one class above, so as not
 * to be turned often. byte has room for STRIP, and is overwritten. */
AVX2 static void window_add(struct bytes_window *w, uint8_t *byte, int64_t n, int last_wanted)
{
    if (last_wanted > w->first + CLASSES - 1)
        window_turn(w, last_wanted + 1);
    const __m256i first = _mm256_set1_epi8((char)w->first), last = _mm256_set1_epi8(CLASSES - 1);
    for (int64_t i = 0; i < n; i += 32) {
        __m256i x = load(byte + i), code = _mm256_sub_epi8(x, first); /* below comes round to the far end */
        __m256i in = _mm256_cmpeq_epi8(_mm256_max_epu8(code, last), last);
        for (uint32_t out = ~(uint32_t)_mm256_movemask_epi8(in); out; out &= out - 1)
            w->count[byte[i + __builtin_ctz(out)]]++;
        _mm256_storeu_si256((__m256i *)(byte + i), classes_index(code));
    }
    classes_add(&w->in, byte, n);
}

/* Exponents of n (a multiple of 32, at most STRIP) normal sizes, in no order. Packing puts elements out of
 * order, which does not matter to counts. */
AVX2 static void take_exponents(const uint16_t *size, int64_t n, uint8_t *byte)
{
    for (int64_t i = 0; i < n; i += 32) {
        __m256i code = _mm256_packus_epi16(_mm256_srli_epi16(load(size + i), 7),
                                           _mm256_srli_epi16(load(size + i + 16), 7));
        _mm256_storeu_si256((__m256i *)(byte + i), code);
    }
}

/* Histograms of a run of strips: exponents, and log2 of 16-bit steps. */
struct histograms {
    struct bytes_window exponents;
    struct classes steps;
    uint8_t index[STRIP];
};

/* 16 elements' steps from old to new: bit patterns on one line with both zeros at 0, the difference taken
 * modulo 2^16, where it fits. */
AVX2_INLINE __m256i steps_of(__m256i a, __m256i b)
{
    const __m256i magnitude = _mm256_set1_epi16(0x7fff), one = _mm256_set1_epi16(1);
    /* the bit set keeps a magnitude whose sign bit is all there is from being taken for one of sign 0 */
    a = _mm256_sign_epi16(_mm256_and_si256(a, magnitude), _mm256_or_si256(a, one));
    b = _mm256_sign_epi16(_mm256_and_si256(b, magnitude), _mm256_or_si256(b, one));
    return _mm256_sub_epi16(_mm256_max_epi16(a, b), _mm256_min_epi16(a, b));
}

/* log2 of the steps of n (a multiple of 32, at most STRIP) elements none of whose steps are 0: the greatest
 * of what its four bits at a time say. */
AVX2 static void count_steps(struct histograms *h, const uint16_t *old_bits, const uint16_t *new_bits,
                             int64_t n)
{
#define LOG2(from)                                                                                 \
    0, (from), (from) + 1, (from) + 1, (from) + 2, (from) + 2, (from) + 2, (from) + 2, (from) + 3, \
        (from) + 3, (from) + 3, (from) + 3, (from) + 3, (from) + 3, (from) + 3, (from) + 3
    const __m256i nibble = _mm256_set1_epi8(15), low_byte = _mm256_set1_epi16(255);
    const __m256i log_0 = _mm256_broadcastsi128_si256(_mm_setr_epi8(LOG2(0))),
                  log_1 = _mm256_broadcastsi128_si256(_mm_setr_epi8(LOG2(4))),
                  log_2 = _mm256_broadcastsi128_si256(_mm_setr_epi8(LOG2(8))),
                  log_3 = _mm256_broadcastsi128_si256(_mm_setr_epi8(LOG2(12)));
#undef LOG2
    for (int64_t i = 0; i < n; i += 32) {
        __m256i x = steps_of(load(old_bits + i), load(new_bits + i));
        __m256i y = steps_of(load(old_bits + i + 16), load(new_bits + i + 16));
        __m256i low = _mm256_packus_epi16(_mm256_and_si256(x, low_byte), _mm256_and_si256(y, low_byte)),
                high = _mm256_packus_epi16(_mm256_srli_epi16(x, 8), _mm256_srli_epi16(y, 8));
        __m256i log = _mm256_max_epu8(
            _mm256_max_epu8(_mm256_shuffle_epi8(log_0, _mm256_and_si256(low, nibble)),
                            _mm256_shuffle_epi8(log_1, _mm256_and_si256(_mm256_srli_epi16(low, 4), nibble))),
            _mm256_max_epu8(
                _mm256_shuffle_epi8(log_2, _mm256_and_si256(high, nibble)),
                _mm256_shuffle_epi8(log_3, _mm256_and_si256(_mm256_srli_epi16(high, 4), nibble))));
        _mm256_storeu_si256((__m256i *)(h->index + i), classes_index(log));
    }
    classes_add(&h->steps, h->index, n);
}

AVX2 static void add_bf16(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                          const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    uint16_t size[STRIP];
    struct histograms h;
    int64_t m = n - n % CHANGE_LANES;
    window_begin(&h.exponents, c->counts.exponents + (-127 - CHANGE_EXPONENT_0));
    classes_begin(&h.steps);
    for (int64_t i = 0; i < m; i += STRIP) {
        int64_t part = m - i < STRIP ? m - i : STRIP;
        struct change_span span;
        if (take_differences(old_bits + i, new_bits + i, part, size, &span) != 0) {
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
            take_exponents(size, part, h.index);
            window_add(&h.exponents, h.index, part, (int)(span.most >> 7));
        }
        count_steps(&h, old_bits + i, new_bits + i, part);
    }
    window_turn(&h.exponents, 0);
    classes_end(&h.steps);
    for (int k = 0; k < CLASSES; k++)
        c->counts.steps[1 + k] += h.steps.count[k];
    change_add_bf16_portable(c, lanes, old_bits + m, new_bits + m, n - m, limit, ntolerances);
}

/* ---- float32 ---- */

/* Bit patterns of 8 elements on one line, with both zeros at 0. */
AVX2_INLINE __m256i on_a_line(__m256i x)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), one = _mm256_set1_epi32(1);
    /* the bit set keeps a magnitude whose sign bit is all there is from being taken for one of sign 0 */
    return _mm256_sign_epi32(_mm256_and_si256(x, magnitude), _mm256_or_si256(x, one));
}

/* floor(log2(x)), where 0 < x < 2^31: the exponent of x as a float, of which all bits but the upper ones are
 * taken away first, so that it is not rounded up. */
AVX2_INLINE __m256i log2_32(__m256i x)
{
    x = _mm256_andnot_si256(_mm256_srli_epi32(x, 1), x);
    return _mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(x)), 23),
                            _mm256_set1_epi32(127));
}

/* Of 32 elements from `at` on: the sizes, bins, exponents and steps. Their least and greatest size, and the
 * greatest of the steps as bytes, go to the last three; *far: lanes whose sign bit is set where 2^31 steps or
 * more lie between. */
AVX2_INLINE void take_32(const uint32_t *old_bits, const uint32_t *new_bits, struct change_strip *s,
                         int64_t at, __m256i *far, __m256i *least, __m256i *most, __m256i *top)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i bin[4], log[4];
    for (int v = 0; v < 4; v++) {
        __m256i a = load(old_bits + at + 8 * v), b = load(new_bits + at + 8 * v);
        __m256i d = _mm256_castps_si256(_mm256_sub_ps(_mm256_castsi256_ps(b), _mm256_castsi256_ps(a)));
        d = _mm256_and_si256(d, magnitude);
        _mm256_storeu_si256((__m256i *)(s->size + at + 8 * v), d);
        *most = _mm256_max_epi32(*most, d);
        *least = _mm256_min_epi32(*least, d);
        bin[v] = _mm256_srli_epi32(d, CHANGE_SIZE_REST);
        a = on_a_line(a);
        b = on_a_line(b);
        __m256i steps = _mm256_sub_epi32(_mm256_max_epi32(a, b), _mm256_min_epi32(a, b));
        *far = _mm256_or_si256(*far, steps);
        log[v] = log2_32(steps);
    }
    __m256i x = _mm256_packus_epi32(bin[0], bin[1]), y = _mm256_packus_epi32(bin[2], bin[3]);
    _mm256_storeu_si256((__m256i *)(s->bin + at), x);
    _mm256_storeu_si256((__m256i *)(s->bin + at + 16), y);
    __m256i e = _mm256_packus_epi16(_mm256_srli_epi16(x, 8), _mm256_srli_epi16(y, 8));
    _mm256_storeu_si256((__m256i *)(s->exponent + at), e);
    e = _mm256_packs_epi16(_mm256_packs_epi32(log[0], log[1]), _mm256_packs_epi32(log[2], log[3]));
    _mm256_storeu_si256((__m256i *)(s->steps + at), e);
    *top = _mm256_max_epu8(*top, e);
}

/* Fills s from n (a multiple of 32) elements. most_steps: the greatest of these. Returns 0 where all
 * differences are normal, and fewer than 2^31 steps: then span tells the least and the greatest. -1: there
 * are others. */
AVX2 static int take_differences_32(const uint32_t *old_bits, const uint32_t *new_bits, int64_t n,
                                    struct change_strip *s, struct change_span *span, int *most_steps)
{
    __m256i most = _mm256_setzero_si256(), least = _mm256_set1_epi32(0x7fffffff), far = most, top = most;
    for (int64_t i = 0; i < n; i += 32)
        take_32(old_bits, new_bits, s, i, &far, &least, &most, &top);
    uint32_t lane[2][8];
    uint8_t byte[32];
    _mm256_storeu_si256((__m256i *)lane[0], most);
    _mm256_storeu_si256((__m256i *)lane[1], least);
    _mm256_storeu_si256((__m256i *)byte, top);
    *most_steps = 0;
    for (int k = 0; k < 32; k++)
        *most_steps = byte[k] > *most_steps ? byte[k] : *most_steps;
    if (_mm256_movemask_ps(_mm256_castsi256_ps(far)))
        return -1;
    return change_span_of_32(lane[0], lane[1], 8, span);
}

/* Adds n (a multiple of CHANGE_LANES) finite sizes to the lanes, half of them at a time. A square of 24
 * significant bits is exact, so that one rounding is all there is, as in the reference. */
AVX2 static void add_sums_32(struct change_lanes *lanes, const uint32_t *size, int64_t n)
{
    enum { VECTORS = CHANGE_LANES / 2 / 4 };
    for (int from = 0; from < CHANGE_LANES; from += CHANGE_LANES / 2) {
        __m256d abs[VECTORS], squares[VECTORS];
        for (int v = 0; v < VECTORS; v++) {
            abs[v] = _mm256_loadu_pd(lanes->abs + from + 4 * v);
            squares[v] = _mm256_loadu_pd(lanes->squares + from + 4 * v);
        }
        for (int64_t i = from; i < n; i += CHANGE_LANES)
            for (int v = 0; v < VECTORS; v++) {
                __m256d x =
                    _mm256_cvtps_pd(_mm_castsi128_ps(_mm_loadu_si128((const __m128i *)(size + i + 4 * v))));
                abs[v] = _mm256_add_pd(abs[v], x);
                squares[v] = _mm256_fmadd_pd(x, x, squares[v]);
            }
        for (int v = 0; v < VECTORS; v++) {
            _mm256_storeu_pd(lanes->abs + from + 4 * v, abs[v]);
            _mm256_storeu_pd(lanes->squares + from + 4 * v, squares[v]);
        }
    }
}

/* As count_updated. */
AVX2 static void count_updated_32(int64_t *updated, const uint32_t *size, int64_t n,
                                  const struct change_within *w)
{
    enum { AT_ONCE = 4 };
    for (int t = 0; t < w->n; t += AT_ONCE) {
        __m256i at[AT_ONCE], above[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            above[k] = _mm256_setzero_si256();
            at[k] = _mm256_set1_epi32((int)(t + k < w->n ? w->at[t + k] : 0x7fffffff));
        }
        for (int64_t i = 0; i < n; i += 8) {
            __m256i x = load(size + i);
            for (int k = 0; k < AT_ONCE; k++)
                above[k] = _mm256_sub_epi32(above[k], _mm256_cmpgt_epi32(x, at[k]));
        }
        for (int k = 0; k < AT_ONCE && t + k < w->n; k++) {
            int32_t lane[8];
            _mm256_storeu_si256((__m256i *)lane, above[k]);
            for (int j = 0; j < 8; j++)
                updated[w->which[t + k]] += lane[j];
        }
    }
}

AVX2 static void add_f32(struct change *c, struct change_lanes *lanes, const uint32_t *old_bits,
                         const uint32_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    struct change_strip s;
    struct bytes_window exponents, steps;
    int64_t m = n - n % CHANGE_LANES;
    window_begin(&exponents, c->counts.exponents + (-127 - CHANGE_EXPONENT_0));
    window_begin(&steps, c->counts.steps + 1);
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
            window_add(&exponents, s.exponent, part, (int)(span.most >> 23));
        window_add(&steps, s.steps, part, change_steps_end(most_steps) - 1);
    }
    window_turn(&exponents, 0);
    window_turn(&steps, 0);
    change_add_f32_portable(c, lanes, old_bits + m, new_bits + m, n - m, limit, ntolerances);
}

const struct change_loops change_avx2 = {
    .add_bf16 = add_bf16,
    .add_f32 = add_f32,
};

#endif
