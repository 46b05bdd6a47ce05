/* Coverage: which share of each side's parameters a comparison's figures are of. The one place where that is
 * counted and said.
 *
 * A parameter is an element of a tensor that the model learns: not of a buffer, nor of what serves decoding
 * (scales, a quantizer's state), nor of an output head that is an equal copy of the embedding. Where both
 * sides hold it, under other names or packings too, it is one parameter of each. */
#ifndef SINEW_COVERAGE_H
#define SINEW_COVERAGE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { COVERAGE_LARGEST = 4 };

/* Of sides 0, the base, and 1, the tuned. Zero-initialise, add. */
struct coverage {
    int64_t parameters[2], compared[2];
    struct coverage_left {
        const char *tensor; /* borrowed */
        int64_t parameters;
        char reason[120];
    } largest[COVERAGE_LARGEST]; /* of what is left out, the largest first; tensor NULL behind the last */
    int64_t nleft;               /* tensors, or parts of them, with parameters that are left out */
};

/* The share of either side that a study asks for unless it says otherwise, and that below which a comparison
 * says in words what it covers. */
#define COVERAGE_LEAST 0.9
#define COVERAGE_WHOLE 0.999

/* Local, pure. A tensor, or part of one, that is left out. */
void coverage_leave(struct coverage *c, const char *tensor, int64_t parameters, const char *reason);

/* Local, pure. The share of a side that is compared, 0 to 1; 1 where it has no parameters; of -1 the smaller
 * one. */
double coverage_share(const struct coverage *c, int side);

/* Local, pure. "94.12 % of the base's parameters and 100 % of the tuned side's are compared", cut and not
 * rounded. Returns out. */
const char *coverage_words(const struct coverage *c, char *out, size_t size);

/* Local, pure. A least share: "any" is 0. Returns 0, or -1 where the text is neither that nor a number from 0
 * to 1. */
int coverage_parse(const char *text, double *least);

/* Local. DATA where less than `least` of a side is compared: how much, what is left out, how to go on, and
 * `remedy` behind that. */
err_t coverage_check(const struct coverage *c, double least, const char *base, const char *tuned,
                     const char *remedy, struct err *e);

#endif
