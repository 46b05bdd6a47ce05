/* The plain loops of tensor_to_compare: the reference. */
#include "elements/convert/convert_loops.h"

static void f32_to_bf16(const uint32_t *in, int64_t n, uint16_t *out)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++)
        out[i] = convert_narrow(in[i]);
}

static void f16_to_bf16(const uint16_t *in, int64_t n, uint16_t *out)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++)
        out[i] = convert_narrow(convert_widen_half(in[i]));
}

static void f16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++)
        out[i] = convert_widen_half(in[i]);
}

static void bf16_to_f32(const uint16_t *in, int64_t n, uint32_t *out)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++)
        out[i] = (uint32_t)in[i] << 16;
}

const struct convert_loops convert_portable = {
    .f32_to_bf16 = f32_to_bf16,
    .f16_to_bf16 = f16_to_bf16,
    .f16_to_f32 = f16_to_f32,
    .bf16_to_f32 = bf16_to_f32,
};
