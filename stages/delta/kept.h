/* Kept: a compared block as a step of the journal, so that a run that goes on takes it from there instead of
 * from the pair. */
#ifndef SINEW_DELTA_KEPT_H
#define SINEW_DELTA_KEPT_H

#include "kernels/change/change.h"
#include "kernels/size/size.h"
#include "elements/magnitude/magnitude.h"
#include "compare/concentration/tail.h"
#include "compare/update.h"
#include "study/journal.h"

/* What a block adds to its tensor beside what its changed and non-finite elements tell. */
struct block_sums {
    struct size_sums size;
    int64_t bins[MAGNITUDE_BINS];
};

/* Where a block begins in a part. */
struct block_mark {
    int64_t words, values, nonfinite;
};
struct block_mark block_mark(const struct update_part *p);

/* Local. Keeps block b, which is the part's from the mark on, where it is time to. */
void kept_put(struct journal *j, int64_t b, const struct update_part *p, const struct block_mark *at,
              const struct block_sums *s);

/* Memory to read a step into; zero-initialise. */
struct kept_room {
    char *bytes;
    int64_t cap;
};

/* Local. Appends block b, of n elements, to the part and fills s, where it was kept whole: *there. Errors:
 * SYSTEM over budget. */
err_t kept_get(struct journal *j, int64_t b, int64_t n, struct kept_room *room, struct update_part *p,
               struct block_sums *s, int *there, struct err *e);

/* What a block, or a tensor, adds up to. */
struct block_totals {
    struct change change;
    struct size_sums size;
    struct concentration_counts counts; /* by |difference| */
    struct concentration_tail tail;     /* f32: a tensor's alone; not kept */
};

/* Local. Nothing yet; the room of the counts stays. */
void block_totals_clear(struct block_totals *x);

/* Local. Carries propagated: before it is added to others, kept or summed over processes. */
void block_totals_normalise(struct block_totals *x);

/* Local. sum += x, whose exact sums are normalised. Errors: SYSTEM over budget. */
err_t block_totals_add(struct block_totals *sum, const struct block_totals *x, struct arena *a,
                       struct err *e);

/* Local. Keeps what block b adds up to, where it is time to: for when no bits are stored. Errors: SYSTEM over
 * budget. */
err_t kept_totals_put(struct journal *j, int64_t b, const struct block_totals *x, struct kept_room *room,
                      struct arena *a, struct err *e);

/* Local. Fills x, whose counts may have memory, with what block b adds up to, where that was kept whole.
 * bins: that there may be. Errors: SYSTEM over budget. */
err_t kept_totals_get(struct journal *j, int64_t b, int bins, struct block_totals *x, struct kept_room *room,
                      struct arena *a, int *there, struct err *e);

/* Local. How many of n blocks were kept. Pure. */
int64_t kept_blocks(const struct journal *j, int64_t n);

#endif
