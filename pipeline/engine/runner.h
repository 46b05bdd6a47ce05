/* Runner: runs the nodes of a DAG that are not fresh, in order, then puts the archive together, then the
 * report.
 *
 * Process 0 decides (freshness, selection) and tells the others; the stages work on all processes. A failure
 * on one process ends the run on all; what was complete before stays. A run that keeps going goes on after
 * nodes that fail on their data (state/failures.h), and fails in the end. */
#ifndef SINEW_RUNNER_H
#define SINEW_RUNNER_H

#include "engine/archive.h"
#include "engine/selection.h"
#include "base/comm.h"
#include "study/dag.h"
#include "base/log.h"

struct runner {
    const struct comm *comm;
    const struct dag *dag;
    const struct log *log;
    struct mem *mem;
    struct arena *arena; /* lifetime of the run */
    const struct provenance *provenance;
    struct headers *headers;       /* of checkpoints, this process's */
    const struct machine *machine; /* process 0's; NULL: what is assumed */
    int threads;                   /* of BLAS, a process */
    const char *time_limit;        /* as given on the command line; NULL: it was not */
    int keep_going;                /* a node that fails on its data costs what needs it, and no more */
    int take_over;                 /* runs that were silent for some seconds have ended (lock.h) */
    int nmissing;                  /* cells that lack a checkpoint, and were not left out */
};

/* Collective. Runs what is picked and not fresh. Other runs may work in the same output folder: each node is
 * run under its lock (lock.h), and so are the archive's making and the report's; what others have is done
 * when the run ends, or has been done by itself. Errors: as the stages give them; DATA where a picked node
 * lacks what it needs. */
err_t runner_run(struct runner *r, const struct selection *s, struct err *e);

/* Collective. Runs the nodes of the whole study, fresh or not, on the archive as it is, likewise. No
 * checkpoint is needed. Errors: DATA where there is no archive; CONFIG where the config declares no such
 * node: what it would read, and from which nodes, is for the config to say. */
err_t runner_report(struct runner *r, struct err *e);

#endif
