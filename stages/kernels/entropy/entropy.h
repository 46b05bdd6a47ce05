/* Entropy of the distribution that a row of logits stands for. Pure: no MPI, no files, no allocation. */
#ifndef SINEW_ENTROPY_H
#define SINEW_ENTROPY_H

#include "base/isa.h"
#include "elements/tensor.h"

#include <stdint.h>

enum entropy_fault {
    ENTROPY_FINE,
    ENTROPY_NAN,      /* a logit is NaN */
    ENTROPY_INFINITE, /* a logit is +Inf */
    ENTROPY_EMPTY     /* every logit is -Inf, or there is none: no distribution */
};

/* Sums over logits of p and of d p: d = logit - a reference, p = exp(d / temperature). */
struct entropy_sums {
    double p, dp;
};

/* What each code of 16 bits adds to the sums, for one type, temperature and reference: made when a row needs
 * it and kept for the rows after it. Two, because rows have one of two references next to each other. All 0
 * at first; aligned as the type says, which memory of an arena is. It never shows in a result which rows came
 * before. */
struct entropy_room {
    struct entropy_table {
        _Alignas(64) struct entropy_sums of[1 << 16]; /* none lies across two cache lines */
        double temperature, reference;
        enum dtype type;
        int filled;
    } table[2];
};

/* Local. H = - sum p ln p in nats, p = softmax(logits / temperature), over n < 2^31 logits of `type` (BF16,
 * F16, F32 or F64); -Inf logits have p = 0 and contribute nothing. temperature > 0 and finite (beyond 2^-1000
 * and 2^1000 it counts as these). In float64 throughout; the relative error stays below 1e-13 for n up to
 * 10^6 (2e-13 where H is below 1e-200), also where H is tiny, because nothing is subtracted: with z = (logit
 * - largest) / temperature and s = sum of exp(z) over all but the largest, H = ln(1 + s) + (sum of -z exp(z))
 * / (1 + s), which is the definition rewritten, both terms >= 0. Probabilities below about exp(-708) of the
 * largest count as nothing. room: for BF16 and F16; else unused, may be NULL. Every isa gives the same bits.
 * On a fault *at (may be NULL) is the vocabulary index of the first bad logit (0 where the row is empty) and
 * *nats NaN. Each logit is read from memory once. */
enum entropy_fault entropy_row(enum isa isa, enum dtype type, const void *logits, int64_t n,
                               double temperature, struct entropy_room *room, double *nats, int64_t *at);

/* Local. numpy's and torch's linear interpolation between order statistics a <= b at 0 <= t < 1, rounded as
 * numpy rounds it. */
double entropy_interpolate(double a, double b, double t);

#endif
