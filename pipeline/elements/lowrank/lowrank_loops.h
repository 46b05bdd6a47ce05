/* Between lowrank.c and its loops; nobody else includes it. */
#ifndef SINEW_LOWRANK_LOOPS_H
#define SINEW_LOWRANK_LOOPS_H

#include "elements/lowrank/lowrank.h"

struct lowrank_loops {
    /* lowrank_rows, of which out's rows are `step` apart: what vectors leave over is a narrower product. */
    void (*rows)(const float *left, int64_t rows, int64_t r, const float *right, int64_t cols, int64_t stride,
                 float scale, float *out, int64_t step);
};

ISA_TABLES(struct lowrank_loops, lowrank);

/* Local. The reference. */
void lowrank_rows_portable(const float *left, int64_t rows, int64_t r, const float *right, int64_t cols,
                           int64_t stride, float scale, float *out, int64_t step);

#endif
