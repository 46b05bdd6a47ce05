/* Tensors as torch rebuilds them: a pickled call that says which part of which storage a tensor is, in
 * whatever it is wrapped. Nothing is called; storages are looked up in the archive, and every view is checked
 * against its storage's bytes. Source: pytorch, torch/_utils.py (_rebuild_*), torch/_tensor.py
 * (_rebuild_from_type_v2). */
#ifndef SINEW_REBUILD_H
#define SINEW_REBUILD_H

#include "formats/stored.h"
#include "formats/torch/pickle.h"
#include "formats/torch/zip.h"

/* An archive that is being read. */
struct torch_reader {
    const char *path;
    int64_t file_bytes, mtime_ns;
    uint64_t header_hash; /* of data.pkl, of the archive's directory and of the entries' places */
    struct arena *keep;   /* what the file's tensors need */
    struct arena
        *scratch; /* what is of use while they are read: the archive's directory, the pickle's tree */
    struct zip zip;
    struct pickle pickle;
    const char *top; /* folder of data.pkl in the archive, with its slash */
    int top_bytes;
    int64_t viewed; /* bytes of all tensors so far */
};

/* The names that a pickle of tensors needs: for pickle_read. */
extern const struct pickle_name rebuild_names[];
extern const int rebuild_nnames;

/* Local, pure. Is it a tensor, as far as its call says? */
int rebuild_is_tensor(const struct pickle *p, const struct pickle_value *v);

/* Local, pure. Is it a parameter, which wraps its first argument? The type that a name of one is;
 * DTYPE_COUNT: none. */
int rebuild_is_parameter(const struct pickle *p, const struct pickle_value *v);
enum dtype rebuild_dtype(const struct pickle *p, const struct pickle_value *v);

/* Local. DATA: of tensor t, `what` ("size") is v where something else was expected. */
err_t rebuild_refuse(const struct torch_reader *r, const struct stored_tensor *t,
                     const struct pickle_value *v, const char *what, const char *expected, struct err *e);

/* Local. A tuple or list of at most TENSOR_MAX_NDIM integers >= 0, or torch.Size of one, into out and *n.
 * Errors: DATA. */
err_t rebuild_numbers(const struct torch_reader *r, const struct stored_tensor *t,
                      const struct pickle_value *v, const char *what, int64_t *out, int *n, struct err *e);

/* Local. Fills in t, whose name is set, from value v: type, shape, elements, size, place and strides (where
 * the view is not row-major); .file is 0. Errors: DATA naming file, tensor and byte for what is no tensor, or
 * a view that leaves its storage, overlaps itself, or makes the file say more than it could mean. */
err_t rebuild_tensor(struct torch_reader *r, struct stored_tensor *t, const struct pickle_value *v,
                     struct err *e);

/* Local. Reads v, a tuple of at most TENSOR_MAX_NDIM integers >= 0, or torch.Size of one: a shape or strides
 * of t, which messages name with `what` it is. Errors: DATA. */
err_t rebuild_numbers(const struct torch_reader *r, const struct stored_tensor *t,
                      const struct pickle_value *v, const char *what, int64_t *out, int *n, struct err *e);

#endif
