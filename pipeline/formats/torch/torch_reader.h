/* Archives that torch.save wrote, opened: the zip's directory and the tree of its pickle, from which tensors
 * are rebuilt (rebuild.h). What the map in it means is for who asks: a state dict (torchfile.h), or one of
 * the files that a trainer leaves.
 *
 * Source: pytorch, torch/serialization.py (_save, _load), caffe2/serialize/inline_container.cc. The archive
 * holds TOP/data.pkl and TOP/data/KEY, the bytes of each storage, stored as they are. Refused with how to
 * convert: the formats before torch 1.6 (five pickles in a row, tar), TorchScript, big-endian bytes. */
#ifndef SINEW_TORCH_READER_H
#define SINEW_TORCH_READER_H

#include "formats/torch/rebuild.h"

/* The lines that convert a file, for messages. */
#define TORCH_LOAD "torch.load('OLD', map_location='cpu', weights_only=True)"
#define TORCH_CONVERT(what) "python3 -c \"import torch; torch.save(" what ", 'NEW')\""

/* Local. Reads what stands around the data of path, which is closed again: r is filled, with the stamp of the
 * file and the hash of its header. keep: the path, and later what its tensors need. scratch: the directory
 * and the tree, as long as they are used. Errors: DATA for a file that breaks the format or is refused,
 * SYSTEM where it cannot be read or does not fit the budget. */
err_t torch_reader_open(struct torch_reader *r, const char *path, struct arena *keep, struct arena *scratch,
                        struct err *e);

/* Local. The same of an archive that is a part of an open file, as zip_open_at has it; `what` names it in
 * messages. Borrowed: what, as long as r is used. r has no mtime. */
err_t torch_reader_open_at(struct torch_reader *r, const char *what, int fd, int64_t start_bytes,
                           int64_t size_bytes, struct arena *keep, struct arena *scratch, struct err *e);

/* Local. Gives t the name that a key of a map is, with its layer and module, owned by r->keep. Errors: DATA
 * for a key that is no text, or a name that is empty, too long, no UTF-8 or holds control characters. */
err_t torch_reader_name(struct torch_reader *r, struct stored_tensor *t, const struct pickle_value *key,
                        struct err *e);

#endif
