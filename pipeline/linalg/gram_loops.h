/* Between gram.c and its loops; nobody else includes it. */
#ifndef SINEW_GRAM_LOOPS_H
#define SINEW_GRAM_LOOPS_H

#include "base/isa.h"
#include "linalg/gram.h"

#include <stddef.h>

enum {
    GRAM_LANES = 8,
    /* Pieces of float64 that fit the first cache. */
    GRAM_NARROW = 32,
    GRAM_NARROW_ROWS = 128,
    /* Columns of pieces of float32 of a whole panel. */
    GRAM_SINGLE = 64
};

/* How an instruction set adds: the dense factor in pieces that stay in a cache. A chunk is so many columns of
 * the panel, and each block of its rows is a piece. */
struct gram_kernel {
    int64_t columns, rows; /* of a piece */
    size_t size;           /* of its elements */
    /* Makes the chunk from columns of k rows, n floats each: `used` of them, then zeros. */
    void (*copy)(const float *x, int64_t n, int64_t k, int64_t used, void *chunk);
    /* One list's part: g[0..width) += sum over the list of value * the piece's row. width: a multiple of
     * GRAM_LANES, not above `columns`. */
    void (*add)(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value,
                int64_t count);
};

struct gram_loops {
    struct gram_kernel exact;   /* for panels that are split: in float32, a piece being the chunk */
    struct gram_kernel general; /* in double */
};

ISA_TABLES(struct gram_loops, gram);

/* Local. copy of the narrow pieces, and of GRAM_SINGLE columns of float32. */
void gram_copy_narrow(const float *x, int64_t n, int64_t k, int64_t used, void *chunk);
void gram_copy_single(const float *x, int64_t n, int64_t k, int64_t used, void *chunk);

#endif
