/* Files with digests, as HDF5 reads them: a driver of our own, which gives HDF5 no byte that is not checked.
 */
#include "hdf5/h5.h"

#include "hdf5/digest.h"
#include "hdf5/h5_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the driver is told of the file that it is to open. */
struct sealed_access {
    struct digest *digest;
};

/* HDF5's open file. It may outlive the digest, if only to be closed at the end of the program. */
struct sealed_file {
    H5FD_t hdf5; /* first: HDF5 knows it by this */
    struct digest *digest;
    haddr_t end; /* of what HDF5 takes for allocated */
};

static H5FD_t *sealed_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    const struct sealed_access *how = H5Pget_driver_info(access);
    (void)most;
    /* A link into another file comes here by that file's name. */
    if (!how || flags & (H5F_ACC_RDWR | H5F_ACC_TRUNC | H5F_ACC_CREAT) ||
        strcmp(name, digest_path(how->digest)) != 0)
        return NULL;
    struct sealed_file *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->digest = how->digest;
    return &s->hdf5;
}

static herr_t sealed_close(H5FD_t *file)
{
    free(file);
    return 0;
}

static herr_t sealed_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE;
    return 0;
}

static haddr_t sealed_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const struct sealed_file *)file)->end;
}

static herr_t sealed_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((struct sealed_file *)file)->end = end;
    return 0;
}

static haddr_t sealed_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return (haddr_t)digest_bytes(((const struct sealed_file *)file)->digest);
}

static herr_t sealed_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, void *buf)
{
    const struct sealed_file *s = (const struct sealed_file *)file;
    (void)type, (void)transfer;
    if (at > INT64_MAX || n > INT64_MAX || at > s->end || n > s->end - at)
        return -1;
    return digest_read(s->digest, (int64_t)at, (int64_t)n, buf) == ERR_OK ? 0 : -1;
}

static herr_t sealed_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n,
                           const void *buf)
{
    (void)file, (void)type, (void)transfer, (void)at, (void)n, (void)buf;
    return -1;
}

