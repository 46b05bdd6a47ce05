/* Inputs: the checkpoints and logits that a study reads, as far as their headers can be opened; what check
 * and plan look at. */
#ifndef SINEW_INPUTS_H
#define SINEW_INPUTS_H

#include "formats/checkpoint.h"
#include "study/dag.h"

/* By path. Zero-initialise, set arena, check. */
struct inputs {
    struct arena *arena;
    int n;
    int64_t cap;
    struct opened {
        const char *path;
        struct checkpoint checkpoint; /* closed: its lists remain; empty for logits */
        int ok;
    } * list;
    int problems;
    struct err first;
};

/* Local (process 0's work). Opens every input's headers and matches every pair. Each problem is printed on
 * stderr as it is found, the cells that lack something on stdout. Errors: DATA, the problem if there is one,
 * or how many there are; SYSTEM (memory). */
err_t inputs_check(struct inputs *in, const struct dag *d, struct err *e);

/* Local. The input at a path; NULL where there is none, or none yet. */
const struct opened *inputs_find(const struct inputs *in, const char *path);

#endif
