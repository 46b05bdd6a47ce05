/* Processes: a communicator with its numbers, agreement on failure, and transfers that do not break at 2 GiB.
 *
 * A process is always `me` of `np` here; "rank" is linear algebra's word. Errors of MPI itself cannot be
 * agreed upon: they print and abort the job. Everything else travels in a `struct err` to the next
 * comm_agree. */
#ifndef SINEW_COMM_H
#define SINEW_COMM_H

#include "base/err.h"
#include "base/inject/inject.h"

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

struct comm {
    MPI_Comm mpi;
    int me, np;
    /* What every agreement asks first, on each process: sets the error where the work is to end early. NULL:
     * nothing. Teams have what their communicator has. */
    void (*interrupt)(void *arg, struct err *e);
    void *interrupt_arg;
    double start_sec; /* what starting MPI took on this process, which is about what it takes to end */
};

/* Runs an MPI call; if MPI itself fails, prints its text and aborts the job (status 70): no agreement is
 * possible then. */
#define MPI_TRY(call) comm_check((call), #call, __FILE__, __LINE__)
void comm_check(int mpi_status, const char *call, const char *file, int line);

/* Collective. Starts MPI, with what this program asks of Open MPI where the user's environment does not say
 * otherwise. alone: no launcher (mpirun, srun) has started this process; it then starts in a quarter of the
 * time, as it needs no daemon, no network and no memory shared with others. Once, before any other call to
 * MPI. world: all processes. */
void comm_start(struct comm *world, int alone, int *argc, char ***argv);

/* Local. Wraps an existing communicator, which stays the caller's; its errors are made to return. */
void comm_init(struct comm *c, MPI_Comm mpi);

/* Local. The same of a communicator made of some of c's processes, which are asked to end early where c's
 * are. */
void comm_init_within(struct comm *part, const struct comm *c, MPI_Comm mpi);

/* Collective. The agreement point: every process brings its e (code ERR_OK when fine). If any has failed, or
 * was asked to end early, all leave with the worst family's error (ties: the lowest process), text included,
 * and return its code. */
err_t comm_agree(const struct comm *c, struct err *e);
#ifdef SINEW_INJECT
#define comm_agree(c, e) ((void)INJECT("agree", (e)), comm_agree((c), (e)))
#endif

/* Local. STOPPED where this process was asked to end early: for long work between two agreements. */
err_t comm_asked(const struct comm *c, struct err *e);

/* Collective. Waits until all are here, asleep where that takes longer: while one process works for many,
 * MPI's own waiting would keep all the other processors busy. */
void comm_rest(const struct comm *c);

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

/* Memory that all processes of a communicator see, zeroed at first, where they are on one host. */
struct comm_shared {
    void *memory; /* NULL: there is none */
    size_t bytes;
};

/* Collective. Makes it. Returns 1 on all, or 0 where they are on several hosts, or the host gives none, which
 * is no error: who wants it does without. */
int comm_share(const struct comm *c, size_t bytes, struct comm_shared *s);

/* Local. Gives this process's view of it back; it goes with the last. */
void comm_share_end(struct comm_shared *s);

/* A few numbers of every process, gathered while all go on working. */
enum { COMM_GATHER = 4 };
struct comm_gather {
    int64_t mine[COMM_GATHER];
    int64_t *all; /* [process][COMM_GATHER], the caller's */
    MPI_Request request;
};

/* Collective, but nobody waits: brings g->mine. Until the end neither it nor g->all may be touched. */
void comm_gather_start(const struct comm *c, struct comm_gather *g);

/* Collective. Ends the gathering that was started last: g->all is filled. */
void comm_gather_end(struct comm_gather *g);

/* Teams: the processes of a communicator halved again and again. Level 0 is all of them; at level l there are
 * 2^l teams of neighbours with np >> l processes or one more (none in some, where there are more teams than
 * processes), each a part of one team of the level above.
 *
 * Local. The first level at which no team has more than one process. */
int comm_levels(int np);

/* Local. The processes [*from, *to) of a team; the team that process `me` is in. */
void comm_team_range(int np, int level, int team, int *from, int *to);
int comm_team_of(int np, int level, int me);

/* Collective on c. This process's team at a level, as a communicator in which processes have numbers from 0
 * on, in the same order; ended by comm_team_free, Collective on the team, before c is. */
void comm_team(const struct comm *c, int level, struct comm *team);
void comm_team_free(const struct comm *c, struct comm *team);

/* Local. The part [*from, *to) of n items that is process me's of np: contiguous, sizes differ by at most
 * one. The one place where items are divided; empty for me >= n. */
void split(int64_t n, int np, int me, int64_t *from, int64_t *to);

#endif
