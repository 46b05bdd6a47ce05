/* What the files of the HDF5 module share: h5.c (files, types, attributes), h5_bulk.c (datasets of elements),
 * h5_table.c (tables), h5_source.c (datasets that others wrote), h5_writing.c (files that are being written)
 * and h5_sealed.c (files with digests). The one header that includes hdf5.h; nothing but those six includes
 * it. The interface is h5.h. */
#ifndef SINEW_H5_INTERNAL_H
#define SINEW_H5_INTERNAL_H

#include "hdf5/h5.h"

#include <hdf5.h>

enum { H5_CHUNK_BYTES = 1 << 20 }; /* the largest chunk of a growable dataset */

struct h5 {
    hid_t id;
    const char *path;
    struct arena *arena;
    const struct comm *comm;   /* NULL: serial */
    struct h5_bulk *bulks;     /* open datasets */
    struct h5_source *sources; /* open datasets of others */
    struct digest *digest;     /* by which it is read; NULL: as any other file */
    struct writing *writing;   /* by which it is written; NULL: it is only read */
};

/* Local. Wraps an open file, which is closed where that fails. */
err_t h5_wrap(hid_t id, const char *path, const struct comm *c, struct arena *a, struct h5 **f,
              struct err *e);

/* Local. Does another program hold the file locked, as HDF5 does while it writes? Where there are no locks:
 * no. */
int h5_is_being_written(const char *path);

/* Local. Sets e to "PATH: cannot DOING NAME: HDF5: why", why being the deepest entry of HDF5's error stack,
 * which is emptied. Where reading met damage it is that which is told. The second for a file that is not
 * open. */
err_t h5_fail(struct err *e, err_t code, const struct h5 *f, const char *doing, const char *name);
err_t h5_fail_path(struct err *e, err_t code, const char *path, const char *doing, const char *name);

/* Local. Has a write of this process into the file failed? Then e is that. */
err_t h5_written(const struct h5 *f, struct err *e);

/* Local. Gives back what writing took, HDF5's file being closed: errors as h5_written, and of closing. Bytes
 * of the file as HDF5 has laid it out. */
err_t h5_written_end(struct h5 *f, struct err *e);
int64_t h5_written_bytes(const struct h5 *f);

/* Local. h5_close without an agreement. */
err_t h5_end(struct h5 *f, struct err *e);

/* Local. Closes a dataset, which writes what HDF5 still holds of it. A failure is SYSTEM, and the file is
 * abandoned. */
err_t h5_end_dataset(struct h5 *f, hid_t id, const char *name, struct err *e);

/* Local. New HDF5 types, closed by the caller: little-endian element types; UTF-8 text of a fixed width. */
hid_t h5_make_type(enum h5_type type);
hid_t h5_text_type(size_t width);

/* Local. The list, not to be closed, for links with their parent groups made on the way, names in UTF-8. */
hid_t h5_link_list(void);

/* Local. A text attribute, replaced if it exists. Below 0 on failure. */
herr_t h5_attach_text(hid_t object, const char *name, const char *value);

/* Local. Closes the bulk datasets of f, which writes what HDF5 still holds of them. */
void h5_bulks_close(struct h5 *f, struct err *e);

/* Local. Closes the sources of f and gives their memory back to the budget. */
void h5_sources_close(struct h5 *f);

#endif
