/* Presence: are the checkpoints of the cells on disk? A published study names many; a user has some. */
#ifndef SINEW_PRESENCE_H
#define SINEW_PRESENCE_H

#include "base/dict.h"
#include "engine/runner.h"

/* The study's nodes on checkpoints, by path. */
struct presence {
    const struct dag *dag;
    struct dict first; /* of a path, its first node */
    int *next;         /* per node, the next of the same path; -1 */
};

/* Local. p: in use as long as the arena and the DAG. Errors: SYSTEM (memory). */
err_t presence_index(struct presence *p, const struct dag *d, struct arena *a, struct err *e);

/* Local. Where a cell's checkpoint ought to be and is not (base first), or NULL where both are there, are
 * made by a stage of the study, or were catalogued before they were removed. */
const char *presence_lacks(const struct presence *p, const struct cell *cell);

/* Local, process 0. Of a cell that was left out: where its checkpoint ought to be, or what is wrong with what
 * was made of it while it was there. Owned by the arena. NULL where nothing is wrong, or e is set (memory).
 */
const char *presence_why_absent(const struct presence *p, const struct cell *cell, struct arena *a,
                                struct err *e);

/* Collective. Looks for the checkpoints of all cells as with `missing: kept`, and only tells: sets `kept` of
 * all cells, and `lost` on process 0. Errors: SYSTEM (memory). */
err_t presence_look(const struct comm *c, struct config *config, const struct dag *d, struct headers *headers,
                    struct arena *a, struct err *e);

/* Collective. Looks for the checkpoints of all cells (of the picked ones, if some are picked). With `missing:
 * skip` the cells that lack one are moved behind the others in config->cells and counted in config->nabsent,
 * ncells shrinks and the DAG is built anew; a line of the log says so. With `missing: kept` a cell with a
 * checkpoint that is gone stays, and is marked `kept`, where all nodes that read the checkpoint are fresh
 * (load's of it, delta's of the cell); where one is not, the cell is left out as one that lacks it, and the
 * log names it with the node and the reason. With `missing: fail` nothing changes here; *nmissing says how
 * many there are. headers: what freshness is judged by. Errors: DATA where no cell is left. */
err_t presence_settle(const struct comm *c, struct config *config, struct dag *d, const struct selection *s,
                      struct headers *headers, const struct log *log, int *nmissing, struct arena *a,
                      struct err *e);

/* Local. The refusal to run with cells missing: how many, the first, and what to do. */
err_t presence_refuse(const struct dag *d, const struct selection *s, int nmissing, struct arena *scratch,
                      struct err *e);

#endif
