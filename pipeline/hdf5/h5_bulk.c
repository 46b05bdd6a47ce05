/* Datasets of elements: large ones that are written and read in part, and views of what other files hold. */
#include "hdf5/h5.h"

#include "hdf5/h5_internal.h"

#include <string.h>

enum {
    MAX_NDIM = 16,       /* of a dataset */
    PASS_BYTES = 1 << 29 /* per transfer */
};

struct h5_bulk {
    hid_t id, type;
    struct h5 *file;
    const char *name;
    int64_t row_elements; /* elements per index of the first dimension: 1 for 1-D */
    int ndim;
    hsize_t dims[MAX_NDIM];
    struct h5_bulk *next;
};

static err_t keep_bulk(struct h5 *f, hid_t id, hid_t type, const char *name, struct h5_bulk **d,
                       struct err *e)
{
    struct h5_bulk *b = NULL;
    if (arena_array(f->arena, "h5.dataset", 1, &b, e) == ERR_OK)
        b->name = arena_strdup(f->arena, name, e);
    if (!b || !b->name) {
        H5Dclose(id);
        H5Tclose(type);
        return e->code;
    }
    b->id = id;
    b->type = type;
    b->file = f;
    b->row_elements = 1;
    hid_t space = H5Dget_space(id);
    b->ndim = H5Sget_simple_extent_ndims(space);
    if (b->ndim <= MAX_NDIM) /* more are none of ours: h5_find refuses them */
        H5Sget_simple_extent_dims(space, b->dims, NULL);
    H5Sclose(space);
    for (int i = 1; i < b->ndim && i < MAX_NDIM; i++)
        b->row_elements *= (int64_t)b->dims[i];
    b->next = f->bulks;
    f->bulks = b;
    *d = b;
    return ERR_OK;
}

static err_t create_dataset(struct h5 *f, const char *name, enum h5_type type, int ndim, const hsize_t *dims,
                            int64_t grow_to, struct h5_bulk **d, struct err *e)
{
    *d = NULL;
    hid_t t = h5_make_type(type), create = H5Pcreate(H5P_DATASET_CREATE), links = h5_link_list(),
          access = H5Pcreate(H5P_DATASET_ACCESS);
    hsize_t unlimited = H5S_UNLIMITED;
    H5Pset_fill_time(create, H5D_FILL_TIME_NEVER);
    if (grow_to > 0) {
        hsize_t chunk = 4096, most = H5_CHUNK_BYTES / H5Tget_size(t);
        while (chunk < most && (int64_t)chunk < grow_to / 32)
            chunk *= 2;
        H5Pset_chunk(create, 1, &chunk);
        /* It is written in large pieces, which need not be copied first. */
        H5Pset_chunk_cache(access, 0, 0, 0);
    }
    hid_t space = H5Screate_simple(ndim, dims, grow_to > 0 ? &unlimited : NULL);
    hid_t id = H5Dcreate2(f->id, name, t, space, links, create, access);
    H5Sclose(space);
    H5Pclose(create);
    H5Pclose(access);
    if (id < 0) {
        H5Tclose(t);
        return h5_fail(e, ERR_SYSTEM, f, "create dataset", name);
    }
    return keep_bulk(f, id, t, name, d, e);
}

err_t h5_bulk(struct h5 *f, const char *name, enum h5_type type, int64_t n, int64_t grow_to,
              const char *description, const char *units, struct h5_bulk **d, struct err *e)
{
    hsize_t dims = (hsize_t)n;
    err_t code = create_dataset(f, name, type, 1, &dims, grow_to, d, e);
    if (code == ERR_OK && (h5_attach_text((*d)->id, "description", description) < 0 ||
                           (units && h5_attach_text((*d)->id, "units", units) < 0)))
        h5_fail(e, ERR_SYSTEM, f, "describe dataset", name);
    h5_written(f, e); /* there may be no room for it */
    return f->comm ? comm_agree(f->comm, e) : e->code;
}

err_t h5_dataset(struct h5 *f, const struct dataset *what, int64_t n, int64_t grow_to, struct h5_bulk **d,
                 struct err *e)
{
    return h5_bulk(f, what->name, what->type, n, grow_to, what->description, what->units, d, e);
}

err_t h5_bulk_grow(struct h5_bulk *d, int64_t n, struct err *e)
{
    d->dims[0] = (hsize_t)n;
    if (H5Dset_extent(d->id, d->dims) < 0)
        return h5_fail(e, ERR_SYSTEM, d->file, "extend dataset", d->name);
    return ERR_OK;
}

err_t h5_find(struct h5 *f, const char *name, enum h5_type type, struct h5_bulk **d, int64_t *n,
              struct err *e)
{
    *d = NULL;
    hid_t id = H5Dopen2(f->id, name, H5P_DEFAULT);
    if (id < 0)
        return h5_fail(e, ERR_DATA, f, "open dataset", name);
    hid_t want = h5_make_type(type), have = H5Dget_type(id);
    int same = H5Tequal(want, have) > 0;
    H5Tclose(have);
    if (!same) {
        H5Tclose(want);
        H5Dclose(id);
        return err_set(e, ERR_DATA, "%s: dataset %s has another element type than expected", f->path, name);
    }
    TRY(keep_bulk(f, id, want, name, d, e));
    if ((*d)->ndim != 1)
        return err_set(e, ERR_DATA, "%s: dataset %s has %d dimensions, expected 1", f->path, name,
                       (*d)->ndim);
    if (n)
        *n = (int64_t)(*d)->dims[0];
    return ERR_OK;
}

