/* Definite: is a symmetric matrix positive definite? Proved in float32, twice as fast as float64, where the
 * matrix is far enough from not being so. For grid.c; what is asked of the matrix itself is in symmetric.h.
 */
#ifndef SINEW_DEFINITE_H
#define SINEW_DEFINITE_H

#include "linalg/symmetric.h"

/* Local. The least e for which it is proved that no eigenvalue of scale * A + shift * I lies below -e;
 * INFINITY where nothing is. scale: 1 or -1. Overwrites the lower triangle and the diagonal.
 *
 * Proof (Demmel, 1989, LAPACK Working Note 14; Rump, 2006, BIT 46:433; with Higham, Accuracy and Stability of
 * Numerical Algorithms, 2nd ed., theorem 10.3): where Cholesky's factorisation of a matrix H of order n in
 * arithmetic of unit roundoff u runs to its end, in whichever order it adds up, its factor is that of
 * H + E, |E| <= g |L| |L'| element by element, g = m u / (1 - m u), m = n + 1. H + E is positive
 * semidefinite, so that no eigenvalue of H lies below -|E|_2, and |E|_2 is at most the largest row sum of g
 * |L| |L'|, which is computed. m is taken larger by 7: 2 for H as the matrix rounded to float32, 2 for a
 * library that multiplies by reciprocals of the diagonal, the rest for rounding of float64. What underflow
 * adds is far below: the matrix is scaled by a power of two to a largest diagonal element between 1 and 2. */
err_t definite_within(struct symmetric *s, double scale, double shift, double *e_out, struct err *e);

/* Local. A proof cannot come nearer to A's smallest eigenvalue than this. */
double definite_resolution(const struct symmetric *s);

#endif
