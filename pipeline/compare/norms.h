/* Norms: how large a tensor and its update are beside each other, and the angle between old and new. */
#ifndef SINEW_NORMS_H
#define SINEW_NORMS_H

#include "hdf5/table.h"

/* Sums over elements that are finite on both sides: of w0^2, of (w1 - w0)^2, and of w1^2 - w0^2. */
struct square_sums {
    double base, delta, gain;
};

/* In weight units; NaN where there is no such figure: all of w0 is zero, or all of w1 for the angle. */
struct norms {
    double base, tuned, delta; /* |w0|, |w1|, |w1 - w0| */
    double relative;           /* |w1 - w0| / |w0| */
    double cosine, one_minus_cosine;
};

/* Local, pure. The norms. The angle without the cancellation of 1 - w0.w1 / |w0||w1|:
 * 1 - cos = (|d|^2 - (|w1| - |w0|)^2) / (2 |w0||w1|), with |w1| - |w0| = sum(w1^2 - w0^2) / (|w1| + |w0|). */
struct norms norms_of(const struct square_sums *s);

/* The values of a row in the columns C_NORMS (hdf5/schema.h). */
#define V_NORMS(x)                                                                                    \
    V_REAL((x).base), V_REAL((x).tuned), V_REAL((x).delta), V_REAL((x).relative), V_REAL((x).cosine), \
        V_REAL((x).one_minus_cosine)

#endif
