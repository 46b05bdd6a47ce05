/* The files of a run's ranks, as torch 2.4 and as torch 2.15 pickle them, with one tensor w cut over a mesh,
 * whose elements count from 0, and one, v, that all have whole; and harm done to them. */
#ifndef SINEW_FSDPLIB_H
#define SINEW_FSDPLIB_H

#include "torchlib.h"

#include "formats/checkpoint.h"

enum { MAX_AXES = 3, PICKLE_BYTES = 1 << 14 };

/* A tensor cut over a mesh, and what is wrong with the files. */
struct run {
    const char *what;
    int64_t dims[2];
    int mesh[MAX_AXES]; /* its shape, 0 behind the last */
    const char
        *placements; /* per axis of the mesh: 0 or 1 the axis it cuts, R a copy, S _StridedShard, P Partial */
    int old;         /* torch 2.4's classes and mesh */
    int steps[MAX_AXES]; /* of a part of a larger mesh: how far apart its ranks are; 0: as the shape has it */
    int order[2];        /* shard_order: the axes of the mesh, in that order; both 0: not said */
    int harm;            /* one of those below */
    int verdict;
    const char *contains[4];
};

enum {
    NO_HARM,
    OTHER_COORDINATE, /* the mesh says another place than the file's name */
    OTHER_SHAPE,      /* rank 1's tensor is larger */
    OTHER_TYPE,       /* rank 1's is bf16 */
    OTHER_NAME,
    OTHER_BYTE, /* of rank 1 */
    LACKS_NAME,
    LACKS_RANK,
    EXTRA_RANK,
    TWO_WORLDS,
    SHORT_LOCAL,   /* the local tensor has a row less */
    NO_MESH,       /* a DeviceMesh without attributes */
    FOREIGN_RANKS, /* the mesh's ranks are others */
    PLACEMENTS_SHORT,
    FOREIGN_SPEC,
    FOREIGN_CLASS,
    FOREIGN_LOCAL
};

struct shards {
    struct bench bench;
    struct zipped z;
    struct checkpoint c;
    unsigned char pickle[PICKLE_BYTES];
    size_t n;
    char dir[200]; /* of the shards */
};

/* ---- pickles ---- */

static inline void put(struct shards *f, const void *bytes, size_t n)
{
    assert_true(f->n + n <= PICKLE_BYTES);
    memcpy(f->pickle + f->n, bytes, n);
    f->n += n;
}

#define PUT(f, text) put(f, text, sizeof(text) - 1)

static inline void put_text(struct shards *f, const char *text)
{
    unsigned char head[2] = {0x8c, (unsigned char)strlen(text)};
    put(f, head, 2);
    put(f, text, strlen(text));
}

static inline void put_int(struct shards *f, int64_t x)
{
    unsigned char bytes[5] = {'J'};
    for (int i = 0; i < 4; i++)
        bytes[1 + i] = (unsigned char)((uint64_t)x >> (8 * i));
    put(f, bytes, 5);
}

static inline void put_name(struct shards *f, const char *module, const char *name)
{
    put_text(f, module);
    put_text(f, name);
    PUT(f, "\x93");
}

static inline void put_ints(struct shards *f, const int64_t *x, int n)
{
    PUT(f, "(");
    for (int i = 0; i < n; i++)
        put_int(f, x[i]);
    PUT(f, "t");
}

/* An ordinary tensor of one storage, row-major. */
static inline void put_tensor(struct shards *f, const char *type, const char *key, int64_t elements,
                              const int64_t *dims, int ndim)
{
    int64_t strides[2] = {ndim == 2 ? dims[1] : 1, 1};
    put_name(f, "torch._utils", "_rebuild_tensor_v2");
    PUT(f, "((");
    put_text(f, "storage");
    put_name(f, "torch", type);
    put_text(f, key);
    put_text(f, "cpu");
    put_int(f, elements);
    PUT(f, "tQ");
    put_int(f, 0);
    put_ints(f, dims, ndim);
    put_ints(f, strides, ndim);
    PUT(f, "\x89");
    put_name(f, "collections", "OrderedDict");
    PUT(f, ")RtR");
}

static inline int axes_of(const struct run *r)
{
    int n = 0;
    while (n < MAX_AXES && r->mesh[n] > 0)
        n++;
    return n;
}