static const H5FD_class_t sealed_class = {
    .name = "sinew_sealed",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(struct sealed_access),
    .open = sealed_open,
    .close = sealed_close,
    .query = sealed_query,
    .get_eoa = sealed_get_eoa,
    .set_eoa = sealed_set_eoa,
    .get_eof = sealed_get_eof,
    .read = sealed_read,
    .write = sealed_write,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* HDF5's handle; below 0 on failure. The driver is known to HDF5 as long as a file of it is open. */
static hid_t open_by(struct digest *d)
{
    const struct sealed_access how = {d};
    hid_t driver = H5FDregister(&sealed_class), access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t id = driver < 0 || H5Pset_driver(access, driver, &how) < 0
                   ? -1
                   : H5Fopen(digest_path(d), H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (driver >= 0)
        H5FDunregister(driver);
    return id;
}

err_t h5_open_sealed(const char *path, struct arena *a, struct h5 **f, struct err *e)
{
    struct digest *d;
    *f = NULL;
    if (h5_is_being_written(path))
        return err_set(e, ERR_DATA, "%s: another program has it open for writing", path);
    if (access(path, R_OK) != 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot open the file: %s", path, strerror(errno));
    TRY(digest_open(path, a, &d, e));
    hid_t id = open_by(d);
    const struct err *damage = digest_error(d);
    if (id < 0 && damage->code != ERR_OK)
        err_set(e, damage->code, "%s", damage->text);
    else if (id < 0)
        h5_fail_path(e, ERR_DATA, path, "open the file, it is damaged or no HDF5 file", "");
    else if (h5_wrap(id, path, NULL, a, f, e) == ERR_OK) {
        (*f)->digest = d;
        return ERR_OK;
    }
    H5Eclear2(H5E_DEFAULT);
    digest_close(d);
    return e->code;
}

err_t h5_sound(const struct h5 *f, struct err *e)
{
    const struct err *damage = f->digest ? digest_error(f->digest) : NULL;
    if (damage && damage->code != ERR_OK)
        return err_set(e, damage->code, "%s", damage->text);
    return ERR_OK;
}

/* ---- which dataset a block is of ---- */

struct block_search {
    struct digest *digest;
    struct arena *arena;
    int64_t block;
    char *text;
    size_t size;
};

/* Reads it from beginning to end in pieces of rows, as far as that goes. */
static void read_through(struct block_search *s, hid_t id)
{
    enum { MOST_NDIM = 32, PIECE_BYTES = 1 << 20 };
    hid_t type = H5Dget_type(id), space = H5Dget_space(id);
    hsize_t dims[MOST_NDIM] = {1}, start[MOST_NDIM] = {0}, row = H5Tget_size(type);
    int ndim = H5Sget_simple_extent_ndims(space);
    struct err no;
    char *buf = NULL;
    err_clear(&no);
    if (ndim > 0 && ndim <= MOST_NDIM)
        H5Sget_simple_extent_dims(space, dims, NULL);
    for (int i = 1; i < ndim && i < MOST_NDIM; i++)
        row *= dims[i];
    hsize_t piece = row > 0 && row < PIECE_BYTES ? PIECE_BYTES / row : 1;
    piece = piece < dims[0] ? piece : dims[0];
    if (ndim <= MOST_NDIM && row > 0)
        arena_array(s->arena, "h5.piece", (int64_t)(piece * row), &buf, &no);
    for (hsize_t at = 0, n; buf && at < dims[0] && digest_error(s->digest)->code == ERR_OK; at += n) {
        hsize_t count[MOST_NDIM];
        n = dims[0] - at < piece ? dims[0] - at : piece;
        memcpy(count, dims, sizeof count);
        count[0] = n;
        start[0] = at;
        hid_t memory = ndim > 0 ? H5Screate_simple(ndim, count, NULL) : H5Scopy(space);
        if (ndim > 0)
            H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        H5Dread(id, type, memory, space, H5P_DEFAULT, buf);
        H5Sclose(memory);
    }
    if (buf)
        arena_drop(s->arena, buf);
    H5Sclose(space);
    H5Tclose(type);
}

/* Does the dataset keep its values here, and are they numbers or fixed texts? */
static int is_readable(hid_t id)
{
    hid_t list = H5Dget_create_plist(id), type = H5Dget_type(id);
    int is = H5Pget_external_count(list) == 0 && H5Tdetect_class(type, H5T_VLEN) == 0 &&
             H5Tis_variable_str(type) == 0;
    H5Tclose(type);
    H5Pclose(list);
    return is;
}

/* 1 once it is found. What else is damaged on the way is not looked for. */
static herr_t look_at(hid_t file, const char *name, const H5O_info_t *info, void *arg)
{
    struct block_search *s = arg;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    hid_t id = H5Dopen2(file, name, H5P_DEFAULT);
    if (id >= 0 && is_readable(id))
        read_through(s, id);
    if (id >= 0)
        H5Dclose(id);
    if (digest_forget(s->digest) != s->block)
        return 0;
    snprintf(s->text, s->size, "dataset /%s", name);
    return 1;
}

void h5_where(const char *path, int64_t block, char *text, size_t size, struct arena *a)
{
    struct err no;
    struct block_search s = {.arena = a, .block = block, .text = text, .size = size};
    err_clear(&no);
    snprintf(text, size, "HDF5's own structures");
    if (digest_open(path, a, &s.digest, &no) != ERR_OK)
        return;
    hid_t id = open_by(s.digest);
    if (id >= 0) {
        H5Ovisit1(id, H5_INDEX_NAME, H5_ITER_INC, look_at, &s);
        H5Fclose(id);
    }
    H5Eclear2(H5E_DEFAULT);
    digest_close(s.digest);
}
