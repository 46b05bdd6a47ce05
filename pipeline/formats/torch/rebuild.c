#include "formats/torch/rebuild.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_KEY_BYTES = 100, /* of a storage: torch counts from 0 */
    MAX_WRAPPERS = 4,    /* a Parameter of a Tensor of a type: more is made to be unwrapped */
    SHOWN = 101
};

/* Views may say more elements than a file has bytes: tied weights do, twice. This is what a file may say
 * before it is taken for an attack on our time: 16 times its size and 64 MiB. */
enum { VIEW_FACTOR = 16, VIEW_BYTES = 64 << 20 };

/* ---- the names a state dict needs ---- */

/* id: of a storage or dtype its dtype; else one of these. */
enum { STORAGE_BYTES = DTYPE_COUNT, MAP, SIZE, TYPE, TENSOR, TENSOR_V2, TENSOR_V3, PARAMETER, FROM_TYPE };

#define STORAGE(name, dtype)              \
    {                                     \
        "torch", name "Storage", dtype, 0 \
    }
#define DTYPE(name, dtype)      \
    {                           \
        "torch", name, dtype, 0 \
    }
const struct pickle_name rebuild_names[] = {
    STORAGE("BFloat16", DTYPE_BF16),
    STORAGE("Half", DTYPE_F16),
    STORAGE("Float", DTYPE_F32),
    STORAGE("Double", DTYPE_F64),
    STORAGE("Char", DTYPE_I8),
    STORAGE("Short", DTYPE_I16),
    STORAGE("Int", DTYPE_I32),
    STORAGE("Long", DTYPE_I64),
    STORAGE("Byte", DTYPE_U8),
    STORAGE("Bool", DTYPE_BOOL),
    STORAGE("Untyped", STORAGE_BYTES),
    {"torch.storage", "UntypedStorage", STORAGE_BYTES, 0},
    DTYPE("bfloat16", DTYPE_BF16),
    DTYPE("float16", DTYPE_F16),
    DTYPE("float32", DTYPE_F32),
    DTYPE("float64", DTYPE_F64),
    DTYPE("int8", DTYPE_I8),
    DTYPE("int16", DTYPE_I16),
    DTYPE("int32", DTYPE_I32),
    DTYPE("int64", DTYPE_I64),
    DTYPE("uint8", DTYPE_U8),
    DTYPE("bool", DTYPE_BOOL),
    DTYPE("float8_e4m3fn", DTYPE_F8_E4M3), /* types younger than typed storages */
    DTYPE("float8_e5m2", DTYPE_F8_E5M2),
    DTYPE("float8_e8m0fnu", DTYPE_F8_E8M0),
    DTYPE("float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ),
    DTYPE("float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ),
    DTYPE("uint16", DTYPE_U16),
    DTYPE("uint32", DTYPE_U32),
    DTYPE("uint64", DTYPE_U64),
    {"collections", "OrderedDict", MAP, 1},
    {"torch", "Size", SIZE, 0},
    {"torch", "Tensor", TYPE, 0},
    {"torch.nn.parameter", "Parameter", TYPE, 0},
    {"torch._utils", "_rebuild_tensor", TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v2", TENSOR_V2, 0},
    {"torch._utils", "_rebuild_tensor_v3", TENSOR_V3, 0},
    {"torch._utils", "_rebuild_parameter", PARAMETER, 0},
    {"torch._utils", "_rebuild_parameter_with_state", PARAMETER, 0},
    {"torch._tensor", "_rebuild_from_type_v2", FROM_TYPE, 0},
};
const int rebuild_nnames = (int)(sizeof rebuild_names / sizeof *rebuild_names);

/* The id of a name, -1 where v is none or an unknown one. */
static int id_of(const struct pickle *p, const struct pickle_value *v)
{
    return v && v->kind == PICKLE_NAME ? pickle_id(p, v) : -1;
}

enum dtype rebuild_dtype(const struct pickle *p, const struct pickle_value *v)
{
    int id = id_of(p, v);
    return id >= 0 && id < DTYPE_COUNT ? (enum dtype)id : DTYPE_COUNT;
}

int rebuild_is_parameter(const struct pickle *p, const struct pickle_value *v)
{
    return v && v->kind == PICKLE_CALL && pickle_id(p, v) == PARAMETER;
}

int rebuild_is_tensor(const struct pickle *p, const struct pickle_value *v)
{
    return v && v->kind == PICKLE_CALL && pickle_id(p, v) >= TENSOR;
}

/* ---- one tensor ---- */

err_t rebuild_refuse(const struct torch_reader *r, const struct stored_tensor *t,
                     const struct pickle_value *v, const char *what, const char *expected, struct err *e)
{
    char told[PICKLE_TOLD], where[PICKLE_WHERE];
    return err_set(e, ERR_DATA, "%s: tensor %s: %s: expected %s, found %s%s", r->path, t->name, what,
                   expected, pickle_told(&r->pickle, v, told), pickle_where(v, "data.pkl", where));
}

err_t rebuild_numbers(const struct torch_reader *r, const struct stored_tensor *t,
                      const struct pickle_value *v, const char *what, int64_t *out, int *n, struct err *e)
{
    const struct pickle *p = &r->pickle;
    if (v && v->kind != PICKLE_NAME && pickle_id(p, v) == SIZE)
        v = pickle_item(p, pickle_item(p, v, 0), 0);
    if (!v || (v->kind != PICKLE_TUPLE && v->kind != PICKLE_LIST))
        return rebuild_refuse(r, t, v, what, "a tuple of integers", e);
    if (v->n > TENSOR_MAX_NDIM)
        return err_set(e, ERR_DATA, "%s: tensor %s: %s: expected at most %d numbers, found %lld", r->path,
                       t->name, what, TENSOR_MAX_NDIM, (long long)v->n);
    *n = (int)v->n;
    const struct pickle_cell *at = NULL;
    for (int i = 0; i < *n; i++) {
        const struct pickle_value *x = pickle_item(p, v, i);
        if (v->kind == PICKLE_LIST)
            at = pickle_next(p, v, at, NULL, &x);
        if (x->kind != PICKLE_INT)
            return rebuild_refuse(r, t, x, what, "an integer", e);
        if (x->i < 0)
            return err_set(e, ERR_DATA, "%s: tensor %s: %s: expected an integer not below 0, found %lld",
                           r->path, t->name, what, (long long)x->i);
        out[i] = x->i;
    }
    return ERR_OK;
}

/* A dtype has the same id, and is no storage. */
static int is_storage_type(const struct pickle *p, const struct pickle_value *v)
{
    static const char end[] = "Storage";
    const struct pickle_value *module, *name;
    int64_t n = (int64_t)sizeof end - 1;
    return id_of(p, v) >= 0 && id_of(p, v) <= STORAGE_BYTES && pickle_names(p, v, &module, &name) &&
           name->n > n && memcmp(name->text + name->n - n, end, (size_t)n) == 0;
}

/* The storage a persistent id names: its type, its place, and that the archive has as many bytes for it as it
 * says. t->dtype receives the type (DTYPE_COUNT for untyped bytes). */
static err_t read_storage(const struct torch_reader *r, struct stored_tensor *t, const struct pickle_value *v,
                          const struct zip_entry **entry, struct err *e)
{
    const struct pickle *p = &r->pickle;
    if (!v || v->kind != PICKLE_PERSISTENT)
        return rebuild_refuse(r, t, v, "storage", "a storage", e);
    const struct pickle_value *id = pickle_item(p, v, 0), *type, *key, *numel;
    if (id->kind != PICKLE_TUPLE || id->n != 5 || !pickle_is(pickle_item(p, id, 0), "storage"))
        return rebuild_refuse(r, t, id, "storage", "('storage', type, key, location, elements)", e);
    type = pickle_item(p, id, 1);
    key = pickle_item(p, id, 2);
    numel = pickle_item(p, id, 4);
    if (!is_storage_type(p, type))
        return rebuild_refuse(r, t, type, "storage", "a storage type", e);
    if (key->kind != PICKLE_TEXT || key->n == 0 || key->n > MAX_KEY_BYTES ||
        memchr(key->text, '\0', (size_t)key->n))
        return rebuild_refuse(r, t, key, "storage", "a key of 1 to 100 bytes", e);
    if (numel->kind != PICKLE_INT || numel->i < 0)
        return rebuild_refuse(r, t, numel, "storage", "a number of elements not below 0", e);
    char name[1200], shown[SHOWN];
    pickle_shown(key->text, key->n, shown, sizeof shown);
    snprintf(name, sizeof name, "%.*sdata/%.*s", r->top_bytes, r->top, (int)key->n, key->text);
    *entry = zip_find(&r->zip, name);
    if (!*entry)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: storage %s: expected an entry %.*sdata/%s in the archive, found none",
                       r->path, t->name, shown, r->top_bytes, r->top, shown);
    t->dtype = (enum dtype)id_of(p, type);
    uint64_t bytes;
    uint64_t width = t->dtype == DTYPE_COUNT ? 1 : (uint64_t)dtype_bits(t->dtype) / 8;
    if (size_mul((uint64_t)numel->i, width, &bytes) != 0 || bytes != (uint64_t)(*entry)->size_bytes)
        return err_set(
            e, ERR_DATA, "%s: tensor %s: storage %s: size mismatch: %lld elements of %s, found %lld bytes",
            r->path, t->name, shown, (long long)numel->i,
            t->dtype == DTYPE_COUNT ? "1 byte" : dtype_name(t->dtype), (long long)(*entry)->size_bytes);
    return ERR_OK;
}

/* Row-major without gaps, as torch's is_contiguous: the stride of an axis of length 1 does not matter. */
static int is_contiguous(const struct stored_tensor *t, const int64_t *strides)
{
    int64_t step = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->dims[i] != 1 && strides[i] != step)
            return 0;
        step *= t->dims[i];
    }
    return 1;
}

