#include "hdf5/h5.h"

#include "hdf5/h5_internal.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { TABLE_PASS_BYTES = 1 << 20 }; /* rows are converted in pieces of this size */

static hid_t column_type(const struct column *c, size_t width)
{
    return c->kind == COLUMN_TEXT ? h5_text_type(width)
                                  : H5Tcopy(c->kind == COLUMN_INT ? H5T_STD_I64LE : H5T_IEEE_F64LE);
}

/* The compound type of a row; offset[i] receives each column's place. widths: of the text columns. */
static hid_t row_type(const struct schema *s, const int *widths, size_t *offset, size_t *row_bytes)
{
    size_t bytes = 0;
    for (int i = 0; i < s->ncolumns; i++) {
        offset[i] = bytes;
        bytes += s->columns[i].kind == COLUMN_TEXT ? (size_t)(widths[i] > 0 ? widths[i] : 1) : 8;
    }
    hid_t t = H5Tcreate(H5T_COMPOUND, bytes);
    for (int i = 0; i < s->ncolumns; i++) {
        hid_t member = column_type(&s->columns[i], (size_t)widths[i]);
        H5Tinsert(t, s->columns[i].name, offset[i], member);
        H5Tclose(member);
    }
    *row_bytes = bytes;
    return t;
}

enum { MAX_NAME = 128, MAX_TEXT = 1 << 24 /* bytes of a text in a table */ };

/* Tables live in the group /tables, in artifacts as in the archive, unless the name says where. */
static const char *table_path(const char *name, char path[MAX_NAME])
{
    snprintf(path, MAX_NAME, "%s%s", strchr(name, '/') ? "" : "tables/", name);
    return path;
}

/* Leaves the new dataset open in *id, -1 after a failure. */
static err_t create_table(struct h5 *f, const char *name, const struct schema *s, const int *widths,
                          int64_t nrows, int growing, hid_t *id, struct err *e)
{
    size_t offset[SCHEMA_MAX_COLUMNS], row_bytes;
    hid_t type = row_type(s, widths, offset, &row_bytes), links = h5_link_list(),
          create = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t n = growing ? 0 : (hsize_t)nrows, unlimited = H5S_UNLIMITED;
    if (growing) {
        hsize_t chunk = (hsize_t)(nrows > 0 ? nrows : 1), most = H5_CHUNK_BYTES / row_bytes + 1;
        if (chunk > most)
            chunk = most;
        H5Pset_chunk(create, 1, &chunk);
    }
    hid_t space = H5Screate_simple(1, &n, growing ? &unlimited : NULL);
    *id = H5Dcreate2(f->id, name, type, space, links, create, H5P_DEFAULT);
    H5Sclose(space);
    H5Pclose(create);
    H5Tclose(type);
    if (*id < 0)
        return h5_fail(e, ERR_SYSTEM, f, "create table", name);
    herr_t status = h5_attach_text(*id, "description", s->description);
    for (int i = 0; growing && i < s->ncolumns; i++) {
        char attribute[96];
        snprintf(attribute, sizeof attribute, "%s.description", s->columns[i].name);
        status |= h5_attach_text(*id, attribute, s->columns[i].description);
        snprintf(attribute, sizeof attribute, "%s.units", s->columns[i].name);
        if (s->columns[i].units)
            status |= h5_attach_text(*id, attribute, s->columns[i].units);
    }
    if (status >= 0)
        return ERR_OK;
    h5_fail(e, ERR_SYSTEM, f, "describe table", name);
    h5_end_dataset(f, *id, name, e);
    *id = -1;
    return e->code;
}

/* Can values of a type of the file be read into the column? Texts are UTF-8 of a fixed width;
 * HDF5 turns neither others into these, nor lists into numbers. */
static int fits_column(const struct column *c, hid_t type)
{
    H5T_class_t class = H5Tget_class(type);
    if (c->kind == COLUMN_TEXT)
        return class == H5T_STRING && H5Tis_variable_str(type) == 0 && H5Tget_cset(type) == H5T_CSET_UTF8 &&
               H5Tget_size(type) <= MAX_TEXT;
    return class == H5T_INTEGER || class == H5T_FLOAT;
}

