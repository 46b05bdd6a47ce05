#include "formats/catalogue.h"

#include "base/file.h"
#include "base/path.h"
#include "elements/stack.h"
#include "formats/decoders/kept.h"
#include "hdf5/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row of table pieces for each piece of a tensor that lies in several; key: how it is named there. */
static err_t add_pieces(struct table *pieces, const struct stored_tensor *t, const char *key,
                        const char *const *paths, struct err *e)
{
    for (int64_t i = 0; t->cut && i < t->cut->n; i++) {
        const struct stored_piece *p = &t->cut->v[i];
        int ndim = t->cut->flat ? 1 : t->ndim;
        char start[200], shape[200], strides[200] = "";
        if (p->strides)
            shape_text(ndim, p->strides, strides, sizeof strides);
        TRY(TABLE_ADD(pieces, e, V_TEXT(key), V_TEXT(shape_text(ndim, p->start, start, sizeof start)),
                      V_TEXT(shape_text(ndim, p->dims, shape, sizeof shape)), V_INT(t->cut->flat),
                      V_TEXT(paths[p->file]), V_INT(p->offset_bytes), V_INT(p->span_bytes), V_TEXT(strides)));
    }
    return ERR_OK;
}

static err_t add_tensor(struct table *tensors, struct table *pieces, const struct stored_tensor *t,
                        const struct stacks *stacks, const char *key, const char *const *paths, struct err *e)
{
    char shape[200], strides[200] = "";
    struct stack_place place;
    stacks_place(stacks, t->name, &place);
    if (t->strides)
        shape_text(t->ndim, t->strides, strides, sizeof strides);
    TRY(TABLE_ADD(tensors, e, V_TEXT(t->name), V_TEXT(shape_text(t->ndim, t->dims, shape, sizeof shape)),
                  V_TEXT(dtype_name(t->dtype)), V_INT(t->layer), V_TEXT(place.stack), V_TEXT(t->module),
                  V_INT(t->elements), V_TEXT(t->file >= 0 ? paths[t->file] : ""), V_INT(t->offset_bytes),
                  V_INT(t->size_bytes), V_TEXT(strides)));
    return add_pieces(pieces, t, key, paths, e);
}

/* The tensors of no list from which others follow, and how. */
static err_t write_decodings(const struct checkpoint *c, const struct stacks *stacks,
                             const char *const *paths, struct h5 *f, struct arena *a, struct err *e)
{
    struct sources s;
    struct table tensors, pieces;
    table_init(&tensors, "sources", a);
    table_init(&pieces, "source_pieces", a);
    TRY(sources_collect(&s, c->tensors, c->ntensors, a, e));
    for (int64_t i = 0; i < s.n; i++) {
        char key[24];
        snprintf(key, sizeof key, "%lld", (long long)i);
        TRY(add_tensor(&tensors, &pieces, s.v[i], stacks, key, paths, e));
    }
    if (tensors.nrows > 0)
        TRY(h5_table_write(f, "sources", &tensors, e));
    if (pieces.nrows > 0)
        TRY(h5_table_write(f, "source_pieces", &pieces, e));
    return kept_write(c->tensors, c->ntensors, &s, f, a, e);
}

