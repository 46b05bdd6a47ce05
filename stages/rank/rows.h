/* Rows: the update of one tensor, read from the update's file as rows of float32. */
#ifndef SINEW_RANK_ROWS_H
#define SINEW_RANK_ROWS_H

#include "compare/layout.h"
#include "compare/update.h"

enum {
    /* one block of the update: bits, old, new, difference, and the pair's where nothing is stored */
    RANK_ROWS_BYTES = 10 * LAYOUT_BLOCK * 4
};

struct rank_rows {
    struct update *update; /* open */
    const struct layout *layout;
    int64_t tensor;            /* whose rows are asked for */
    int64_t block;             /* in `dense`; -1: none */
    float *difference, *dense; /* LAYOUT_BLOCK each */
    double bytes_read;         /* since the caller set it to 0 */
};

/* Local. Room for a block, from the arena. */
err_t rank_rows_init(struct rank_rows *r, struct arena *a, struct err *e);

/* Local. Rows [row, row+n) of the tensor into out, row-major; arg: the struct rank_rows. Zero where nothing
 * changed, NaN where both sides are not finite. Each block is read once as long as rows are asked for in
 * order. */
err_t rank_rows_get(void *arg, int64_t row, int64_t n, float *out, struct err *e);

#endif
