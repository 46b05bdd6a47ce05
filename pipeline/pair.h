/* Pair: a base and a tuned checkpoint matched by tensor name, read block by block in the compare type. */
#ifndef SINEW_PAIR_H
#define SINEW_PAIR_H

#include "checkpoint.h"
#include "layout.h"
#include "table.h"

struct pair {
    enum arithmetic arithmetic;
    struct checkpoint base, tuned;
    struct layout layout;                     /* the compared tensors */
    const struct checkpoint_tensor **of_base; /* per tensor of the layout */
    const struct checkpoint_tensor **of_tuned;
    void *raw; /* one block of raw elements, before conversion */
};

/* Local. Matches two catalogues (load artifacts) by name. Tensors that are not compared (types that are no
 * floating point) are added to `skipped` (may be NULL) with node and reason. Everything is owned by the
 * arena. Errors: DATA for a tensor on one side only, shapes that differ, or nothing to compare. */
err_t pair_open(struct pair *p, const char *base_catalogue, const char *tuned_catalogue,
                enum arithmetic arithmetic, const char *cell, const char *node, struct table *skipped,
                struct arena *a, struct err *e);

/* Local. Would pair_open match these two opened checkpoints? Errors: DATA as there. */
err_t pair_check(const struct checkpoint *base, const struct checkpoint *tuned, const char *cell,
                 struct arena *a, struct err *e);

/* Local. Elements [first, first+n) of the layout's tensor t from both sides, n <= LAYOUT_BLOCK, in the
 * compare type. */
err_t pair_read(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e);

/* Local. Closes the files. */
void pair_close(struct pair *p);

/* Local. Writes a checkpoint as a catalogue (tables "files" and "catalogue", attributes) into an open
 * artifact, and reads it back. */
err_t catalogue_write(const struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e);
err_t catalogue_read(struct checkpoint *c, const char *artifact, struct arena *a, struct err *e);

#endif
