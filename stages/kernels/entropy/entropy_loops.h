/* Between entropy.c and its loops; nobody else includes it. All give the same bits: the same operations on
 * the same sixteen lanes in the same order, with the same fused multiply-adds. */
#ifndef SINEW_ENTROPY_LOOPS_H
#define SINEW_ENTROPY_LOOPS_H

#include "kernels/entropy/entropy.h"

#include <stdint.h>

enum {
    ENTROPY_LANES = 16,
    ENTROPY_BLOCK = 1024,    /* logits */
    ENTROPY_CODES = 1 << 16, /* that 16 bits have */
    ENTROPY_SCALED = 92      /* tables hold probabilities times 2 to this, which is about exp(64) */
};

/* 2^(k/8) as the bits of a float64, less k << 49 (entropy_lanes.h) */
static const uint64_t entropy_table[8] = {0x3ff0000000000000, 0x3fef72b83c7d517b, 0x3fef06fe0a31b715,
                                          0x3feebfdad5362a27, 0x3feea09e667f3bcd, 0x3feeace5422aa0db,
                                          0x3feee89f995ad3ad, 0x3fef5818dcfba487};

/* What turns a logit into its probability relative to that of top: d = logit - top, at least low;
 * exp(d / temperature) = 2^(d (c + c_lo) / 8). What is at low or below it contributes nothing. */
struct entropy_scale {
    double top, low, c, c_lo;
};

/* Bits as integers of the same order as the values: sign and magnitude to two's complement, -0 below 0. */
struct entropy_range {
    int64_t least, most; /* of 16 bits where all logits are without a sign: least is 0 */
};

/* Codes of 16 bits as they are, unsigned (u) and signed (s): of the logits without a sign the extreme is
 * s_most, of those with one, in which the order is that of the magnitude, u_least and u_most. */
struct entropy_codes {
    uint16_t u_least, u_most;
    int16_t s_most;
};

static inline struct entropy_range entropy_range_of(struct entropy_codes c)
{
    struct entropy_range r;
    r.least = (int16_t)c.u_most < 0 ? (int16_t)(c.u_most ^ 0x7fff) : 0;
    r.most = c.s_most < 0 ? (int16_t)(c.u_least ^ 0x7fff) : c.s_most;
    return r;
}

struct entropy_loops {
    /* Of n >= 1 logits. */
    struct entropy_range (*range16)(const uint16_t *x, int64_t n);
    struct entropy_range (*range32)(const uint32_t *x, int64_t n);
    struct entropy_range (*range64)(const uint64_t *x, int64_t n);
    /* The table of all codes, for probabilities relative to that of w->top, times 2^ENTROPY_SCALED. What
     * stands for NaN, or is far above top, has any value. */
    void (*tabulate_bf16)(struct entropy_sums *table, const struct entropy_scale *w);
    void (*tabulate_f16)(struct entropy_sums *table, const struct entropy_scale *w);
    /* n logits, a multiple of 32, not 0, into the sums. Returns the range of n codes ahead, which is found
     * while the table answers; as many far ahead are asked for. */
    struct entropy_range (*add_codes)(const uint16_t *x, int64_t n, const struct entropy_sums *table,
                                      const uint16_t *ahead, const void *far, struct entropy_sums *sums);
    /* n logits, a multiple of 32, not 0, into the sums. clamp: some may be at w->low or below. ahead: as many
     * bytes to be asked for. */
    void (*add_f32)(const float *x, int64_t n, const struct entropy_scale *w, int clamp, const void *ahead,
                    struct entropy_sums *sums);
    void (*add_f64)(const double *x, int64_t n, const struct entropy_scale *w, int clamp, const void *ahead,
                    struct entropy_sums *sums);
};

ISA_TABLES(struct entropy_loops, entropy);

#endif
