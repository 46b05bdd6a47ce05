/* Grids of processes and dense linear algebra of one matrix.
 *
 * A team is the processes that work on one matrix. What the stages ask for is the singular values of an m x n
 * matrix that comes in slabs of rows, or only how many lie above a tolerance. Both come from the Gram matrix
 * of the smaller side in float64 where that resolves what is asked: whole on every process while that fits
 * (GRID_GRAM: each adds up its share, one solves), block-cyclic on a BLACS grid where it does not, or where
 * many processes are to share the solving (GRID_CYCLIC). A full SVD does the rest. */
#ifndef SINEW_GRID_H
#define SINEW_GRID_H

#include "base/comm.h"
#include "base/err.h"
#include "base/mem.h"

struct grid; /* a team's process grid */

/* Collective on c (the team's communicator). */
err_t grid_create(struct grid **g, const struct comm *c, struct arena *a, struct err *e);
void grid_destroy(struct grid *g);

/* Local. "2 x 3" and its numbers. */
void grid_shape(const struct grid *g, int *rows, int *cols);

/* Hands out rows [row, row+n) of the matrix as float, row-major, n*cols values, zero where nothing changed.
 * Local; called only for rows that the calling process was asked for, ascending within one pass. */
typedef err_t (*grid_rows)(void *arg, int64_t row, int64_t n, float *out, struct err *e);

/* A matrix as it comes: its rows are asked of get(arg, ...) while it is worked on. */
struct grid_matrix {
    int64_t rows, cols;
    grid_rows get;
    void *arg;
};

/* How it was done. The last three only count, from the Gram matrix of GRID_GRAM: GRID_PROVED proves by a
 * Cholesky factorisation in float32 that all lie above, the others count in float64. */
enum grid_method { GRID_GRAM, GRID_CYCLIC, GRID_SVD, GRID_CHOLESKY, GRID_INERTIA, GRID_PROVED };

/* Local. "gram", "gram block-cyclic", "svd", "cholesky", "cholesky+inertia", "cholesky in float32". */
const char *grid_method_name(enum grid_method method);

/* Local. May singular values be told from zero down to this share of the largest by a Gram matrix? Its
 * eigenvalues carry an error of a few 2^-53 of the largest, so that singular values below about 1.5e-8 are
 * noise. */
int grid_gram_resolves(double share);

/* Local. Peak bytes one process of a team of np needs for an m x n matrix by GRID_GRAM, GRID_CYCLIC or
 * GRID_SVD. */
double grid_spectrum_bytes(enum grid_method method, int64_t rows, int64_t cols, int np);

/* Local. GRID_GRAM or GRID_CYCLIC, whichever is faster within available bytes per process, for all singular
 * values or for counting them. */
enum grid_method grid_gram_method(int64_t rows, int64_t cols, int np, int counting, double available);

/* Collective on g's team. Singular values of a matrix, descending, into s[min(rows, cols)], equal
 * on all processes; NaN where the matrix holds NaN or Inf (*finite is 0 then). method: GRID_GRAM, GRID_CYCLIC
 * or GRID_SVD. Results of different methods and grids agree within 1e-7 * s[0]. An all-zero matrix gives
 * zeros. Errors: NUMERIC if not converged, SYSTEM over budget. */
err_t grid_singular_values(struct grid *g, enum grid_method method, const struct grid_matrix *m, double *s,
                           int *finite, struct arena *a, struct err *e);

/* What is to be counted: singular values above the tolerance, absolute if it is positive, else share *
 * sigma_max; and whether any lies within band * sigma_max of it. */
struct grid_bound {
    double tolerance, share, band;
};

struct grid_count {
    enum grid_method
        method;    /* GRID_CHOLESKY, GRID_INERTIA, GRID_PROVED; GRID_GRAM where only all values could tell */
    int finite;    /* 0: the matrix holds NaN or Inf; nothing else is set then */
    int resolved;  /* 0: the tolerance is too small for a Gram matrix; neither count nor ambiguous is set */
    int64_t above; /* singular values above the tolerance */
    int ambiguous; /* one lies within the band */
    double tolerance, sigma_max;
    double stable_rank; /* squared Frobenius norm / sigma_max^2; 0 for a zero matrix */
    double rounding; /* no squared singular value is off by more than this share of sigma_max^2 where it was
                        counted; NaN by GRID_GRAM */
    double sigma_least; /* none that counts is less, which is proved; NaN where nothing is */
};

/* Collective on g's team, by GRID_GRAM. Counts singular values above a bound without computing them:
 * sigma_max by Lanczos (symmetric.h); the count by Cholesky factorisations of the Gram matrix minus the
 * squared bound. One in float32 is enough where it proves that all lie above, whatever sigma_max may be;
 * where some do not, float32 proves sigma_max and float64 counts. Where that leaves doubt, all singular
 * values are computed after all. The result is equal on all processes. */
err_t grid_count_above(struct grid *g, const struct grid_matrix *m, const struct grid_bound *bound,
                       struct grid_count *out, struct arena *a, struct err *e);

#endif
