#include "compare/concentration/squares.h"

#include <math.h>

void squares_to(unsigned __int128 m2, int exponent, struct xsum *sum)
{
    for (int at = 0; m2 != 0; at += 32, m2 >>= 32)
        xsum_add(sum, ldexp((double)(uint32_t)m2, at + 2 * (exponent - 150)));
}

void squares_of_run(const struct squares_run *run, struct xsum *sum)
{
    for (int exponent = 0; exponent < SQUARES_EXPONENTS; exponent++)
        if (run->sum[exponent] != 0)
            squares_to(run->sum[exponent], exponent, sum);
}
