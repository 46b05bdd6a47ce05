/* The NEON loops of change.c. Each gives the very bits of the portable one: integer counts, and sums in the
 * same lanes. Histograms are counted one element at a time, in several arrays in turn, so that an element
 * seldom waits for the one before. */
#include "kernels/change/change_loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    STRIP = CHANGE_STRIP,
    HALF = CHANGE_LANES / 2, /* lanes whose sums fit the registers */
    VECTORS = HALF / 2,
    LEAST = 4 * CHANGE_LANES, /* elements: for fewer the histograms take longer than what they save */
    WAYS = 4,
    EXPONENTS = 256,
    STEPS = 64 /* bits that a number of steps has, and more */
};

struct change_histograms_neon {
    int64_t exponents[WAYS][EXPONENTS], steps[WAYS][STEPS];
};

/* Counts n (a multiple of WAYS) bytes. */
INLINE void count_exponents(struct change_histograms_neon *h, const uint8_t *exponent, int64_t n)
{
    for (int64_t i = 0; i < n; i += WAYS)
        for (int k = 0; k < WAYS; k++)
            h->exponents[k][exponent[i + k]]++;
}

INLINE void count_steps(struct change_histograms_neon *h, const uint8_t *steps, int64_t n)
{
    for (int64_t i = 0; i < n; i += WAYS)
        for (int k = 0; k < WAYS; k++)
            h->steps[k][steps[i + k]]++;
}

static void histograms_end(const struct change_histograms_neon *h, struct change_counts *c)
{
    enum { FIRST = 1, INFINITE = 255, MOST_STEPS = 32 };
    for (int k = 0; k < WAYS; k++) {
        for (int e = FIRST; e < INFINITE; e++) /* normal differences alone */
            c->exponents[e - 127 - CHANGE_EXPONENT_0] += h->exponents[k][e];
        for (int s = 0; s <= MOST_STEPS; s++)
            c->steps[s] += h->steps[k][s];
    }
}

/* The sums of half the lanes. */
struct change_sums_neon {
    float64x2_t abs[VECTORS], squares[VECTORS];
};

INLINE struct change_sums_neon sums_load(const struct change_lanes *lanes, int from)
{
    struct change_sums_neon s;
    for (int v = 0; v < VECTORS; v++) {
        s.abs[v] = vld1q_f64(lanes->abs + from + 2 * v);
        s.squares[v] = vld1q_f64(lanes->squares + from + 2 * v);
    }
    return s;
}

INLINE void sums_store(struct change_sums_neon s, struct change_lanes *lanes, int from)
{
    for (int v = 0; v < VECTORS; v++) {
        vst1q_f64(lanes->abs + from + 2 * v, s.abs[v]);
        vst1q_f64(lanes->squares + from + 2 * v, s.squares[v]);
    }
}

/* Adds four sizes to the sums of vectors v and v + 1. The square of a float is exact in a double, so that one
 * rounding is all there is, as in the reference. */
INLINE void sums_add(struct change_sums_neon *s, int v, float32x4_t x)
{
    const float64x2_t low = vcvt_f64_f32(vget_low_f32(x)), high = vcvt_high_f64_f32(x);
    s->abs[v] = vaddq_f64(s->abs[v], low);
    s->squares[v] = vfmaq_f64(s->squares[v], low, low);
    s->abs[v + 1] = vaddq_f64(s->abs[v + 1], high);
    s->squares[v + 1] = vfmaq_f64(s->squares[v + 1], high, high);
}

/* ---- bf16 ---- */

/* What is known of a strip's elements: |new - old| as 15 bits, in order. */
struct change_strip_neon {
    uint16_t size[STRIP];
    uint8_t exponent[STRIP], steps[STRIP];
};

INLINE float32x4_t wide(uint16x4_t bits)
{
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

/* b - a of four bf16 each, rounded to bf16, to nearest, ties to even. */
INLINE uint16x4_t difference(uint16x4_t a, uint16x4_t b)
{
    const uint32x4_t x = vreinterpretq_u32_f32(vsubq_f32(wide(b), wide(a)));
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(x, 16), vdupq_n_u32(1));
    return vshrn_n_u32(vaddq_u32(vaddq_u32(x, vdupq_n_u32(0x7fff)), odd), 16);
}

/* Bit patterns as sign and magnitude on one line, with both zeros at 0. */
INLINE int16x8_t on_a_line(uint16x8_t x)
{
    const int16x8_t sign = vshrq_n_s16(vreinterpretq_s16_u16(x), 15),
                    size = vreinterpretq_s16_u16(vandq_u16(x, vdupq_n_u16(0x7fff)));
    return vsubq_s16(veorq_s16(size, sign), sign);
}

/* Fills s from n (a multiple of 8) elements. Returns 0 where all differences are normal: then span tells the
 * least and the greatest. -1: there are others. */
