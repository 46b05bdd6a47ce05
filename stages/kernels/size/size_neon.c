/* The loops of size_lanes.h with NEON. */
#include "kernels/size/size_loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define SIZE_TARGET
#define SIZE_INLINE static inline __attribute__((always_inline))
#define SIZE_TABLE size_neon

enum { VEC_WIDTH = 2, SIZE_AT_ONCE = 8 };

typedef float64x2_t vec;

static inline vec vec_load(const double *from)
{
    return vld1q_f64(from);
}

static inline void vec_store(double *to, vec a)
{
    vst1q_f64(to, a);
}

static inline vec vec_add(vec a, vec b)
{
    return vaddq_f64(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return vsubq_f64(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return vmulq_f64(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return vfmaq_f64(c, a, b);
}

static inline vec vec_fms(vec a, vec b, vec c)
{
    return vfmaq_f64(vnegq_f64(c), a, b);
}

static inline vec vec_f32(const uint32_t *bits)
{
    return vcvt_f64_f32(vreinterpret_f32_u32(vld1_u32(bits)));
}

/* Four bf16 as two words, of which the first element is the lower half. */
static inline uint32x2_t words_of(const uint16_t *bits)
{
    return vreinterpret_u32_u16(vld1_u16(bits));
}

static inline vec vec_even(const uint16_t *bits)
{
    return vcvt_f64_f32(vreinterpret_f32_u32(vshl_n_u32(words_of(bits), 16)));
}

static inline vec vec_odd(const uint16_t *bits)
{
    return vcvt_f64_f32(vreinterpret_f32_u32(vand_u32(words_of(bits), vdup_n_u32(0xffff0000))));
}

static inline int finite_bf16(const uint16_t *bits)
{
    const uint16x8_t infinite = vdupq_n_u16(0x7f80);
    uint16x8_t any = vdupq_n_u16(0);
    for (int k = 0; k < SIZE_LANES; k += 8)
        any = vorrq_u16(any, vceqq_u16(vandq_u16(vld1q_u16(bits + k), infinite), infinite));
    return vmaxvq_u16(any) == 0;
}

static inline int finite_f32(const uint32_t *bits)
{
    const uint32x4_t infinite = vdupq_n_u32(0x7f800000);
    uint32x4_t any = vdupq_n_u32(0);
    for (int k = 0; k < SIZE_LANES; k += 4)
        any = vorrq_u32(any, vceqq_u32(vandq_u32(vld1q_u32(bits + k), infinite), infinite));
    return vmaxvq_u32(any) == 0;
}

#endif

#include "kernels/size/size_lanes.h"
