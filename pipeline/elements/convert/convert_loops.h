/* Between tensor_to_compare (tensor.c) and its loops; nobody else includes it, but who has floats to narrow
 * within loops of its own. */
#ifndef SINEW_CONVERT_LOOPS_H
#define SINEW_CONVERT_LOOPS_H

#include "base/isa.h"

#include <stdint.h>
#include <string.h>

/* n bit patterns each, as tensor_to_compare has it. An element is read before it is written at the same
 * place, so in and out may be one buffer where both are as wide. */
struct convert_loops {
    void (*f32_to_bf16)(const uint32_t *in, int64_t n, uint16_t *out);
    void (*f16_to_bf16)(const uint16_t *in, int64_t n, uint16_t *out);
    void (*f16_to_f32)(const uint16_t *in, int64_t n, uint32_t *out);
    void (*bf16_to_f32)(const uint16_t *in, int64_t n, uint32_t *out);
};

ISA_TABLES(struct convert_loops, convert);

/* ---- one element; branch-free, so that loops over it become vector code ---- */

/* A float as bf16, to nearest even: adding 0x7fff, and one more where the kept part is odd, carries exactly
 * when the value must go up. A finite value beyond the largest bf16 becomes Inf that way, and Inf stays Inf;
 * a NaN could be carried over and is set apart. */
static inline uint16_t convert_narrow(uint32_t u)
{
    uint32_t up = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : up);
}

/* Bits of the float equal to an f16: the exponent's bias grows by 112; Inf and NaN (made quiet) take the
 * largest exponent; a subnormal is its mantissa times 2^-24, which is exact in float. Masks choose, since gcc
 * makes no vector code of a float operation that stands in a branch. */
static inline uint32_t convert_widen_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu, moved = magnitude << 13, tiny;
    uint32_t normal = moved + (112u << 23);
    uint32_t special = moved | 0x7f800000u | (magnitude > 0x7c00u ? 0x00400000u : 0u);
    const float small = (float)(int32_t)magnitude * 0x1p-24f;
    memcpy(&tiny, &small, sizeof tiny);
    uint32_t is_special = -(uint32_t)(magnitude >= 0x7c00u), is_tiny = -(uint32_t)(magnitude < 0x0400u);
    return sign | (special & is_special) | (tiny & is_tiny) | (normal & ~(is_special | is_tiny));
}

#endif
