#include "elements/largest/largest.h"

#include "elements/largest/largest_loops.h"

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(largest_avx512),
    ISA_ROW_AVX2(largest_avx2),
    ISA_ROW_PORTABLE(largest_portable),
};

int64_t largest_pack(enum isa isa, const float *a, const float *b, int64_t n, uint32_t least, uint32_t *out)
{
    const struct largest_loops *loops = isa_choose(sets, isa);
    return loops->pack(a, b, n, least, out);
}

int64_t largest_split(enum isa isa, const struct largest_edges *x, const uint32_t *size, int64_t n,
                      uint32_t *list, struct largest_sums *sums)
{
    const struct largest_loops *loops = isa_choose(sets, isa);
    sums->nodd = 0;
    for (int k = 0; k < LARGEST_WINDOWS; k++)
        sums->squares[k] = 0;
    return loops->split(x, size, n, list, sums);
}
