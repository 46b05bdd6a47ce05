/* Shards: the part of a model's tensor that one process of a training run held, as it pickled it.
 *
 * Source: pytorch, torch/distributed/tensor/_api.py (DTensor), placement_types.py, _dtensor_spec.py,
 * torch/distributed/device_mesh.py and _mesh_layout.py, torch/distributed/_shard/sharded_tensor; their
 * classes have moved from release to release (torch 2.2 to 2.15), so that they are known by their names
 * alone. A DTensor is a local tensor, the global shape, a mesh of ranks and one placement per axis of the
 * mesh: Shard(d) cuts axis d into as many chunks as the mesh's axis is long, of ceil(n / k) rows, the last
 * shorter or empty; Replicate leaves it. A ShardedTensor lists its local shards with their offsets. A plain
 * tensor is the same on every rank. */
#ifndef SINEW_SHARD_H
#define SINEW_SHARD_H

#include "formats/torch/rebuild.h"

enum shard_kind { SHARD_WHOLE, SHARD_MESH, SHARD_LISTED };

/* A box of the whole tensor: where it begins, and the elements. */
struct shard_box {
    int64_t start[TENSOR_MAX_NDIM];
    struct stored_tensor local;
};

struct shard {
    enum shard_kind kind;
    enum dtype dtype; /* DTYPE_COUNT: it has no part that would say */
    int ndim;
    int64_t dims[TENSOR_MAX_NDIM]; /* of the whole tensor */
    int64_t copies;                /* ranks that hold the same part, as the mesh has it */
    int64_t nparts, parts_cap;
    struct shard_box *parts; /* in r->scratch, reused; none of them is empty */
};

/* The ranks' places, in one file. */
struct shard_mesh {
    const struct pickle_value *of; /* what the rest was read from, so that it is read once */
    int ndim;
    int64_t size[TENSOR_MAX_NDIM], at[TENSOR_MAX_NDIM];
};

struct shard_reader {
    struct torch_reader *r;
    int64_t me, world; /* the rank whose file it is, -1: not known; and how many there are */
    struct shard_mesh mesh;
    int64_t looked; /* ranks looked at so far, in all meshes */
};

/* Local, pure. Is it a tensor of a class that knows of others' parts? */
int shard_is_part(const struct pickle *p, const struct pickle_value *v);

/* Local. The part of tensor `name` (a name, for messages) that value v holds; out is zeroed before its first
 * use. Errors: DATA, naming file and tensor: a placement that is no cut (Partial, _StridedShard), a mesh
 * without this rank, a local tensor of another shape than its place in the mesh has, and all that rebuild.h
 * refuses. */
err_t shard_read(struct shard_reader *k, const char *name, const struct pickle_value *v, struct shard *out,
                 struct err *e);

#endif
