#include "kernels/spectrum/spectrum.h"

#include <math.h>

static const double EPS32 = 0x1p-23; /* of float32, as numpy and torch have it */

static double larger(int64_t rows, int64_t cols)
{
    return (double)(rows > cols ? rows : cols);
}

double spectrum_tolerance(int64_t rows, int64_t cols, double sigma_max)
{
    return larger(rows, cols) * EPS32 * sigma_max;
}

double spectrum_band(int64_t rows, int64_t cols, double sigma_max)
{
    return (1.0 + 0.5 * sqrt(larger(rows, cols))) * EPS32 * sigma_max;
}

void spectrum_measure(const double *s, int64_t n, int64_t rows, int64_t cols, double tolerance,
                      struct spectrum *out)
{
    enum { TOP = 20 };
    *out = (struct spectrum){.tolerance = tolerance, .top20_energy = NAN};
    if (n < 1)
        return;
    out->sigma_max = s[0];
    out->sigma_min = s[n - 1];
    if (!(tolerance > 0))
        out->tolerance = spectrum_tolerance(rows, cols, s[0]);
    if (!(s[0] > 0))
        return;
    double band = spectrum_band(rows, cols, s[0]), squares = 0, sum = 0, top = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = s[i] / s[0];
        out->matrix_rank += s[i] > out->tolerance;
        out->ambiguous |= fabs(s[i] - out->tolerance) <= band;
        squares += x * x;
        top = i < TOP ? squares : top;
        sum += x;
    }
    /* H = ln(sum) - (1/sum) * sum of x ln x, for p = x / sum */
    double xlogx = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = s[i] / s[0];
        if (x > 0)
            xlogx += x * log(x);
    }
    out->stable_rank = squares;
    out->top20_energy = top / squares;
    out->effective_rank = exp(log(sum) - xlogx / sum);
}
