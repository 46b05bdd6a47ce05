/* Codes: floating-point numbers of eight and four bits, and rows of them under scales as bf16; the inner
 * loops that decode them. Pure: no MPI, no files, no allocation. Every instruction set gives the same bits.
 *
 * Sources: OCP 8-bit Floating Point Specification (E4M3, E5M2) and OCP Microscaling Formats (E2M1, E8M0);
 * the kinds that end in FNUZ are those of the same names in torch. */
#ifndef SINEW_CODES_H
#define SINEW_CODES_H

#include "base/isa.h"
#include "elements/tensor.h"

#include <stdint.h>

/* The names say sign, exponent and mantissa bits. */
enum codes {
    CODES_E4M3,     /* bias 7; no Inf; NaN is 0x7f and 0xff; the largest is 448 */
    CODES_E5M2,     /* bias 15, as the upper half of an f16: with Inf and NaN */
    CODES_E4M3FNUZ, /* bias 8; no Inf; NaN is 0x80, so that there is no -0; the largest is 240 */
    CODES_E5M2FNUZ, /* bias 16; the same; the largest is 57344 */
    CODES_E2M1,     /* four bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives */
    CODES_KINDS
};

/* Local. The kind of codes of an element type; CODES_KINDS: it is none. */
enum codes codes_of(enum dtype t);

/* Local. Bits of a code. */
int codes_bits(enum codes kind);

/* Local. The number of a code (of E2M1 the low four bits). Exact. */
float codes_value(enum codes kind, uint8_t code);

/* Local. 2^(byte - 127), the number of an E8M0 scale; 255 gives Inf, which is what 2 to a power is. */
float codes_power(uint8_t byte);

/* Local. n scales as floats, exact but for F64, which is rounded. Types BF16, F16, F32, F64, F8_E4M3, U8 and
 * F8_E8M0 (powers of two; 255 of F8_E8M0 is NaN). in and out do not overlap. Returns 0, or -1 for another
 * type. */
int codes_scales(enum dtype t, const void *in, int64_t n, float *out);

/* Local. n codes under scales: out[i] = the number of code i times scales[i / group], one product in float
 * rounded once to bf16 to nearest even; a NaN is 0x7fc0. Codes of four bits lie two in a byte, the first in
 * the lower half; group is even then. scales: of each group that is begun. */
void codes_decode(enum isa isa, enum codes kind, const uint8_t *codes, int64_t n, const float *scales,
                  int64_t group, uint16_t *out);

/* Local. The same of `rows` rows of n codes each, one behind another, all under the scales of one: what is
 * made of a scale serves them all. Codes of four bits: n is even, or rows is 1. */
void codes_decode_rows(enum isa isa, enum codes kind, const uint8_t *codes, int64_t rows, int64_t n,
                       const float *scales, int64_t group, uint16_t *out);

#endif
