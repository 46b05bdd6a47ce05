#include "elements/convert/convert.h"

#include "elements/convert/convert_loops.h"

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(convert_avx512),
    ISA_ROW_AVX2(convert_avx2),
    ISA_ROW_NEON(convert_neon),
    ISA_ROW_PORTABLE(convert_portable),
};

/* Each element is half as wide as the one it comes from, or a quarter: never in place. */
static void f64_to_f32(const double *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)in[i];
}

static void f64_to_bf16(const double *in, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = bf16_from_float((float)in[i]);
}

void convert_to_compare(enum isa isa, enum arithmetic a, enum dtype t, const void *in, int64_t n, void *out)
{
    const struct convert_loops *loops = isa_choose(sets, isa);
    if (n <= 0)
        return;
    if (a == ARITHMETIC_BF16 && t == DTYPE_F32)
        loops->f32_to_bf16(in, n, out);
    else if (a == ARITHMETIC_BF16 && t == DTYPE_F16)
        loops->f16_to_bf16(in, n, out);
    else if (t == DTYPE_F64 && a == ARITHMETIC_BF16)
        f64_to_bf16(in, n, out);
    else if (t == DTYPE_F64)
        f64_to_f32(in, n, out);
    else if (a == ARITHMETIC_F32 && t == DTYPE_F16)
        loops->f16_to_f32(in, n, out);
    else if (a == ARITHMETIC_F32 && t == DTYPE_BF16)
        loops->bf16_to_f32(in, n, out);
    else if (in != out)
        memcpy(out, in, (size_t)n * (size_t)arithmetic_bytes(a));
}
