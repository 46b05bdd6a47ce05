/* The loops of entropy_lanes.h with NEON: eight float64 are four registers. */
#include "kernels/entropy/entropy_loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdint.h>

#define ENTROPY_TARGET
#define ENTROPY_INLINE static inline __attribute__((always_inline))
#define ENTROPY_LOOPS entropy_neon
#define ENTROPY_RANGE16 range16
#define ENTROPY_BY_HALVES

struct entropy_vector_neon {
    float64x2_t v[4];
};
typedef struct entropy_vector_neon vec;

#define EACH(expression)             \
    do {                             \
        vec out;                     \
        for (int i = 0; i < 4; i++)  \
            out.v[i] = (expression); \
        return out;                  \
    } while (0)

ENTROPY_INLINE vec vec_set(double x)
{
    EACH(vdupq_n_f64(x));
}

ENTROPY_INLINE vec vec_add(vec a, vec b)
{
    EACH(vaddq_f64(a.v[i], b.v[i]));
}

ENTROPY_INLINE vec vec_sub(vec a, vec b)
{
    EACH(vsubq_f64(a.v[i], b.v[i]));
}

ENTROPY_INLINE vec vec_mul(vec a, vec b)
{
    EACH(vmulq_f64(a.v[i], b.v[i]));
}

ENTROPY_INLINE vec vec_fma(vec a, vec b, vec c)
{
    EACH(vfmaq_f64(c.v[i], a.v[i], b.v[i]));
}

ENTROPY_INLINE vec vec_fms(vec a, vec b, vec c)
{
    EACH(vfmaq_f64(vnegq_f64(c.v[i]), a.v[i], b.v[i]));
}

/* Not the instruction for it, which has its own way with NaN. */
ENTROPY_INLINE vec vec_max(vec a, vec b)
{
    EACH(vbslq_f64(vcgtq_f64(a.v[i], b.v[i]), a.v[i], b.v[i]));
}

ENTROPY_INLINE vec vec_keep(vec p, vec d, vec low)
{
    EACH(vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(p.v[i]), vcgtq_f64(d.v[i], low.v[i]))));
}

ENTROPY_INLINE void vec_store(double *out, vec a)
{
    for (int i = 0; i < 4; i++)
        vst1q_f64(out + 2 * i, a.v[i]);
}

/* The eight roots are a table of 64 bytes, from which eight go to each lane. */
ENTROPY_INLINE vec vec_power(vec t)
{
    static const uint8_t lane_bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8},
                         byte_bytes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7};
    const uint8x16_t lane = vld1q_u8(lane_bytes), byte = vld1q_u8(byte_bytes), seven = vdupq_n_u8(7);
    const uint8_t *from = (const uint8_t *)entropy_table;
    const uint8x16x4_t roots = {
        {vld1q_u8(from), vld1q_u8(from + 16), vld1q_u8(from + 32), vld1q_u8(from + 48)}};
    vec out;
    for (int i = 0; i < 4; i++) {
        uint64x2_t bits = vreinterpretq_u64_f64(t.v[i]);
        uint8x16_t k = vandq_u8(vqtbl1q_u8(vreinterpretq_u8_u64(bits), lane), seven);
        uint8x16_t root = vqtbl4q_u8(roots, vorrq_u8(vshlq_n_u8(k, 3), byte));
        out.v[i] = vreinterpretq_f64_u64(vaddq_u64(vreinterpretq_u64_u8(root), vshlq_n_u64(bits, 49)));
    }
    return out;
}

ENTROPY_INLINE vec wide(float32x4_t low, float32x4_t high)
{
    return (vec){{vcvt_f64_f32(vget_low_f32(low)), vcvt_high_f64_f32(low), vcvt_f64_f32(vget_low_f32(high)),
                  vcvt_high_f64_f32(high)}};
}

ENTROPY_INLINE uint16x8_t eight_codes(int64_t code)
{
    static const uint16_t places[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    return vaddq_u16(vdupq_n_u16((uint16_t)code), vld1q_u16(places));
}

ENTROPY_INLINE vec vec_codes_bf16(int64_t code)
{
    uint16x8_t codes = eight_codes(code);
    return wide(vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(codes), 16)),
                vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(codes), 16)));
}

ENTROPY_INLINE vec vec_codes_f16(int64_t code)
{
    float16x8_t codes = vreinterpretq_f16_u16(eight_codes(code));
    return wide(vcvt_f32_f16(vget_low_f16(codes)), vcvt_high_f32_f16(codes));
}

ENTROPY_INLINE vec vec_half_f32(const float *x, int half)
{
    return wide(vld1q_f32(x + 8 * half), vld1q_f32(x + 8 * half + 4));
}

ENTROPY_INLINE vec vec_half_f64(const double *x, int half)
{
    EACH(vld1q_f64(x + 8 * half + 2 * i));
}

#undef EACH

/* ---- ranges of 16 bits ---- */

struct entropy_seen_neon {
    uint16x8_t u_least, u_most;
    int16x8_t s_most;
};
typedef struct entropy_seen_neon codes_seen;

ENTROPY_INLINE codes_seen codes_all(uint16_t code)
{
    return (codes_seen){vdupq_n_u16(code), vdupq_n_u16(code), vdupq_n_s16((int16_t)code)};
}

ENTROPY_INLINE codes_seen look(uint16x8_t x, codes_seen c)
{
    return (codes_seen){vminq_u16(c.u_least, x), vmaxq_u16(c.u_most, x),
                        vmaxq_s16(c.s_most, vreinterpretq_s16_u16(x))};
}

ENTROPY_INLINE codes_seen codes_look(const uint16_t *x, codes_seen c)
{
    for (int i = 0; i < 32; i += 8)
        c = look(vld1q_u16(x + i), c);
    return c;
}

ENTROPY_INLINE struct entropy_range codes_range(codes_seen c)
{
    return entropy_range_of(
        (struct entropy_codes){vminvq_u16(c.u_least), vmaxvq_u16(c.u_most), vmaxvq_s16(c.s_most)});
}

static struct entropy_range range16(const uint16_t *x, int64_t n)
{
    codes_seen c = codes_all(x[0]), d = c; /* two at once, since each waits for the one before */
    int64_t i = 0;
    for (; n - i >= 64; i += 64) {
        c = codes_look(x + i, c);
        d = codes_look(x + i + 32, d);
    }
    c = (codes_seen){vminq_u16(c.u_least, d.u_least), vmaxq_u16(c.u_most, d.u_most),
                     vmaxq_s16(c.s_most, d.s_most)};
    for (; i < n; i++)
        c = look(vdupq_n_u16(x[i]), c);
    return codes_range(c);
}

#include "kernels/entropy/entropy_lanes.h"

#endif
