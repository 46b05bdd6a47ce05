#include "elements/lowrank/lowrank.h"

#include "elements/lowrank/lowrank_loops.h"

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(lowrank_avx512),
    ISA_ROW_AVX2(lowrank_avx2),
    ISA_ROW_PORTABLE(lowrank_portable),
};

static const struct lowrank_loops *loops_of(enum isa isa)
{
    return isa_choose(sets, isa);
}

void lowrank_rows(enum isa isa, const float *left, int64_t rows, int64_t r, const float *right, int64_t cols,
                  int64_t stride, float scale, float *out)
{
    loops_of(isa)->rows(left, rows, r, right, cols, stride, scale, out, cols);
}

int64_t lowrank_stride(int64_t cols)
{
    enum { LINE = 16 }; /* floats */
    int64_t lines = cols / LINE + (cols % LINE != 0);
    return (lines + (lines % 2 == 0)) * LINE; /* an odd number of lines */
}
