/* Runner: runs the nodes of a DAG that are not fresh, in order, then puts the archive together, then the
 * report.
 *
 * Process 0 decides (freshness, selection) and tells the others; the stages work on all processes. A failure
 * on one process ends the run on all; what was complete before stays. */
#ifndef SINEW_RUNNER_H
#define SINEW_RUNNER_H

#include "engine/archive.h"
#include "base/comm.h"
#include "study/dag.h"
#include "base/log.h"

/* What the user picked on the command line. */
struct selection {
    int nstages;
    const char *const *stages; /* node names; none: all */
    int ncells;
    const char *const *cells; /* cell names; none: all */
    int force;                /* run what is fresh too */
};

struct runner {
    const struct comm *comm;
    const struct dag *dag;
    const struct log *log;
    struct mem *mem;
    struct arena *arena; /* lifetime of the run */
    const struct provenance *provenance;
};

/* Local. Are the picked names in the config? Errors: CONFIG with the nearest valid name. */
err_t selection_check(const struct selection *s, const struct config *c, struct err *e);

/* Local. Is node n picked? */
int selection_has(const struct selection *s, const struct dag *d, const struct node *n);

/* Collective. Runs. Errors: as the stages give them; DATA where a picked node lacks what it needs. */
err_t runner_run(struct runner *r, const struct selection *s, struct err *e);

/* Collective. Runs the report stage(s) on the archive as it is; a config without one receives a report with
 * default parameters. Errors: DATA where there is no archive. */
err_t runner_report(struct runner *r, struct err *e);

#endif
