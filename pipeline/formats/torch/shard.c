#include "formats/torch/shard.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_WRAPPERS = 4,
    MAX_RANKS = 1 << 24,
    MAX_MODES = 64,      /* of one axis of a mesh */
    MAX_LOOKED = 1 << 28 /* ranks looked at in one file: it has one mesh, or a few */
};

/* What the functions below read one tensor by. */
struct shard_view {
    struct shard_reader *k;
    struct torch_reader *r;
    const struct pickle *p;
    struct stored_tensor of; /* its name, for messages */
};

static err_t refuse(const struct shard_view *g, const struct pickle_value *v, const char *what,
                    const char *expected, struct err *e)
{
    return rebuild_refuse(g->r, &g->of, v, what, expected, e);
}

/* Attribute `name`, or as it was called in other releases. */
static const struct pickle_value *either(const struct pickle *p, const struct pickle_value *v,
                                         const char *name, const char *other)
{
    const struct pickle_value *found = pickle_attribute(p, v, name);
    return found ? found : pickle_attribute(p, v, other);
}

/* Item i of a tuple or list. */
static const struct pickle_value *item(const struct pickle *p, const struct pickle_value *v, int64_t i)
{
    const struct pickle_value *value = NULL;
    const struct pickle_cell *at = NULL;
    if (!v || v->kind != PICKLE_LIST)
        return pickle_item(p, v, i);
    for (int64_t k = 0; k <= i; k++) {
        at = pickle_next(p, v, at, NULL, &value);
        if (!at)
            return NULL;
    }
    return value;
}

static int is_series(const struct pickle_value *v)
{
    return v && (v->kind == PICKLE_TUPLE || v->kind == PICKLE_LIST);
}

/* ---- the mesh ---- */

/* Where rank `me` stands in a tuple or list of ranks; -1: it does not. *most: the largest. */
static int64_t find_rank(const struct pickle *p, const struct pickle_value *v, int64_t me, int64_t *most)
{
    int64_t found = -1;
    const struct pickle_value *x = NULL;
    const struct pickle_cell *at = NULL;
    *most = -1;
    for (int64_t i = 0; i < v->n; i++) {
        if (v->kind == PICKLE_LIST)
            at = pickle_next(p, v, at, NULL, &x);
        else
            x = pickle_item(p, v, i);
        if (!x || x->kind != PICKLE_INT)
            continue;
        *most = x->i > *most ? x->i : *most;
        if (x->i == me && found < 0)
            found = i;
    }
    return found;
}

/* An axis of a mesh as torch 2.9 and later lay it out: one or several modes (length, step) of an index into
 * the map of ranks, the first of them the slowest. at: the index, -1: not known. */
static int layout_axis(const struct pickle *p, const struct pickle_value *shape,
                       const struct pickle_value *stride, int64_t at, int64_t *size, int64_t *place)
{
    int64_t modes = is_series(shape) ? shape->n : 1;
    *size = 1;
    *place = 0;
    if (modes > MAX_MODES || is_series(shape) != is_series(stride) ||
        (is_series(shape) && shape->n != stride->n))
        return 0;
    for (int64_t i = 0; i < modes; i++) {
        const struct pickle_value *n = is_series(shape) ? item(p, shape, i) : shape;
        const struct pickle_value *d = is_series(shape) ? item(p, stride, i) : stride;
        if (!n || !d || n->kind != PICKLE_INT || d->kind != PICKLE_INT || n->i < 1 || n->i > MAX_RANKS ||
            d->i < 0 || (d->i == 0 && n->i > 1) || *size > MAX_RANKS / n->i)
            return 0;
        *size *= n->i;
        *place = *place * n->i + (at < 0 || d->i == 0 ? 0 : at / d->i % n->i);
    }
    return 1;
}

