/* Adding: the changed elements of a block into sums, while they are found and are in a near cache. */
#ifndef SINEW_DELTA_ADDING_H
#define SINEW_DELTA_ADDING_H

#include "delta/kept.h"
#include "delta/settings.h"
#include "compare/concentration/survey.h"

/* What a block at work has come to. Set p, tolerance, sizes and survey once. */
struct adding {
    const struct delta_params *p;
    const double *tolerance; /* as rounded to the compare type */
    struct change_sizes *sizes;
    struct concentration_survey *survey;
    /* private */
    struct update_part *part;
    struct block_mark begin; /* where the block begins in it */
    struct block_totals *to;
    int64_t added, counted; /* values of the part: those that are in the sums; and by magnitude */
    struct change_lanes change;
    struct size_lanes size;
    int exact;
};

/* Local. A block begins where the part ends. to: receives it. exact: the update is known by itself, so that
 * its size is not that of what changed (size_add_exact). */
void adding_begin(struct adding *x, struct update_part *part, struct block_totals *to, int exact);

/* Local. The part has received n elements more of the block: their bits in the base, where their bitmap words
 * begin, and their magnitudes, from which those of the changed ones follow the faster the fewer are not. May
 * be left out. */
void adding_magnitudes(struct adding *x, const void *w0, int64_t n, const uint64_t *words,
                       const int64_t *bins);

/* Local. Adds what the part has received of the block, all of it where that is all, else as many as go
 * together. tail: where not NULL they go to it, too; of a tensor of main or aside. Errors: SYSTEM over
 * budget.
 */
err_t adding_add(struct adding *x, int all, int aside, int64_t tensor, struct concentration_tail *tail,
                 struct err *e);

/* Local. Takes out of the part what is in the sums, so that the next ones are written where these were, which
 * is near. For who needs the part's values no more. */
void adding_forget(struct adding *x);

#endif
