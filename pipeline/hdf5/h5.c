#include "hdf5/h5.h"

#include "hdf5/h5_internal.h"
#include "hdf5/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { WHY = 300 /* bytes of a reason */ };

/* The deepest entry of HDF5's error stack holds the cause. Where that is the system's, HDF5 wraps it in file
 * descriptors and addresses over two lines ("..., error message = 'No space left on device', buf = ..."):
 * only the reason is kept. */
static herr_t first_entry(unsigned n, const H5E_error2_t *entry, void *text)
{
    static const char mark[] = "error message = '";
    char *why = text;
    (void)n;
    if (why[0] || !entry->desc)
        return 0;
    const char *from = strstr(entry->desc, mark);
    from = from ? from + strlen(mark) : entry->desc;
    snprintf(why, WHY, "%.*s", (int)strcspn(from, "\n"), from);
    if (from != entry->desc)
        why[strcspn(why, "'")] = '\0';
    return 0;
}

err_t h5_fail_path(struct err *e, err_t code, const char *path, const char *doing, const char *name)
{
    char why[WHY] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_entry, why);
    H5Eclear2(H5E_DEFAULT);
    return err_set(e, code, "%s: cannot %s%s%s: HDF5: %s", path, doing, name[0] ? " " : "", name,
                   why[0] ? why : "no reason given");
}

err_t h5_fail(struct err *e, err_t code, const struct h5 *f, const char *doing, const char *name)
{
    struct err failed;
    err_clear(&failed);
    if (h5_written(f, &failed) != ERR_OK) { /* what HDF5 says of it now follows from that */
        H5Eclear2(H5E_DEFAULT);
        return h5_written(f, e);
    }
    const struct err *damage = f->digest ? digest_error(f->digest) : NULL;
    if (!damage || damage->code == ERR_OK)
        return h5_fail_path(e, code, f->path, doing, name);
    H5Eclear2(H5E_DEFAULT);
    return err_set(e, damage->code, "%s", damage->text);
}

/* HDF5 has state of its own for the whole process, and so this: a file that it could not close stays open in
 * it, and its clean-up at the end of the program would crash on it. */
static int abandoned;

static void abandon(void)
{
    abandoned = 1;
}

int h5_abandoned(void)
{
    return abandoned;
}

err_t h5_end_dataset(struct h5 *f, hid_t id, const char *name, struct err *e)
{
    if (H5Dclose(id) >= 0)
        return e->code;
    abandon();
    return h5_fail(e, ERR_SYSTEM, f, "write dataset", name);
}

void h5_start(void)
{
    /* BEST_EFFORT of HDF5 1.10 minds all that a mount without locks answers but ENOSYS. What is written here
     * is under its node's lock and a name of its own until it is complete. */
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

const char *h5_version(char *text, int size)
{
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    snprintf(text, (size_t)size, "%u.%u.%u", major, minor, release);
    return text;
}

/* ---- files ---- */

err_t h5_wrap(hid_t id, const char *path, const struct comm *c, struct arena *a, struct h5 **f, struct err *e)
{
    struct h5 *h = NULL;
    if (arena_array(a, "h5.file", 1, &h, e) != ERR_OK || !(h->path = arena_strdup(a, path, e))) {
        H5Fclose(id);
        return e->code;
    }
    h->id = id;
    h->arena = a;
    h->comm = c;
    *f = h;
    return ERR_OK;
}

int h5_is_being_written(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int is = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return is;
}

err_t h5_open(const char *path, int writable, struct arena *a, struct h5 **f, struct err *e)
{
    *f = NULL;
    TRY(INJECT("open", e));
    if (!writable && h5_is_being_written(path))
        return err_set(e, ERR_DATA, "%s: another program has it open for writing", path);
    if (writable)
        return h5_open_seen(path, NULL, a, f, e);
    hid_t id = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (id < 0 && access(path, R_OK) != 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot open the file: %s", path, strerror(errno));
    if (id < 0)
        return h5_fail_path(e, ERR_DATA, path, "open the file, it is damaged or no HDF5 file", "");
    return h5_wrap(id, path, NULL, a, f, e);
}

err_t h5_end(struct h5 *f, struct err *e)
{
    h5_bulks_close(f, e);
    h5_sources_close(f);
    if (H5Fclose(f->id) < 0) {
        abandon();
        h5_fail(e, ERR_SYSTEM, f, "close the file", "");
    }
    h5_written_end(f, e);
    h5_sound(f, e);
    digest_close(f->digest);
    return e->code;
}

void h5_drop(struct h5 *f)
{
    struct err ignored;
    err_clear(&ignored);
    if (f)
        h5_end(f, &ignored);
}

/* Collective. Have all processes laid the file out alike? */
static err_t laid_out_alike(const struct h5 *f, struct err *e)
{
    int64_t ends[2] = {h5_written_bytes(f), -h5_written_bytes(f)};
    comm_max(f->comm, ends, 2);
    if (ends[0] != -ends[1])
        err_set(e, ERR_BUG, "%s: HDF5 has laid it out with %lld bytes on one process and %lld on another",
                f->path, (long long)ends[0], (long long)-ends[1]);
    return e->code;
}

err_t h5_close(struct h5 *f, struct err *e)
{
    if (!f)
        return ERR_OK;
    h5_end(f, e);
    if (!f->comm)
        return e->code;
    TRY_ALL(f->comm, e);
    return laid_out_alike(f, e);
}

/* ---- types ---- */

/* A bfloat16 as HDF5 knows floats: 16 bits, exponent of 8 at bit 7, mantissa of 7 at bit 0, bias 127. h5py
 * shows float32. */
static hid_t bf16_type(void)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, 7, 8, 0, 7);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, 127);
    return t;
}

