/* Inputs: the checkpoints and logits that a study reads, as far as their headers can be opened; what check
 * and plan look at. */
#ifndef SINEW_INPUTS_H
#define SINEW_INPUTS_H

#include "base/dict.h"
#include "formats/headers.h"
#include "study/dag.h"

/* Zero-initialise, set arena and headers, check. */
struct inputs {
    struct arena *arena;
    struct headers *headers;
    struct dict by_name;   /* of those looked at, by choice_name: does it open? */
    const struct ctx *ctx; /* of the node whose files are looked at */
    struct dict
        made; /* checkpoints and logits that nodes of the study write, or that were read and may be gone */
    struct dict logits; /* paths of logits as cells have them */
    int n;              /* that open */
    struct text notes;  /* what was taken of checkpoints that say so, a line each; text NULL: none does */
    double covered;  /* the least share of a side's parameters that a pair compares; inputs_check sets it */
    int64_t in_part; /* pairs of which less than COVERAGE_WHOLE is compared */
    int problems;
    struct err first;
};

/* Local (process 0's work). Opens every input's headers and matches every pair. Each problem is printed on
 * stderr as it is found, the cells that lack something on stdout. Errors: DATA, the problem if there is one,
 * or how many there are; SYSTEM (memory). */
err_t inputs_check(struct inputs *in, const struct dag *d, struct err *e);

#endif