/* Width of each text column in a file's compound type; the table must have all columns of the schema. */
static err_t file_widths(const char *path, hid_t id, const char *name, const struct schema *s, int *widths,
                         struct err *e)
{
    hid_t type = H5Dget_type(id);
    err_t code =
        H5Tget_class(type) == H5T_COMPOUND ? ERR_OK : err_set(e, ERR_DATA, "%s: %s is no table", path, name);
    for (int i = 0; code == ERR_OK && i < s->ncolumns; i++) {
        int member = H5Tget_member_index(type, s->columns[i].name);
        H5Eclear2(H5E_DEFAULT);
        hid_t mt = member < 0 ? -1 : H5Tget_member_type(type, (unsigned)member);
        if (mt < 0 || !fits_column(&s->columns[i], mt))
            code = err_set(e, ERR_DATA, "%s: table %s lacks column %s as this version expects it", path, name,
                           s->columns[i].name);
        widths[i] = mt >= 0 ? (int)H5Tget_size(mt) : 8;
        if (mt >= 0)
            H5Tclose(mt);
    }
    H5Tclose(type);
    return code;
}

/* Opens a table of the file: *n rows, whose text columns are widths wide. */
static err_t open_table(struct h5 *f, const char *name, const struct schema *s, int *widths, int64_t *n,
                        hid_t *id, struct err *e)
{
    *id = H5Dopen2(f->id, name, H5P_DEFAULT);
    if (*id < 0)
        return h5_fail(e, ERR_DATA, f, "open table", name);
    if (file_widths(f->path, *id, name, s, widths, e) != ERR_OK) {
        H5Dclose(*id);
        return e->code;
    }
    hid_t space = H5Dget_space(*id);
    int ndim = H5Sget_simple_extent_ndims(space);
    *n = (int64_t)H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    if (ndim == 1)
        return ERR_OK;
    H5Dclose(*id);
    return err_set(e, ERR_DATA, "%s: %s is no table: it has %d dimensions, expected 1", f->path, name, ndim);
}

/* Writes the rows of t to [at, at+n) of an open dataset whose text columns are widths wide. */
static err_t write_rows(struct h5 *f, hid_t id, const char *name, const struct table *t, const int *widths,
                        int64_t at, struct err *e)
{
    const struct schema *s = t->schema;
    size_t offset[SCHEMA_MAX_COLUMNS], row_bytes;
    hid_t type = row_type(s, widths, offset, &row_bytes), space = H5Dget_space(id);
    int64_t pass = TABLE_PASS_BYTES / (int64_t)row_bytes + 1;
    if (pass > t->nrows)
        pass = t->nrows;
    char *rows = NULL;
    err_t code = arena_array_at(f->arena, "h5.rows", pass, row_bytes, (void **)&rows, e);
    for (int64_t done = 0; code == ERR_OK && done < t->nrows; done += pass) {
        int64_t n = t->nrows - done < pass ? t->nrows - done : pass;
        memset(rows, 0, (size_t)n * row_bytes);
        for (int64_t r = 0; r < n; r++)
            for (int i = 0; i < s->ncolumns; i++) {
                const union datum *v = &t->values[(done + r) * s->ncolumns + i];
                char *to = rows + (size_t)r * row_bytes + offset[i];
                if (s->columns[i].kind == COLUMN_TEXT) {
                    size_t len = strlen(v->text);
                    if (len > (size_t)(widths[i] > 0 ? widths[i] : 1))
                        code = err_set(e, ERR_BUG, "table %s, column %s: text longer than the column", name,
                                       s->columns[i].name);
                    else
                        memcpy(to, v->text, len);
                } else {
                    memcpy(to, &v->i, 8);
                }
            }
        hsize_t start = (hsize_t)(at + done), count = (hsize_t)n;
        hid_t memory = H5Screate_simple(1, &count, NULL);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL);
        if (code == ERR_OK && H5Dwrite(id, type, memory, space, H5P_DEFAULT, rows) < 0)
            code = h5_fail(e, ERR_SYSTEM, f, "write table", name);
        H5Sclose(memory);
    }
    arena_drop(f->arena, rows);
    H5Sclose(space);
    H5Tclose(type);
    return code;
}

