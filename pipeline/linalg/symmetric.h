/* Symmetric: what one process asks of a whole symmetric matrix, positive semidefinite up to rounding (a Gram
 * matrix): its eigenvalues, the largest alone, or how many lie above a bound.
 *
 * The matrix is kept in the upper triangle and the diagonal aside, so that the lower triangle may be
 * overwritten by one question after the other. */
#ifndef SINEW_SYMMETRIC_H
#define SINEW_SYMMETRIC_H

#include "base/err.h"
#include "base/mem.h"

enum { SYMMETRIC_DELAYED = 128 /* pivots a count may set aside before it gives up */ };

struct symmetric {
    double *a; /* n columns, ld apart */
    int n, ld;
    double *diagonal;
    struct arena *arena;
};

/* Local. Bytes that the questions need beside the matrix itself. */
double symmetric_bytes(int64_t n);

/* Local. Takes a matrix from its lower triangle; a stays the caller's. */
err_t symmetric_init(struct symmetric *s, double *a, int64_t n, int64_t ld, struct arena *arena,
                     struct err *e);

/* Local. All eigenvalues, ascending. Errors: NUMERIC if not converged. */
err_t symmetric_eigenvalues(struct symmetric *s, double *values, struct err *e);

/* Local. The largest eigenvalue, by Lanczos, to a relative 1e-9 in practice. *certified: a Cholesky
 * factorisation has proved that none is larger than 1 + 1e-7 times *value. A value of 0 is certain. */
err_t symmetric_largest(struct symmetric *s, double *value, int *certified, struct err *e);

struct symmetric_count {
    int decided;     /* 0: too many pivots too close to zero; nothing else is set */
    int64_t above;   /* eigenvalues above the bound */
    int64_t at_most; /* an upper limit of the eigenvalues above bound - slack */
    int64_t delayed; /* pivots set aside: the order of the Schur complement */
};

/* Local. How many eigenvalues lie above `bound`: a Cholesky factorisation of A - bound I in which pivots that
 * are not clearly positive are put off to the end; by Haynsworth's inertia additivity the count is that of
 * the pivots taken, plus that of the positive eigenvalues of the Schur complement of the rest (1968, Linear
 * Algebra Appl. 1:73). It is exact for a matrix within resolution of A; where that cannot be had, decided is
 * 0. The Schur complement is a concave function of the bound, so that its tangent limits what `slack` lower
 * bounds would count. */
err_t symmetric_above(struct symmetric *s, double bound, double slack, double largest, double resolution,
                      struct symmetric_count *out, struct err *e);

#endif
