/* Largest: those of many float32 differences that are large, picked out. Pure: no MPI, no files, no
 * allocation. Every instruction set gives the same bits. */
#ifndef SINEW_LARGEST_H
#define SINEW_LARGEST_H

#include "base/isa.h"

#include <stdint.h>

enum {
    LARGEST_SLACK = 16, /* the output needs room for so many more than it receives */
    LARGEST_INFINITE = 0x7f800000
};

/* Local. Of n elements the |b[i] - a[i]|, rounded to float and as bits without the sign, that are finite and
 * at least `least` (at most LARGEST_INFINITE), in order, to out: room for n and LARGEST_SLACK. Returns how
 * many. */
int64_t largest_pack(enum isa isa, const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out);

#endif
