/* The plain loop of largest.c: the reference. */
#include "elements/largest/largest_loops.h"

#include <string.h>

int64_t largest_pack_portable(const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        const float d = b[i] - a[i];
        uint32_t bits;
        memcpy(&bits, &d, sizeof bits);
        bits &= 0x7fffffff;
        out[found] = bits; /* overwritten, where it is none: no branch that is hard to foretell */
        found += bits >= least && bits < LARGEST_INFINITE;
    }
    return found;
}

const struct largest_loops largest_portable = {.pack = largest_pack_portable};
