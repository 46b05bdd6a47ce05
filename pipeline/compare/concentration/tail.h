/* Tail: of float32 |d| what has to be kept so that, when all are counted, the bin in which a share ends need
 * not be looked for in the pair a second time. Local: no MPI, no files.
 *
 * A sample says between which bins each share is likely to end. Sizes within these windows are kept as they
 * are, in a list, and once that is long counted one by one; of those above and between them the sum of
 * squares is. Where the share then ends within a window, everything about it is known, exactly. Where it does
 * not, or something is missing, the tail says so. */
#ifndef SINEW_TAIL_H
#define SINEW_TAIL_H

#include "compare/concentration/concentration.h"

/* Windows of bins, both ends within, each below the one before. */
struct concentration_guess {
    int64_t n, lo[CONCENTRATION_SHARES], hi[CONCENTRATION_SHARES];
};

enum { CONCENTRATION_GUESS_WORDS = sizeof(struct concentration_guess) / sizeof(int64_t) };

/* Local, pure. Of a sample of so many elements: where its shares end, and where those of its two halves do,
 * which tells how far parts of the tensor differ. */
struct concentration_guess concentration_guess(const struct concentration_cuts *cuts,
                                               const struct concentration_cuts *half, int64_t sample);

/* Local, pure. For where the cuts are known: all from the lowest on. */
struct concentration_guess concentration_guess_known(const struct concentration_cuts *cuts);

/* Zero-initialise, and set the guess before something is added for the first time. */
struct concentration_tail {
    struct concentration_guess guess; /* at first; narrower once the list is too long to be counted so */
    int used;                         /* something was added, or could have been */
    int lost; /* what was added is not all there is, or there was no room for it: nothing is known */
    struct xsum above[CONCENTRATION_SHARES]; /* squares of what is above window k and below the one before */
    uint32_t *list;                          /* what is within windows, and is not counted */
    int64_t nlist, cap;
    uint32_t *count; /* of each size within windows; NULL: the list has been enough */
};

/* Local. Adds n elements in f32 to several tails, in one pass. A tail for which there is no room is lost. */
err_t concentration_tails_add(struct concentration_tail *const *tails, int ntails, enum isa isa,
                              const float *w0, const float *w1, int64_t n, struct arena *a, struct err *e);

/* Local, pure. Do the windows hold all bins in which the shares end, and is nothing lost? So it is where
 * nothing was added. */
int concentration_tail_holds(const struct concentration_tail *t, const struct concentration_cuts *cuts);

/* Local. Adds to a look what a second look would have found, where the tail holds the cuts. */
void concentration_tail_look(const struct concentration_tail *t, const struct concentration_cuts *cuts,
                             struct concentration_look *look);

/* Local. Gives its memory back. */
void concentration_tail_drop(struct concentration_tail *t, struct arena *a);

/* Local, pure. Memory that a tail takes at most. */
double concentration_tail_bytes(void);

#endif
