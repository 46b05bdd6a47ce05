#include "elements/codes/codes.h"

#include "elements/codes/codes_loops.h"

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(codes_avx512),
    ISA_ROW_AVX2(codes_avx2),
    ISA_ROW_NEON(codes_neon),
    ISA_ROW_PORTABLE(codes_portable),
};

enum codes codes_of(enum dtype t)
{
    switch (t) {
    case DTYPE_F8_E4M3:
        return CODES_E4M3;
    case DTYPE_F8_E5M2:
        return CODES_E5M2;
    case DTYPE_F8_E4M3FNUZ:
        return CODES_E4M3FNUZ;
    case DTYPE_F8_E5M2FNUZ:
        return CODES_E5M2FNUZ;
    default:
        return CODES_KINDS;
    }
}

int codes_bits(enum codes kind)
{
    return kind == CODES_E2M1 ? 4 : 8;
}

float codes_value(enum codes kind, uint8_t code)
{
    static const float e2m1[16] = {CODES_E2M1_VALUES};
    switch (kind) {
    case CODES_E4M3:
        return codes_float(codes_bits_e4m3(code));
    case CODES_E5M2:
        return codes_float(codes_bits_e5m2(code));
    case CODES_E4M3FNUZ:
        return codes_float(codes_bits_e4m3fnuz(code));
    case CODES_E5M2FNUZ:
        return codes_float(codes_bits_e5m2fnuz(code));
    default:
        return e2m1[code & 15];
    }
}

float codes_power(uint8_t byte)
{
    return codes_float(byte == 0 ? 0x00400000u : (uint32_t)byte << 23); /* 2^-127 is subnormal */
}

static void powers(const uint8_t *in, int64_t n, int has_nan, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = has_nan && in[i] == 255 ? codes_float(0x7fc00000u) : codes_power(in[i]);
}

int codes_scales(enum dtype t, const void *in, int64_t n, float *out)
{
    if (n <= 0)
        return 0;
    if (t == DTYPE_U8 || t == DTYPE_F8_E8M0)
        powers(in, n, t == DTYPE_F8_E8M0, out);
    else if (t == DTYPE_F8_E4M3)
        for (int64_t i = 0; i < n; i++)
            out[i] = codes_float(codes_bits_e4m3(((const uint8_t *)in)[i]));
    else if (dtype_is_compared(t))
        tensor_to_compare(ARITHMETIC_F32, t, in, n, out);
    else
        return -1;
    return 0;
}

void codes_decode_rows(enum isa isa, enum codes kind, const uint8_t *codes, int64_t rows, int64_t n,
                       const float *scales, int64_t group, uint16_t *out)
{
    const struct codes_loops *loops = isa_choose(sets, isa);
    codes_loop *decode = loops->decode[kind];
    (decode ? decode : codes_portable.decode[kind])(codes, rows, n, scales, group, out);
}

void codes_decode(enum isa isa, enum codes kind, const uint8_t *codes, int64_t n, const float *scales,
                  int64_t group, uint16_t *out)
{
    codes_decode_rows(isa, kind, codes, 1, n, scales, group, out);
}
