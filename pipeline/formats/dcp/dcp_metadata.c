#include "formats/dcp/dcp_metadata.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_METADATA_BYTES = 1 << 30, /* 1e6 chunks with long names take a third of it */
    SHOWN = 101
};

int dcp_text_order(const struct pickle_value *x, const struct pickle_value *y)
{
    int64_t n = x->n < y->n ? x->n : y->n;
    int c = n > 0 ? memcmp(x->text, y->text, (size_t)n) : 0;
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* ---- values ---- */

/* `of` says which part of what: "size", "storage_data". */
static err_t refuse(const struct dcp_metadata *m, const struct pickle_value *name, const char *of,
                    const struct pickle_value *v, const char *expected, struct err *e)
{
    char shown[SHOWN] = "", told[PICKLE_TOLD], where[PICKLE_WHERE];
    if (v && v->kind == PICKLE_INT)
        snprintf(told, sizeof told, "%lld", (long long)v->i);
    else
        pickle_told(&m->pickle, v, told);
    if (name && name->kind == PICKLE_TEXT)
        pickle_shown(name->text, name->n, shown, sizeof shown);
    return err_set(e, ERR_DATA, "%s: %s%s%s: expected %s, found %s%s", m->path, shown, shown[0] ? ": " : "",
                   of, expected, told, pickle_where(v, NULL, where));
}

/* A torch.Size, or a tuple or list, of at most TENSOR_MAX_NDIM integers >= 0. */
static err_t read_size(const struct dcp_metadata *m, const struct pickle_value *name, const char *of,
                       const struct pickle_value *v, int64_t *out, int *n, struct err *e)
{
    const struct pickle *p = &m->pickle;
    const struct pickle_value *x = NULL, *given = v;
    if (pickle_is_object(p, v, NULL, "Size"))
        v = pickle_item(p, pickle_item(p, v, 0), 0);
    if (!v || v->kind != PICKLE_TUPLE)
        return refuse(m, name, of, given, "a torch.Size", e);
    if (v->n > TENSOR_MAX_NDIM)
        return refuse(m, name, of, v, "at most 8 axes", e);
    *n = (int)v->n;
    for (int i = 0; i < *n; i++) {
        x = pickle_item(p, v, i);
        if (x->kind != PICKLE_INT || x->i < 0)
            return refuse(m, name, of, x, "an integer not below 0", e);
        out[i] = x->i;
    }
    return ERR_OK;
}

static err_t read_bytes(const struct dcp_metadata *m, const struct dcp_place *place, const char *of,
                        const struct pickle_value *v, int64_t *out, struct err *e)
{
    if (!v || v->kind != PICKLE_INT || v->i < 0)
        return refuse(m, place->name, of, v, "an integer not below 0", e);
    *out = v->i;
    return ERR_OK;
}

/* ---- names ---- */

static int by_name(const void *a, const void *b)
{
    return dcp_text_order(((const struct dcp_entry *)a)->name, ((const struct dcp_entry *)b)->name);
}

static err_t read_entries(struct dcp_metadata *m, const struct pickle_value *map, struct arena *a,
                          struct err *e)
{
    const struct pickle *p = &m->pickle;
    const struct pickle_value *key, *value;
    if (!map || map->kind != PICKLE_DICT)
        return refuse(m, NULL, "state_dict_metadata", map, "a map", e);
    TRY(arena_array(a, "dcp.entries", map->n, &m->entries, e));
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        int is_tensor = pickle_is_object(p, value, NULL, "TensorStorageMetadata");
        if (key->kind != PICKLE_TEXT)
            return refuse(m, NULL, "state_dict_metadata", key, "names", e);
        if (!is_tensor && !pickle_is_object(p, value, NULL, "BytesStorageMetadata"))
            return refuse(m, key, "state_dict_metadata", value,
                          "a TensorStorageMetadata or BytesStorageMetadata", e);
        m->entries[m->nentries++] =
            (struct dcp_entry){.of = m, .name = key, .value = is_tensor ? value : NULL};
    }
    if (m->nentries > 0)
        qsort(m->entries, (size_t)m->nentries, sizeof *m->entries, by_name);
    for (int64_t i = 1; i < m->nentries; i++)
        if (by_name(&m->entries[i - 1], &m->entries[i]) == 0)
            return refuse(m, m->entries[i].name, "state_dict_metadata", m->entries[i].name,
                          "a name once, not twice", e);
    return ERR_OK;
}

static int is_path(const struct pickle *p, const struct pickle_value *v)
{
    if (v->kind != PICKLE_TUPLE || v->n == 0)
        return 0;
    for (int64_t i = 0; i < v->n; i++) {
        enum pickle_kind kind = pickle_item(p, v, i)->kind;
        if (kind != PICKLE_TEXT && kind != PICKLE_INT)
            return 0;
    }
    return 1;
}

