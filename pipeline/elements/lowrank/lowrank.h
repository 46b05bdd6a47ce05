/* Lowrank: rows of the product of two thin matrices, which is how a low-rank adapter stores an update. Pure:
 * no MPI, no files, no allocation.
 *
 * Each element is the sum over k in order, begun at zero, each step one fused multiply-add in float, and the
 * whole then times the scale. That is the order in which matrix products of so few terms are summed by the
 * libraries that merge such adapters; another order would change the last bits of most elements. */
#ifndef SINEW_LOWRANK_H
#define SINEW_LOWRANK_H

#include "base/isa.h"

#include <stdint.h>

/* Local. out[i * cols + j] = scale * sum over k of left[i * rank + k] * right[k * stride + j], for rows i and
 * columns j; stride >= cols. Every instruction set gives the same bits. */
void lowrank_rows(enum isa isa, const float *left, int64_t rows, int64_t r, const float *right, int64_t cols,
                  int64_t stride, float scale, float *out);

/* Local, pure. A stride for rows of so many columns, by which rows do not fall on each other in a cache. */
int64_t lowrank_stride(int64_t cols);

#endif
