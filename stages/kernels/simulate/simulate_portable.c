/* The plain loops of simulate.c: the reference. */
#include "kernels/simulate/simulate_loops.h"

#include <math.h>
#include <string.h>

void simulate_four_sums_portable(uint64_t key, int64_t first, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = simulate_four_sum(simulate_draw(key, first + i));
}

/* exp(x) within 1e-9, from exactly rounded operations only: 2^k by the exponent field, the rest by its Taylor
 * series on |r| <= ln(2)/2. x in [-700, 700]. */
static double exponential(double x)
{
    double k = floor(x * SIMULATE_LOG2_E + 0.5);
    double r = (x - k * SIMULATE_LN2_HIGH) - k * SIMULATE_LN2_LOW;
    double p = simulate_taylor[SIMULATE_DEGREE];
    for (int i = SIMULATE_DEGREE - 1; i >= 0; i--)
        p = p * r + simulate_taylor[i];
    uint64_t b = (uint64_t)((int64_t)k + 1023) << 52;
    double power;
    memcpy(&power, &b, sizeof power);
    return p * power;
}

void simulate_exponentials_portable(const float *x, double top, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = exponential((double)x[i] - top);
}

const struct simulate_loops simulate_portable = {
    .four_sums = simulate_four_sums_portable,
    .exponentials = simulate_exponentials_portable,
};
