/* Pair: a base and a tuned checkpoint matched by tensor name (match.h), read block by block in the compare
 * type. */
#ifndef SINEW_PAIR_H
#define SINEW_PAIR_H

#include "checkpoint.h"
#include "fp8.h"
#include "match.h"
#include "table.h"

struct pair {
    enum arithmetic arithmetic;
    struct checkpoint base, tuned;
    struct match match;          /* its layouts are those that are read by */
    void *raw;                   /* one block of raw elements, before conversion */
    struct fp8_scales scales[2]; /* of base and tuned */
};

/* Local. Matches two catalogues (load artifacts) as match_build does, under its policy. Tensors that are not
 * in the main layout are added to `skipped` (may be NULL) with node and reason. Everything is owned by the
 * arena.
 */
err_t pair_open(struct pair *p, const char *base_catalogue, const char *tuned_catalogue,
                enum arithmetic arithmetic, const struct match_policy *policy, const char *cell,
                const char *node, struct table *skipped, struct arena *a, struct err *e);

/* Local. Would pair_open match these two opened checkpoints? Errors: DATA as there. */
err_t pair_check(const struct checkpoint *base, const struct checkpoint *tuned,
                 const struct match_policy *policy, const char *cell, struct arena *a, struct err *e);

/* Local. Elements [first, first+n) of the main layout's tensor t from both sides, n <= LAYOUT_BLOCK, in the
 * compare type. */
err_t pair_read(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e);

/* Local. The same of the layout aside; integers and bools as they are. */
err_t pair_read_aside(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e);

/* Local. Closes the files. */
void pair_close(struct pair *p);

/* Local. Writes a checkpoint as a catalogue (tables "files" and "catalogue", attributes) into an open
 * artifact, and reads it back. */
err_t catalogue_write(const struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e);
err_t catalogue_read(struct checkpoint *c, const char *artifact, struct arena *a, struct err *e);

#endif
