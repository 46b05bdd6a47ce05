/* Transpose: a matrix of 16-bit elements turned round. Pure: no MPI, no files, no allocation. Every
 * instruction set gives the same bits. */
#ifndef SINEW_TRANSPOSE_H
#define SINEW_TRANSPOSE_H

#include "base/isa.h"

#include <stdint.h>

/* Local. out[c * out_step + r] = in[r * in_step + c] of rows x cols elements; steps are elements from one row
 * to the next. in and out do not overlap. */
void transpose_16(enum isa isa, const uint16_t *in, int64_t rows, int64_t cols, int64_t in_step,
                  uint16_t *out, int64_t out_step);

#endif
