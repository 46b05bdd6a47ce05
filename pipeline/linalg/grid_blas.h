/* OpenBLAS itself: which of its kernels run, on how many threads, and what it calls itself. What is computed
 * with it is asked of grid.h. */
#ifndef SINEW_GRID_BLAS_H
#define SINEW_GRID_BLAS_H

#include "base/comm.h"

/* Local; before MPI starts and before anything is opened or written. OpenBLAS chooses its kernels as it is
 * loaded, by the processor's model; for one younger than the library it takes the oldest there are (Prescott,
 * 2004), which run at a fifth of the speed. Where that is so, the environment names the ones that fit what
 * the processor can do (OPENBLAS_CORETYPE, OpenBLAS's own variable) and the program, argv, starts anew in
 * this process; then it does not return. Nothing is done where the user has set the variable, the kernels
 * fit, or it cannot be started again. */
void grid_blas_start(char **argv);

/* Collective on c, because those are counted who share processors. Sets the BLAS threads that fit this
 * process: its processors, divided by the processes of the node that share them. Returns the number set. */
int grid_blas_threads(const struct comm *c);

/* Local. Name, version and kernels, for provenance, in text[size]; returns text. */
const char *grid_blas_version(char *text, int size);

#endif
