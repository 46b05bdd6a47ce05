/* Strided: the elements of a tensor whose strides are not row-major, brought into row-major order.
 *
 * Any range of elements is cut into boxes; each box is walked in the order of the file, so that runs of it
 * are read at once, through a window of fixed size. Memory does not grow with the range or the tensor. */
#ifndef SINEW_STRIDED_H
#define SINEW_STRIDED_H

#include "formats/stored.h"

/* Reads n bytes from byte `at` of the tensor's file. */
struct strided_source {
    err_t (*read)(void *arg, int64_t at, int64_t n, void *buf, struct err *e);
    void *arg;
};

/* Local. Elements [first, first+n) of t, which has strides and whole bytes per element; the range must lie
 * within. buf: n elements. Errors: those of the source. */
err_t strided_read(const struct stored_tensor *t, int64_t first, int64_t n,
                   const struct strided_source *source, void *buf, struct err *e);

/* Local. Where elements [first, first+n) of t, n > 0, lie in its file: the bytes [*at, *at + *bytes) hold
 * them, and others. Pure. */
void strided_range(const struct stored_tensor *t, int64_t first, int64_t n, int64_t *at, int64_t *bytes);

#endif