err_t catalogue_write(const struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e)
{
    struct table files, tensors, pieces;
    struct stacks stacks = {.own = 0};
    const char **paths;
    table_init(&files, "files", a);
    table_init(&tensors, "catalogue", a);
    table_init(&pieces, "pieces", a);
    TRY(arena_array(a, "catalogue.paths", c->nfiles, &paths, e));
    for (int64_t i = 0; i < c->nfiles; i++) {
        const struct stored_file *file = &c->files[i];
        char hash[20];
        snprintf(hash, sizeof hash, "%016" PRIx64, file->header_hash);
        /* absolute, so that it is found from wherever a later command runs */
        paths[i] = path_absolute(a, file->path, e);
        if (!paths[i])
            return e->code;
        TRY(TABLE_ADD(&files, e, V_TEXT(paths[i]), V_INT(file->size_bytes), V_INT(file->mtime_ns),
                      V_TEXT(hash)));
    }
    for (int64_t i = 0; i < c->ntensors; i++)
        stacks_see(&stacks, c->tensors[i].name);
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        TRY(add_tensor(&tensors, &pieces, t, &stacks, t->name, paths, e));
    }
    TRY(h5_table_write(f, "files", &files, e));
    TRY(h5_table_write(f, "catalogue", &tensors, e));
    if (pieces.nrows > 0)
        TRY(h5_table_write(f, "pieces", &pieces, e));
    TRY(write_decodings(c, &stacks, paths, f, a, e));
    char *path = path_absolute(a, c->path, e);
    if (!path)
        return e->code;
    TRY(h5_set_text(f, "/", "checkpoint", c->path, e));
    TRY(h5_set_text(f, "/", "checkpoint_absolute", path, e));
    TRY(h5_set_text(f, "/", "format", c->format, e));
    TRY(h5_set_text(f, "/", "simulated", c->simulated ? c->simulated : "", e));
    TRY(h5_set_text(f, "/", "note", c->note ? c->note : "", e));
    TRY(h5_set_text(f, "/", "quantized", c->quantized.by ? c->quantized.by : "", e));
    TRY(h5_set_int(f, "/", "quantized_integers", c->quantized.integers, e));
    TRY(h5_set_text(f, "/", "config", c->config.path ? c->config.path : "", e));
    TRY(h5_set_text(f, "/", "config_problem", c->config.problem ? c->config.problem : "", e));
    TRY(h5_set_text(f, "/", "copied_head", c->copied_head ? c->copied_head : "", e));
    TRY(h5_set_int(f, "/", "config_layers", c->config.layers, e));
    TRY(h5_set_int(f, "/", "config_tied", c->config.tied, e));
    TRY(h5_set_text(f, "/", "config_type", c->config.type ? c->config.type : "", e));
    TRY(h5_set_int(f, "/", "config_heads", c->config.heads, e));
    TRY(h5_set_int(f, "/", "config_kv_heads", c->config.kv_heads, e));
    TRY(h5_set_int(f, "/", "tensors", c->ntensors, e));
    return h5_set_int(f, "/", "parameters", c->parameters, e);
}

static err_t take_files(struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e)
{
    struct table t;
    table_init(&t, "files", a);
    TRY(h5_table_read(f, "files", &t, 0, -1, NULL, e));
    TRY(arena_array(a, "checkpoint.files", t.nrows, &c->files, e));
    c->nfiles = t.nrows;
    for (int64_t i = 0; i < t.nrows; i++)
        c->files[i] =
            (struct stored_file){.path = table_text(&t, i, "path"),
                                 .size_bytes = table_int(&t, i, "size_bytes"),
                                 .mtime_ns = table_int(&t, i, "mtime_ns"),
                                 .header_hash = strtoull(table_text(&t, i, "header_hash"), NULL, 16),
                                 .fd = -1};
    arena_drop(a, t.values);
    return ERR_OK;
}

/* Index of a file by path, beginning at `near`: neighbours in the list mostly lie in one file. -1: none. */
static int find_file(const struct checkpoint *c, const char *path, int near)
{
    for (int64_t k = 0; k < c->nfiles; k++) {
        int64_t i = (near + k) % c->nfiles;
        if (strcmp(c->files[i].path, path) == 0)
            return (int)i;
    }
    return -1;
}

