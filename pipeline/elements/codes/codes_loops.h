/* Between codes.c and its loops; nobody else includes it. */
#ifndef SINEW_CODES_LOOPS_H
#define SINEW_CODES_LOOPS_H

#include "elements/codes/codes.h"

#include <string.h>

typedef void codes_loop(const uint8_t *codes, int64_t rows, int64_t n, const float *scales, int64_t group,
                        uint16_t *out);

struct codes_loops {
    codes_loop *decode[CODES_KINDS]; /* codes_decode_rows by kind; NULL: the portable one serves */
};

ISA_TABLES(struct codes_loops, codes);

/* The numbers of E2M1 in the order of their codes. */
#define CODES_E2M1_VALUES \
    0.F, .5F, 1.F, 1.5F, 2.F, 3.F, 4.F, 6.F, -0.F, -.5F, -1.F, -1.5F, -2.F, -3.F, -4.F, -6.F

/* Bits of the float equal to a code of eight bits: `mantissa` bits below an exponent of this bias. A
 * subnormal is its mantissa times a power of two, which is exact. Masks choose, so that loops over it become
 * vector code. Of what the kinds set apart (NaN, Inf) nothing is known here. */
static inline uint32_t codes_widen(uint32_t code, int mantissa, int bias)
{
    uint32_t sign = (code & 0x80u) << 24, magnitude = code & 0x7fu, tiny;
    float unit, small;
    const uint32_t unit_bits = (uint32_t)(127 + 1 - bias - mantissa) << 23;
    memcpy(&unit, &unit_bits, sizeof unit);
    small = (float)(int32_t)magnitude * unit;
    memcpy(&tiny, &small, sizeof tiny);
    uint32_t is_tiny = -(uint32_t)(magnitude < 1u << mantissa);
    uint32_t normal = (magnitude << (23 - mantissa)) + ((uint32_t)(127 - bias) << 23);
    return sign | (tiny & is_tiny) | (normal & ~is_tiny);
}

static inline float codes_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The bits of each kind. */
static inline uint32_t codes_bits_e4m3(uint32_t code)
{
    uint32_t is_nan = -(uint32_t)((code & 0x7fu) == 0x7fu);
    return (codes_widen(code, 3, 7) & ~is_nan) | (0x7fc00000u & is_nan);
}

static inline uint32_t codes_bits_e5m2(uint32_t code)
{
    uint32_t magnitude = code & 0x7fu, is_special = -(uint32_t)(magnitude >= 0x7cu);
    uint32_t special = 0x7f800000u | (0x00400000u & -(uint32_t)(magnitude > 0x7cu)) | (code & 0x80u) << 24;
    return (codes_widen(code, 2, 15) & ~is_special) | (special & is_special);
}

static inline uint32_t codes_bits_e4m3fnuz(uint32_t code)
{
    uint32_t is_nan = -(uint32_t)(code == 0x80u);
    return (codes_widen(code, 3, 8) & ~is_nan) | (0x7fc00000u & is_nan);
}

static inline uint32_t codes_bits_e5m2fnuz(uint32_t code)
{
    uint32_t is_nan = -(uint32_t)(code == 0x80u);
    return (codes_widen(code, 2, 16) & ~is_nan) | (0x7fc00000u & is_nan);
}

#endif