static int take_differences(const uint16_t *old_bits, const uint16_t *new_bits, int64_t n,
                            struct change_strip_neon *s, struct change_span *span)
{
    const uint16x8_t magnitude = vdupq_n_u16(0x7fff);
    uint16x8_t most = vdupq_n_u16(0), least = magnitude;
    for (int64_t i = 0; i < n; i += 8) {
        const uint16x8_t a = vld1q_u16(old_bits + i), b = vld1q_u16(new_bits + i);
        const uint16x8_t d = vandq_u16(vcombine_u16(difference(vget_low_u16(a), vget_low_u16(b)),
                                                    difference(vget_high_u16(a), vget_high_u16(b))),
                                       magnitude);
        /* The distance is below 2^16, and right without a sign. */
        const uint16x8_t steps = vreinterpretq_u16_s16(vabdq_s16(on_a_line(a), on_a_line(b)));
        vst1q_u16(s->size + i, d);
        vst1_u8(s->exponent + i, vshrn_n_u16(d, 7));
        vst1_u8(s->steps + i, vmovn_u16(vsubq_u16(vdupq_n_u16(16), vclzq_u16(steps))));
        most = vmaxq_u16(most, d);
        least = vminq_u16(least, d);
    }
    uint16_t lane[2][8];
    vst1q_u16(lane[0], most);
    vst1q_u16(lane[1], least);
    return change_span_of_16(lane[0], lane[1], 8, span);
}

static void add_sums(struct change_lanes *lanes, const uint16_t *size, int64_t n)
{
    for (int from = 0; from < CHANGE_LANES; from += HALF) {
        struct change_sums_neon s = sums_load(lanes, from);
        for (int64_t i = from; i < n; i += CHANGE_LANES)
            for (int v = 0; v < VECTORS; v += 2)
                sums_add(&s, v, wide(vld1_u16(size + i + 2 * v)));
        sums_store(s, lanes, from);
    }
}

/* Counts sizes above the tolerances that lie within their span. A lane meets at most STRIP / 8 of them. */
static void count_updated(int64_t *updated, const uint16_t *size, int64_t n, const struct change_within *w)
{
    for (int t = 0; t < w->n; t++) {
        const uint16x8_t at = vdupq_n_u16((uint16_t)w->at[t]);
        uint16x8_t above = vdupq_n_u16(0);
        for (int64_t i = 0; i < n; i += 8)
            above = vsubq_u16(above, vcgtq_u16(vld1q_u16(size + i), at));
        updated[w->which[t]] += vaddlvq_u16(above);
    }
}

static void add_strips(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                       const uint16_t *new_bits, int64_t m, const float *limit, int ntolerances)
{
    struct change_strip_neon s;
    struct change_histograms_neon h;
    memset(&h, 0, sizeof h);
    for (int64_t i = 0; i < m; i += STRIP) {
        const int64_t part = m - i < STRIP ? m - i : STRIP;
        struct change_span span;
        if (take_differences(old_bits + i, new_bits + i, part, &s, &span) != 0) {
            change_add_bf16_portable(c, lanes, old_bits + i, new_bits + i, part, limit, ntolerances);
            continue;
        }
        add_sums(lanes, s.size, part);
        const struct change_within within =
            change_add_span(c, ARITHMETIC_BF16, span, part, limit, lanes->sizes ? 0 : ntolerances);
        if (lanes->sizes) {
            change_count_sizes(lanes->sizes, s.size, part, CHANGE_WAYS_BF16, span.least, span.most);
        } else {
            count_updated(c->counts.updated, s.size, part, &within);
            count_exponents(&h, s.exponent, part);
        }
        count_steps(&h, s.steps, part);
    }
    histograms_end(&h, &c->counts);
}

static void add_bf16(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                     const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    const int64_t m = n < LEAST ? 0 : n - n % CHANGE_LANES;
    if (m > 0)
        add_strips(c, lanes, old_bits, new_bits, m, limit, ntolerances);
    change_add_bf16_portable(c, lanes, old_bits + m, new_bits + m, n - m, limit, ntolerances);
}

/* ---- float32 ---- */

INLINE int32x4_t on_a_line_32(uint32x4_t x)
{
    const int32x4_t sign = vshrq_n_s32(vreinterpretq_s32_u32(x), 31),
                    size = vreinterpretq_s32_u32(vandq_u32(x, vdupq_n_u32(0x7fffffff)));
    return vsubq_s32(veorq_s32(size, sign), sign);
}

/* Of four elements the sizes; bins, exponents and steps as 16 bits each. */
struct change_four_neon {
    uint32x4_t size;
    uint16x4_t bin, exponent, steps;
};