/* An artifact is a file like any other: what is used as a size or an index is checked. */
static err_t check_row(const struct checkpoint *c, const struct stored_tensor *t, const char *file,
                       const char *artifact, struct err *e)
{
    int64_t n = 1, bits;
    int bad = t->dtype == DTYPE_COUNT || (t->file < 0 && file[0]) || t->offset_bytes < 0;
    for (int i = 0; i < t->ndim; i++)
        bad |= __builtin_mul_overflow(n, t->dims[i], &n);
    bad |= n != t->elements || __builtin_mul_overflow(n, (int64_t)dtype_bits(t->dtype), &bits) ||
           bits / 8 != t->size_bytes;
    if (!bad && t->file < 0)
        bad = t->strides != NULL || t->cut != NULL;
    else if (!bad && !t->cut) {
        int64_t span = stored_span(t), size_bytes = c->files[t->file].size_bytes;
        bad = span < 0 || t->offset_bytes > size_bytes || span > size_bytes - t->offset_bytes;
    }
    if (bad)
        return err_set(e, ERR_DATA,
                       "%s: the catalogue is damaged at tensor %s; run sinew run again with --force",
                       artifact, t->name);
    return ERR_OK;
}

static err_t take_strides(const int64_t **out, int ndim, const char *name, const char *text, struct arena *a,
                          struct err *e)
{
    int64_t strides[TENSOR_MAX_NDIM], *kept;
    int n = 0;
    if (text[0] == '\0')
        return ERR_OK;
    TRY(shape_parse(text, &n, strides, e));
    if (n != ndim)
        return err_set(e, ERR_DATA, "tensor %s: expected %d strides, found %d", name, ndim, n);
    TRY(arena_array(a, "checkpoint.strides", n, &kept, e));
    memcpy(kept, strides, (size_t)n * sizeof *kept);
    *out = kept;
    return ERR_OK;
}

/* Table pieces, read from front to back along the tensors. */
struct piece_rows {
    struct table t;
    int64_t next;
};

/* near: where to look for its file first; neighbours lie in one, or in the next. */
static err_t take_piece(struct stored_piece *p, const struct checkpoint *c, const struct stored_tensor *x,
                        int near, int ndim, const struct table *t, int64_t row, struct arena *a,
                        struct err *e)
{
    int nstart, nsize;
    *p = (struct stored_piece){.dtype = x->dtype,
                               .file = find_file(c, table_text(t, row, "file"), near),
                               .offset_bytes = table_int(t, row, "offset_bytes")};
    TRY(shape_parse(table_text(t, row, "start"), &nstart, p->start, e));
    TRY(shape_parse(table_text(t, row, "shape"), &nsize, p->dims, e));
    TRY(take_strides(&p->strides, ndim, x->name, table_text(t, row, "strides"), a, e));
    if (nstart != ndim || nsize != ndim)
        return err_set(e, ERR_DATA, "tensor %s: a piece of %d and %d axes, expected %d", x->name, nstart,
                       nsize, ndim);
    return ERR_OK;
}

/* The pieces of tensor x, if its rows are next, checked as where they came from. */
static err_t take_pieces(struct stored_tensor *x, const char *key, const struct checkpoint *c,
                         struct piece_rows *rows, const char *artifact, struct arena *a, struct err *e)
{
    const struct table *t = &rows->t;
    int64_t from = rows->next, n = 0;
    while (from + n < t->nrows && strcmp(table_text(t, from + n, "tensor"), key) == 0)
        n++;
    if (n == 0)
        return ERR_OK;
    struct stored_piece *v;
    TRY(arena_array(a, "checkpoint.pieces", n, &v, e));
    int flat = table_int(t, from, "flat") != 0;
    for (int64_t i = 0; i < n; i++)
        TRY(take_piece(&v[i], c, x, i > 0 && v[i - 1].file >= 0 ? v[i - 1].file : x->file, flat ? 1 : x->ndim,
                       t, from + i, a, e));
    rows->next += n;
    const struct stored_list files = {.nfiles = c->nfiles, .files = c->files};
    int64_t elements = x->elements;
    TRY(stored_assemble(x, v, n, flat, &files, artifact, a, e));
    return elements == x->elements
               ? ERR_OK
               : err_set(e, ERR_DATA, "%s: tensor %s: %lld elements, expected %lld by its shape", artifact,
                         x->name, (long long)elements, (long long)x->elements);
}