/* The mesh by its layout; 0: it has none, or one that is not understood. */
static int mesh_by_layout(const struct shard_view *g, const struct pickle_value *v, int64_t index,
                          struct shard_mesh *m)
{
    const struct pickle *p = g->p;
    const struct pickle_value *layout = pickle_attribute(p, v, "_layout"),
                              *axes = pickle_attribute(p, layout, "axes"),
                              *shape = pickle_attribute(p, layout, "shape"),
                              *stride = pickle_attribute(p, layout, "stride");
    const struct pickle_value *all = axes ? axes : shape;
    int64_t n = is_series(all) ? all->n : all ? 1 : 0;
    if (n < 1 || n > TENSOR_MAX_NDIM)
        return 0;
    m->ndim = (int)n;
    for (int i = 0; i < m->ndim; i++) {
        const struct pickle_value *axis = axes ? item(p, axes, i) : NULL;
        const struct pickle_value *s = axes               ? pickle_attribute(p, axis, "shape")
                                       : is_series(shape) ? item(p, shape, i)
                                                          : shape;
        const struct pickle_value *d = axes                ? pickle_attribute(p, axis, "stride")
                                       : is_series(stride) ? item(p, stride, i)
                                                           : stride;
        if (!s || !d || !layout_axis(p, s, d, index, &m->size[i], &m->at[i]))
            return 0;
    }
    return 1;
}

/* The mesh by its tensor of ranks, of which the shape is what matters: the same ranks stand in a list too. */
static err_t mesh_by_tensor(const struct shard_view *g, const struct pickle_value *tensor, int64_t index,
                            struct shard_mesh *m, struct err *e)
{
    struct stored_tensor t = {.name = g->of.name};
    TRY(rebuild_tensor(g->r, &t, tensor, e));
    m->ndim = t.ndim;
    for (int i = t.ndim - 1; i >= 0; i--) {
        if (t.dims[i] < 1 || t.dims[i] > MAX_RANKS)
            return refuse(g, tensor, "mesh", "a tensor of ranks", e);
        m->size[i] = t.dims[i];
        m->at[i] = index < 0 ? 0 : index % t.dims[i];
        index = index < 0 ? index : index / t.dims[i];
    }
    return ERR_OK;
}

/* What the mesh itself says of its rank's place: where both are there, they must agree. */
static err_t check_place(const struct shard_view *g, const struct pickle_value *v, int64_t index,
                         struct shard_mesh *m, struct err *e)
{
    const struct pickle_value *place = pickle_attribute(g->p, v, "_coordinate_on_dim");
    int64_t said[TENSOR_MAX_NDIM];
    int n = 0;
    if (!is_series(place) || place->n != m->ndim) {
        if (index >= 0 || g->k->me < 0)
            return ERR_OK;
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: its mesh does not say which of its ranks this file's is: expected "
                       "what torch 2.2 to 2.15 write",
                       g->r->path, g->of.name);
    }
    TRY(rebuild_numbers(g->r, &g->of, place, "place in the mesh", said, &n, e));
    for (int i = 0; i < n; i++) {
        if (index < 0 && said[i] < m->size[i])
            m->at[i] = said[i];
        if (said[i] != m->at[i])
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: the mesh says that this rank is at %lld of its axis %d, and the "
                           "file's name that it is rank %lld, which is at %lld: is it another rank's file?",
                           g->r->path, g->of.name, (long long)said[i], i, (long long)g->k->me,
                           (long long)m->at[i]);
    }
    return ERR_OK;
}

static err_t read_mesh(const struct shard_view *g, const struct pickle_value *v, struct shard_mesh *m,
                       struct err *e)
{
    const struct pickle *p = g->p;
    if (!pickle_is_object(p, v, NULL, "DeviceMesh"))
        return refuse(g, v, "mesh", "a DeviceMesh", e);
    const struct pickle_value *ranks = either(p, v, "_flatten_rank_map", "_flatten_mesh_list"),
                              *tensor = either(p, v, "mesh", "_mesh");
    int64_t most = -1, index = -1;
    if (is_series(ranks)) {
        if (ranks->n > MAX_LOOKED - g->k->looked)
            return refuse(g, v, "mesh", "one that is the same for many tensors", e);
        g->k->looked += ranks->n;
        index = find_rank(p, ranks, g->k->me, &most);
    }
    if (g->k->me >= 0 && is_series(ranks) && (index < 0 || most >= g->k->world))
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: its mesh is of %lld ranks up to %lld: expected rank %lld of %lld "
                       "among them, as the file's name says",
                       g->r->path, g->of.name, (long long)ranks->n, (long long)most, (long long)g->k->me,
                       (long long)g->k->world);
    m->of = NULL;
    if (tensor && rebuild_is_tensor(p, tensor))
        TRY(mesh_by_tensor(g, tensor, index, m, e));
    else if (!mesh_by_layout(g, v, index, m))
        return refuse(g, tensor ? tensor : pickle_attribute(p, v, "_layout"), "mesh",
                      "the mesh of ranks that torch 2.2 to 2.15 write", e);
    TRY(check_place(g, v, index, m, e));
    m->of = v;
    return ERR_OK;
}

