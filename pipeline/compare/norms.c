#include "compare/norms.h"

#include <math.h>

struct norms norms_of(const struct square_sums *s)
{
    double tuned_square = s->base + s->gain;
    /* rounding may leave a sum below zero; what is not known stays NaN */
    struct norms x = {.base = sqrt(s->base < 0 ? 0 : s->base),
                      .tuned = sqrt(tuned_square < 0 ? 0 : tuned_square),
                      .delta = sqrt(s->delta),
                      .relative = NAN,
                      .cosine = NAN,
                      .one_minus_cosine = NAN};
    if (x.base > 0)
        x.relative = x.delta / x.base;
    if (x.base > 0 && x.tuned > 0) {
        double longer = s->gain / (x.tuned + x.base);
        x.one_minus_cosine = (s->delta - longer * longer) / (2 * x.base * x.tuned);
        /* rounding: old and new lie on one line */
        x.one_minus_cosine = x.one_minus_cosine < 0 ? 0 : x.one_minus_cosine > 2 ? 2 : x.one_minus_cosine;
        x.cosine = 1 - x.one_minus_cosine;
    }
    return x;
}
