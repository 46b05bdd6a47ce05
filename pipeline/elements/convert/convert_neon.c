/* The NEON loops of tensor_to_compare. */
#include "elements/convert/convert_loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* Four floats as bf16, as convert_narrow has it. */
static inline uint16x4_t narrow_4(float32x4_t x)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), up, vdupq_n_u32(0x7fc00000)), 16);
}

static void f32_to_bf16(const uint32_t *in, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x4_t low = narrow_4(vreinterpretq_f32_u32(vld1q_u32(in + i))),
                         high = narrow_4(vreinterpretq_f32_u32(vld1q_u32(in + i + 4)));
        vst1q_u16(out + i, vcombine_u16(low, high));
    }
    convert_portable.f32_to_bf16(in + i, n - i, out + i);
}

static inline float32x4_t halves(uint16x4_t in)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(in));
}

static void f16_to_bf16(const uint16_t *in, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x8_t x = vld1q_u16(in + i);
        const uint16x4_t low = narrow_4(halves(vget_low_u16(x))), high = narrow_4(halves(vget_high_u16(x)));
        vst1q_u16(out + i, vcombine_u16(low, high));
    }
    convert_portable.f16_to_bf16(in + i, n - i, out + i);
}

static void f16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_u32(out + i, vreinterpretq_u32_f32(halves(vld1_u16(in + i))));
    convert_portable.f16_to_f32(in + i, n - i, out + i);
}

static void bf16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_u32(out + i, vshll_n_u16(vld1_u16(in + i), 16));
    convert_portable.bf16_to_f32(in + i, n - i, out + i);
}

const struct convert_loops convert_neon = {
    .f32_to_bf16 = f32_to_bf16,
    .f16_to_bf16 = f16_to_bf16,
    .f16_to_f32 = f16_to_f32,
    .bf16_to_f32 = bf16_to_f32,
};

#endif
