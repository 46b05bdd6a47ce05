/* Strided: the elements of a tensor whose strides are not row-major, brought into row-major order.
 *
 * Any range of elements is cut into boxes, and these to the part of the tensor that a file holds; each box is
 * walked in the order of the file, so that runs of it are read at once, through a window of fixed size.
 * Memory does not grow with the range or the tensor. */
#ifndef SINEW_STRIDED_H
#define SINEW_STRIDED_H

#include "formats/stored.h"

/* Reads n bytes from byte `at` of the tensor's file. */
struct strided_source {
    err_t (*read)(void *arg, int64_t at, int64_t n, void *buf, struct err *e);
    void *arg;
};

/* A box of a tensor, and how its elements lie in a file. */
struct strided_view {
    int ndim;
    const int64_t *dims;         /* of the whole tensor */
    const int64_t *start, *size; /* of the box */
    const int64_t *strides;      /* elements to step per axis */
    int64_t offset_bytes;        /* of the box's first element */
    int64_t span_bytes;          /* from there to behind its last */
    int64_t width;               /* bytes per element */
};

/* Local. Of elements [first, first+n) of the whole tensor those that lie in the box, each to its place in
 * buf, which is of n elements; the others are left as they are. The range must lie within the tensor. Errors:
 * those of the source. */
err_t strided_read_box(const struct strided_view *view, int64_t first, int64_t n,
                       const struct strided_source *source, void *buf, struct err *e);

/* Local. Elements [first, first+n) of t, which has strides and whole bytes per element: all of it is one box.
 */
err_t strided_read(const struct stored_tensor *t, int64_t first, int64_t n,
                   const struct strided_source *source, void *buf, struct err *e);

/* Local. Where elements [first, first+n) of t, n > 0, lie in its file: the bytes [*at, *at + *bytes) hold
 * them, and others. Pure. */
void strided_range(const struct stored_tensor *t, int64_t first, int64_t n, int64_t *at, int64_t *bytes);

#endif