/* Moves rows of the first dimension, all of the others, in passes. */
static err_t transfer(struct h5_bulk *d, int write, int64_t at, int64_t n, void *buf, struct err *e)
{
    if (at < 0 || n < 0 || n > (int64_t)d->dims[0] || at > (int64_t)d->dims[0] - n)
        return err_set(e, ERR_DATA, "%s: dataset %s has %lld elements, [%lld, %lld) was asked for",
                       d->file->path, d->name, (long long)d->dims[0], (long long)at,
                       (long long)((uint64_t)at + (uint64_t)n));
    if (write)
        TRY(INJECT("write", e));
    int64_t row_bytes = d->row_elements * (int64_t)H5Tget_size(d->type);
    int64_t pass = row_bytes > 0 && PASS_BYTES / row_bytes > 0 ? PASS_BYTES / row_bytes : 1;
    hid_t space = H5Dget_space(d->id);
    herr_t status = 0;
    for (int64_t done = 0; done < n && row_bytes > 0 && status >= 0; done += pass) {
        hsize_t start[MAX_NDIM] = {(hsize_t)(at + done)}, count[MAX_NDIM];
        memcpy(count, d->dims, sizeof count);
        count[0] = (hsize_t)(n - done < pass ? n - done : pass);
        hid_t memory = H5Screate_simple(d->ndim, count, NULL);
        status = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        char *p = (char *)buf + done * row_bytes;
        if (status >= 0)
            status = write ? H5Dwrite(d->id, d->type, memory, space, H5P_DEFAULT, p)
                           : H5Dread(d->id, d->type, memory, space, H5P_DEFAULT, p);
        H5Sclose(memory);
    }
    H5Sclose(space);
    if (status < 0)
        return h5_fail(e, ERR_SYSTEM, d->file, write ? "write dataset" : "read dataset", d->name);
    return write ? h5_written(d->file, e) : ERR_OK;
}

err_t h5_put(struct h5_bulk *d, int64_t at, int64_t n, const void *buf, struct err *e)
{
    return transfer(d, 1, at, n, (void *)buf, e);
}

err_t h5_get(struct h5_bulk *d, int64_t at, int64_t n, void *buf, struct err *e)
{
    return transfer(d, 0, at, n, buf, e);
}

static int to_hsize(int ndim, const int64_t *dims, hsize_t *out)
{
    out[0] = 1;
    for (int i = 0; i < ndim && i < MAX_NDIM; i++)
        out[i] = (hsize_t)dims[i];
    return ndim > 0 ? ndim : 1; /* a scalar becomes one element: external storage wants a simple space */
}

err_t h5_external(struct h5 *f, const char *name, enum h5_type type, int ndim, const int64_t *dims,
                  const struct h5_segment *segments, int64_t nsegments, struct err *e)
{
    hsize_t size[MAX_NDIM];
    int n = to_hsize(ndim, dims, size), failed = 0;
    hid_t t = h5_make_type(type), create = H5Pcreate(H5P_DATASET_CREATE), links = h5_link_list();
    for (int64_t i = 0; i < nsegments; i++)
        if (segments[i].bytes > 0)
            failed |= H5Pset_external(create, segments[i].file, (off_t)segments[i].offset,
                                      (hsize_t)segments[i].bytes) < 0;
    hid_t space = H5Screate_simple(n, size, NULL);
    hid_t id = H5Dcreate2(f->id, name, t, space, links, create, H5P_DEFAULT);
    H5Sclose(space);
    H5Pclose(create);
    H5Tclose(t);
    if (id >= 0)
        H5Dclose(id);
    if (id < 0 || failed)
        return h5_fail(e, ERR_SYSTEM, f, "create external dataset", name);
    return ERR_OK;
}

err_t h5_array(struct h5 *f, const char *name, enum h5_type type, int ndim, const int64_t *dims,
               struct h5_bulk **d, struct err *e)
{
    hsize_t size[MAX_NDIM];
    int n = to_hsize(ndim, dims, size);
    create_dataset(f, name, type, n, size, 0, d, e);
    h5_written(f, e); /* there may be no room for it */
    return f->comm ? comm_agree(f->comm, e) : e->code;
}

err_t h5_array_put_rows(struct h5_bulk *d, int64_t row, int64_t nrows, const void *buf, struct err *e)
{
    return transfer(d, 1, row, nrows, (void *)buf, e);
}

void h5_bulks_close(struct h5 *f, struct err *e)
{
    for (struct h5_bulk *d = f->bulks; d; d = d->next) {
        h5_end_dataset(f, d->id, d->name, e);
        H5Tclose(d->type);
    }
    f->bulks = NULL;
}
