#include "hdf5/h5.h"

#include "hdf5/h5_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    FREE_CHUNK_BYTES = 256 << 20, /* for the chunks of a row where memory is not limited */
    MEMORY_SHARE = 4              /* else this part of the budget */
};

struct h5_source {
    hid_t id, memory_type;
    struct h5 *file;
    const char *name;
    int ndim, row_ndim;
    int64_t dims[TENSOR_MAX_NDIM], rows, row_elements, element_bytes;
    size_t cache_bytes; /* counted as in use */
    struct h5_source *next;
};

/* A link into another file is not followed: what a file holds is in that file. */
static herr_t refuse_link(const char *from, const char *from_group, const char *to, const char *to_object,
                          unsigned *flags, hid_t access, void *arg)
{
    (void)from, (void)from_group, (void)to, (void)to_object, (void)flags, (void)access, (void)arg;
    return -1;
}

/* ---- types ---- */

struct float_layout {
    enum dtype dtype;
    enum h5_type type;
    size_t bytes, sign, exponent_at, exponent_bits, mantissa_bits, bias;
};
static const struct float_layout float_layouts[] = {
    {DTYPE_F32, H5_REAL32, 4, 31, 23, 8, 23, 127},
    {DTYPE_BF16, H5_BF16, 2, 15, 7, 8, 7, 127},
    {DTYPE_F16, H5_REAL16, 2, 15, 10, 5, 10, 15},
    {DTYPE_F64, H5_REAL64, 8, 63, 52, 11, 52, 1023},
};

/* By the places of its bits, so that a writer's own definition of bfloat16 is known as well as ours. */
static const struct float_layout *find_float(hid_t type)
{
    size_t sign, exponent_at, exponent_bits, mantissa_at, mantissa_bits;
    if (H5Tget_fields(type, &sign, &exponent_at, &exponent_bits, &mantissa_at, &mantissa_bits) < 0 ||
        H5Tget_norm(type) != H5T_NORM_IMPLIED)
        return NULL;
    for (size_t i = 0; i < sizeof float_layouts / sizeof *float_layouts; i++) {
        const struct float_layout *l = &float_layouts[i];
        if (H5Tget_size(type) == l->bytes && H5Tget_precision(type) == 8 * l->bytes && sign == l->sign &&
            exponent_at == l->exponent_at && exponent_bits == l->exponent_bits && mantissa_at == 0 &&
            mantissa_bits == l->mantissa_bits && H5Tget_ebias(type) == l->bias)
            return l;
    }
    return NULL;
}

static int is_integer(hid_t type)
{
    H5T_class_t kind = H5Tget_class(type);
    if (kind == H5T_INTEGER)
        return H5Tget_size(type) <= 8;
    if (kind != H5T_ENUM) /* h5py's bool */
        return 0;
    hid_t base = H5Tget_super(type);
    int fits = H5Tget_class(base) == H5T_INTEGER && H5Tget_size(base) <= 8;
    H5Tclose(base);
    return fits;
}

static err_t find_type(struct h5_source *s, struct h5_source_info *info, struct err *e)
{
    hid_t type = H5Dget_type(s->id);
    const struct float_layout *layout = H5Tget_class(type) == H5T_FLOAT ? find_float(type) : NULL;
    if (layout) {
        info->dtype = layout->dtype;
        s->memory_type = h5_make_type(layout->type);
    } else if (is_integer(type)) {
        info->dtype = DTYPE_I64;
        s->memory_type = h5_make_type(H5_INT64);
    }
    H5Tclose(type);
    H5Eclear2(H5E_DEFAULT);
    if (s->memory_type <= 0)
        return err_set(e, ERR_DATA,
                       "%s: dataset %s: unknown element type, expected floating point of 16 (IEEE or "
                       "bfloat16), 32 or 64 bits, or integers",
                       s->file->path, s->name);
    s->element_bytes = dtype_bits(info->dtype) / 8;
    return ERR_OK;
}

/* ---- sizes and places ---- */

static err_t find_shape(struct h5_source *s, struct h5_source_info *info, struct err *e)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(s->id);
    int ndim = H5Sget_simple_extent_ndims(space), null = H5Sget_simple_extent_type(space) == H5S_NULL;
    if (ndim >= 0)
        H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (ndim < 0 || ndim > TENSOR_MAX_NDIM || null)
        return err_set(e, ERR_DATA, "%s: dataset %s has %d dimensions, expected at most %d", s->file->path,
                       s->name, ndim, TENSOR_MAX_NDIM);
    uint64_t rows = 1, row = 1, all, bytes;
    for (int i = 0; i < ndim; i++) {
        uint64_t *n = i < ndim - s->row_ndim ? &rows : &row;
        if (dims[i] > INT64_MAX || size_mul(*n, dims[i], n) != 0)
            return err_set(e, ERR_DATA, "%s: dataset %s: its dimensions overflow", s->file->path, s->name);
        info->dims[i] = s->dims[i] = (int64_t)dims[i];
    }
    if (size_mul(rows, row, &all) != 0 || size_mul(all, 8, &bytes) != 0 || bytes > INT64_MAX ||
        rows > INT64_MAX || row > INT64_MAX)
        return err_set(e, ERR_DATA, "%s: dataset %s: its dimensions overflow", s->file->path, s->name);
    info->ndim = s->ndim = ndim;
    info->elements = (int64_t)all;
    s->rows = (int64_t)rows;
    s->row_elements = (int64_t)row;
    return ERR_OK;
}

