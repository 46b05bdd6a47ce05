/* Order statistics and a histogram of values that nobody holds together: entropies, doubles of at least 0,
 * NaN for those that do not count. The values are counted digit by digit over their bits, by whoever holds
 * some of them, and the counts are added up; nothing is gathered or sorted. No MPI, no files. */
#ifndef SINEW_RADIX_H
#define SINEW_RADIX_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum {
    RADIX_DIGIT_BITS = 11, /* 64 bits are six digits */
    RADIX_BUCKETS = 1 << RADIX_DIGIT_BITS
};

/* Order statistics wanted, ascending: index among the sorted values, digits found so far, index within those.
 */
struct radix_target {
    int64_t index, left;
    uint64_t prefix;
    int64_t group; /* of targets with equal prefix */
};

/* A selection of the neighbours of quantiles among n values. */
struct radix {
    struct radix_target *target;
    int64_t ntargets, n;
    uint64_t *prefix; /* [group] */
    int64_t *counts;  /* [group][bucket] */
    int64_t ngroups;
    int shift, bits; /* of the digit in work: how far from the lowest bit, how many */
};

/* Local. Wants what quantiles q[0..nq) of n values, n >= 1, need. Owned by the arena until radix_end. */
err_t radix_start(struct radix *s, const double *q, int64_t nq, int64_t n, struct arena *a, struct err *e);
void radix_end(struct radix *s, struct arena *a);

/* Local. Takes up the next digit: counts[0..*ncounts) are zero. Returns 0 when all digits are found. */
int radix_next(struct radix *s, int64_t *ncounts);

/* Local. Counts n values' digits. */
void radix_count(struct radix *s, const double *values, int64_t n);

/* Local. The counts are those of all values: every target learns its digit. */
void radix_decide(struct radix *s);

/* Local. Quantile q of the values, by numpy's and torch's linear method; one of those that were wanted. */
double radix_quantile(const struct radix *s, double q);

/* Local. Sets the bit of each of n values that is at or above the threshold, in as many words as that takes,
 * least significant bit first, and clears the others. Returns how many are. */
int64_t threshold_mark(uint64_t *words, double threshold, const double *values, int64_t n);

/* Equal bins from 0 to top: the lower edge of one. */
double histogram_edge(int64_t bin, int64_t nbins, double top);

/* Local. Counts n values in their bins, 0 <= value <= top; the last bin has its upper edge too. */
void histogram_add(int64_t *counts, int64_t nbins, double top, const double *values, int64_t n);

#endif
