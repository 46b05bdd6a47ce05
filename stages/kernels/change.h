/* What a run of changed elements adds up to: counts, histograms, norms. Pure: no MPI, no files, no
 * allocation.
 *
 * All counts are int64 and all floating sums exact accumulators (xsum.h), so that partial results of blocks
 * and processes are added without any effect of their order. The whole struct but max_abs is int64 words, so
 * one integer sum reduces it. */
#ifndef SINEW_CHANGE_H
#define SINEW_CHANGE_H

#include "isa.h"
#include "tensor.h"
#include "xsum.h"

enum {
    CHANGE_TOLERANCES = 32, /* at most so many tolerances */
    CHANGE_BINS = 1024,     /* magnitude bins: the top 10 bits of |w0| in the compare type */
    CHANGE_EXPONENTS = 277, /* binary exponents of a float: -149 ... 127 */
    CHANGE_EXPONENT_0 = -149,
    CHANGE_STEPS =
        34 /* ulp distance: [0] = 0 (a zero changed its sign), [1 + k] = floor(log2(distance)) = k */
};

struct change_counts {
    int64_t bit_changed, nonzero, nan_count, inf_count;
    int64_t updated[CHANGE_TOLERANCES];  /* |delta| > tolerance, or delta not finite */
    int64_t exponents[CHANGE_EXPONENTS]; /* of finite, nonzero |delta| */
    int64_t steps[CHANGE_STEPS];         /* of changed elements without NaN */
    int64_t bin_elements[CHANGE_BINS];   /* all elements, by |w0| */
    int64_t bin_updated[CHANGE_BINS];    /* changed elements, by |w0| */
    struct xsum sum_abs, sum_squares;    /* of finite delta */
};

struct change {
    struct change_counts counts;
    double max_abs; /* of finite delta */
};

enum { CHANGE_WORDS = (int)(sizeof(struct change_counts) / sizeof(int64_t)) };

/* Local. The magnitude bin of element i: exponent and two mantissa bits of |w| (for bf16 quarter octaves). */
static inline int change_bin(enum arithmetic arithmetic, const void *bits, int64_t i)
{
    return arithmetic == ARITHMETIC_BF16 ? (((const uint16_t *)bits)[i] & 0x7fff) >> 5
                                         : (int)((((const uint32_t *)bits)[i] & 0x7fffffff) >> 21);
}

/* Local. Lower edge of a magnitude bin in weight units. */
double change_bin_lower(int bin);

/* Local. Adds n changed elements of one block: their old and new bits in the compare type. delta is new - old
 * rounded to the compare type. tolerance: ntolerances values as rounded by tolerance_rounded. The result
 * depends on the elements and their order in the block only, not on isa. */
void change_add(struct change *c, enum isa isa, enum arithmetic arithmetic, const void *old_bits,
                const void *new_bits, int64_t n, const double *tolerance, int ntolerances);

/* Local. Adds n elements that did not change but are not finite (their bits in the compare type): never close
 * to anything, as torch.isclose has it. */
void change_add_nonfinite(struct change *c, enum arithmetic arithmetic, const void *bits, int64_t n,
                          int ntolerances);

/* A histogram of pairs of neighbouring magnitude bins, so that one increment counts two elements: 7 bits each
 * of the window of 32 octaves in which nearly all weights lie. Must be flushed before its struct change is
 * read. */
struct change_pairs {
    uint32_t count[1 << 14];
    int64_t elements; /* in the table */
};

/* Local. Adds n elements of the base to bin_elements, some of them by way of the pairs table. n < 2^31
 * between flushes. */
void change_add_base(struct change *c, struct change_pairs *pairs, enum isa isa, enum arithmetic arithmetic,
                     const void *w0, int64_t n);

/* Local. Moves what is in the pairs table to bin_elements. */
void change_flush(struct change *c, struct change_pairs *pairs);

/* Local. dst += src, src unchanged; xsums of src must be normalised. */
void change_merge(struct change *dst, const struct change *src);

#endif