/* Chunks: all are there, and those that one row touches fit the memory, so that none is unpacked twice. */
static err_t check_chunks(struct h5_source *s, hid_t list, size_t *cache_bytes, struct err *e)
{
    hsize_t chunk[TENSOR_MAX_NDIM], have = 0;
    if (s->ndim < 1 || H5Pget_chunk(list, s->ndim, chunk) != s->ndim)
        return h5_fail(e, ERR_DATA, s->file, "read the chunk shape of dataset", s->name);
    uint64_t bytes, expected = 1, band;
    hid_t type = H5Dget_type(s->id);
    bytes = H5Tget_size(type);
    H5Tclose(type);
    int over = 0;
    for (int i = 0; i < s->ndim; i++) {
        over |= size_mul(bytes, chunk[i], &bytes) != 0;
        over |= chunk[i] == 0 ||
                size_mul(expected, ((uint64_t)s->dims[i] + chunk[i] - 1) / chunk[i], &expected) != 0;
    }
    band = bytes;
    for (int i = s->ndim - s->row_ndim; i < s->ndim && !over; i++)
        over |= size_mul(band, ((uint64_t)s->dims[i] + chunk[i] - 1) / chunk[i], &band) != 0;
    const struct mem *m = s->file->arena->mem;
    uint64_t most = m->budget_bytes > 0 ? m->budget_bytes / MEMORY_SHARE : (uint64_t)FREE_CHUNK_BYTES;
    if (over || band > most)
        return err_set(e, ERR_DATA,
                       "%s: dataset %s: the chunks of one row take %.1f MiB, expected at most %.1f MiB; "
                       "write it with smaller chunks, or raise memory_per_process",
                       s->file->path, s->name, over ? (double)INFINITY : (double)band / 1048576,
                       (double)most / 1048576);
    hid_t space = H5Dget_space(s->id);
    herr_t status = H5Dget_num_chunks(s->id, space, &have);
    H5Sclose(space);
    if (status < 0)
        return h5_fail(e, ERR_DATA, s->file, "count the chunks of dataset", s->name);
    if (have != expected)
        return err_set(e, ERR_DATA,
                       "%s: dataset %s: %llu of its %llu chunks were written; the rest has no values",
                       s->file->path, s->name, (unsigned long long)have, (unsigned long long)expected);
    *cache_bytes = (size_t)band;
    return ERR_OK;
}

static err_t check_storage(struct h5_source *s, size_t *cache_bytes, struct err *e)
{
    hid_t list = H5Dget_create_plist(s->id);
    H5D_layout_t layout = H5Pget_layout(list);
    int elsewhere = layout == H5D_VIRTUAL || H5Pget_external_count(list) > 0;
    err_t code = ERR_OK;
    hid_t type = H5Dget_type(s->id);
    uint64_t have = H5Dget_storage_size(s->id),
             expected = (uint64_t)s->rows * (uint64_t)s->row_elements * H5Tget_size(type);
    H5Tclose(type);
    *cache_bytes = 0;
    if (elsewhere)
        code =
            err_set(e, ERR_DATA, "%s: dataset %s keeps its values in other files, expected them in this one",
                    s->file->path, s->name);
    else if (layout == H5D_CHUNKED)
        code = check_chunks(s, list, cache_bytes, e);
    else if (have != expected)
        code = err_set(e, ERR_DATA, "%s: dataset %s: expected %llu bytes of values, found %llu",
                       s->file->path, s->name, (unsigned long long)expected, (unsigned long long)have);
    H5Pclose(list);
    return code;
}

/* ---- opening and reading ---- */

static hid_t open_here(struct h5 *f, const char *name, size_t cache_bytes)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_elink_cb(access, refuse_link, NULL);
    if (cache_bytes > 0)
        H5Pset_chunk_cache(access, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, cache_bytes, 1.0);
    hid_t id = H5Dopen2(f->id, name, access);
    H5Pclose(access);
    return id;
}

/* Opens it again with a cache of that size, counted as memory in use. */
static err_t give_cache(struct h5_source *s, size_t cache_bytes, struct err *e)
{
    struct mem *m = s->file->arena->mem;
    if (cache_bytes == 0)
        return ERR_OK;
    if (!mem_room(m, cache_bytes))
        return err_set(
            e, ERR_SYSTEM,
            "%s: dataset %s: the chunks of one row (%.1f MiB) do not fit the memory budget (%.1f of "
            "%.1f MiB in use); raise memory_per_process",
            s->file->path, s->name, (double)cache_bytes / 1048576, (double)m->live_bytes / 1048576,
            (double)m->budget_bytes / 1048576);
    H5Dclose(s->id);
    s->id = open_here(s->file, s->name, cache_bytes);
    if (s->id < 0)
        return h5_fail(e, ERR_DATA, s->file, "open dataset", s->name);
    s->cache_bytes = cache_bytes;
    m->live_bytes += cache_bytes;
    m->peak_bytes = m->live_bytes > m->peak_bytes ? m->live_bytes : m->peak_bytes;
    return ERR_OK;
}

