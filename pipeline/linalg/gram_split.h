/* Split: a panel in two parts, so that products of the first may be added up in float32 without any rounding
 * (after Ozaki, Ogita, Oishi & Rump, 2012, Numer. Algorithms 59:95).
 *
 * Column i of a panel has a grid of its own: a power of two u_i of at least 2^-12 of the column's norm. The
 * first part is what lies on the grid, the rest is what does not. Products of two columns' first parts, and
 * whatever is added up of them, are multiples of u_i u_j; by Cauchy and Schwarz none exceeds the product of
 * the norms, 2^24 u_i u_j. All of these are float32, so that no addition rounds, in any order. Updates of
 * bf16 weights have few elements with a rest: those far smaller than others of their column. */
#ifndef SINEW_GRAM_SPLIT_H
#define SINEW_GRAM_SPLIT_H

#include "linalg/gram.h"

/* Local. Takes the first part of a panel of k rows of n floats in its place and lists the elements with a
 * rest; l->nrests. Returns 0, and leaves the panel as it was, where too many have one or the norms are near
 * the end of float32's range. */
int gram_split(float *panel, int64_t k, int64_t n, struct gram_lists *l);

/* Local. Adds to the lower triangle of G, of which the first part's share is there, what the rests add. */
void gram_add_rests(double *g, int64_t n, int64_t ld, const float *panel, const struct gram_lists *l);

#endif
