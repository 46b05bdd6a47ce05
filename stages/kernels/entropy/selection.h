/* Order statistics and a histogram of values that nobody holds together: entropies, doubles of at least 0,
 * NaN for those that do not count. The values are counted digit by digit over their bits, by whoever holds
 * some of them, and the counts are added up; nothing is gathered or sorted. No MPI, no files. */
#ifndef SINEW_SELECTION_H
#define SINEW_SELECTION_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum {
    SELECTION_DIGIT_BITS = 11, /* 64 bits are six digits */
    SELECTION_BUCKETS = 1 << SELECTION_DIGIT_BITS
};

/* Order statistics wanted, ascending: index among the sorted values, digits found so far, index within those.
 */
struct selection_target {
    int64_t index, left;
    uint64_t prefix;
    int64_t group; /* of targets with equal prefix */
};

/* A selection of the neighbours of quantiles among n values. */
struct selection {
    struct selection_target *target;
    int64_t ntargets, n;
    uint64_t *prefix; /* [group] */
    int64_t *counts;  /* [group][bucket] */
    int64_t ngroups;
    int shift, bits; /* of the digit in work: how far from the lowest bit, how many */
};

/* Local. Wants what quantiles q[0..nq) of n values, n >= 1, need. Owned by the arena until selection_end. */
err_t selection_start(struct selection *s, const double *q, int64_t nq, int64_t n, struct arena *a,
                      struct err *e);
void selection_end(struct selection *s, struct arena *a);

/* Local. Takes up the next digit: counts[0..*ncounts) are zero. Returns 0 when all digits are found. */
int selection_next(struct selection *s, int64_t *ncounts);

/* Local. Counts n values' digits. */
void selection_count(struct selection *s, const double *values, int64_t n);

/* Local. The counts are those of all values: every target learns its digit. */
void selection_decide(struct selection *s);

/* Local. Quantile q of the values, by numpy's and torch's linear method; one of those that were wanted. */
double selection_quantile(const struct selection *s, double q);

/* Local. Sets the bit of each of n values that is at or above the threshold, in as many words as that takes,
 * least significant bit first, and clears the others. Returns how many are. */
int64_t selection_mark(uint64_t *words, double threshold, const double *values, int64_t n);

/* Equal bins from 0 to top: the lower edge of one. */
double histogram_edge(int64_t bin, int64_t nbins, double top);

/* Local. Counts n values in their bins, 0 <= value <= top; the last bin has its upper edge too. */
void histogram_add(int64_t *counts, int64_t nbins, double top, const double *values, int64_t n);

#endif