/* ---- placements ---- */

/* The axis that a placement cuts; -1: it copies. */
static err_t read_placement(const struct shard_view *g, const struct pickle_value *v, int ndim, int64_t *axis,
                            struct err *e)
{
    const struct pickle *p = g->p;
    *axis = -1;
    if (pickle_is_object(p, v, NULL, "Replicate"))
        return ERR_OK;
    if (!pickle_is_object(p, v, NULL, "Shard"))
        return refuse(g, v, "placement",
                      "Shard or Replicate (save the state dict with its tensors gathered by full_tensor())",
                      e);
    const struct pickle_value *dim = pickle_attribute(p, v, "dim");
    dim = dim ? dim : pickle_item(p, pickle_item(p, v, 0), 0);
    if (!dim || dim->kind != PICKLE_INT || dim->i < -ndim || dim->i >= ndim)
        return refuse(g, dim, "placement", "an axis of the tensor", e);
    *axis = dim->i < 0 ? dim->i + ndim : dim->i;
    return ERR_OK;
}

/* The part of an axis that chunk `at` of k has, as torch.chunk cuts it. */
static void cut(int64_t *start, int64_t *n, int64_t k, int64_t at)
{
    int64_t chunk = *n / k + (*n % k != 0), from = chunk > 0 && at > *n / chunk ? *n : chunk * at;
    *start += from;
    *n = min64(chunk, *n - from);
}

/* The axes of the mesh in the order in which they cut: that of the mesh, unless shard_order (torch 2.10 and
 * later: one entry for each axis of the tensor, with the mesh's axes) has another one. */
static err_t read_order(const struct shard_view *g, const struct pickle_value *v, int ndim, int *order,
                        struct err *e)
{
    const struct pickle *p = g->p;
    unsigned seen = 0;
    int n = 0;
    if (is_series(v) && v->n > TENSOR_MAX_NDIM)
        return refuse(g, v, "shard order", "one entry for each axis of the tensor", e);
    for (int64_t i = 0; is_series(v) && i < v->n; i++) {
        const struct pickle_value *entry = item(p, v, i);
        const struct pickle_value *pair =
            entry && entry->kind != PICKLE_TUPLE ? pickle_item(p, entry, 0) : entry;
        const struct pickle_value *axes = item(p, pair, 1);
        for (int64_t k = 0; is_series(axes) && k < axes->n; k++) {
            const struct pickle_value *x = item(p, axes, k);
            if (!x || x->kind != PICKLE_INT || x->i < 0 || x->i >= ndim || seen >> x->i & 1)
                return refuse(g, x, "shard order", "an axis of the mesh, once", e);
            seen |= 1u << x->i;
            order[n++] = (int)x->i;
        }
    }
    for (int i = 0; i < ndim; i++)
        if (!(seen >> i & 1))
            order[n++] = i;
    return ERR_OK;
}

