/* Concentration: which share of an update's energy |D|^2 its largest coordinates hold.
 *
 * Of n compared elements the k largest |d| are meant, k = ceil(share * n), at least 1: the largest 0.1, 1 and
 * 5 %, as the field counts them (SydCS/OPD-Param-Analysis). d is the difference rounded to the compare type;
 * elements that are not finite are among the n, and have no energy. Which of several equal |d| are taken does
 * not matter, as they have the same energy.
 *
 * Nothing is sorted. Elements are counted by |d|; in bf16 that is all there is to know. In f32 a count is of
 * the upper 16 of 31 bits, and the share ends within one such bin: then a second look at all elements adds up
 * what is above that bin, and counts what is in it by the other bits. Counts and sums are exact, so that the
 * result does not depend on blocks, processes or their order. */
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

/* What the second look finds: all int64 words, so that one integer sum reduces it. */
struct concentration_look {
    struct xsum above[CONCENTRATION_SHARES]; /* squares of what is above the bin */
    int64_t within[CONCENTRATION_SHARES][CONCENTRATION_WITHIN];
};

/* Local. Adds n elements of both sides in f32. */
void concentration_look_add(struct concentration_look *look, enum isa isa,
                            const struct concentration_cuts *cuts, const float *w0, const float *w1,
                            int64_t n);

/* Local, pure. The shares of an update whose squares add up to `squares`. */
struct concentration concentration_of_look(const struct concentration_look *look,
                                           const struct concentration_cuts *cuts, double squares);

/* The concentrations of a pair: of every tensor of its main and aside, and of main as a whole. Order of
 * calls: init; end once for each tensor; finish; then the results, on process 0. */
struct concentration_survey {
    const struct comm *comm;
    struct pair *pair;
    struct arena *arena;
    int64_t *all; /* room for the sum of counts over processes */
    struct concentration_cuts *cuts[2], main_cuts;
    /* process 0 */
    struct concentration *top[2]; /* per tensor of main and aside */
    double *squares[2];
    struct concentration_counts main_counts;
    struct concentration main_top;
    /* private: of the second look at one of both sets */
    int aside;
    struct concentration_look *main_look;
};

/* Local. An empty survey of an opened pair. Errors: SYSTEM over budget. */
err_t concentration_init(struct concentration_survey *s, const struct comm *c, struct pair *pair,
                         struct arena *a, struct err *e);

/* Collective. Takes the counts of one tensor of main or aside (they are dropped). squares: the sum of d^2, on
 * process 0. Not to be called of integers and bools, whose concentration is NaN. A failure stays in e. */
void concentration_end(struct concentration_survey *s, int aside, int64_t tensor,
                       struct concentration_counts *counts, double squares, struct err *e);

/* Collective. Finds what is not known yet: in f32 by reading the pair once more, of which progress is told
 * (may be NULL): how much is done, 0 to 1, and how many bytes this process has read since the last call.
 * window: elements that a process takes at once. Errors: as the pair is read; SYSTEM over budget. */
err_t concentration_finish(struct concentration_survey *s, int64_t window,
                           void (*progress)(void *arg, double share, double bytes), void *arg, struct err *e);

/* Process 0. Puts the results into the columns C_CONCENTRATION of a table that has a row for each tensor of
 * main, then of aside. */
void concentration_fill(const struct concentration_survey *s, struct table *tensors);

/* Local, pure. Bytes of memory that finding the concentration takes, about, for plans. */
double concentration_bytes(enum arithmetic arithmetic, double ntensors);

#endif