/* Does no element lie where another does, but for axes of stride 0 (torch's expand)? By the smallest stride
 * first, each axis must step over all that lies below it. */
static int is_apart(const struct stored_tensor *t, const int64_t *strides)
{
    int64_t below = 0; /* from the first element to the last of the axes so far */
    unsigned done = 0;
    for (int k = 0; k < t->ndim; k++) {
        int least = -1;
        for (int i = 0; i < t->ndim; i++)
            if (!(done >> i & 1) && (least < 0 || strides[i] < strides[least]))
                least = i;
        done |= 1u << least;
        if (strides[least] == 0 || t->dims[least] == 1)
            continue;
        if (strides[least] <= below)
            return 0;
        below += (t->dims[least] - 1) * strides[least];
    }
    return 1;
}

/* Shape, strides and offset (in elements) against the storage. */
static err_t place(struct torch_reader *r, struct stored_tensor *t, const struct zip_entry *entry,
                   int64_t offset, const int64_t *strides, struct err *e)
{
    char shape[200], steps[200];
    uint64_t n = 1, bytes = 0, width = (uint64_t)dtype_bits(t->dtype) / 8;
    int overflow = 0;
    for (int i = 0; i < t->ndim; i++)
        overflow |= size_mul(n, (uint64_t)t->dims[i], &n);
    overflow |= size_mul(n, width, &bytes);
    if (overflow || bytes > INT64_MAX)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: shape %s of %s overflows: expected a size of at most 64 bits", r->path,
                       t->name, shape_text(t->ndim, t->dims, shape, sizeof shape), dtype_name(t->dtype));
    t->elements = (int64_t)n;
    t->size_bytes = (int64_t)bytes;
    t->offset_bytes = entry->offset_bytes;
    if (n == 0)
        return ERR_OK;
    t->strides = strides;
    int64_t span = stored_span(t), room = entry->size_bytes, before;
    if (span < 0 || __builtin_mul_overflow(offset, (int64_t)width, &before) || before > room ||
        span > room - before)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: shape %s with strides %s from element %lld on leaves its storage %s "
                       "of %lld bytes",
                       r->path, t->name, shape_text(t->ndim, t->dims, shape, sizeof shape),
                       shape_text(t->ndim, strides, steps, sizeof steps), (long long)offset, entry->name,
                       (long long)room);
    if (!is_apart(t, strides))
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s: shape %s with strides %s: its rows overlap, which no tensor of a model does",
            r->path, t->name, shape_text(t->ndim, t->dims, shape, sizeof shape),
            shape_text(t->ndim, strides, steps, sizeof steps));
    t->offset_bytes += before;
    t->strides = NULL;
    if (!is_contiguous(t, strides)) {
        int64_t *kept;
        TRY(arena_array(r->keep, "torchfile.strides", t->ndim, &kept, e));
        memcpy(kept, strides, (size_t)t->ndim * sizeof *kept);
        t->strides = kept;
    }
    int64_t most = r->file_bytes > (INT64_MAX - VIEW_BYTES) / VIEW_FACTOR
                       ? INT64_MAX
                       : VIEW_FACTOR * r->file_bytes + VIEW_BYTES;
    if (t->size_bytes > most - r->viewed)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: the tensors so far, and shape %s of %s, are more than %lld bytes in a "
                       "file of %lld: "
                       "expected at most %d times as much",
                       r->path, t->name, shape_text(t->ndim, t->dims, shape, sizeof shape),
                       dtype_name(t->dtype), (long long)most, (long long)r->file_bytes, VIEW_FACTOR);
    r->viewed += t->size_bytes;
    return ERR_OK;
}

