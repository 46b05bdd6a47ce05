/* What a run of changed elements adds up to: counts, histograms, norms. Pure: no MPI, no files, no
 * allocation.
 *
 * All counts are int64 and all floating sums exact accumulators (xsum.h), so that partial results of blocks
 * and processes are added without any effect of their order. The whole struct but max_abs is int64 words, so
 * one integer sum reduces it. */
#ifndef SINEW_CHANGE_H
#define SINEW_CHANGE_H

#include "elements/magnitude/magnitude.h"
#include "base/xsum.h"

enum {
    CHANGE_TOLERANCES = 32, /* at most so many tolerances */
    CHANGE_RELATIVES = 8,   /* and so many relative ones */
    CHANGE_EXPONENTS = 277, /* binary exponents of a float: -149 ... 127 */
    CHANGE_EXPONENT_0 = -149,
    CHANGE_STEPS =
        34 /* ulp distance: [0] = 0 (a zero changed its sign), [1 + k] = floor(log2(distance)) = k */
};

struct change_counts {
    int64_t bit_changed, nonzero, nan_count, inf_count;
    int64_t updated[CHANGE_TOLERANCES];   /* |delta| > tolerance, or delta not finite */
    int64_t relative[CHANGE_RELATIVES];   /* by criterion `relative`: the caller counts them (criterion.h) */
    int64_t exponents[CHANGE_EXPONENTS];  /* of finite, nonzero |delta| */
    int64_t steps[CHANGE_STEPS];          /* of changed elements without NaN */
    int64_t bin_elements[MAGNITUDE_BINS]; /* all elements, by |w0|: the caller counts them */
    int64_t bin_updated[MAGNITUDE_BINS];  /* changed elements, by |w0|: the caller, too */
    struct xsum sum_abs, sum_squares;     /* of finite delta */
};

struct change {
    struct change_counts counts;
    double max_abs; /* of finite delta */
};

enum { CHANGE_WORDS = (int)(sizeof(struct change_counts) / sizeof(int64_t)) };

/* How many changed elements have each |delta|, for a block or a few of them. A bin is the bits of |delta| in
 * the compare type without the sign, of f32 the upper 16 of these 31; what is not finite is
 * counted at zero. Each bin has several counters, of which neighbours use different ones, so that equal
 * sizes in a row do not wait for each other. */
enum {
    CHANGE_SIZES = 1 << 17,
    CHANGE_SIZE_REST = 15 /* bits of a float32 |delta| that its bin does not tell */
};
struct change_sizes {
    uint32_t count[CHANGE_SIZES]; /* bins times counters */
    int least, most;              /* bins outside of these are empty; least > most: all are */
};

/* Local. Empty, of zeroed memory. */
void change_sizes_begin(struct change_sizes *s);

/* Partial sums of one block: element i of its changed ones goes to lane i % CHANGE_LANES. Zeroed before the
 * block's first. sizes: where the elements are counted by |delta|, so that change_sizes_take counts what
 * follows from that: in bf16 what is finite in updated and exponents, in f32 what is normal in exponents;
 * NULL where nobody asks. */
enum { CHANGE_LANES = 32, CHANGE_PART = 64 };
struct change_lanes {
    double abs[CHANGE_LANES], squares[CHANGE_LANES];
    struct change_sizes *sizes;
};

/* Local. Adds n changed elements of one block, or the next n of it: their old and new bits in the compare
 * type. All parts but a block's last are of a multiple of CHANGE_PART. All but the sums, which are in the
 * lanes until change_add_lanes, and bin_updated, which the caller counts. delta is new - old rounded to the
 * compare type. tolerance: ntolerances values as rounded by tolerance_rounded. The result depends on the
 * elements and their order in the block only, not on parts or isa. */
void change_add(struct change *c, struct change_lanes *lanes, enum isa isa, enum arithmetic arithmetic,
                const void *old_bits, const void *new_bits, int64_t n, const double *tolerance,
                int ntolerances);

/* Local. Adds a block's sums. */
void change_add_lanes(struct change *c, const struct change_lanes *lanes);

/* Local. Adds what was counted to counts, of which the first is bin `first`, and bins least to most are
 * there; and what that says of tolerances and exponents to c. s is empty then. To be called before
 * more than 2^32 - 1 elements were counted. tolerance: as in change_add. */
void change_sizes_take(struct change_sizes *s, struct change *c, enum arithmetic arithmetic, int64_t *counts,
                       int64_t first, const double *tolerance, int ntolerances);

/* Local. Adds n elements that did not change but are not finite (their bits in the compare type): never close
 * to anything, as torch.isclose has it. */
void change_add_nonfinite(struct change *c, enum arithmetic arithmetic, const void *bits, int64_t n,
                          int ntolerances);

/* Local. dst += src, src unchanged; xsums of src must be normalised. */
void change_merge(struct change *dst, const struct change *src);

/* Local, pure. Of n elements of `bytes` each, how many differ in a bit: of integers and bools, which have no
 * difference. */
int64_t change_unequal(const char *a, const char *b, int64_t n, size_t bytes);

#endif
