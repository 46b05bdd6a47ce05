#include "kernels/overlap/overlap_counts.h"

#include "kernels/overlap/overlap_loops.h"

#include <math.h>

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(overlap_avx512),
    ISA_ROW_AVX2(overlap_avx2),
    ISA_ROW_NEON(overlap_neon),
    ISA_ROW_PORTABLE(overlap_portable),
};

static const struct overlap_loops *loops_of(enum isa isa)
{
    return isa_choose(sets, isa);
}

void overlap_count(enum isa isa, const uint64_t *masks, int64_t stride, int k, int64_t nwords, uint64_t *room,
                   int64_t *own, int64_t *both, int64_t *exactly)
{
    const struct overlap_masks m = {masks, stride, nwords, k};
    if (k >= 1)
        loops_of(isa)->count(&m, room, own, both, exactly);
}

void overlap_consensus(enum isa isa, const uint64_t *masks, int64_t stride, int k, int64_t nwords,
                       int64_t *exactly)
{
    const struct overlap_masks m = {masks, stride, nwords, k};
    if (k >= 1)
        loops_of(isa)->consensus(&m, exactly);
}

void overlap_chance(int64_t n, int64_t u1, int64_t u2, double *mean, double *variance)
{
    if (n < 1)
        return;
    double expected = (double)u1 * (double)u2 / (double)n;
    *mean += expected;
    if (n > 1)
        *variance += expected * ((double)(n - u1) / (double)n) * ((double)(n - u2) / (double)(n - 1));
}

double overlap_ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

double overlap_score(double found, double expected, double variance)
{
    return variance > 0 ? (found - expected) / sqrt(variance) : NAN;
}
