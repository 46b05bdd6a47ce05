/* The inner loops of entropy.c, once for each instruction set. All give the same bits: the same operations on
 * the same sixteen lanes in the same order, with the same fused multiply-adds. For the kernel alone. */
#ifndef SINEW_ENTROPY_LOOPS_H
#define SINEW_ENTROPY_LOOPS_H

#include <stdint.h>

enum {
    ENTROPY_LANES = 16,
    ENTROPY_BLOCK = 4096,    /* logits of 16 bits; of more bits half as many */
    ENTROPY_CODES = 1 << 16, /* counters of one of the two tables */
};

/* 2^(k/8) as the bits of a float64, less k << 49 (entropy_lanes.h) */
static const uint64_t entropy_table[8] = {0x3ff0000000000000, 0x3fef72b83c7d517b, 0x3fef06fe0a31b715,
                                          0x3feebfdad5362a27, 0x3feea09e667f3bcd, 0x3feeace5422aa0db,
                                          0x3feee89f995ad3ad, 0x3fef5818dcfba487};

/* What turns a logit into its probability relative to that of top, the largest or one hardly less: d = logit
 * - top, at least low; exp(d / temperature) = 2^(d (c + c_lo) / 8). What is at low or below it contributes
 * nothing.
 */
struct entropy_scale {
    double top, low, c, c_lo;
};

/* Of probabilities relative to that of top, p = exp(d / temperature): sum of p, sum of d p. */
struct entropy_sums {
    double p, dp;
};

/* Bits as integers of the same order as the values: sign and magnitude to two's complement, -0 below 0. */
struct entropy_range {
    int64_t least, most;
    int64_t smallest; /* magnitude bits, of 16-bit logits alone */
};

/* Codes of 16 bits as they are, unsigned (u) and signed (s): of the logits without a sign the extremes are
 * u_least and s_most, of those with one, in which the order is that of the magnitude, s_least and u_most. */
struct entropy_codes {
    uint16_t u_least, u_most;
    int16_t s_least, s_most;
};

static inline struct entropy_range entropy_range_of(struct entropy_codes c)
{
    struct entropy_range r;
    r.least = c.s_least < 0 ? (int16_t)(c.u_most ^ 0x7fff) : c.u_least;
    r.most = c.s_most < 0 ? c.s_least ^ 0x7fff : c.s_most;
    r.smallest = c.s_least < 0 ? c.s_least & 0x7fff : c.u_least;
    if (c.s_most >= 0 && c.u_least < r.smallest)
        r.smallest = c.u_least;
    return r;
}

struct entropy_loops {
    /* Of n >= 1 logits. */
    struct entropy_range (*range16)(const uint16_t *x, int64_t n);
    struct entropy_range (*range32)(const uint32_t *x, int64_t n);
    struct entropy_range (*range64)(const uint64_t *x, int64_t n);
    /* n logits, a multiple of 16, at least 32, into the sums; with 16 bits n others into the counters. clamp:
     * some may be at w->low or below. ahead: as many bytes to be read next. */
    void (*add_bf16)(const uint16_t *x, const uint16_t *counted, int64_t n, const struct entropy_scale *w,
                     int clamp, const void *ahead, uint32_t *counters, struct entropy_sums *sums);
    void (*add_f16)(const uint16_t *x, const uint16_t *counted, int64_t n, const struct entropy_scale *w,
                    int clamp, const void *ahead, uint32_t *counters, struct entropy_sums *sums);
    void (*add_f32)(const float *x, int64_t n, const struct entropy_scale *w, int clamp, const void *ahead,
                    struct entropy_sums *sums);
    void (*add_f64)(const double *x, int64_t n, const struct entropy_scale *w, int clamp, const void *ahead,
                    struct entropy_sums *sums);
    /* Where looking up costs less than exponentiating, else NULL. tabulate_bf16: table[code] becomes the
     * probability of each code in [from, to), multiples of 16. add_tabulated_bf16: as add_bf16, to the bit,
     * by a table that has the codes of all n logits x. */
    void (*tabulate_bf16)(double *table, int64_t from, int64_t to, const struct entropy_scale *w);
    void (*add_tabulated_bf16)(const uint16_t *x, const uint16_t *counted, int64_t n,
                               const struct entropy_scale *w, int clamp, const void *ahead,
                               uint32_t *counters, const double *table, struct entropy_sums *sums);
    /* What the counters of the codes [from, to), multiples of 16, stand for into the sums; they are 0 then.
     */
    void (*drain_bf16)(uint32_t *counters, int64_t from, int64_t to, const struct entropy_scale *w,
                       struct entropy_sums *sums);
    void (*drain_f16)(uint32_t *counters, int64_t from, int64_t to, const struct entropy_scale *w,
                      struct entropy_sums *sums);
};

extern const struct entropy_loops entropy_portable;
#if defined(__x86_64__)
extern const struct entropy_loops entropy_avx2, entropy_avx512;
#endif

#endif
