/* Launch: who started this process, and how many beside it; asked of the environment, and held against what
 * MPI says. Many copies that know nothing of each other would do one study many times, and write the same
 * files. */
#ifndef SINEW_LAUNCH_H
#define SINEW_LAUNCH_H

#include "base/err.h"

struct launch {
    int first;      /* of the processes that were started together, as far as that can be known without MPI */
    int alone;      /* no launcher has left a mark in the environment */
    long tasks;     /* that were started together by the innermost who did; 0: nobody says */
    const char *by; /* the variable that says so */
};

/* Local, before MPI_Init, which adds to the environment. */
struct launch launch_look(void);

/* Local, before MPI_Init. A step of Slurm whose tasks no library for MPI's start (PMIx, PMI) has introduced
 * to each other: several are refused, by MPI in a page and here in a sentence; one may run as if from a
 * shell, and MPI is not to see the step then, which it would refuse too. What stands in the shell of an
 * allocation (SLURM_NTASKS, SLURM_PROCID of a batch script) is no step. Errors: CONFIG. */
err_t launch_before_mpi(const struct launch *l, struct err *e);

/* Local, after MPI_Init, which found np processes. CONFIG where it is alone, and more were started. */
err_t launch_after_mpi(const struct launch *l, int np, struct err *e);

/* Local, before MPI. Is there what starting takes: address space for MPI and BLAS, and descriptors, of which
 * the process asks for as many as it may have? OpenBLAS waits for ever where it gets no memory, and MPI ends
 * the process with its own words. Errors: SYSTEM, with what is short and what would do. */
err_t launch_room(struct err *e);

#endif