static inline int ranks_of(const struct run *r)
{
    int n = 1;
    for (int i = 0; i < axes_of(r); i++)
        n *= r->mesh[i];
    return r->steps[0] ? r->mesh[0] * r->steps[0]
                       : n; /* a submesh of two axes: its own is the first or the last */
}

/* Where a rank is on an axis of the mesh. */
static inline int place_of(const struct run *r, int me, int axis)
{
    int step = r->steps[axis];
    if (step == 0)
        for (int i = (step = 1, axes_of(r) - 1); i > axis; i--)
            step *= r->mesh[i];
    return me / step % r->mesh[axis];
}

static inline void put_mesh(struct shards *f, const struct run *r, int me)
{
    int64_t ranks[64], shape[MAX_AXES], places[MAX_AXES];
    int n = ranks_of(r), axes = axes_of(r);
    for (int i = 0; i < n; i++)
        ranks[i] = i + (r->harm == FOREIGN_RANKS ? 7 : 0);
    for (int i = 0; i < axes; i++) {
        shape[i] = r->mesh[i];
        places[i] = place_of(r, me, i) ^ (r->harm == OTHER_COORDINATE);
    }
    put_name(f, "torch.distributed.device_mesh", "DeviceMesh");
    PUT(f, ")\x81");
    if (r->harm == NO_MESH)
        return;
    PUT(f, "}(");
    if (r->old) {
        put_text(f, "mesh");
        put_tensor(f, "IntStorage", "m", n, shape, axes);
        put_text(f, "_flatten_mesh_list");
        put_ints(f, ranks, n);
    } else {
        put_text(f, "_layout");
        put_name(f, "torch.distributed._mesh_layout", "_MeshLayout");
        PUT(f, ")\x81}");
        put_text(f, "axes");
        PUT(f, "(");
        for (int i = 0; i < axes; i++) {
            int64_t step = r->steps[i];
            if (step == 0)
                for (int k = (step = 1, axes - 1); k > i; k--)
                    step *= r->mesh[k];
            put_name(f, "torch.distributed._mesh_layout", "_FlatLayout");
            PUT(f, ")\x81}(");
            put_text(f, "shape");
            put_ints(f, &shape[i], shape[i] > 1);
            put_text(f, "stride");
            put_ints(f, &step, shape[i] > 1);
            PUT(f, "ub");
        }
        PUT(f, "tsb");
        put_text(f, "_flatten_rank_map");
        put_ints(f, ranks, n);
    }
    put_text(f, "_coordinate_on_dim");
    put_ints(f, places, axes);
    PUT(f, "ub");
}

static inline void put_placement(struct shards *f, const struct run *r, char c)
{
    const char *module =
        r->old ? "torch.distributed._tensor.placement_types" : "torch.distributed.tensor.placement_types";
    put_name(f, module, c == 'R' ? "Replicate" : c == 'S' ? "_StridedShard" : c == 'P' ? "Partial" : "Shard");
    PUT(f, ")\x81");
    if (c == 'R' && r->old)
        return;
    PUT(f, "}");
    if (c != 'R') {
        put_text(f, "dim");
        put_int(f, c == '1' ? 1 : 0);
        PUT(f, "s");
    }
    PUT(f, "b");
}

static inline void put_spec(struct shards *f, const struct run *r, int me)
{
    put_name(f,
             r->old ? "torch.distributed._tensor.placement_types" : "torch.distributed.tensor._dtensor_spec",
             r->harm == FOREIGN_SPEC ? "Spec" : "DTensorSpec");
    PUT(f, ")\x81}(");
    put_text(f, "mesh");
    put_mesh(f, r, me);
    put_text(f, "placements");
    PUT(f, "(");
    for (int i = r->harm == PLACEMENTS_SHORT; i < axes_of(r); i++)
        put_placement(f, r, r->placements[i]);
    PUT(f, "t");
    if (r->order[0] || r->order[1]) {
        const int64_t order[2] = {r->order[0], r->order[1]};
        put_text(f, "shard_order");
        put_name(f, "torch.distributed.tensor._dtensor_spec", "ShardOrderEntry");
        PUT(f, "K\0");
        put_ints(f, order, 2);
        PUT(f, "\x86\x81\x85");
    }
    PUT(f, "ub");
}