/* Arguments that torch gives a tensor beside its view: none of them may change a value. hooks at item i, then
 * what stands behind, from `more` on: metadata such as a conjugate bit. */
static err_t check_rest(const struct torch_reader *r, const struct stored_tensor *t,
                        const struct pickle_value *arguments, int64_t i, int64_t more, struct err *e)
{
    const struct pickle_value *hooks = pickle_item(&r->pickle, arguments, i);
    if (hooks->kind != PICKLE_NONE && (hooks->kind != PICKLE_DICT || hooks->n > 0))
        return rebuild_refuse(r, t, hooks, "backward hooks", "none", e);
    const struct pickle_value *metadata = pickle_item(&r->pickle, arguments, more);
    if (metadata && metadata->kind != PICKLE_NONE && (metadata->kind != PICKLE_DICT || metadata->n > 0))
        return rebuild_refuse(r, t, metadata, "metadata", "none: a conjugate or negative view is not read",
                              e);
    return ERR_OK;
}

/* A view's are a tuple. */
static err_t view_numbers(const struct torch_reader *r, const struct stored_tensor *t,
                          const struct pickle_value *v, const char *what, int64_t *out, int *n, struct err *e)
{
    return v && v->kind == PICKLE_LIST ? rebuild_refuse(r, t, v, what, "a tuple of integers", e)
                                       : rebuild_numbers(r, t, v, what, out, n, e);
}

