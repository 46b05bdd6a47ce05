/* Runs of elements in files, walked: how flat groups become the pieces of tensors. Pure arithmetic. */
#ifndef SINEW_ZERO_RUN_H
#define SINEW_ZERO_RUN_H

#include "formats/stored.h"

/* A run of elements in a file, each behind the other. */
struct zero_run {
    int file; /* index into the list of files */
    enum dtype dtype;
    int64_t offset_bytes, n;
};

/* Runs one behind the other, and how far they are used up: run i is v[i * stride]. */
struct zero_line {
    const struct zero_run *v;
    int64_t n, stride;
    int64_t run, at; /* what comes next: element `at` of that run */
};

/* Local, pure. Elements that are left. */
int64_t zero_line_left(const struct zero_line *line);

/* Local, pure. The next n elements, of which there are as many, as pieces of the tensor from its element
 * `start` on: writes them to out and returns how many pieces. out NULL: passes over them. */
int64_t zero_line_take(struct zero_line *line, int64_t n, int64_t start, struct stored_piece *out);

/* Local, pure. How many pieces that would be. */
int64_t zero_line_count(const struct zero_line *line, int64_t n);

#endif