/* The box of out->dims that this rank has. */
static err_t place(const struct shard_view *g, const struct pickle_value *spec, struct shard *out,
                   int64_t *start, int64_t *dims, struct err *e)
{
    const struct pickle *p = g->p;
    const struct pickle_value *mesh = pickle_attribute(p, spec, "mesh"),
                              *placements = pickle_attribute(p, spec, "placements");
    struct shard_mesh *m = &g->k->mesh;
    int order[TENSOR_MAX_NDIM] = {0};
    int64_t axis;
    if (!m->of || m->of != mesh)
        TRY(read_mesh(g, mesh, m, e));
    if (!is_series(placements) || placements->n != m->ndim)
        return refuse(g, placements, "placements", "one for each axis of the mesh", e);
    TRY(read_order(g, pickle_attribute(p, spec, "shard_order"), m->ndim, order, e));
    out->copies = 1;
    for (int i = 0; i < m->ndim; i++) {
        int at = order[i];
        TRY(read_placement(g, item(p, placements, at), out->ndim, &axis, e));
        if (axis < 0)
            out->copies *= m->size[at];
        else if (g->k->me < 0 && m->size[at] > 1)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: this file has one of %lld shards of it: name the folder of all "
                           "ranks' files, model_world_size_W_rank_R.pt",
                           g->r->path, g->of.name, (long long)m->size[at]);
        else
            cut(&start[axis], &dims[axis], m->size[at], m->at[at]);
    }
    return ERR_OK;
}

/* ---- the parts ---- */

/* The local tensor, which should be of that shape, as the part that begins at `start`. */
static err_t add_part(const struct shard_view *g, const struct pickle_value *v, const int64_t *start,
                      const int64_t *dims, struct shard *out, struct err *e)
{
    struct shard_box part = {.local = {.name = g->of.name}};
    struct stored_tensor *t = &part.local;
    char found[200], expected[200];
    int64_t n = 1;
    int same = 1;
    TRY(rebuild_tensor(g->r, t, v, e));
    for (int i = 0; i < out->ndim; i++) {
        n = dims[i] == 0 ? 0 : n;
        same &= i >= t->ndim || t->dims[i] == dims[i];
    }
    if (!(n == 0 && t->elements == 0) && (!same || t->ndim != out->ndim))
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: its local tensor is of shape %s, expected %s: the part of %s that is "
                       "this rank's by its mesh",
                       g->r->path, g->of.name, shape_text(t->ndim, t->dims, found, sizeof found),
                       shape_text(out->ndim, dims, expected, sizeof expected),
                       shape_text(out->ndim, out->dims, (char[200]){0}, 200));
    if (out->dtype != DTYPE_COUNT && out->dtype != t->dtype)
        return err_set(e, ERR_DATA, "%s: tensor %s: its local tensor is of type %s, expected %s", g->r->path,
                       g->of.name, dtype_name(t->dtype), dtype_name(out->dtype));
    out->dtype = t->dtype;
    if (t->elements == 0)
        return ERR_OK;
    TRY(arena_grow(g->r->scratch, "shard.parts", out->nparts + 1, &out->parts_cap, &out->parts, e));
    memcpy(part.start, start, (size_t)out->ndim * sizeof *start);
    out->parts[out->nparts++] = part;
    return ERR_OK;
}

static err_t read_whole(const struct shard_view *g, const struct pickle_value *v, struct shard *out,
                        struct err *e)
{
    static const int64_t start[TENSOR_MAX_NDIM];
    struct stored_tensor t = {.name = g->of.name};
    TRY(rebuild_tensor(g->r, &t, v, e));
    out->kind = SHARD_WHOLE;
    out->dtype = t.dtype;
    out->ndim = t.ndim;
    memcpy(out->dims, t.dims, sizeof t.dims);
    out->copies = g->k->world;
    if (t.elements == 0)
        return ERR_OK;
    TRY(arena_grow(g->r->scratch, "shard.parts", 1, &out->parts_cap, &out->parts, e));
    memcpy(out->parts[0].start, start, sizeof start);
    out->parts[0].local = t;
    out->nparts = 1;
    return ERR_OK;
}

static err_t read_dtensor(const struct shard_view *g, const struct pickle_value *state, struct shard *out,
                          struct err *e)
{
    const struct pickle *p = g->p;
    const struct pickle_value *local = pickle_in_state(p, state, "_local_tensor"),
                              *spec = pickle_in_state(p, state, "_spec");
    if (!pickle_is_object(p, spec, NULL, "DTensorSpec"))
        return refuse(g, spec, "_spec", "a DTensorSpec", e);
    int64_t start[TENSOR_MAX_NDIM] = {0}, dims[TENSOR_MAX_NDIM];
    memcpy(dims, out->dims, sizeof dims);
    out->kind = SHARD_MESH;
    TRY(place(g, spec, out, start, dims, e));
    return add_part(g, local, start, dims, out, e);
}

