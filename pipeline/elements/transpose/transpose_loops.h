/* Between transpose.c and its loops; nobody else includes it. */
#ifndef SINEW_TRANSPOSE_LOOPS_H
#define SINEW_TRANSPOSE_LOOPS_H

#include "elements/transpose/transpose.h"

struct transpose_loops {
    /* transpose_16. */
    void (*turn)(const uint16_t *in, int64_t rows, int64_t cols, int64_t in_step, uint16_t *out,
                 int64_t out_step);
};

ISA_TABLES(struct transpose_loops, transpose);

/* Local. The reference. */
void transpose_16_portable(const uint16_t *in, int64_t rows, int64_t cols, int64_t in_step, uint16_t *out,
                           int64_t out_step);

#endif
