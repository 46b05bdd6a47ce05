/* Concentration: which share of an update's energy |D|^2 its largest coordinates hold.
 *
 * Of n compared elements the k largest |d| are meant, k = ceil(share * n), at least 1: the largest 0.1, 1 and
 * 5 %, as the field counts them (SydCS/OPD-Param-Analysis). d is the difference rounded to the compare type;
 * elements that are not finite are among the n, and have no energy. Which of several equal |d| are taken does
 * not matter, as they have the same energy.
 *
 * Nothing is sorted. Elements are counted by |d|; in bf16 that is all there is to know. In f32 a count is of
 * the upper 16 of 31 bits, and the share ends within one such bin: a look at the elements from that bin on
 * adds up what is above it, and counts what is in it by the other bits. Counts and sums are exact, so that
 * the result does not depend on blocks, processes or their order. survey.h finds both for a pair. */
#ifndef SINEW_CONCENTRATION_H
#define SINEW_CONCENTRATION_H

#include "base/comm.h"
#include "base/isa.h"
#include "base/xsum.h"
#include "compare/pair.h"
#include "elements/tensor.h"
#include "hdf5/table.h"

#include <math.h>

enum {
    CONCENTRATION_SHARES = 3,
    CONCENTRATION_REST = 15, /* bits of a float32 |d| that its bin does not tell */
    CONCENTRATION_WITHIN = 1 << CONCENTRATION_REST
};

/* Shares of the energy, 0 to 1, of the largest 0.1, 1 and 5 %; NaN where nothing has any. */
struct concentration {
    double top[CONCENTRATION_SHARES];
};

/* The values of a row in the columns C_CONCENTRATION (hdf5/schema.h). */
#define V_CONCENTRATION(x) V_REAL((x).top[0]), V_REAL((x).top[1]), V_REAL((x).top[2])

/* Where no update is known. */
#define CONCENTRATION_UNKNOWN ((struct concentration){{NAN, NAN, NAN}})

/* How many elements have each |d|: of bins [first, first + bins), as far as any is not empty. A bin is |d|'s
 * bits in bf16, its upper 16 of 31 bits in f32. */
struct concentration_counts {
    int64_t *n, first, bins;
};

/* Local, pure. Bins of a compare type. */
int concentration_bins(enum arithmetic arithmetic);

/* Local. Room for bins [from, to), where from < to; what is there stays. Owned by the arena. */
err_t concentration_room(struct concentration_counts *counts, int64_t from, int64_t to, struct arena *a,
                         struct err *e);

/* Local. dst += src. */
err_t concentration_add(struct concentration_counts *dst, const struct concentration_counts *src,
                        struct arena *a, struct err *e);

/* How far down each share reaches: to the `rest` largest elements of bin `bin`, or, where that is -1, to all
 * that are not zero. */
struct concentration_cuts {
    int64_t bin[CONCENTRATION_SHARES], rest[CONCENTRATION_SHARES];
    int64_t above; /* elements above the last of these bins */
};

/* Local, pure. Is there nothing at all to look at, as no element changed? */
static inline int concentration_is_empty(const struct concentration_cuts *cuts)
{
    return cuts->bin[CONCENTRATION_SHARES - 1] < 0 && cuts->above == 0;
}

/* Local, pure. Of n elements; those that did not change may be left out of bin 0. */
struct concentration_cuts concentration_cuts(const struct concentration_counts *counts, int64_t n);

/* Local, pure. The shares, where the bins are all of |d|: in bf16. */
struct concentration concentration_of_counts(const struct concentration_counts *counts, int64_t n);

/* What a look finds: all int64 words, so that one integer sum reduces it. */
struct concentration_look {
    struct xsum above[CONCENTRATION_SHARES]; /* squares of what is above the bin */
    int64_t within[CONCENTRATION_SHARES][CONCENTRATION_WITHIN];
};

/* Local. Adds n elements of both sides in f32. */
void concentration_look_add(struct concentration_look *look, enum isa isa,
                            const struct concentration_cuts *cuts, const float *w0, const float *w1,
                            int64_t n);

/* Local. Adds n finite sizes |d|, as bits without the sign; those below the lowest cut may be missing. */
void concentration_look_sizes(struct concentration_look *look, const struct concentration_cuts *cuts,
                              const uint32_t *size, int64_t n);

/* Local, pure. The shares of an update whose squares add up to `squares`. */
struct concentration concentration_of_look(const struct concentration_look *look,
                                           const struct concentration_cuts *cuts, double squares);

/* Local, pure. The same of n sizes, at most SQUARES_MOST, as of concentration_look_sizes, into *out. 0: too
 * many are in one bin with the end of a share. */
int concentration_of_sizes(const uint32_t *size, int64_t n, const struct concentration_cuts *cuts,
                           double squares, struct concentration *out);

#endif