/* Shard(tensor, metadata) of a ShardedTensor. */
static err_t read_listed(const struct shard_view *g, const struct pickle_value *v, struct shard *out,
                         struct err *e)
{
    const struct pickle *p = g->p;
    const struct pickle_value *metadata = pickle_attribute(p, v, "metadata");
    int64_t start[TENSOR_MAX_NDIM], dims[TENSOR_MAX_NDIM];
    int nstart = 0, ndims = 0;
    if (!pickle_is_object(p, v, NULL, "Shard"))
        return refuse(g, v, "local shard", "a Shard", e);
    TRY(rebuild_numbers(g->r, &g->of, pickle_attribute(p, metadata, "shard_offsets"), "shard_offsets", start,
                        &nstart, e));
    TRY(rebuild_numbers(g->r, &g->of, pickle_attribute(p, metadata, "shard_sizes"), "shard_sizes", dims,
                        &ndims, e));
    if (nstart != out->ndim || ndims != out->ndim)
        return refuse(g, metadata, "local shard", "an offset and a size for each axis", e);
    return add_part(g, pickle_attribute(p, v, "tensor"), start, dims, out, e);
}

/* The state is (local shards, metadata, process group, sharding spec, remote references). */
static err_t read_sharded(const struct shard_view *g, const struct pickle_value *state, struct shard *out,
                          struct err *e)
{
    const struct pickle *p = g->p;
    const struct pickle_value *shards = pickle_item(p, state, 0), *v = NULL;
    if (!is_series(shards))
        return refuse(g, shards, "local shards", "a list", e);
    out->kind = SHARD_LISTED;
    out->copies = 1;
    const struct pickle_cell *at = NULL;
    for (int64_t i = 0; i < shards->n; i++) {
        if (shards->kind == PICKLE_LIST)
            at = pickle_next(p, shards, at, NULL, &v);
        else
            v = pickle_item(p, shards, i);
        TRY(read_listed(g, v, out, e));
    }
    return ERR_OK;
}

/* The arguments of a tensor of a class of its own: (function, class, its arguments, state); NULL: v is none.
 */
static const struct pickle_value *wrapped(const struct pickle *p, const struct pickle_value *v)
{
    for (int i = 0; i < MAX_WRAPPERS && v && rebuild_is_parameter(p, v); i++)
        v = pickle_item(p, pickle_item(p, v, 0), 0);
    const struct pickle_value *arguments = pickle_item(p, v, 0);
    if (!pickle_is_object(p, v, "torch._tensor", "_rebuild_from_type_v2") || !arguments || arguments->n != 4)
        return NULL;
    return pickle_is_name(p, pickle_item(p, arguments, 0), "torch._utils", "_rebuild_wrapper_subclass")
               ? arguments
               : NULL;
}

int shard_is_part(const struct pickle *p, const struct pickle_value *v)
{
    return wrapped(p, v) != NULL;
}

err_t shard_read(struct shard_reader *k, const char *name, const struct pickle_value *v, struct shard *out,
                 struct err *e)
{
    const struct shard_view g = {k, k->r, &k->r->pickle, {.name = name}};
    const struct pickle *p = g.p;
    const struct pickle_value *arguments = wrapped(p, v);
    *out = (struct shard){.dtype = DTYPE_COUNT, .parts = out->parts, .parts_cap = out->parts_cap};
    if (!arguments)
        return read_whole(&g, v, out, e);
    const struct pickle_value *class = pickle_item(p, arguments, 1), *view = pickle_item(p, arguments, 2),
                              *state = pickle_item(p, arguments, 3);
    out->dtype = rebuild_dtype(p, pickle_item(p, view, 1));
    TRY(rebuild_numbers(k->r, &g.of, pickle_item(p, view, 2), "size", out->dims, &out->ndim, e));
    if (pickle_is_name(p, class, NULL, "DTensor"))
        return read_dtensor(&g, state, out, e);
    if (pickle_is_name(p, class, NULL, "ShardedTensor"))
        return read_sharded(&g, state, out, e);
    return refuse(&g, class, "class", "DTensor, ShardedTensor or a plain tensor", e);
}
