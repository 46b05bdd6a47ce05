/* HDF5, behind one header: only the files of this module (h5*.c) include hdf5.h.
 *
 * Two ways to have a file open. Serial: one process; tables, attributes, links, and all reading (every
 * process reads for itself, read-only). Parallel: all processes of a communicator; only large datasets of
 * fixed-width elements, without filters, of which each process writes what is its own and waits for nobody:
 * all processes lay the file out alike, each for itself (h5_writing.c), and neither HDF5's nor MPI's parallel
 * writing is ever used. A file is first written in parallel, closed, and then finished serially by process 0.
 *
 * A write that fails is told, with the bytes that are needed, by the call that puts elements or by h5_close,
 * whichever comes first; the file can be closed all the same. */
#ifndef SINEW_H5_H
#define SINEW_H5_H

#include "base/comm.h"
#include "base/err.h"
#include "base/mem.h"
#include "hdf5/schema.h"
#include "hdf5/table.h"
#include "elements/tensor.h"

#include <stdint.h>

struct h5; /* an open file */

/* Local. Bytes of an element. */
int h5_type_bytes(enum h5_type type);

/* Local. Silences HDF5's own printing and turns its file locking off, which fails where a file system has no
 * locks, whatever the environment says; once, before any other call. Library version into text. */
void h5_start(void);
const char *h5_version(char *text, int size);

/* Local. Serial open/create; path is created new (truncated) by create. *f is NULL on error; closed by
 * h5_close. What another program holds locked for writing, as h5py does, is not read: DATA. */
err_t h5_create(const char *path, struct arena *a, struct h5 **f, struct err *e);
err_t h5_open(const char *path, int writable, struct arena *a, struct h5 **f, struct err *e);

/* Local. As h5_create, and as h5_open to write on; seen is told of all that this process writes into the file
 * (hdf5/seen.h), and lives as long. */
struct seen_file;
err_t h5_create_seen(const char *path, struct seen_file *seen, struct arena *a, struct h5 **f, struct err *e);
err_t h5_open_seen(const char *path, struct seen_file *seen, struct arena *a, struct h5 **f, struct err *e);

/* Local. Opens a file of ours, an artifact or the archive, to be read by its digests (hdf5/digest.h): each
 * block, of data as of HDF5's own structures, is checked before HDF5 or anybody sees it. What is damaged or
 * carries no digests is DATA, of this call or of the one that comes upon it, and of all after that; links
 * into other files lead nowhere. */
err_t h5_open_sealed(const char *path, struct arena *a, struct h5 **f, struct err *e);

/* Local. DATA where reading this file met damage: for who asked whether something is there (h5_has) and was
 * told no. h5_close says so too. */
err_t h5_sound(const struct h5 *f, struct err *e);

/* Collective. Creates path new for all processes: what lies there is an error, no link is followed. seen: as
 * above, each process's own. */
err_t h5_create_parallel(const struct comm *c, const char *path, struct seen_file *seen, struct arena *a,
                         struct h5 **f, struct err *e);

/* Local for a serial file, Collective for a parallel one. NULL is fine. Errors: SYSTEM where something could
 * not be written. */
err_t h5_close(struct h5 *f, struct err *e);

/* Local, whatever the file. Closes one that nobody will read, and is told of no failure. NULL is fine. */
void h5_drop(struct h5 *f);

/* Local. Is there a file that HDF5 could not close? Its own clean-up at the end of the program would crash on
 * it: the program must then end by _exit. */
int h5_abandoned(void);

/* Local. Where in a sealed file the damaged block is, in words: "dataset /update/old", or HDF5's own
 * structures. Found by reading one dataset after the other until one needs that block. */
void h5_where(const char *path, int64_t block, char *text, size_t size, struct arena *a);

