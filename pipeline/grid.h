/* Grids of processes and dense linear algebra: the one file that knows BLAS, LAPACK, BLACS and ScaLAPACK.
 *
 * A team is the processes that work on one matrix. For one process everything is plain LAPACK; for more a
 * BLACS grid is made, as square as the number allows. What the stages ask for is the singular values of an m
 * x n matrix that comes in slabs of rows; how (Gram matrix of the smaller side in float64, or a full SVD) is
 * decided here by the accuracy asked. */
#ifndef SINEW_GRID_H
#define SINEW_GRID_H

#include "comm.h"
#include "err.h"
#include "mem.h"

struct grid; /* a team's process grid */

/* Local. BLAS threads that fit this process: its processors, divided by the processes of the node that share
 * them. Collective on c because the sharers are counted. Returns the number set. */
int grid_threads(const struct comm *c);

/* Local. Name and version of the BLAS, for provenance. */
const char *grid_blas(char *text, int size);

/* Collective on c (the team's communicator). */
err_t grid_create(struct grid **g, const struct comm *c, struct arena *a, struct err *e);
void grid_destroy(struct grid *g);

/* Local. "2 x 3" and its numbers. */
void grid_shape(const struct grid *g, int *rows, int *cols);

/* Hands out rows [row, row+n) of the matrix as float, row-major, n*cols values, zero where nothing changed.
 * Local; called only for rows that the calling process was asked for, ascending within one pass. */
typedef err_t (*grid_rows)(void *arg, int64_t row, int64_t n, float *out, struct err *e);

enum grid_method { GRID_GRAM, GRID_SVD };

struct grid_spectrum {
    enum grid_method method;
    double flops;
    int finite; /* 0: the matrix holds NaN or Inf; no singular values then */
};

/* Local. Peak bytes one process of a team of np needs for an m x n matrix by the method. */
double grid_spectrum_bytes(enum grid_method method, int64_t rows, int64_t cols, int np);

/* Collective on g's team. Singular values of a rows x cols matrix, descending, into s[min(rows, cols)], equal
 * on all processes. relative_accuracy: the smallest multiple of s[0] that must be told from zero; below about
 * 3e-8 the Gram matrix cannot, and the SVD is used. The result on different grids agrees within 1e-7 * s[0].
 * An all-zero matrix gives zeros. Errors: NUMERIC if not converged, SYSTEM over budget. */
err_t grid_singular_values(struct grid *g, int64_t rows, int64_t cols, grid_rows get, void *arg,
                           double relative_accuracy, double *s, struct grid_spectrum *info, struct arena *a,
                           struct err *e);

#endif
