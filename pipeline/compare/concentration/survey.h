/* Survey: the concentration of every tensor of a pair's main and aside, and of main as a whole.
 *
 * In f32 the bins in which the shares end have to be known element by element, and are known when all are
 * counted. So a sample is read first, one part in 64, which says about where they will be; the pass over the
 * pair then keeps what lies there (tail.h). What the sample did not foresee, and what a run before had
 * compared, is read a second time. A tensor of one block needs no sample: its process knows its counts. */
#ifndef SINEW_SURVEY_H
#define SINEW_SURVEY_H

#include "compare/concentration/concentration.h"
#include "compare/concentration/tail.h"
#include "compare/layout.h"

/* Order of calls: init; sample; for each block that is compared, add, after its counts; end once for each
 * tensor; finish; then the results, on process 0. */
struct concentration_survey {
    const struct comm *comm;
    struct pair *pair;
    struct arena *arena;
    int64_t *all;                            /* room for the sum of counts over processes */
    struct concentration_counts main_counts; /* this process's */
    /* f32 */
    struct concentration_guess *guess[2]; /* per tensor of main and aside */
    struct concentration_tail main_tail;
    struct concentration_cuts *cuts[2], main_cuts;
    char *known[2]; /* the tensor's shares are */
    struct concentration_look *own, *main_look;
    /* process 0 */
    struct concentration *top[2]; /* per tensor of main and aside */
    double *squares[2];
    struct concentration main_top;
    int aside, main_open; /* private: which of both sets is looked at again, and whether for main too */
};

/* Local. An empty survey of an opened pair. Errors: SYSTEM over budget. */
err_t concentration_init(struct concentration_survey *s, const struct comm *c, struct pair *pair,
                         struct arena *a, struct err *e);

/* Collective. In f32 reads the sample. Errors: as the pair is read; SYSTEM over budget. */
err_t concentration_sample(struct concentration_survey *s, struct err *e);

/* Local. In f32: adds the n elements of one tensor of main or aside that differ, of one block, to its tail
 * (zeroed before its first) and to main's. counts: the tensor's; of a tensor of one block they hold this one
 * already. Errors: SYSTEM over budget. */
err_t concentration_tail_add(struct concentration_survey *s, int aside, int64_t tensor,
                             struct concentration_tail *tail, const struct concentration_counts *counts,
                             const float *w0, const float *w1, int64_t n, struct err *e);

/* Local. A block of the tensor was counted and not added: its tail, and main's, are not all there is. */
void concentration_tail_miss(struct concentration_survey *s, int aside, struct concentration_tail *tail);

/* Collective. Takes the counts and the tail of one tensor of main or aside (they are dropped). squares: the
 * sum of d^2, on process 0 and on that which compared a tensor of one block. Not to be called of integers and
 * bools, whose concentration is NaN. A failure stays in e. */
void concentration_end(struct concentration_survey *s, int aside, int64_t tensor,
                       struct concentration_counts *counts, struct concentration_tail *tail, double squares,
                       struct err *e);

/* Collective. Finds what is not known yet, by reading those tensors once more, of which progress is told (may
 * be NULL): how much is done, 0 to 1, and how many bytes this process has read since the last call. window:
 * elements that a process takes at once. Errors: as the pair is read; SYSTEM over budget. */
err_t concentration_finish(struct concentration_survey *s, int64_t window,
                           void (*progress)(void *arg, double share, double bytes), void *arg, struct err *e);

/* Process 0. Puts the results into the columns C_CONCENTRATION of a table that has a row for each tensor of
 * main, then of aside. */
void concentration_fill(const struct concentration_survey *s, struct table *tensors);

/* Local, pure. Bytes of memory that finding the concentration of a pair takes at the most, about, for plans:
 * of so many tensors and elements. *likely: with the usual updates. */
double concentration_bytes(enum arithmetic arithmetic, double ntensors, double elements, double *likely);

#endif
