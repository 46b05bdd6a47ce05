/* Counted: what the processes have counted so far, as steps of the journal, so that a run that goes on leaves
 * out the blocks that were counted.
 *
 * A step is all that one process of one run has counted, with the blocks it was counted in; the next one
 * takes its place. Counts are large where there are many cells: a step is put when many times as much was
 * read. */
#ifndef SINEW_OVERLAP_COUNTED_H
#define SINEW_OVERLAP_COUNTED_H

#include "base/comm.h"
#include "study/journal.h"

enum { COUNTED_ARRAYS = 3 };

/* The arrays that are counted in, and how many words each has. */
struct counted_arrays {
    int64_t *v[COUNTED_ARRAYS];
    int64_t n[COUNTED_ARRAYS];
};

struct counted_blocks {
    struct journal *journal;
    const struct comm *comm;
    struct arena *arena;
    struct counted_arrays counts;
    char *covered; /* by block: was it counted by an earlier run? The same on all processes */
    int64_t nblocks, nkept;
    int64_t *ranges; /* blocks that this process has counted: pairs of first and end, ascending */
    int64_t nranges, cap;
    double read_bytes; /* since it put its last step */
    /* process 0 */
    const struct step **taken; /* the steps whose blocks are covered */
    int64_t ntaken, *room;
};

/* Collective. Finds out which of n blocks earlier runs have counted, all of them into arrays of these sizes;
 * v are borrowed, and counted in by this run. Errors: SYSTEM over budget. */
err_t counted_open(struct counted_blocks *t, struct journal *j, const struct comm *c, int64_t nblocks,
                   const struct counted_arrays *counts, struct arena *a, struct err *e);

/* Local. The end of the run of blocks from `from` to `to` at most that are covered alike; *covered: how. */
int64_t counted_run(const struct counted_blocks *t, int64_t from, int64_t to, int *covered);

/* Local. Blocks [from, to) are counted, for which so many bytes were read: puts a step where it is time to.
 * Errors: SYSTEM over budget. */
err_t counted_note(struct counted_blocks *t, int64_t from, int64_t to, double bytes, struct err *e);

/* Local. Puts a step, before a run ends early. */
void counted_put(struct counted_blocks *t);

/* Process 0, behind the last step. Adds what earlier runs have counted. Errors: SYSTEM where the steps are no
 * longer what they were at the beginning. */
err_t counted_add(struct counted_blocks *t, struct err *e);

#endif