/* Another planner may have left something else there, or nothing: then the names are all that is known. */
static void read_paths(struct dcp_metadata *m, const struct pickle_value *map)
{
    const struct pickle *p = &m->pickle;
    const struct pickle_value *key, *value;
    if (!map || map->kind != PICKLE_DICT)
        return;
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        const struct dcp_entry wanted = {.name = key};
        struct dcp_entry *found =
            key->kind == PICKLE_TEXT && m->nentries > 0
                ? bsearch(&wanted, m->entries, (size_t)m->nentries, sizeof *m->entries, by_name)
                : NULL;
        if (found && is_path(p, value))
            found->path = value;
    }
}

/* ---- places ---- */

static int by_chunk(const void *a, const void *b)
{
    const struct dcp_place *x = a, *y = b;
    int c = dcp_text_order(x->name, y->name);
    c = c ? c : (x->ndim > y->ndim) - (x->ndim < y->ndim);
    for (int i = 0; i < x->ndim && c == 0; i++)
        c = (x->offsets[i] > y->offsets[i]) - (x->offsets[i] < y->offsets[i]);
    return c;
}

static err_t read_place(const struct dcp_metadata *m, struct dcp_place *place, const struct pickle_value *key,
                        const struct pickle_value *value, struct err *e)
{
    const struct pickle *p = &m->pickle;
    if (!pickle_is_object(p, key, NULL, "MetadataIndex"))
        return refuse(m, NULL, "storage_data", key, "a MetadataIndex", e);
    if (!pickle_is_object(p, value, NULL, "_StorageInfo"))
        return refuse(m, NULL, "storage_data", value, "a _StorageInfo", e);
    *place = (struct dcp_place){.name = pickle_attribute(p, key, "fqn"), .ndim = -1};
    if (!place->name || place->name->kind != PICKLE_TEXT)
        return refuse(m, NULL, "storage_data: fqn", place->name, "a name", e);
    const struct pickle_value *offset = pickle_attribute(p, key, "offset");
    if (offset && offset->kind != PICKLE_NONE)
        TRY(read_size(m, place->name, "storage_data: offset", offset, place->offsets, &place->ndim, e));
    place->file = pickle_attribute(p, value, "relative_path");
    if (!place->file || place->file->kind != PICKLE_TEXT)
        return refuse(m, place->name, "storage_data: relative_path", place->file, "a text", e);
    TRY(read_bytes(m, place, "storage_data: offset in the file", pickle_attribute(p, value, "offset"),
                   &place->offset_bytes, e));
    TRY(read_bytes(m, place, "storage_data: length", pickle_attribute(p, value, "length"),
                   &place->length_bytes, e));
    const struct pickle_value *transforms = pickle_attribute(p, value, "transform_descriptors");
    if (transforms && transforms->kind != PICKLE_NONE && transforms->n > 0)
        place->transforms = transforms;
    int64_t end;
    return __builtin_add_overflow(place->offset_bytes, place->length_bytes, &end)
               ? refuse(m, place->name, "storage_data", value, "an end of at most 64 bits", e)
               : ERR_OK;
}

static err_t read_places(struct dcp_metadata *m, const struct pickle_value *map, struct arena *a,
                         struct err *e)
{
    const struct pickle *p = &m->pickle;
    const struct pickle_value *key, *value;
    if (!map || map->kind != PICKLE_DICT)
        return refuse(m, NULL, "storage_data", map, "a map of places in files", e);
    TRY(arena_array(a, "dcp.places", map->n, &m->places, e));
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value))
        TRY(read_place(m, &m->places[m->nplaces++], key, value, e));
    if (m->nplaces > 0)
        qsort(m->places, (size_t)m->nplaces, sizeof *m->places, by_chunk);
    for (int64_t i = 1; i < m->nplaces; i++)
        if (by_chunk(&m->places[i - 1], &m->places[i]) == 0)
            return refuse(m, m->places[i].name, "storage_data", m->places[i].name, "a chunk once, not twice",
                          e);
    return ERR_OK;
}

/* ---- the file ---- */

