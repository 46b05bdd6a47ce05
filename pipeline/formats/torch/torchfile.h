/* Files that torch.save wrote: a state dict in a zip archive, read in place.
 *
 * Source: pytorch, torch/serialization.py (_save, _load), torch/_utils.py (_rebuild_*),
 * caffe2/serialize/inline_container.cc. The archive holds TOP/data.pkl, a pickle of the state dict whose
 * tensors name storages, and TOP/data/KEY, the bytes of each storage, stored as they are. A tensor is a view
 * of a storage: offset, shape and strides; several tensors may share one. Nothing is executed (pickle.h), and
 * every view is checked against its storage's bytes. Taken: a map of names to tensors, alone or beside other
 * things (state_dict.h); a tensor that is a rank's part of a larger one only where that is all of it. Refused
 * with how to convert: the formats before torch 1.6 (five pickles in a row, tar), TorchScript, big-endian
 * bytes. */
#ifndef SINEW_TORCHFILE_H
#define SINEW_TORCHFILE_H

#include "base/mem.h"
#include "formats/stored.h"

struct torchfile {
    const char *path;
    int64_t size_bytes, mtime_ns;
    uint64_t header_hash; /* of data.pkl, of the archive's directory and of the entries' places */
    int64_t ntensors;
    const char *note;              /* what of the file was taken; NULL: all of it */
    struct stored_tensor *tensors; /* sorted by name; .file is 0; strides where a view is not row-major */
};

/* Local. Reads and checks what stands around the data of path. Everything is owned by the arena.
 * Errors: DATA for a file that breaks the format or holds more than a state dict (tensor, opcode or GLOBAL,
 * byte), SYSTEM where it cannot be read or does not fit the budget. */
err_t torchfile_open(struct torchfile *t, const char *path, struct arena *a, struct err *e);

#endif
