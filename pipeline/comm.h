/* Processes: a communicator with its numbers, agreement on failure, and transfers that do not break at 2 GiB.
 *
 * A process is always `me` of `np` here; "rank" is linear algebra's word. Errors of MPI itself cannot be
 * agreed upon: they print and abort the job. Everything else travels in a `struct err` to the next
 * comm_agree. */
#ifndef SINEW_COMM_H
#define SINEW_COMM_H

#include "err.h"

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

struct comm {
    MPI_Comm mpi;
    int me, np;
};

/* Runs an MPI call; if MPI itself fails, prints its text and aborts the job (status 70): no agreement is
 * possible then. */
#define MPI_TRY(call) comm_check((call), #call, __FILE__, __LINE__)
void comm_check(int mpi_status, const char *call, const char *file, int line);

/* Local. Wraps an existing communicator, which stays the caller's; its errors are made to return. */
void comm_init(struct comm *c, MPI_Comm mpi);

/* Collective. The agreement point: every process brings its e (code ERR_OK when fine). If any has failed, all
 * leave with the worst family's error (ties: the lowest process), text included, and return its code. */
err_t comm_agree(const struct comm *c, struct err *e);

/* Local. Prints e as the program's one message and ends the job on all processes with its exit status: for
 * failures inside a foreign library's collective call, where the other processes can no longer be reached.
 * Does not return. */
void comm_abort(const struct comm *c, const struct err *e) __attribute__((noreturn));

/* Collective. Agreement in one line: the local step has run, all processes now go on together or return
 * together. */
#define TRY_ALL(comm, e) TRY(comm_agree((comm), (e)))

/* Collective. Sends n bytes of buf from process `from` to all, in passes below 2 GiB. */
void comm_bcast(const struct comm *c, void *buf, int64_t n, int from);

/* Collective. In place, element-wise over processes, in passes below 2^28 elements. Integer sums are exact
 * and therefore independent of np; there is no double sum on purpose: see xsum.h. */
void comm_sum(const struct comm *c, int64_t *v, int64_t n);
void comm_max(const struct comm *c, int64_t *v, int64_t n);
void comm_max_real(const struct comm *c, double *v, int64_t n);

/* Collective. As comm_sum, the result on process 0 only (the others' v is left as it was). */
void comm_sum_to_root(const struct comm *c, int64_t *v, int64_t n);
void comm_max_real_to_root(const struct comm *c, double *v, int64_t n);

/* Collective. Exclusive prefix sum of x over processes; *total, if not NULL, receives the sum. */
int64_t comm_exscan(const struct comm *c, int64_t x, int64_t *total);

/* Local. The part [*from, *to) of n items that is process me's of np: contiguous, sizes differ by at most
 * one. The one place where items are divided; empty for me >= n. */
void split(int64_t n, int np, int me, int64_t *from, int64_t *to);

#endif
