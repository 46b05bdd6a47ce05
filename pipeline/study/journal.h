/* Journal: what a node has done so far, kept beside its artifact, so that a run that was killed at any moment
 * goes on inside the node, on any number of processes.
 *
 * ARTIFACT.steps/ holds a file for each process of each run that worked on the node: a head with the node's
 * key (fresh.h), then records one after the other: a number that the stage gives, the bytes it wants to see
 * again, digests (XXH3) of both. Steps of another key are of other parameters or of checkpoints that have
 * changed since: they are removed. Of a record that is cut off, and of what stands behind it, nothing is
 * taken; bytes that do not fit their digest count as never written. When the node is complete the folder
 * goes.
 *
 * The journal is a convenience: where it cannot be written (a full disk) there is a warning, and the node
 * goes on without. Nothing is written before the node has run for SINEW_STEPS_AFTER seconds (20 where the
 * environment does not say), so that short nodes cost what they would without. A process that is killed loses
 * less than two seconds of what was put; a machine that fails, about ten. */
#ifndef SINEW_JOURNAL_H
#define SINEW_JOURNAL_H

#include "base/comm.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

struct journal;

/* Collective. Opens the steps of the node whose artifact is to be at this path. anew: those that are there
 * are removed. Owned by the arena; closed by journal_close. log: for the warning; borrowed. Errors: SYSTEM
 * (memory); what cannot be read was not kept. */
err_t journal_open(struct journal **j, const struct comm *c, const char *artifact, const char *key, int anew,
                   const struct log *log, struct arena *a, struct err *e);

/* Local. Lets go of the files, with what was put in them. NULL: nothing happens. */
void journal_close(struct journal *j);

/* Local. Removes the steps beside an artifact; only what a journal writes. */
void journal_remove(const char *artifact);

/* Local. Are there steps beside an artifact, whatever they are of? */
int journal_stands(const char *artifact);

/* The steps that were there when it was opened, in the order of their numbers, each number once, as it was
 * put last: the same on all processes. NULL: none. */
struct step {
    int64_t item;
    int64_t bytes;
    /* private */
    int64_t file, at;
    uint64_t digest;
};
int64_t journal_steps(const struct journal *j, const struct step **steps);

/* Local. The step of this number; NULL where none was kept. */
const struct step *journal_find(const struct journal *j, int64_t item);

/* Local. Reads a step's bytes: 1, or 0 where they are not as they were written. */
int journal_get(struct journal *j, const struct step *s, void *bytes);

/* Local. Is it time to put? Not before the node has run for some seconds; NULL: never. */
int journal_due(struct journal *j);

/* Local. For stages that put what they have summed up since they did so last: is it time again? */
int journal_sum_due(struct journal *j);

/* Local. Has steps kept from so many seconds on, where that is sooner than they would be: of a job that is
 * short itself. j: NULL does nothing. */
void journal_keep_from(struct journal *j, double sec);

/* Local. Keeps a step of this process: the parts' bytes, one after the other. Nothing happens where it is not
 * due. */
void journal_put(struct journal *j, int64_t item, const struct hash_part *parts, int n);

/* Local. Which run it is that works on the node: larger than those that have left steps. */
int journal_run(const struct journal *j);

/* Local. How many steps this process has put. NULL: 0. */
int64_t journal_written(const struct journal *j);

#endif
