/* Choices: the keys weights, adapter and merge of the cells, and what they come to for each checkpoint.
 *
 * A checkpoint is one for the study where nothing that its format looks at differs, however many cells name
 * it: weights mean nothing to published safetensors, a base nothing to whatever is no adapter. That can be
 * seen on disk alone, by the names in a folder; of a checkpoint that was catalogued and then removed, its
 * artifact tells. */
#ifndef SINEW_CHOICES_H
#define SINEW_CHOICES_H

#include "base/comm.h"
#include "study/config.h"
#include "study/item.h"

/* Local. Reads the keys of a matrix or a cell, where they stand, into out, which was zeroed. Returns 0, or -1
 * after a complaint. */
int choices_read(const struct asker *r, const struct item *map, const char *what, struct choice *out);

/* Local. Appends ", KEY: VALUE" for each key that chooses. */
err_t choices_text(const struct choice *c, struct text *out, struct err *e);

/* Local. Was the checkpoint at path read under a choice that all of `all` may come to, or under none? Then
 * what its format ignores, by what its artifact says: of one that is gone. -1: it was not. */
int choices_catalogued(const struct config *c, const char *path, const struct choice *all,
                       struct arena *scratch, struct err *e);

/* Collective. Fills in base_choice and tuned_choice of all cells, before the DAG is built: what the keys say,
 * the cell's base for its tuned side, and none of what the format there ignores. A base that is some cell's
 * tuned checkpoint too is merged as it is there. Process 0 looks. Errors: SYSTEM (memory). */
err_t choices_settle(const struct comm *m, struct config *c, struct arena *a, struct err *e);

#endif