/* Large 1-D datasets. h5_bulk creates one of n elements (groups in the name are created); grow_to > 0:
 * h5_bulk_grow may change n, to about grow_to at the most (a hint for the chunk size), 0: the size is fixed.
 * h5_dataset does that as a dataset is declared. h5_find opens an existing one. Local on a serial file;
 * Collective, same arguments, on a parallel one. The handle lives until h5_close. description, units:
 * attributes; units may be NULL. */
struct h5_bulk;
err_t h5_bulk(struct h5 *f, const char *name, enum h5_type type, int64_t n, int64_t grow_to,
              const char *description, const char *units, struct h5_bulk **d, struct err *e);
err_t h5_dataset(struct h5 *f, const struct dataset *what, int64_t n, int64_t grow_to, struct h5_bulk **d,
                 struct err *e);
err_t h5_bulk_grow(struct h5_bulk *d, int64_t n, struct err *e);
err_t h5_find(struct h5 *f, const char *name, enum h5_type type, struct h5_bulk **d, int64_t *n,
              struct err *e);

/* Local. Elements [at, at+n) from or to buf, whose elements are of the dataset's type (no conversion). n = 0
 * is fine. */
err_t h5_put(struct h5_bulk *d, int64_t at, int64_t n, const void *buf, struct err *e);
err_t h5_get(struct h5_bulk *d, int64_t at, int64_t n, void *buf, struct err *e);

/* Bytes of another file: of `file`, from byte `offset` on. */
struct h5_segment {
    const char *file;
    int64_t offset, bytes;
};

/* Local, serial file. A dataset of the shape whose bytes stand in other files: in n segments, one behind the
 * other, together as many bytes as the shape has; n at most H5_SEGMENTS. An unsupported dtype is given as raw
 * bytes. Types are little-endian. shape of ndim 0 becomes one element. */
enum { H5_SEGMENTS = 1000 }; /* their list must go into a header of 64 KiB */
err_t h5_external(struct h5 *f, const char *name, enum h5_type type, int ndim, const int64_t *dims,
                  const struct h5_segment *segments, int64_t n, struct err *e);

/* Local for serial, Collective for parallel. As h5_bulk but n-D and never growable;
 * h5_array_put_rows writes rows of the first dimension, each whole. Used by load for what it copies. */
err_t h5_array(struct h5 *f, const char *name, enum h5_type type, int ndim, const int64_t *dims,
               struct h5_bulk **d, struct err *e);
err_t h5_array_put_rows(struct h5_bulk *d, int64_t row, int64_t nrows, const void *buf, struct err *e);

/* Sources: datasets that others wrote, of any number of dimensions, checked before anything is read.
 *
 * Floating point types of 16 (IEEE and bfloat16), 32 and 64 bits in either byte order are given as F16, BF16,
 * F32 and F64; integers of any width, and h5py's bools, as I64. dims: as in the file, ndim 0 for a scalar. */
struct h5_source;
struct h5_source_info {
    enum dtype dtype;
    int ndim;
    int64_t dims[TENSOR_MAX_NDIM], elements;
};

/* Local, serial file. Opens dataset `name` to be read in rows: the last row_ndim dimensions make a row (0: an
 * element is one), all before them count the rows. The cache for the chunks of a row is counted against the
 * memory budget; the source lives until h5_close. Errors: DATA where the type is none of those above, where
 * the values stand in other files (external storage or links, virtual datasets), where chunks were never
 * written, or where one row needs chunks of more than a quarter of the budget (256 MiB where there is none).
 */
err_t h5_source_open(struct h5 *f, const char *name, int row_ndim, struct h5_source **s,
                     struct h5_source_info *info, struct err *e);

/* Local, serial file. Calls each(arg, name, elements) for every dataset at the top, by name; what is a link
 * to elsewhere, or a group, is none. Errors: each's, which ends it; DATA. */
err_t h5_each_dataset(struct h5 *f, err_t (*each)(void *arg, const char *name, int64_t elements), void *arg,
                      struct err *e);

