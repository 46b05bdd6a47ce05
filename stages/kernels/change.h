/* What a run of changed elements adds up to: counts, histograms, norms. Pure: no MPI, no files, no
 * allocation.
 *
 * All counts are int64 and all floating sums exact accumulators (xsum.h), so that partial results of blocks
 * and processes are added without any effect of their order. The whole struct but max_abs is int64 words, so
 * one integer sum reduces it. */
#ifndef SINEW_CHANGE_H
#define SINEW_CHANGE_H

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

/* Local. Adds n changed elements of one block: their old and new bits in the compare type and delta
 * (update_delta's). tolerance: ntolerances values as rounded by tolerance_rounded. scratch: room for n
 * floats. The result depends on the elements and their order in the block only. */
void change_add(struct change *c, enum arithmetic arithmetic, const void *old_bits, const void *new_bits,
                const float *delta, int64_t n, const double *tolerance, int ntolerances, float *scratch);

/* Local. Adds n elements that did not change but are not finite (their bits in the compare type): never close
 * to anything, as torch.isclose has it. */
void change_add_nonfinite(struct change *c, enum arithmetic arithmetic, const void *bits, int64_t n,
                          int ntolerances);

/* Local. Adds all n elements of a block of the base to bin_elements. */
void change_add_base(struct change *c, enum arithmetic arithmetic, const void *w0, int64_t n);

/* Local. dst += src, src unchanged; xsums of src must be normalised. */
void change_merge(struct change *dst, const struct change *src);

#endif
