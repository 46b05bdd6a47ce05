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

/* The ends of a spectrum, as Lanczos finds them. */
struct symmetric_ends {
    double largest;  /* 0 for a zero matrix, and where nothing was found */
    double residual; /* an eigenvalue lies within it of `largest`, in exact arithmetic */
    double least;    /* no less than the smallest eigenvalue, but for rounding */
    int found;       /* `largest` has settled */
};

/* Local. The ends, by Lanczos. The largest to a relative 1e-9 in practice: it has settled where it grew by no
 * more than 1e-11 in eight steps, and an eigenvalue lies within 1e-6 of it (Paige, 1971, on the residual of a
 * Ritz pair). That it is the largest is as likely as the start is arbitrary (Kuczynski & Wozniakowski, 1992,
 * SIAM J. Matrix Anal. Appl. 13:1094: k steps from a random start miss a share x of it with a probability of
 * at most 1.648 sqrt(n) exp(-sqrt(x) (2 k - 1))). proved: it has settled only where symmetric_none_above
 * says so, too. */
err_t symmetric_ends(struct symmetric *s, int proved, struct symmetric_ends *ends, struct err *e);

/* Local. Does a Cholesky factorisation prove that no eigenvalue is larger than 1 + 1e-7 times value? */
int symmetric_none_above(struct symmetric *s, double value);

/* Local. The root of the sum of all squares: no eigenvalue is larger. */
double symmetric_frobenius(const struct symmetric *s);

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