static err_t read_view(struct torch_reader *r, struct stored_tensor *t, int id,
                       const struct pickle_value *arguments, struct err *e)
{
    const struct pickle *p = &r->pickle;
    int64_t n = arguments->n, least = id == TENSOR ? 4 : id == TENSOR_V2 ? 6 : 7;
    if (n < least || n > (id == TENSOR ? 4 : least + 1))
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: expected %lld arguments, found %lld (byte %lld of data.pkl)", r->path,
                       t->name, (long long)least, (long long)n, (long long)arguments->at);
    const struct zip_entry *entry = NULL;
    TRY(read_storage(r, t, pickle_item(p, arguments, 0), &entry, e));
    if (id != TENSOR)
        TRY(check_rest(r, t, arguments, 5, least, e));
    if (id == TENSOR_V3) {
        const struct pickle_value *type = pickle_item(p, arguments, 6);
        if (t->dtype != DTYPE_COUNT || id_of(p, type) < 0 || id_of(p, type) >= DTYPE_COUNT)
            return rebuild_refuse(r, t, type, "dtype", "a dtype of an untyped storage", e);
        t->dtype = (enum dtype)id_of(p, type);
    }
    if (t->dtype == DTYPE_COUNT)
        t->dtype = DTYPE_U8;
    const struct pickle_value *offset = pickle_item(p, arguments, 1);
    if (offset->kind != PICKLE_INT || offset->i < 0)
        return rebuild_refuse(r, t, offset, "offset", "an integer not below 0", e);
    int64_t strides[TENSOR_MAX_NDIM];
    int nstrides = 0;
    TRY(rebuild_numbers(r, t, pickle_item(p, arguments, 2), "size", t->dims, &t->ndim, e));
    TRY(rebuild_numbers(r, t, pickle_item(p, arguments, 3), "stride", strides, &nstrides, e));
    TRY(view_numbers(r, t, pickle_item(p, arguments, 2), "size", t->dims, &t->ndim, e));
    TRY(view_numbers(r, t, pickle_item(p, arguments, 3), "stride", strides, &nstrides, e));
    if (nstrides != t->ndim)
        return err_set(e, ERR_DATA, "%s: tensor %s: stride: expected %d numbers, one per axis, found %d",
                       r->path, t->name, t->ndim, nstrides);
    return place(r, t, entry, offset->i, strides, e);
}

