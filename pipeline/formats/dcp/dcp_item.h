/* One chunk of a distributed checkpoint: a torch.save archive of one tensor, somewhere in a file of many. */
#ifndef SINEW_DCP_ITEM_H
#define SINEW_DCP_ITEM_H

#include "formats/stored.h"

/* Where an item lies: bytes [offset_bytes, offset_bytes + length_bytes) of an open file, which has them. */
struct dcp_item {
    const char *path; /* of the file, for messages */
    int fd;
    int64_t offset_bytes, length_bytes;
};

/* Local. Completes a piece of tensor t, whose box is filled in, with type, place and strides of the tensor in
 * the item, which must be of t's type and the box's shape (axes of length 1 aside, where it is row-major).
 * *hash: of what stands around its data. strides: the arena's; scratch: taken from and left as it is. Errors:
 * DATA, with the cause: no archive there, or another tensor's: the file is of another save or damaged. */
err_t dcp_item_read(const struct dcp_item *item, const struct stored_tensor *t, struct stored_piece *piece,
                    uint64_t *hash, struct arena *a, struct arena *scratch, struct err *e);

#endif