static hid_t half_type(void)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, 10, 5, 0, 10);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, 15);
    return t;
}

hid_t h5_make_type(enum h5_type type)
{
    switch (type) {
    case H5_BITS8:
        return H5Tcopy(H5T_STD_U8LE);
    case H5_BITS16:
        return H5Tcopy(H5T_STD_U16LE);
    case H5_BITS32:
        return H5Tcopy(H5T_STD_U32LE);
    case H5_BITS64:
        return H5Tcopy(H5T_STD_U64LE);
    case H5_INT64:
        return H5Tcopy(H5T_STD_I64LE);
    case H5_REAL64:
        return H5Tcopy(H5T_IEEE_F64LE);
    case H5_REAL32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case H5_BF16:
        return bf16_type();
    case H5_REAL16:
        return half_type();
    }
    return -1;
}

int h5_type_bytes(enum h5_type type)
{
    static const int bytes[] = {
        [H5_BITS8] = 1,  [H5_BITS16] = 2, [H5_BITS32] = 4, [H5_BITS64] = 8, [H5_INT64] = 8,
        [H5_REAL64] = 8, [H5_REAL32] = 4, [H5_BF16] = 2,   [H5_REAL16] = 2};
    return bytes[type];
}

/* Links with their parent groups made on the way; names in UTF-8. One list for all: making one takes longer
 * than a link. HDF5 closes it at its end. */
hid_t h5_link_list(void)
{
    static hid_t p = -1;
    if (p >= 0)
        return p;
    p = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(p, 1);
    H5Pset_char_encoding(p, H5T_CSET_UTF8);
    return p;
}

hid_t h5_text_type(size_t width)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, width > 0 ? width : 1);
    H5Tset_strpad(t, H5T_STR_NULLPAD);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