/* ---- files ---- */

/* What of the tensor a rank holds, cut as torch.chunk cuts: one axis of the mesh after the other. */
static inline void box_of(const struct run *r, int me, int64_t start[2], int64_t dims[2])
{
    start[0] = start[1] = 0;
    dims[0] = r->dims[0];
    dims[1] = r->dims[1];
    for (int k = 0; k < axes_of(r); k++) {
        int i = r->order[0] || r->order[1] ? r->order[k] : k;
        int axis = r->placements[i] - '0';
        if (axis < 0 || axis > 1)
            continue;
        int64_t chunk = (dims[axis] + r->mesh[i] - 1) / r->mesh[i], from = chunk * place_of(r, me, i);
        from = from > dims[axis] ? dims[axis] : from;
        start[axis] += from;
        dims[axis] = dims[axis] - from < chunk ? dims[axis] - from : chunk;
    }
}

static inline void put_dtensor(struct shards *f, const struct run *r, int me, const int64_t local[2],
                               int64_t stored)
{
    int64_t dims[2] = {r->dims[0] + (r->harm == OTHER_SHAPE && me == 1), r->dims[1]};
    int64_t strides[2] = {r->dims[1], 1};
    put_name(f, "torch._tensor", "_rebuild_from_type_v2");
    PUT(f, "(");
    put_name(f, "torch._utils", "_rebuild_wrapper_subclass");
    put_name(f, r->old ? "torch.distributed._tensor.api" : "torch.distributed.tensor",
             r->harm == FOREIGN_CLASS ? "Float8Tensor" : "DTensor");
    PUT(f, "(N");
    put_name(f, "torch", r->harm == OTHER_TYPE && me == 1 ? "bfloat16" : "float32");
    put_ints(f, dims, 2);
    put_ints(f, strides, 2);
    PUT(f, "K\0NN\x89tN}(");
    put_text(f, "_local_tensor");
    if (r->harm == FOREIGN_LOCAL) {
        put_name(f, "posix", "system");
        put_text(f, "id");
        PUT(f, "\x85R");
    } else {
        put_tensor(f, r->harm == OTHER_TYPE && me == 1 ? "BFloat16Storage" : "FloatStorage", "0", stored,
                   local, 2);
    }
    put_text(f, "_spec");
    put_spec(f, r, me);
    PUT(f, "u\x86tR");
}

static inline void write_rank(struct shards *f, const struct run *r, int me, int world)
{
    static float values[4096];
    char path[400];
    int64_t start[2], dims[2], n = 0;
    box_of(r, me, start, dims);
    dims[0] -= r->harm == SHORT_LOCAL && me == 1;
    dims[0] += r->harm == OTHER_SHAPE && me == 1;
    for (int64_t i = 0; i < dims[0]; i++)
        for (int64_t k = 0; k < dims[1]; k++)
            values[n++] = (float)((start[0] + i) * r->dims[1] + start[1] + k);
    values[0] += r->harm == OTHER_BYTE && me == 1;
    values[n++] = -1; /* storages may be longer than what is of them */
    f->n = 0;
    PUT(f, "\x80\4");
    put_name(f, "collections", "OrderedDict");
    PUT(f, ")R(");
    put_text(f, r->harm == OTHER_NAME && me == 1 ? "x" : "w");
    put_dtensor(f, r, me, dims, n);
    if (r->harm != LACKS_NAME || me != 1) {
        put_text(f, "v");
        put_tensor(f, "FloatStorage", "1", 2, (const int64_t[]){2}, 1);
    }
    PUT(f, "u.");
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "a/data.pkl", f->pickle, f->n, 1);
    zipped_add(&f->z, "a/data/0", values, (size_t)n * (r->harm == OTHER_TYPE && me == 1 ? 2 : 4), 1);
    zipped_add(&f->z, "a/data/1", (const float[]){3, (float)(r->harm == OTHER_BYTE ? me : 4)}, 8, 1);
    zipped_add(&f->z, "a/data/m", values, 4 * (size_t)ranks_of(r), 1);
    zipped_end(&f->z, 1);
    snprintf(path, sizeof path, "%s/model_world_size_%d_rank_%d.pt", f->dir, world, me);
    bytes_write(path, f->z.b, f->z.n);
}

#endif