err_t h5_table_write(struct h5 *f, const char *table, const struct table *t, struct err *e)
{
    char path[MAX_NAME];
    const char *name = table_path(table, path);
    const struct schema *s = t->schema;
    int widths[SCHEMA_MAX_COLUMNS] = {0};
    hid_t id;
    table_widths(t, widths);
    TRY(create_table(f, name, s, widths, t->nrows, 0, &id, e));
    write_rows(f, id, name, t, widths, 0, e);
    return h5_end_dataset(f, id, name, e);
}

err_t h5_table_create(struct h5 *f, const char *table, const struct schema *s, const int *widths,
                      int64_t nrows, struct err *e)
{
    char path[MAX_NAME];
    const char *name = table_path(table, path);
    hid_t id;
    TRY(create_table(f, name, s, widths, nrows, 1, &id, e));
    return h5_end_dataset(f, id, name, e);
}

err_t h5_table_append(struct h5 *f, const char *table, const struct table *t, struct err *e)
{
    char path[MAX_NAME];
    const char *name = table_path(table, path);
    int widths[SCHEMA_MAX_COLUMNS] = {0};
    int64_t n;
    hid_t id;
    TRY(open_table(f, name, t->schema, widths, &n, &id, e));
    hsize_t grown = (hsize_t)(n + t->nrows);
    if (t->nrows > 0 && H5Dset_extent(id, &grown) < 0)
        h5_fail(e, ERR_SYSTEM, f, "extend table", name);
    else if (t->nrows > 0)
        write_rows(f, id, name, t, widths, n, e);
    return h5_end_dataset(f, id, name, e);
}

static void raise_widths(const struct schema *s, const int *have, int *widths)
{
    for (int i = 0; i < s->ncolumns; i++)
        if (have[i] > widths[i])
            widths[i] = have[i];
}

err_t h5_table_widths(struct h5 *f, const char *table, const struct schema *s, int *widths, int64_t *nrows,
                      struct err *e)
{
    char path[MAX_NAME];
    int have[SCHEMA_MAX_COLUMNS] = {0};
    hid_t id;
    TRY(open_table(f, table_path(table, path), s, have, nrows, &id, e));
    raise_widths(s, have, widths);
    H5Dclose(id);
    return ERR_OK;
}

/* Adds rows from a buffer to t; texts are cut at their padding. */
static err_t take_rows(struct table *t, const char *rows, int64_t n, const int *widths, const size_t *offset,
                       size_t row_bytes, char *text, struct err *e)
{
    const struct schema *s = t->schema;
    struct value row[SCHEMA_MAX_COLUMNS];
    for (int64_t r = 0; r < n; r++) {
        char *at = text;
        for (int i = 0; i < s->ncolumns; i++) {
            const char *from = rows + (size_t)r * row_bytes + offset[i];
            if (s->columns[i].kind == COLUMN_TEXT) {
                size_t len = strnlen(from, (size_t)(widths[i] > 0 ? widths[i] : 1));
                memcpy(at, from, len);
                at[len] = '\0';
                row[i] = V_TEXT(at);
                at += len + 1;
            } else {
                row[i].kind = s->columns[i].kind;
                memcpy(&row[i].i, from, 8);
            }
        }
        TRY(table_add_n(t, row, s->ncolumns, e));
    }
    return ERR_OK;
}

