/* Team: what the two ways to a spectrum, grid.c and grid_cyclic.c, both stand on: the processes of one
 * matrix, and its rows as they are read. For these two alone. */
#ifndef SINEW_GRID_TEAM_H
#define SINEW_GRID_TEAM_H

#include "linalg/grid.h"

struct grid {
    struct comm comm;
    int handle;                              /* of the communicator in BLACS; -1 for one process */
    int context, nprow, npcol, myrow, mycol; /* the grid that computes */
    int line; /* context of the same processes as 1 x np: slabs as they are read */
};

/* One matrix in work. */
struct team_job {
    struct grid *g;
    const struct comm *comm;
    int64_t rows, cols, n; /* n: the smaller side */
    grid_rows get;
    void *arg;
    struct arena *arena; /* of this matrix */
    int64_t next, to;    /* this process's rows that have not been read yet */
    int finite;
};

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Local. Reads on into x until `room` rows that are not all zero have been found or none is left; zero rows
 * change no singular value. *held: in: rows in x, out: rows in x. Rows go to x packed. */
err_t team_read(struct team_job *j, float *x, int64_t room, int64_t *held, struct err *e);

/* Collective. How many rows the process with the most has, and how many all have; makes j->finite the same
 * everywhere. */
int64_t team_most(struct team_job *j, int64_t held, int64_t *sum);

/* Local. Rows of so many columns that are read at a time. */
int64_t team_rows_at_once(int64_t cols);

/* Local. As square as possible: the largest divisor of np not above its square root. */
int team_grid_rows(int np);

#endif