/* One row of table catalogue or sources; near: the file of the one before. */
static err_t take_tensor(struct stored_tensor *x, const struct table *t, int64_t row, const char *key,
                         const struct checkpoint *c, int near, struct piece_rows *pieces,
                         const char *artifact, struct arena *a, struct err *e)
{
    const char *file = table_text(t, row, "file");
    *x = (struct stored_tensor){.name = table_text(t, row, "tensor"),
                                .module = table_text(t, row, "module"),
                                .layer = table_int(t, row, "layer"),
                                .dtype = dtype_find(table_text(t, row, "dtype")),
                                .elements = table_int(t, row, "parameters"),
                                .file = file[0] ? find_file(c, file, near) : STORED_NOWHERE,
                                .offset_bytes = table_int(t, row, "offset_bytes"),
                                .size_bytes = table_int(t, row, "size_bytes")};
    TRY(shape_parse(table_text(t, row, "shape"), &x->ndim, x->dims, e));
    TRY(take_strides(&x->strides, x->ndim, x->name, table_text(t, row, "strides"), a, e));
    if (x->dtype != DTYPE_COUNT && x->file >= 0) /* else there is nowhere to begin: check_row refuses */
        TRY(take_pieces(x, key ? key : x->name, c, pieces, artifact, a, e));
    return check_row(c, x, file, artifact, e);
}

/* All tensors of table `name`, whose pieces are in the table pieces_name. numbered: these name them by row.
 */
static err_t take_table(struct stored_tensor **out, int64_t *n, const char *name, const char *pieces_name,
                        int numbered, const struct checkpoint *c, struct h5 *f, const char *artifact,
                        struct arena *a, struct err *e)
{
    struct table t;
    struct piece_rows pieces = {.next = 0};
    table_init(&t, name, a);
    table_init(&pieces.t, pieces_name, a);
    if (h5_has_table(f, pieces_name))
        TRY(h5_table_read(f, pieces_name, &pieces.t, 0, -1, NULL, e));
    TRY(h5_table_read(f, name, &t, 0, -1, NULL, e));
    TRY(arena_array(a, "checkpoint.tensors", t.nrows, out, e));
    int near = 0;
    for (*n = 0; *n < t.nrows; ++*n) {
        struct stored_tensor *x = *out + *n;
        char key[24];
        snprintf(key, sizeof key, "%lld", (long long)*n);
        TRY(take_tensor(x, &t, *n, numbered ? key : NULL, c, near, &pieces, artifact, a, e));
        near = x->file >= 0 ? x->file : near;
    }
    if (pieces.next != pieces.t.nrows)
        return err_set(
            e, ERR_DATA,
            "%s: the catalogue is damaged at the pieces of tensor %s; run sinew run again with --force",
            artifact, table_text(&pieces.t, pieces.next, "tensor"));
    arena_drop(a, t.values);
    if (pieces.t.nrows > 0)
        arena_drop(a, pieces.t.values);
    return ERR_OK;
}

/* The head that load found to be a copy. */
static err_t take_head(struct checkpoint *c, struct h5 *f, struct err *e)
{
    char *name;
    TRY(h5_get_text(f, "/", "copied_head", &name, e));
    const struct stored_tensor *head = name[0] ? checkpoint_find(c, name) : NULL;
    c->copied_head = head ? head->name : NULL;
    c->parameters -= head ? head->elements : 0;
    c->head_looked = 1;
    return ERR_OK;
}

static err_t take_tensors(struct checkpoint *c, struct h5 *f, const char *artifact, struct arena *a,
                          struct err *e)
{
    struct stored_tensor *sources = NULL;
    int64_t nsources = 0;
    TRY(take_table(&c->tensors, &c->ntensors, "catalogue", "pieces", 0, c, f, artifact, a, e));
    for (int64_t i = 1; i < c->ntensors; i++)
        if (strcmp(c->tensors[i - 1].name, c->tensors[i].name) >= 0)
            return err_set(e, ERR_DATA,
                           "%s: the catalogue is damaged at tensor %s; run sinew run again with --force",
                           artifact, c->tensors[i].name);
    if (h5_has_table(f, "sources"))
        TRY(take_table(&sources, &nsources, "sources", "source_pieces", 1, c, f, artifact, a, e));
    TRY(kept_read(c->tensors, c->ntensors, sources, nsources, f, artifact, a, e));
    for (int64_t i = 0; i < c->ntensors; i++)
        c->parameters += c->tensors[i].serves ? 0 : c->tensors[i].elements;
    return take_head(c, f, e);
}