/* Reads rows [from, from+n) of an open table into t, and closes it. */
static err_t read_rows(struct h5 *f, hid_t id, const char *name, struct table *t, const int *widths,
                       int64_t from, int64_t n, struct err *e)
{
    const struct schema *s = t->schema;
    size_t offset[SCHEMA_MAX_COLUMNS], row_bytes, text_bytes = 1;
    for (int i = 0; i < s->ncolumns; i++)
        text_bytes += (size_t)widths[i] + 2;
    hid_t type = row_type(s, widths, offset, &row_bytes), space = H5Dget_space(id);
    int64_t pass = TABLE_PASS_BYTES / (int64_t)row_bytes + 1;
    if (pass > n)
        pass = n;
    char *rows = NULL, *text = NULL;
    err_t code = arena_array_at(f->arena, "h5.rows", pass, row_bytes, (void **)&rows, e);
    if (code == ERR_OK)
        code = arena_array_at(f->arena, "h5.text", 1, text_bytes, (void **)&text, e);
    for (int64_t done = 0; code == ERR_OK && done < n; done += pass) {
        int64_t part = n - done < pass ? n - done : pass;
        hsize_t start = (hsize_t)(from + done), count = (hsize_t)part;
        hid_t memory = H5Screate_simple(1, &count, NULL);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL);
        if (H5Dread(id, type, memory, space, H5P_DEFAULT, rows) < 0)
            code = h5_fail(e, ERR_SYSTEM, f, "read table", name);
        H5Sclose(memory);
        if (code == ERR_OK)
            code = take_rows(t, rows, part, widths, offset, row_bytes, text, e);
    }
    arena_drop(f->arena, text);
    arena_drop(f->arena, rows);
    H5Sclose(space);
    H5Dclose(id);
    H5Tclose(type);
    return code;
}

err_t h5_table_read(struct h5 *f, const char *table, struct table *t, int64_t from, int64_t n,
                    int64_t *nrows_in_file, struct err *e)
{
    char path[MAX_NAME];
    const char *name = table_path(table, path);
    int widths[SCHEMA_MAX_COLUMNS] = {0};
    int64_t total = 0;
    hid_t id;
    TRY(open_table(f, name, t->schema, widths, &total, &id, e));
    if (nrows_in_file)
        *nrows_in_file = total;
    if (from > total)
        from = total;
    if (n < 0 || n > total - from)
        n = total - from;
    return read_rows(f, id, name, t, widths, from, n, e);
}

err_t h5_table_take(struct h5 *f, const char *table, struct table *t, int *widths, int64_t *nrows,
                    struct err *e)
{
    char path[MAX_NAME];
    const char *name = table_path(table, path);
    int have[SCHEMA_MAX_COLUMNS] = {0};
    hid_t id;
    TRY(open_table(f, name, t->schema, have, nrows, &id, e));
    raise_widths(t->schema, have, widths);
    return read_rows(f, id, name, t, have, 0, *nrows, e);
}

int h5_has_table(struct h5 *f, const char *table)
{
    char path[MAX_NAME];
    const char *name = table_path(table, path);
    H5O_info_t info;
    if (!h5_has(f, name) || H5Oget_info_by_name1(f->id, name, &info, H5P_DEFAULT) < 0 ||
        info.type != H5O_TYPE_DATASET)
        return 0;
    hid_t id = H5Dopen2(f->id, name, H5P_DEFAULT), type = H5Dget_type(id);
    int is_table = H5Tget_class(type) == H5T_COMPOUND;
    H5Tclose(type);
    H5Dclose(id);
    return is_table;
}

struct table_listing {
    struct text text;
    struct err *e;
};

static herr_t list_one(hid_t group, const char *name, const H5L_info_t *info, void *arg)
{
    struct table_listing *l = arg;
    (void)info;
    hid_t id = H5Dopen2(group, name, H5P_DEFAULT);
    if (id < 0)
        return 0;
    hid_t space = H5Dget_space(id);
    long long rows = (long long)H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    H5Dclose(id);
    return text_add(&l->text, l->e, "%s %lld\n", name, rows) == ERR_OK ? 0 : -1;
}

err_t h5_table_list(struct h5 *f, char **list, struct err *e)
{
    struct table_listing l = {.text = {.arena = f->arena}, .e = e};
    TRY(text_add(&l.text, e, "%s", ""));
    if (h5_has(f, "/tables") &&
        H5Literate_by_name(f->id, "/tables", H5_INDEX_NAME, H5_ITER_INC, NULL, list_one, &l, H5P_DEFAULT) < 0)
        return h5_fail(e, ERR_DATA, f, "list its tables", "");
    *list = l.text.text;
    return e->code;
}
