/* Rows: a run of tokens' logits, or of their entropies where these are given, and the entropy of one. */
#ifndef SINEW_TOKEN_ROWS_H
#define SINEW_TOKEN_ROWS_H

#include "formats/logits/logits.h"
#include "kernels/entropy/entropy.h"

enum {
    ROWS_BYTES = 1 << 20 /* logits read at once, at least one row */
};

/* What a row of logits is, as bits: see kernels/entropy/whole.h. */
enum { ROW_CUT = 1, ROW_OF_LOGS = 2, ROW_LACKING = 4 };

/* Buffers for one block of rows. */
struct rows {
    int64_t room;   /* tokens */
    double *values; /* entropies where these are given, logits where the file has them in a form of its own */
    int64_t *mask, *ids;
    uint8_t *found; /* of the rows of a round: what whole_count says of each */
    struct entropy_room *kernel;
    enum isa isa;
};

/* Local. Buffers for at most `round` tokens, and l's own. Errors: DATA where the vocabulary is too large;
 * SYSTEM over budget. */
err_t rows_init(struct rows *b, struct logits *l, int64_t round, struct arena *a, struct err *e);

/* Local. Entropy of one token: of its logits, `values` as they stand in the file, or the given one. Errors:
 * DATA where there is none, with the token's place. */
err_t rows_entropy(const struct rows *b, const struct logits *l, int64_t token, enum dtype type,
                   const void *values, double temperature, double *nats, struct err *e);

/* Local. What a row of `width` logits is. */
uint8_t rows_look(enum dtype type, const void *row, int64_t width);

#endif
