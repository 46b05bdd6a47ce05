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

/* Sizes, as bits without the sign, by where they are: window k is [lo, hi) of edge[2 k + 1] and edge[2 k],
 * and what is above it and below the window before it is region k. Edges do not rise; a window that is not
 * there has 0 for both, and is below all. exponent: the squares are told in units of it: that of the last
 * edge above 0. */
enum { LARGEST_WINDOWS = 3, LARGEST_OCTAVES = 4, LARGEST_MOST = 1024 };
struct largest_edges {
    uint32_t edge[2 * LARGEST_WINDOWS], exponent;
};

/* What n sizes came to beside the list: of each region the sum of m^2 over sizes m 2^(exponent - 150) of
 * LARGEST_OCTAVES exponents from `exponent` on; and the sizes in regions that have another one, a list. */
struct largest_sums {
    uint64_t squares[LARGEST_WINDOWS];
    int64_t nodd;
    uint32_t odd[LARGEST_MOST];
};

/* Local. Of n sizes, finite and at most LARGEST_MOST, those within windows, in order, to list: room for n and
 * LARGEST_SLACK; the others into *sums, which is filled anew. Returns how many are within. */
int64_t largest_split(enum isa isa, const struct largest_edges *x, const uint32_t *size, int64_t n,
                      uint32_t *list, struct largest_sums *sums);

#endif
