#include "compare/concentration/squares.h"

#include <math.h>

void squares_to(unsigned __int128 m2, int exponent, struct xsum *sum)
{
    for (int at = 0; m2 != 0; at += 32, m2 >>= 32)
        xsum_add(sum, ldexp((double)(uint32_t)m2, at + 2 * (exponent - 150)));
}

void squares_of_run(const struct squares_run *run, struct xsum *sum)
{
    for (int from = 0; from < SQUARES_EXPONENTS; from += 8) { /* nearly all are empty */
        uint64_t any = 0;
        for (int k = 0; k < 8; k++)
            any |= run->sum[from + k];
        for (int k = 0; k < 8 && any != 0; k++)
            if (run->sum[from + k] != 0)
                squares_to(run->sum[from + k], from + k, sum);
    }
}
