/* Artifact: the HDF5 file a node writes, under a partial name of its writers' own (file.h) until it is
 * complete.
 *
 * First the bulk data (all processes), then tables and attributes (process 0), then, by the runner, the
 * completing attributes, the digests of it all (digest.h), which were taken while it was written (seen.h), a
 * flush to disk and the rename. Of a process by itself the file is created, opened and closed once. */
#ifndef SINEW_ARTIFACT_H
#define SINEW_ARTIFACT_H

#include "base/comm.h"
#include "base/file.h"
#include "hdf5/h5.h"

struct artifact {
    const struct comm *comm;
    struct arena *arena;
    const char *path;       /* final name */
    const char *partial;    /* name while being written */
    char mark[FILE_MARK];   /* of process 0, on all: for the partial names of what else the node writes */
    struct seen_file *seen; /* what this process has written */
    struct h5 *bulk;        /* open on all, or NULL: one process has its bulk data in `tables` */
    struct h5 *tables;      /* open serially on process 0, or NULL */
    int created, shared;    /* a file is there; all processes wrote into it */
    int committed;          /* process 0: it stands under its final name */
    int bare; /* set by who measures what digests cost: nothing is hashed, and nobody will read it */
};

/* Collective, for who alone writes it now. Begins an artifact; its folder is created, what others left of it
 * under partial names removed. Nothing of a complete one is touched. */
err_t artifact_begin(struct artifact *out, const struct comm *c, const char *path, struct arena *a,
                     struct err *e);

/* Collective. The file for bulk data; opened at the first call, valid until artifact_bulk_done. */
err_t artifact_bulk(struct artifact *out, struct h5 **f, struct err *e);

/* Collective. Ends bulk writing (no-op if there was none). Must come before artifact_tables. */
err_t artifact_bulk_done(struct artifact *out, struct err *e);

/* Local, process 0 only. The file for tables and attributes, valid until the artifact ends. */
err_t artifact_tables(struct artifact *out, struct h5 **f, struct err *e);

/* Collective. Closes what is open. complete: seal, flush and rename to the final name; otherwise the partial
 * file is removed. */
err_t artifact_end(struct artifact *out, int complete, struct err *e);

#endif