err_t dcp_metadata_read(struct dcp_metadata *m, const char *path, struct arena *a, struct err *e)
{
    char *bytes;
    int64_t n;
    int fd;
    *m = (struct dcp_metadata){.path = path};
    TRY(file_open(path, &fd, &m->stamp, e)); /* a pipe would be waited for */
    close(fd);
    TRY(file_read(a, path, MAX_METADATA_BYTES, &bytes, &n, e));
    TRY(file_refuse_pointer(path, bytes, n, n, e));
    m->hash = hash_bytes(bytes, (size_t)n);
    TRY(pickle_read(&m->pickle, path, bytes, n, NULL, 0, a, e));
    const struct pickle *p = &m->pickle;
    const struct pickle_value *names = pickle_attribute(p, p->root, "state_dict_metadata");
    if (!names)
        return refuse(m, NULL, "no metadata of a torch distributed checkpoint", p->root,
                      "an object with state_dict_metadata", e);
    TRY(read_entries(m, names, a, e));
    read_paths(m, pickle_attribute(p, p->root, "planner_data"));
    return read_places(m, pickle_attribute(p, p->root, "storage_data"), a, e);
}

/* ---- one tensor ---- */

static const struct {
    const char *name;
    enum dtype dtype;
} dtypes[] = {
    {"bfloat16", DTYPE_BF16},
    {"float16", DTYPE_F16},
    {"float32", DTYPE_F32},
    {"float64", DTYPE_F64},
    {"int8", DTYPE_I8},
    {"int16", DTYPE_I16},
    {"int32", DTYPE_I32},
    {"int64", DTYPE_I64},
    {"uint8", DTYPE_U8},
    {"uint16", DTYPE_U16},
    {"uint32", DTYPE_U32},
    {"uint64", DTYPE_U64},
    {"bool", DTYPE_BOOL},
    {"float8_e4m3fn", DTYPE_F8_E4M3},
    {"float8_e5m2", DTYPE_F8_E5M2},
    {"float8_e8m0fnu", DTYPE_F8_E8M0},
    {"float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ},
    {"float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ},
};

/* properties: an object whose state is a tuple that begins with the type. */
static err_t read_dtype(const struct dcp_entry *entry, enum dtype *dtype, struct err *e)
{
    const struct pickle *p = &entry->of->pickle;
    const struct pickle_value *properties = pickle_attribute(p, entry->value, "properties");
    const struct pickle_value *type = pickle_item(p, pickle_state(p, properties), 0);
    if (!type)
        type = pickle_attribute(p, properties, "dtype");
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (pickle_is_name(p, type, "torch", dtypes[i].name)) {
            *dtype = dtypes[i].dtype;
            return ERR_OK;
        }
    return refuse(entry->of, entry->name, "properties: dtype", type ? type : properties,
                  "a real type of torch such as torch.float32", e);
}

err_t dcp_entry_shape(const struct dcp_entry *entry, struct stored_tensor *t, struct err *e)
{
    const struct pickle *p = &entry->of->pickle;
    TRY(read_dtype(entry, &t->dtype, e));
    TRY(read_size(entry->of, entry->name, "size", pickle_attribute(p, entry->value, "size"), t->dims,
                  &t->ndim, e));
    const struct pickle_value *chunks = pickle_attribute(p, entry->value, "chunks");
    return chunks && chunks->kind == PICKLE_LIST
               ? ERR_OK
               : refuse(entry->of, entry->name, "chunks", chunks, "a list", e);
}

const struct pickle_cell *dcp_chunk_next(const struct dcp_entry *entry, const struct pickle_cell *at,
                                         const struct pickle_value **chunk)
{
    const struct pickle *p = &entry->of->pickle;
    return pickle_next(p, pickle_attribute(p, entry->value, "chunks"), at, NULL, chunk);
}

err_t dcp_chunk_read(const struct dcp_entry *entry, const struct pickle_value *chunk,
                     const struct stored_tensor *t, struct stored_piece *piece, struct err *e)
{
    const struct pickle *p = &entry->of->pickle;
    int nstart = 0, nsize = 0;
    TRY(read_size(entry->of, entry->name, "chunks: offsets", pickle_attribute(p, chunk, "offsets"),
                  piece->start, &nstart, e));
    TRY(read_size(entry->of, entry->name, "chunks: sizes", pickle_attribute(p, chunk, "sizes"), piece->dims,
                  &nsize, e));
    return nstart == t->ndim && nsize == t->ndim
               ? ERR_OK
               : refuse(entry->of, entry->name, "chunks", chunk, "as many axes as the tensor has", e);
}

const struct dcp_place *dcp_place_find(const struct dcp_entry *entry, int ndim, const int64_t *offsets)
{
    const struct dcp_metadata *m = entry->of;
    struct dcp_place wanted = {.name = entry->name, .ndim = ndim};
    if (m->nplaces == 0)
        return NULL;
    memcpy(wanted.offsets, offsets, (size_t)ndim * sizeof *offsets);
    return bsearch(&wanted, m->places, (size_t)m->nplaces, sizeof *m->places, by_chunk);
}
