/* OpenBLAS itself: which of its kernels run, on how many threads, and what it calls itself. What is computed
 * with it is asked of grid.h. */
#ifndef SINEW_GRID_BLAS_H
#define SINEW_GRID_BLAS_H

/* Local; before MPI starts and before anything is opened or written. OpenBLAS chooses its kernels as it is
 * loaded, by the processor's model; for one younger than the library it takes the oldest there are (Prescott,
 * 2004), which run at a fifth of the speed. Where that is so, the environment names the ones that fit what
 * the processor can do (OPENBLAS_CORETYPE, OpenBLAS's own variable) and the program, argv, starts anew in
 * this process; then it does not return. Nothing is done where the user has set the variable, the kernels
 * fit, or it cannot be started again. */
void grid_blas_start(char **argv);

/* Local. Sets the BLAS threads of this process: one, so that the last bits of what is computed with it do not
 * depend on the machine and busy processors do not wait for each other; or as many as the user asks for
 * (OPENBLAS_NUM_THREADS, OMP_NUM_THREADS). Returns the number set. */
int grid_blas_threads(void);

/* Local. Name, version and kernels, for provenance, in text[size]; returns text. */
const char *grid_blas_version(char *text, int size);

#endif
