/* Between largest.c and its loops; nobody else includes it. */
#ifndef SINEW_LARGEST_LOOPS_H
#define SINEW_LARGEST_LOOPS_H

#include "elements/largest/largest.h"

struct largest_loops {
    /* largest_pack. */
    int64_t (*pack)(const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out);
    /* largest_split, adding to *sums. */
    int64_t (*split)(const struct largest_edges *x, const uint32_t *size, int64_t n, uint32_t *list,
                     struct largest_sums *sums);
};

ISA_TABLES(struct largest_loops, largest);

/* Local. The reference. */
int64_t largest_pack_portable(const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out);

int64_t largest_split_portable(const struct largest_edges *x, const uint32_t *size, int64_t n, uint32_t *list,
                               struct largest_sums *sums);

#endif
