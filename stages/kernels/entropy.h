/* Entropy of the distribution that a row of logits stands for. Pure: no MPI, no files, no allocation. */
#ifndef SINEW_ENTROPY_H
#define SINEW_ENTROPY_H

#include <stdint.h>

enum entropy_fault {
    ENTROPY_FINE,
    ENTROPY_NAN,      /* a logit is NaN */
    ENTROPY_INFINITE, /* a logit is +Inf */
    ENTROPY_EMPTY     /* every logit is -Inf, or there is none: no distribution */
};

/* Local. H = - sum p ln p in nats, p = softmax(logits / temperature), over n logits; -Inf logits have p = 0
 * and contribute nothing. temperature > 0 and finite. Computed in float64; the relative error stays below
 * 1e-13 also where H is tiny, because nothing is subtracted: with z = (logit - largest) / temperature and s =
 * sum of exp(z) over all but the largest, H = ln(1 + s) + (sum of -z exp(z)) / (1 + s), which is the
 * definition rewritten, both terms >= 0. On a fault *at (may not be NULL) is the vocabulary index of the
 * first bad logit (0 where the row is empty) and *nats NaN. */
enum entropy_fault entropy_row(const double *logits, int64_t n, double temperature, double *nats,
                               int64_t *at);

/* Local. numpy's and torch's linear interpolation between order statistics a <= b at 0 <= t < 1, rounded as
 * numpy rounds it. */
double entropy_interpolate(double a, double b, double t);

#endif
