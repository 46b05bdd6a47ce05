/* Kept decodings: how a catalogue writes down what makes a checkpoint's tensors numbers, and takes it back.
 *
 * Tensors are named by rows: those of the checkpoint's list first, then the sources, tensors that stand in no
 * list but help others, in the order in which they are come across. */
#ifndef SINEW_KEPT_H
#define SINEW_KEPT_H

#include "formats/stored.h"
#include "hdf5/h5.h"

struct source_seen; /* kept.c */

struct sources {
    int64_t n;
    const struct stored_tensor **v;
    struct source_seen *seen; /* n of them, by address */
};

/* Local. All tensors that help those of the list, directly or through others, and are not in it. Errors:
 * SYSTEM over budget; BUG where they help each other without end. */
err_t sources_collect(struct sources *s, const struct stored_tensor *tensors, int64_t n, struct arena *a,
                      struct err *e);

/* Local, serial file. Tables decodings and helpers of the list and its sources; none where nothing is
 * decoded.
 */
err_t kept_write(const struct stored_tensor *tensors, int64_t n, const struct sources *s, struct h5 *f,
                 struct arena *a, struct err *e);

/* Local, serial file. Gives the n tensors of a catalogue and its nsources sources their decodings again.
 * Every row, name and number is checked. Owned by the arena. Errors: DATA, naming the artifact, for a damaged
 * one.
 */
err_t kept_read(struct stored_tensor *tensors, int64_t n, struct stored_tensor *sources, int64_t nsources,
                struct h5 *f, const char *artifact, struct arena *a, struct err *e);

#endif
