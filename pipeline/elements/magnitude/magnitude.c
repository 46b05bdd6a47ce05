#include "elements/magnitude/magnitude.h"

#include "elements/magnitude/magnitude_loops.h"

#include <string.h>

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(magnitude_avx512),
    ISA_ROW_AVX2(magnitude_avx2),
    ISA_ROW_PORTABLE(magnitude_portable),
};

static const struct magnitude_loops *loops_of(enum isa isa)
{
    return isa_choose(sets, isa);
}

double magnitude_bin_lower(int bin)
{
    uint32_t bits = (uint32_t)bin << 21;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

void magnitude_count(enum isa isa, enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    loops_of(isa)->count(arithmetic, bits, n, bins);
}