/* Local. Rows [first, first+n) as elements of info.dtype, in the machine's byte order. Errors: DATA with
 * HDF5's reason. */
err_t h5_source_read(struct h5_source *s, int64_t first, int64_t n, void *buf, struct err *e);

/* Tables live in the group /tables, in artifacts as in the archive: the name of one is "rank", or a whole
 * path ("/provenance/files").
 *
 * Local, serial file. Writes t as a new compound dataset with the schema's description; text columns
 * are as wide as their longest text. */
err_t h5_table_write(struct h5 *f, const char *name, const struct table *t, struct err *e);

/* Local, serial file. The same in two steps, for tables too long for memory: create it empty with the width
 * in bytes of each text column (widths[column], ignored for numbers) and the rows it will have; then append
 * rows of the same schema. Here each column also receives its description and units as attributes
 * "COLUMN.description" and "COLUMN.units". */
err_t h5_table_create(struct h5 *f, const char *name, const struct schema *s, const int *widths,
                      int64_t nrows, struct err *e);
err_t h5_table_append(struct h5 *f, const char *name, const struct table *t, struct err *e);

/* Local, serial file. Raises widths[column] to the width that each text column has in the file's table;
 * *nrows receives its rows. */
err_t h5_table_widths(struct h5 *f, const char *name, const struct schema *s, int *widths, int64_t *nrows,
                      struct err *e);

/* Local, serial file. Reads rows [from, from+n) (n < 0: to the end) of a table by the schema's column names
 * into t (initialised, rows appended). A column that the file lacks is DATA. *nrows_in_file, if not NULL,
 * receives the total. Missing table: DATA. */
err_t h5_table_read(struct h5 *f, const char *name, struct table *t, int64_t from, int64_t n,
                    int64_t *nrows_in_file, struct err *e);

/* Local, serial file. h5_table_widths and h5_table_read of all rows in one, which opens the table once. */
err_t h5_table_take(struct h5 *f, const char *name, struct table *t, int *widths, int64_t *nrows,
                    struct err *e);

/* Local, serial file. Is there an object of this name? */
int h5_has(struct h5 *f, const char *name);

/* Local, serial file. "NAME ROWS" of every table, a line each, by name; "" where there are none. Owned by the
 * file's arena. */
err_t h5_table_list(struct h5 *f, char **list, struct err *e);

/* Local, serial file. Is there a table of this name (not a group or a bulk dataset)? */
int h5_has_table(struct h5 *f, const char *name);

/* Local, serial file. Attributes of object `where` ("/" for the root). Reading a missing one: DATA. Texts are
 * arena-owned. */
err_t h5_set_text(struct h5 *f, const char *where, const char *name, const char *value, struct err *e);
err_t h5_set_int(struct h5 *f, const char *where, const char *name, int64_t value, struct err *e);
err_t h5_set_real(struct h5 *f, const char *where, const char *name, double value, struct err *e);
err_t h5_get_text(struct h5 *f, const char *where, const char *name, char **value, struct err *e);
err_t h5_get_int(struct h5 *f, const char *where, const char *name, int64_t *value, struct err *e);
err_t h5_get_real(struct h5 *f, const char *where, const char *name, double *value, struct err *e);

/* Local, serial file. A scalar fixed-length UTF-8 string dataset (the YAML as read). */
err_t h5_write_text(struct h5 *f, const char *name, const char *text, const char *description, struct err *e);
err_t h5_read_text(struct h5 *f, const char *name, char **text, struct err *e);

/* Local, serial file. A group, its parents included; existing is fine. */
err_t h5_group(struct h5 *f, const char *name, const char *description, struct err *e);

/* Local, serial file. Link `name` (parent groups are created) -> object `target` in file `file` (relative to
 * this file). */
err_t h5_link_external(struct h5 *f, const char *name, const char *file, const char *target, struct err *e);

#endif
