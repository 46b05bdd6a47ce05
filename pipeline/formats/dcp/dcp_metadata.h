/* The .metadata of a torch distributed checkpoint: which names a state dict had, how each tensor was cut into
 * chunks, and where each chunk's bytes lie.
 *
 * Source: pytorch, torch/distributed/checkpoint/{metadata,filesystem,default_planner}.py. The file is a
 * pickle (protocol 4) of a Metadata with state_dict_metadata {name: TensorStorageMetadata(properties, size,
 * chunks) or BytesStorageMetadata}, planner_data {name: path in the nested state dict} and storage_data
 * {MetadataIndex(fqn, offset): _StorageInfo(relative_path, offset, length)}. Megatron-core's is a subclass of
 * it without planner_data. Classes are known by what they hold and by their last name alone: they have moved
 * from module to module. Nothing is opened but the file itself. */
#ifndef SINEW_DCP_METADATA_H
#define SINEW_DCP_METADATA_H

#include "base/file.h"
#include "formats/stored.h"
#include "formats/torch/pickle.h"

struct dcp_metadata;

/* A name of the state dict. */
struct dcp_entry {
    const struct dcp_metadata *of;
    const struct pickle_value *name;  /* a text */
    const struct pickle_value *path;  /* a tuple of texts and integers; NULL: not said */
    const struct pickle_value *value; /* its TensorStorageMetadata; NULL: a value that is no tensor */
    int depth; /* steps of the path that are no part of the model's names; -1: not of the model (dcp_model.h)
                */
};

/* Where one chunk lies. */
struct dcp_place {
    const struct pickle_value *name;       /* of its tensor, a text */
    int ndim;                              /* -1: a value that is no tensor */
    int64_t offsets[TENSOR_MAX_NDIM];      /* of the chunk in the tensor */
    const struct pickle_value *file;       /* relative to the folder, a text; not checked */
    int64_t offset_bytes, length_bytes;    /* in the file, each >= 0 */
    const struct pickle_value *transforms; /* NULL: bytes as they are; else how they were changed */
};

struct dcp_metadata {
    const char *path;
    struct file_stamp stamp;
    uint64_t hash; /* XXH3 of its bytes */
    struct pickle pickle;
    int64_t nentries, nplaces;
    struct dcp_entry *entries; /* sorted by name, bytewise */
    struct dcp_place *places;  /* sorted by name, then offsets */
};

/* Local. Reads path. Everything is owned by the arena. Errors: DATA for what is no such file (where,
 * expected, found), SYSTEM where it cannot be read or does not fit the budget. */
err_t dcp_metadata_read(struct dcp_metadata *m, const char *path, struct arena *a, struct err *e);

/* Local. Type and shape of a tensor, whose name is filled in, as the metadata has them. Errors: DATA. */
err_t dcp_entry_shape(const struct dcp_entry *entry, struct stored_tensor *t, struct err *e);

/* Local. The chunks of a tensor: `at` is NULL for the first, then what the last call returned; NULL at the
 * end. Each is read by dcp_chunk_read into start and dims of a piece. Errors: DATA. */
const struct pickle_cell *dcp_chunk_next(const struct dcp_entry *entry, const struct pickle_cell *at,
                                         const struct pickle_value **chunk);
err_t dcp_chunk_read(const struct dcp_entry *entry, const struct pickle_value *chunk,
                     const struct stored_tensor *t, struct stored_piece *piece, struct err *e);

/* Local, pure. Where the chunk at an offset of a tensor lies; NULL: nowhere. */
const struct dcp_place *dcp_place_find(const struct dcp_entry *entry, int ndim, const int64_t *offsets);

/* Local, pure. Two texts, bytewise: for sorting. */
int dcp_text_order(const struct pickle_value *x, const struct pickle_value *y);

#endif
