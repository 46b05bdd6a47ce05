/* Cyclic: one matrix spread over a team in square blocks, by ScaLAPACK: the Gram matrix and its eigenvalues,
 * and the singular value decomposition. For grid.c alone. */
#ifndef SINEW_GRID_CYCLIC_H
#define SINEW_GRID_CYCLIC_H

#include "linalg/grid_team.h"

/* Local. Peak bytes of one process, by GRID_CYCLIC or GRID_SVD. */
double cyclic_bytes(enum grid_method method, int64_t rows, int64_t cols, int np);

/* Collective. Both fill s with singular values, descending; what they leave is zero. j->finite tells whether
 * there are any. */
err_t cyclic_gram(struct team_job *j, double *s, struct err *e);
err_t cyclic_svd(struct team_job *j, double *s, struct err *e);

#endif
