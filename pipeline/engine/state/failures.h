/* Failures: what a run that keeps going has to do without. A node whose stage fails on its data (DATA,
 * NUMERIC) costs itself and what needs it; all else is done.
 *
 * A node of a base goes on with the cells that are there: it is narrowed to them, so that its key is not that
 * of the whole, and a later run with all of them makes it anew. Which nodes lack is known on all processes,
 * why on process 0. */
#ifndef SINEW_FAILURES_H
#define SINEW_FAILURES_H

#include "base/comm.h"
#include "base/log.h"
#include "engine/fresh.h"
#include "engine/schedule.h"
#include "hdf5/table.h"
#include "study/dag.h"

struct failures {
    int keep_going;                   /* else a failure ends the run, and nothing is ever noted here */
    enum failure_state *state;        /* per node, same on all processes */
    const char **why;                 /* per node: the reason; of those that failed, until failures_share, on
                                         the first process of its team; process 0 */
    int64_t nfailed, nleft, npartial; /* nodes of each state */
    struct arena *arena;
};

/* Local. Nothing has failed. The arena has the lifetime of the run. Errors: SYSTEM (memory). */
err_t failures_init(struct failures *f, int keep_going, const struct dag *d, struct arena *a, struct err *e);

/* Collective on the team that ran node i: is e, which it agreed upon, one that costs this node alone? It is
 * noted then, and e is cleared. */
int failures_note(struct failures *f, int i, const struct comm *team, struct err *e);

/* Collective on c. What was noted of the nodes in the slots of a stage is known to all processes now. Errors:
 * SYSTEM (memory). */
err_t failures_share(struct failures *f, const struct comm *c, const struct schedule_slot *slots, int n,
                     struct err *e);

/* Local, the same on all processes. Of nodes [from, to), which needs what is not there? It is left out, or
 * narrowed. Errors: SYSTEM (memory). */
err_t failures_reach(struct failures *f, const struct dag *d, int from, int to, struct err *e);

/* Local, pure. Has node i no artifact because of a failure? */
int failures_lacks(const struct failures *f, int i);

/* Process 0. Tells the archive: state and reason into all[]. */
void failures_tell(const struct failures *f, const struct dag *d, struct freshness *all);

/* Local, pure. Has the run no artifact of the node, as it was told? */
int failures_told(const struct freshness *f);

/* Local. Rows of table failed, from what was told. Errors: SYSTEM (memory). */
err_t failures_rows(const struct dag *d, const struct freshness *all, struct table *failed, struct err *e);

/* Local. Why the first node that lacks of a cell does; NULL where none does. */
const char *failures_of_cell(const struct dag *d, const struct freshness *all, const struct cell *cell);

/* Process 0. Sets e, DATA, where nodes failed: the run's last word, with the first of them; each has its line
 * in the log. archive: was it built without them? */
err_t failures_end(const struct failures *f, const struct dag *d, const struct log *log, int archive,
                   struct err *e);

#endif