herr_t h5_attach_text(hid_t object, const char *name, const char *value)
{
    hid_t type = h5_text_type(strlen(value)), space = H5Screate(H5S_SCALAR);
    if (H5Aexists(object, name) > 0)
        H5Adelete(object, name);
    hid_t at = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t status = at < 0 ? -1 : H5Awrite(at, type, value);
    if (at >= 0)
        H5Aclose(at);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

/* ---- names, attributes, texts, links ---- */

int h5_has(struct h5 *f, const char *name)
{
    if (strcmp(name, "/") == 0)
        return 1;
    char piece[1024];
    if (strlen(name) >= sizeof piece)
        return 0;
    /* Each group on the way must be asked for in turn. */
    for (const char *p = name + (name[0] == '/'); *p;) {
        const char *slash = strchr(p, '/');
        size_t n = slash ? (size_t)(slash - name) : strlen(name);
        memcpy(piece, name, n);
        piece[n] = '\0';
        if (H5Lexists(f->id, piece, H5P_DEFAULT) <= 0) {
            H5Eclear2(H5E_DEFAULT);
            return 0;
        }
        p = slash ? slash + 1 : name + n;
    }
    return 1;
}

static hid_t open_object(struct h5 *f, const char *where)
{
    return H5Oopen(f->id, where, H5P_DEFAULT);
}

err_t h5_set_text(struct h5 *f, const char *where, const char *name, const char *value, struct err *e)
{
    hid_t o = open_object(f, where);
    herr_t status = o < 0 ? -1 : h5_attach_text(o, name, value);
    if (o >= 0)
        H5Oclose(o);
    return status < 0 ? h5_fail(e, ERR_SYSTEM, f, "write attribute", name) : ERR_OK;
}

static err_t set_number(struct h5 *f, const char *where, const char *name, hid_t type, const void *value,
                        struct err *e)
{
    hid_t o = open_object(f, where), space = H5Screate(H5S_SCALAR), at = -1;
    if (o >= 0 && H5Aexists(o, name) > 0)
        H5Adelete(o, name);
    if (o >= 0)
        at = H5Acreate2(o, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t status = at < 0 ? -1 : H5Awrite(at, type, value);
    if (at >= 0)
        H5Aclose(at);
    H5Sclose(space);
    if (o >= 0)
        H5Oclose(o);
    return status < 0 ? h5_fail(e, ERR_SYSTEM, f, "write attribute", name) : ERR_OK;
}

err_t h5_set_int(struct h5 *f, const char *where, const char *name, int64_t value, struct err *e)
{
    return set_number(f, where, name, H5T_STD_I64LE, &value, e);
}

err_t h5_set_real(struct h5 *f, const char *where, const char *name, double value, struct err *e)
{
    return set_number(f, where, name, H5T_IEEE_F64LE, &value, e);
}

static hid_t open_attribute(struct h5 *f, const char *where, const char *name, H5T_class_t kind,
                            struct err *e)
{
    hid_t at = H5Aopen_by_name(f->id, where, name, H5P_DEFAULT, H5P_DEFAULT);
    if (at < 0) {
        h5_fail(e, ERR_DATA, f, "read attribute", name);
        return -1;
    }
    hid_t type = H5Aget_type(at), space = H5Aget_space(at);
    int right = H5Tget_class(type) == kind && H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    H5Tclose(type);
    if (!right) {
        H5Aclose(at);
        err_set(e, ERR_DATA, "%s: attribute %s has another type than expected", f->path, name);
        return -1;
    }
    return at;
}

err_t h5_get_text(struct h5 *f, const char *where, const char *name, char **value, struct err *e)
{
    *value = NULL;
    hid_t at = open_attribute(f, where, name, H5T_STRING, e);
    if (at < 0)
        return e->code;
    hid_t type = H5Aget_type(at);
    size_t n = H5Tget_size(type);
    err_t code = H5Tis_variable_str(type) > 0
                     ? err_set(e, ERR_DATA, "%s: attribute %s is no fixed text", f->path, name)
                     : arena_array(f->arena, "text", (int64_t)n + 1, value, e);
    if (code == ERR_OK && H5Aread(at, type, *value) < 0)
        code = h5_fail(e, ERR_SYSTEM, f, "read attribute", name);
    H5Tclose(type);
    H5Aclose(at);
    return code;
}

static err_t get_number(struct h5 *f, const char *where, const char *name, H5T_class_t kind, hid_t type,
                        void *value, struct err *e)
{
    hid_t at = open_attribute(f, where, name, kind, e);
    if (at < 0)
        return e->code;
    herr_t status = H5Aread(at, type, value);
    H5Aclose(at);
    return status < 0 ? h5_fail(e, ERR_SYSTEM, f, "read attribute", name) : ERR_OK;
}

err_t h5_get_int(struct h5 *f, const char *where, const char *name, int64_t *value, struct err *e)
{
    return get_number(f, where, name, H5T_INTEGER, H5T_NATIVE_INT64, value, e);
}

err_t h5_get_real(struct h5 *f, const char *where, const char *name, double *value, struct err *e)
{
    return get_number(f, where, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, value, e);
}

err_t h5_write_text(struct h5 *f, const char *name, const char *text, const char *description, struct err *e)
{
    hid_t type = h5_text_type(strlen(text)), space = H5Screate(H5S_SCALAR), links = h5_link_list();
    hid_t id = H5Dcreate2(f->id, name, type, space, links, H5P_DEFAULT, H5P_DEFAULT);
    herr_t status = id < 0 ? -1 : H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text);
    if (status >= 0)
        status = h5_attach_text(id, "description", description);
    if (status < 0)
        h5_fail(e, ERR_SYSTEM, f, "write", name);
    if (id >= 0)
        h5_end_dataset(f, id, name, e);
    H5Sclose(space);
    H5Tclose(type);
    return e->code;
}

err_t h5_read_text(struct h5 *f, const char *name, char **text, struct err *e)
{
    *text = NULL;
    hid_t id = H5Dopen2(f->id, name, H5P_DEFAULT);
    if (id < 0)
        return h5_fail(e, ERR_DATA, f, "open", name);
    hid_t type = H5Dget_type(id), space = H5Dget_space(id);
    int one = H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    err_t code = one && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0
                     ? arena_array(f->arena, "text", (int64_t)H5Tget_size(type) + 1, text, e)
                     : err_set(e, ERR_DATA, "%s: %s is no fixed text", f->path, name);
    if (code == ERR_OK && H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0)
        code = h5_fail(e, ERR_SYSTEM, f, "read", name);
    H5Tclose(type);
    H5Dclose(id);
    return code;
}

err_t h5_group(struct h5 *f, const char *name, const char *description, struct err *e)
{
    if (h5_has(f, name))
        return ERR_OK;
    hid_t links = h5_link_list(), id = H5Gcreate2(f->id, name, links, H5P_DEFAULT, H5P_DEFAULT);
    herr_t status = id < 0 ? -1 : h5_attach_text(id, "description", description);
    if (id >= 0)
        H5Gclose(id);
    return status < 0 ? h5_fail(e, ERR_SYSTEM, f, "create group", name) : ERR_OK;
}

err_t h5_link_external(struct h5 *f, const char *name, const char *file, const char *target, struct err *e)
{
    hid_t links = h5_link_list();
    herr_t status = H5Lcreate_external(file, target, f->id, name, links, H5P_DEFAULT);
    return status < 0 ? h5_fail(e, ERR_SYSTEM, f, "create link", name) : ERR_OK;
}
