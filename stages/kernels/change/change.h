/* What a run of changed elements adds up to: counts, histograms, norms. Pure: no MPI, no files, no
 * allocation.
 *
 * All counts are int64 and all floating sums exact accumulators (xsum.h), so that partial results of blocks
 * and processes are added without any effect of their order. The whole struct but max_abs is int64 words, so
 * one integer sum reduces it. */
#ifndef SINEW_CHANGE_H
#define SINEW_CHANGE_H

#include "elements/magnitude.h"
#include "base/xsum.h"

enum {
    CHANGE_TOLERANCES = 32, /* at most so many tolerances */
    CHANGE_EXPONENTS = 277, /* binary exponents of a float: -149 ... 127 */
    CHANGE_EXPONENT_0 = -149,
    CHANGE_STEPS =
        34 /* ulp distance: [0] = 0 (a zero changed its sign), [1 + k] = floor(log2(distance)) = k */
};

struct change_counts {
    int64_t bit_changed, nonzero, nan_count, inf_count;
    int64_t updated[CHANGE_TOLERANCES];   /* |delta| > tolerance, or delta not finite */
    int64_t exponents[CHANGE_EXPONENTS];  /* of finite, nonzero |delta| */
    int64_t steps[CHANGE_STEPS];          /* of changed elements without NaN */
    int64_t bin_elements[MAGNITUDE_BINS]; /* all elements, by |w0|: the caller counts them */
    int64_t bin_updated[MAGNITUDE_BINS];  /* changed elements, by |w0| */
    struct xsum sum_abs, sum_squares;     /* of finite delta */
};

struct change {
    struct change_counts counts;
    double max_abs; /* of finite delta */
};

enum { CHANGE_WORDS = (int)(sizeof(struct change_counts) / sizeof(int64_t)) };

/* Local. Adds n changed elements of one block: their old and new bits in the compare type. delta is new - old
 * rounded to the compare type. tolerance: ntolerances values as rounded by tolerance_rounded. The result
 * depends on the elements and their order in the block only, not on isa. */
void change_add(struct change *c, enum isa isa, enum arithmetic arithmetic, const void *old_bits,
                const void *new_bits, int64_t n, const double *tolerance, int ntolerances);

/* Local. Adds n elements that did not change but are not finite (their bits in the compare type): never close
 * to anything, as torch.isclose has it. */
void change_add_nonfinite(struct change *c, enum arithmetic arithmetic, const void *bits, int64_t n,
                          int ntolerances);

/* Local. dst += src, src unchanged; xsums of src must be normalised. */
void change_merge(struct change *dst, const struct change *src);

#endif
