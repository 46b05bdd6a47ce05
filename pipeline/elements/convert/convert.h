/* Convert: raw elements in the compare type, by a given instruction set. Pure: no MPI, no files, no
 * allocation. Every instruction set gives the same bits. */
#ifndef SINEW_CONVERT_H
#define SINEW_CONVERT_H

#include "base/isa.h"
#include "elements/tensor.h"

/* Local. tensor_to_compare (tensor.h). */
void convert_to_compare(enum isa isa, enum arithmetic a, enum dtype t, const void *in, int64_t n, void *out);

#endif
