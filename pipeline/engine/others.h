/* Others: runs in the same output folder, which have nodes that this one wants too. No run holds a node while
 * it waits for another: it does all that it can, and then waits for what others have. */
#ifndef SINEW_OTHERS_H
#define SINEW_OTHERS_H

#include "engine/running.h"

/* Local, process 0. Does another run have node i, which is not fresh, as far as is known of it or its lock
 * tells? It is awaited then. */
int others_have(struct work *w, int i);

/* Local, process 0. Looks again at those of nodes [0, to) that are awaited, or (all) that were not fresh
 * and stand below the archive: others may have completed them. Only what has another artifact than it had is
 * judged anew. Errors: SYSTEM (memory). */
err_t others_look(struct work *w, int to, int all, struct err *e);

/* Collective. Waits until a node that is awaited has been completed or let go of, and says in the log for
 * whom it waits. *again: there is one, and nodes are to be decided upon anew; 0: none is awaited. Errors:
 * STOPPED. */
err_t others_wait(struct work *w, int *again, struct err *e);

/* Collective. The same for the lock of one file, which process 0 found to be held: what is it called? Returns
 * after a look at it, whatever that told. waited_sec: so far, by the caller; 0 at first. */
err_t others_wait_for(struct work *w, const char *what, const char *path, double *waited_sec, struct err *e);

#endif