INLINE struct change_four_neon four_of(const uint32_t *old_bits, const uint32_t *new_bits)
{
    const uint32x4_t a = vld1q_u32(old_bits), b = vld1q_u32(new_bits);
    const float32x4_t d = vsubq_f32(vreinterpretq_f32_u32(b), vreinterpretq_f32_u32(a));
    const uint32x4_t size = vandq_u32(vreinterpretq_u32_f32(d), vdupq_n_u32(0x7fffffff)),
                     steps = vreinterpretq_u32_s32(vabdq_s32(on_a_line_32(a), on_a_line_32(b)));
    return (struct change_four_neon){size, vmovn_u32(vshrq_n_u32(size, CHANGE_SIZE_REST)),
                                     vmovn_u32(vshrq_n_u32(size, 23)),
                                     vmovn_u32(vsubq_u32(vdupq_n_u32(32), vclzq_u32(steps)))};
}

/* As take_differences. */
static int take_differences_32(const uint32_t *old_bits, const uint32_t *new_bits, int64_t n,
                               struct change_strip *s, struct change_span *span)
{
    uint32x4_t most = vdupq_n_u32(0), least = vdupq_n_u32(0x7fffffff);
    for (int64_t i = 0; i < n; i += 8) {
        const struct change_four_neon x = four_of(old_bits + i, new_bits + i),
                                      y = four_of(old_bits + i + 4, new_bits + i + 4);
        vst1q_u32(s->size + i, x.size);
        vst1q_u32(s->size + i + 4, y.size);
        vst1q_u16(s->bin + i, vcombine_u16(x.bin, y.bin));
        vst1_u8(s->exponent + i, vmovn_u16(vcombine_u16(x.exponent, y.exponent)));
        vst1_u8(s->steps + i, vmovn_u16(vcombine_u16(x.steps, y.steps)));
        most = vmaxq_u32(most, vmaxq_u32(x.size, y.size));
        least = vminq_u32(least, vminq_u32(x.size, y.size));
    }
    uint32_t lane[2][4];
    vst1q_u32(lane[0], most);
    vst1q_u32(lane[1], least);
    return change_span_of_32(lane[0], lane[1], 4, span);
}

static void add_sums_32(struct change_lanes *lanes, const uint32_t *size, int64_t n)
{
    for (int from = 0; from < CHANGE_LANES; from += HALF) {
        struct change_sums_neon s = sums_load(lanes, from);
        for (int64_t i = from; i < n; i += CHANGE_LANES)
            for (int v = 0; v < VECTORS; v += 2)
                sums_add(&s, v, vreinterpretq_f32_u32(vld1q_u32(size + i + 2 * v)));
        sums_store(s, lanes, from);
    }
}

static void count_updated_32(int64_t *updated, const uint32_t *size, int64_t n, const struct change_within *w)
{
    for (int t = 0; t < w->n; t++) {
        const uint32x4_t at = vdupq_n_u32(w->at[t]);
        uint32x4_t above = vdupq_n_u32(0);
        for (int64_t i = 0; i < n; i += 4)
            above = vsubq_u32(above, vcgtq_u32(vld1q_u32(size + i), at));
        updated[w->which[t]] += (int64_t)vaddlvq_u32(above);
    }
}

static void add_strips_32(struct change *c, struct change_lanes *lanes, const uint32_t *old_bits,
                          const uint32_t *new_bits, int64_t m, const float *limit, int ntolerances)
{
    struct change_strip s;
    struct change_histograms_neon h;
    memset(&h, 0, sizeof h);
    for (int64_t i = 0; i < m; i += STRIP) {
        const int64_t part = m - i < STRIP ? m - i : STRIP;
        struct change_span span;
        if (take_differences_32(old_bits + i, new_bits + i, part, &s, &span) != 0) {
            change_add_f32_portable(c, lanes, old_bits + i, new_bits + i, part, limit, ntolerances);
            continue;
        }
        add_sums_32(lanes, s.size, part);
        const struct change_within within =
            change_add_span(c, ARITHMETIC_F32, span, part, limit, ntolerances);
        count_updated_32(c->counts.updated, s.size, part, &within);
        if (lanes->sizes)
            change_count_sizes(lanes->sizes, s.bin, part, CHANGE_WAYS_F32, span.least >> CHANGE_SIZE_REST,
                               span.most >> CHANGE_SIZE_REST);
        else
            count_exponents(&h, s.exponent, part);
        count_steps(&h, s.steps, part);
    }
    histograms_end(&h, &c->counts);
}

static void add_f32(struct change *c, struct change_lanes *lanes, const uint32_t *old_bits,
                    const uint32_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    const int64_t m = n < LEAST ? 0 : n - n % CHANGE_LANES;
    if (m > 0)
        add_strips_32(c, lanes, old_bits, new_bits, m, limit, ntolerances);
    change_add_f32_portable(c, lanes, old_bits + m, new_bits + m, n - m, limit, ntolerances);
}

const struct change_loops change_neon = {.add_bf16 = add_bf16, .add_f32 = add_f32};

#endif
