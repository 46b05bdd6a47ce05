#include "entropy.h"

#include <math.h>

/* Terms are summed in LANES independent sums, as a vector unit would, over runs of RUN logits whose sums are
 * then added: the order is fixed, and the rounding error grows with RUN / LANES and n / RUN instead of n. */
enum { LANES = 8, RUN = 1024 };

/* exp(z) underflows to zero below this: such terms, -Inf among them, contribute nothing (-Inf times zero
 * would be NaN). */
static const double EXP_ZERO = -746.0;

/* First pass. Index of the largest logit; -1 and the fault where there is none or a logit is no logit. */
static int64_t largest(const double *x, int64_t n, enum entropy_fault *fault, int64_t *at)
{
    int64_t best = -1;
    double top = -INFINITY;
    for (int64_t j = 0; j < n; j++) {
        /* False for NaN as well, which is then sorted out once. */
        if (x[j] <= top)
            continue;
        if (!(x[j] < INFINITY)) {
            *fault = isnan(x[j]) ? ENTROPY_NAN : ENTROPY_INFINITE;
            *at = j;
            return -1;
        }
        top = x[j];
        best = j;
    }
    if (best < 0)
        *fault = ENTROPY_EMPTY;
    return best;
}

/* s += exp(z), a += -z exp(z) over n logits, n <= RUN. */
static void add_run(const double *x, int64_t n, double top, double temperature, double *s, double *a)
{
    double lane_s[LANES] = {0}, lane_a[LANES] = {0};
    for (int64_t j = 0; j < n; j += LANES) {
        int width = n - j < LANES ? (int)(n - j) : LANES;
        for (int k = 0; k < width; k++) {
            double z = (x[j + k] - top) / temperature;
            if (z < EXP_ZERO)
                continue;
            double p = exp(z);
            lane_s[k] += p;
            lane_a[k] -= z * p;
        }
    }
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) {
            lane_s[k] += lane_s[k + half];
            lane_a[k] += lane_a[k + half];
        }
    *s += lane_s[0];
    *a += lane_a[0];
}

enum entropy_fault entropy_row(const double *logits, int64_t n, double temperature, double *nats, int64_t *at)
{
    enum entropy_fault fault = ENTROPY_FINE;
    *nats = NAN;
    *at = 0;
    int64_t best = largest(logits, n, &fault, at);
    if (best < 0)
        return fault;
    double top = logits[best], s = 0, a = 0;
    /* The largest itself (z = 0, exp(z) = 1) is left out of s by going around it. */
    for (int64_t j = 0; j < best; j += RUN)
        add_run(logits + j, best - j < RUN ? best - j : RUN, top, temperature, &s, &a);
    for (int64_t j = best + 1; j < n; j += RUN)
        add_run(logits + j, n - j < RUN ? n - j : RUN, top, temperature, &s, &a);
    *nats = log1p(s) + a / (1 + s);
    return ENTROPY_FINE;
}

double entropy_interpolate(double a, double b, double t)
{
    double diff = b - a;
    /* From the nearer end, so that the result is monotone in t and exact at both ends. */
    return t < 0.5 ? a + diff * t : b - diff * (1 - t);
}