/* What a wrapper's arguments hold: another call (*arguments and *id of it), 0 where it is none of a tensor.
 */
static int unwrap(const struct pickle *p, int *id, const struct pickle_value **arguments)
{
    const struct pickle_value *inner = pickle_item(p, *arguments, 0), *view = pickle_item(p, *arguments, 2);
    if (*id == PARAMETER && rebuild_is_tensor(p, inner) && !pickle_state(p, inner)) {
        *id = pickle_id(p, inner);
        *arguments = pickle_item(p, inner, 0);
        return 1;
    }
    if (*id != FROM_TYPE || (*arguments)->n != 4 || id_of(p, inner) < TENSOR ||
        id_of(p, pickle_item(p, *arguments, 1)) != TYPE || view->kind != PICKLE_TUPLE)
        return 0;
    *id = id_of(p, inner);
    *arguments = view;
    return 1;
}

/* Takes off what wraps a tensor, then reads it. */
err_t rebuild_tensor(struct torch_reader *r, struct stored_tensor *t, const struct pickle_value *v,
                     struct err *e)
{
    const struct pickle *p = &r->pickle;
    if (!rebuild_is_tensor(p, v))
        return rebuild_refuse(r, t, v, "value", "a tensor", e);
    if (pickle_state(p, v))
        return rebuild_refuse(r, t, pickle_state(p, v), "state behind it", "none", e);
    int id = pickle_id(p, v);
    const struct pickle_value *arguments = pickle_item(p, v, 0);
    for (int depth = 0; depth < MAX_WRAPPERS; depth++) {
        if (id == TENSOR || id == TENSOR_V2 || id == TENSOR_V3)
            return read_view(r, t, id, arguments, e);
        if (!unwrap(p, &id, &arguments))
            return rebuild_refuse(r, t, pickle_item(p, arguments, 0), "value", "a tensor within", e);
    }
    return rebuild_refuse(r, t, v, "value", "a tensor wrapped less often", e);
}
