/* Count: how many singular values lie above a tolerance, by factorisations of the Gram matrix. For grid.c
 * alone. */
#ifndef SINEW_GRID_COUNT_H
#define SINEW_GRID_COUNT_H

#include "linalg/grid.h"
#include "linalg/symmetric.h"

/* Singular values below this share of the largest lose digits in a Gram matrix: counting around a tolerance
 * there would be wrong by more than the band. */
static const double GRID_COUNT_RESOLVES = 3e-7;

/* Local. g: the Gram matrix, off by at most `error` in the spectral norm. Sets all of out but finite,
 * resolved and stable_rank. *sure: 0 where factorisations leave doubt. */
err_t count_above(struct symmetric *g, double error, const struct grid_bound *bound, struct grid_count *out,
                  int *sure, struct err *e);

#endif
