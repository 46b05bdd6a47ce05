/* Which names of a distributed checkpoint are the model's.
 *
 * A trainer saves its model beside an optimiser, a schedule, random states and a data loader, in a nested map
 * that the checkpoint flattens: planner_data keeps for each name the path it had. The model is the subtree
 * under a step called "model" (or module, state_dict, ...) that lies highest; where there is none, the
 * tensors at the top of the map, beside whose names other values have paths of their own (torchtitan); where
 * there is neither, the one subtree that is no optimiser's. Names are what is left of the path below. What is
 * taken and what is left out is said, never guessed in silence. */
#ifndef SINEW_DCP_MODEL_H
#define SINEW_DCP_MODEL_H

#include "formats/dcp/dcp_metadata.h"

/* Local. Sets depth of each of n entries, sorted by name: those of the model get the number of steps to leave
 * off, the others -1. note: a sentence about it, arena-owned. dir: names the checkpoint in messages. Errors:
 * DATA where no tensor can be the model's (what is there), or two models lie side by side; SYSTEM over
 * budget. */
err_t dcp_model_find(struct dcp_entry **entries, int64_t n, const char *dir, const char **note,
                     struct arena *a, struct arena *scratch, struct err *e);

/* Local. An entry's name below the model's subtree, arena-owned, as a text with its length. Errors: SYSTEM.
 */
err_t dcp_model_name(const struct dcp_entry *entry, char **name, int64_t *n, struct arena *a, struct err *e);

#endif