err_t h5_source_open(struct h5 *f, const char *name, int row_ndim, struct h5_source **out,
                     struct h5_source_info *info, struct err *e)
{
    struct h5_source *s = NULL;
    size_t cache_bytes = 0;
    *out = NULL;
    *info = (struct h5_source_info){0};
    TRY(arena_array(f->arena, "h5.source", 1, &s, e));
    *s = (struct h5_source){.file = f, .row_ndim = row_ndim, .next = f->sources};
    if (!(s->name = arena_strdup(f->arena, name, e)))
        return e->code;
    s->id = open_here(f, name, 0);
    if (s->id < 0)
        return h5_fail(e, ERR_DATA, f, "open dataset", name);
    f->sources = s; /* closed with the file from here on, whatever comes */
    TRY(find_type(s, info, e));
    TRY(find_shape(s, info, e));
    TRY(check_storage(s, &cache_bytes, e));
    TRY(give_cache(s, cache_bytes, e));
    *out = s;
    return ERR_OK;
}

err_t h5_source_read(struct h5_source *s, int64_t first, int64_t n, void *buf, struct err *e)
{
    int counters = s->ndim - s->row_ndim;
    if (counters < 1 || first < 0 || n < 0 || first > s->rows - n)
        return err_set(e, ERR_BUG, "%lld rows from %lld on of dataset %s (%lld) were asked for", (long long)n,
                       (long long)first, s->name, (long long)s->rows);
    hid_t space = H5Dget_space(s->id);
    err_t code = ERR_OK;
    for (int64_t done = 0, part; done < n && code == ERR_OK; done += part) {
        hsize_t start[TENSOR_MAX_NDIM] = {0}, count[TENSOR_MAX_NDIM];
        int64_t rest = first + done;
        for (int i = s->ndim - 1; i >= 0; i--) {
            count[i] = i < counters ? 1 : (hsize_t)s->dims[i];
            if (i < counters) {
                start[i] = (hsize_t)(rest % s->dims[i]);
                rest /= s->dims[i];
            }
        }
        /* As many as are left in the last counting dimension. */
        part = s->dims[counters - 1] - (int64_t)start[counters - 1];
        part = part < n - done ? part : n - done;
        count[counters - 1] = (hsize_t)part;
        hsize_t elements = (hsize_t)(part * s->row_elements);
        hid_t memory = H5Screate_simple(1, &elements, NULL);
        char *to = (char *)buf + done * s->row_elements * s->element_bytes;
        if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
            H5Dread(s->id, s->memory_type, memory, space, H5P_DEFAULT, to) < 0)
            code = h5_fail(e, ERR_DATA, s->file, "read dataset", s->name);
        H5Sclose(memory);
    }
    H5Sclose(space);
    return code;
}

/* ---- listing ---- */

struct dataset_walk {
    err_t (*each)(void *arg, const char *name, int64_t elements);
    void *arg;
    err_t code; /* each's */
};

static herr_t list_one(hid_t group, const char *name, const H5L_info_t *info, void *arg)
{
    struct dataset_walk *l = arg;
    H5O_info_t object;
    if (info->type != H5L_TYPE_HARD || H5Oget_info_by_name1(group, name, &object, H5P_DEFAULT) < 0 ||
        object.type != H5O_TYPE_DATASET)
        return 0;
    hid_t id = H5Dopen2(group, name, H5P_DEFAULT), space = id < 0 ? -1 : H5Dget_space(id);
    int64_t elements = space < 0 ? -1 : (int64_t)H5Sget_simple_extent_npoints(space);
    if (space >= 0)
        H5Sclose(space);
    if (id >= 0)
        H5Dclose(id);
    if (elements >= 0)
        l->code = l->each(l->arg, name, elements);
    return l->code == ERR_OK ? 0 : -1;
}

err_t h5_each_dataset(struct h5 *f, err_t (*each)(void *arg, const char *name, int64_t elements), void *arg,
                      struct err *e)
{
    struct dataset_walk l = {.each = each, .arg = arg, .code = ERR_OK};
    if (H5Literate(f->id, H5_INDEX_NAME, H5_ITER_INC, NULL, list_one, &l) < 0 && l.code == ERR_OK)
        return h5_fail(e, ERR_DATA, f, "list its datasets", "");
    H5Eclear2(H5E_DEFAULT); /* of what could not be opened */
    return l.code;
}

void h5_sources_close(struct h5 *f)
{
    for (struct h5_source *s = f->sources; s; s = s->next) {
        if (s->id >= 0)
            H5Dclose(s->id);
        if (s->memory_type > 0)
            H5Tclose(s->memory_type);
        f->arena->mem->live_bytes -= s->cache_bytes;
    }
    f->sources = NULL;
}
