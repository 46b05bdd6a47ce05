/* Teams: which processes decompose which matrix. As few as have the memory, more where all would otherwise
 * wait for one; teams of one size are dealt the longest matrices first. Pure: no MPI, no files, no
 * allocation. All processes compute the same plan. */
#ifndef SINEW_TEAMS_H
#define SINEW_TEAMS_H

#include <stdint.h>

struct team_matrix {
    int64_t tensor, rows, cols;
    int64_t offset;      /* of its spectrum */
    int processes, team; /* team size, and which of the teams of that size */
    double cost;         /* on its team */
};

/* What a matrix takes of a team of np: seconds in any unit, bytes of each process. */
struct team_costs {
    double (*cost)(const void *arg, int64_t rows, int64_t cols, int np, double available);
    double (*bytes)(const void *arg, int64_t rows, int64_t cols, int np, double available);
    const void *arg;
    double available; /* bytes of a process; may be infinite */
};

/* Local. The next larger size of a team that np processes are divided into; above np behind the last. */
int team_next(int t, int np);

/* Local. Processes for a matrix; total is the cost of all matrices, each on one process. */
int team_size(const struct team_costs *k, int64_t rows, int64_t cols, int np, double total);

/* Local. Sorts the matrices, longest first, and gives each its team. load: np values to work in. Returns the
 * first matrix that no team has the memory for, of which nothing is dealt; NULL where all are dealt. */
const struct team_matrix *teams_deal(struct team_matrix *m, int64_t n, const struct team_costs *k, int np,
                                     double *load);

#endif