static err_t take_quantized(struct quantized *q, struct h5 *f, struct err *e)
{
    char *by;
    int64_t integers;
    TRY(h5_get_text(f, "/", "quantized", &by, e));
    TRY(h5_get_int(f, "/", "quantized_integers", &integers, e));
    *q = (struct quantized){by[0] ? by : NULL, integers != 0};
    return ERR_OK;
}

static err_t take_config(struct model_config *m, struct h5 *f, struct err *e)
{
    char *path, *problem, *type;
    int64_t tied;
    TRY(h5_get_text(f, "/", "config", &path, e));
    TRY(h5_get_text(f, "/", "config_problem", &problem, e));
    TRY(h5_get_int(f, "/", "config_layers", &m->layers, e));
    TRY(h5_get_int(f, "/", "config_tied", &tied, e));
    TRY(h5_get_text(f, "/", "config_type", &type, e));
    TRY(h5_get_int(f, "/", "config_heads", &m->heads, e));
    TRY(h5_get_int(f, "/", "config_kv_heads", &m->kv_heads, e));
    m->type = type[0] ? type : NULL;
    m->path = path[0] ? path : NULL;
    m->problem = problem[0] ? problem : NULL;
    m->tied = tied == MODEL_TIED_YES  ? MODEL_TIED_YES
              : tied == MODEL_TIED_NO ? MODEL_TIED_NO
                                      : MODEL_TIED_UNKNOWN;
    return ERR_OK;
}

err_t catalogue_read(struct checkpoint *c, const char *artifact, struct arena *a, struct err *e)
{
    struct h5 *f;
    char *path, *format, *simulated, *note;
    *c = (struct checkpoint){0};
    TRY(h5_open_sealed(artifact, a, &f, e));
    err_t code = h5_get_text(f, "/", "checkpoint", &path, e);
    if (code == ERR_OK)
        code = h5_get_text(f, "/", "format", &format, e);
    if (code == ERR_OK)
        code = h5_get_text(f, "/", "simulated", &simulated, e);
    if (code == ERR_OK)
        code = h5_get_text(f, "/", "note", &note, e);
    if (code == ERR_OK)
        code = take_config(&c->config, f, e);
    if (code == ERR_OK)
        code = take_quantized(&c->quantized, f, e);
    if (code == ERR_OK) {
        c->path = path;
        c->format = format;
        c->simulated = simulated[0] ? simulated : NULL;
        c->note = note[0] ? note : NULL;
        code = take_files(c, f, a, e);
    }
    if (code == ERR_OK)
        code = take_tensors(c, f, artifact, a, e);
    err_t closed = h5_close(f, e);
    return code != ERR_OK ? code : closed;
}

err_t catalogue_stood(const char *artifact, struct arena *scratch, struct err *e)
{
    struct checkpoint c = {0};
    struct h5 *f;
    TRY(h5_open_sealed(artifact, scratch, &f, e));
    err_t code = h5_has_table(f, "catalogue") ? take_files(&c, f, scratch, e) : ERR_OK;
    err_t closed = h5_close(f, e);
    TRY(code != ERR_OK ? code : closed);
    for (int64_t i = 0; i < c.nfiles; i++) {
        const struct file_stamp then = {c.files[i].size_bytes, c.files[i].mtime_ns};
        struct file_stamp now;
        if (file_stamp_of(c.files[i].path, &now) && !file_stamp_same(&then, &now))
            return err_set(
                e, ERR_DATA,
                "%s: has changed while it was read; nothing is kept of that: run again once nobody writes it",
                c.files[i].path);
    }
    return ERR_OK;
}
