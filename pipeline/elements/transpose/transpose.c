#include "elements/transpose/transpose.h"

#include "elements/transpose/transpose_loops.h"

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX2(transpose_avx2),
    ISA_ROW_PORTABLE(transpose_portable),
};

void transpose_16(enum isa isa, const uint16_t *in, int64_t rows, int64_t cols, int64_t in_step,
                  uint16_t *out, int64_t out_step)
{
    const struct transpose_loops *loops = isa_choose(sets, isa);
    loops->turn(in, rows, cols, in_step, out, out_step);
}
