#include "pair.h"

#include "h5.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- catalogues ---- */

err_t catalogue_write(const struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e)
{
    struct table files, tensors;
    const char **paths;
    table_init(&files, "files", a);
    table_init(&tensors, "catalogue", a);
    TRY(arena_array(a, "catalogue.paths", c->nfiles, &paths, e));
    for (int64_t i = 0; i < c->nfiles; i++) {
        const struct checkpoint_file *file = &c->files[i];
        char hash[20];
        snprintf(hash, sizeof hash, "%016" PRIx64, file->header_hash);
        /* absolute, so that it is found from wherever a later command runs */
        paths[i] = path_absolute(a, file->path, e);
        if (!paths[i])
            return e->code;
        TRY(TABLE_ADD(&files, e, V_TEXT(paths[i]), V_INT(file->size_bytes), V_INT(file->mtime_ns),
                      V_TEXT(hash)));
    }
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct checkpoint_tensor *t = &c->tensors[i];
        char shape[200];
        TRY(TABLE_ADD(&tensors, e, V_TEXT(t->name), V_TEXT(shape_text(t->ndim, t->dims, shape, sizeof shape)),
                      V_TEXT(dtype_name(t->dtype)), V_INT(t->layer), V_TEXT(t->module), V_INT(t->elements),
                      V_TEXT(paths[t->file]), V_INT(t->offset_bytes), V_INT(t->size_bytes)));
    }
    TRY(h5_table_write(f, "files", &files, e));
    TRY(h5_table_write(f, "catalogue", &tensors, e));
    char *path = path_absolute(a, c->path, e);
    if (!path)
        return e->code;
    TRY(h5_set_text(f, "/", "checkpoint", c->path, e));
    TRY(h5_set_text(f, "/", "checkpoint_absolute", path, e));
    TRY(h5_set_text(f, "/", "format", c->format, e));
    TRY(h5_set_text(f, "/", "simulated", c->simulated ? c->simulated : "", e));
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
            (struct checkpoint_file){.path = table_text(&t, i, "path"),
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
static err_t check_row(const struct checkpoint *c, const struct checkpoint_tensor *t, const char *artifact,
                       struct err *e)
{
    int64_t n = 1, bits;
    int bad = t->dtype == DTYPE_COUNT || t->file < 0 || t->offset_bytes < 0;
    for (int i = 0; i < t->ndim; i++)
        bad |= __builtin_mul_overflow(n, t->dims[i], &n);
    bad |= n != t->elements || __builtin_mul_overflow(n, (int64_t)dtype_bits(t->dtype), &bits) ||
           bits / 8 != t->size_bytes;
    if (!bad && t->size_bytes > c->files[t->file].size_bytes - t->offset_bytes)
        bad = 1;
    if (t > c->tensors && strcmp(t[-1].name, t->name) >= 0)
        bad = 1;
    if (bad)
        return err_set(e, ERR_DATA,
                       "%s: the catalogue is damaged at tensor %s; run sinew run again with --force",
                       artifact, t->name);
    return ERR_OK;
}

static err_t take_tensors(struct checkpoint *c, struct h5 *f, const char *artifact, struct arena *a,
                          struct err *e)
{
    struct table t;
    table_init(&t, "catalogue", a);
    TRY(h5_table_read(f, "catalogue", &t, 0, -1, NULL, e));
    TRY(arena_array(a, "checkpoint.tensors", t.nrows, &c->tensors, e));
    int near = 0;
    for (int64_t i = 0; i < t.nrows; i++) {
        struct checkpoint_tensor *x = &c->tensors[i];
        *x = (struct checkpoint_tensor){.name = table_text(&t, i, "tensor"),
                                        .module = table_text(&t, i, "module"),
                                        .layer = table_int(&t, i, "layer"),
                                        .dtype = dtype_find(table_text(&t, i, "dtype")),
                                        .elements = table_int(&t, i, "parameters"),
                                        .file = find_file(c, table_text(&t, i, "file"), near),
                                        .offset_bytes = table_int(&t, i, "offset_bytes"),
                                        .size_bytes = table_int(&t, i, "size_bytes")};
        TRY(shape_parse(table_text(&t, i, "shape"), &x->ndim, x->dims, e));
        TRY(check_row(c, x, artifact, e));
        near = x->file;
        c->parameters += x->elements;
        c->ntensors++;
    }
    arena_drop(a, t.values);
    return ERR_OK;
}

err_t catalogue_read(struct checkpoint *c, const char *artifact, struct arena *a, struct err *e)
{
    struct h5 *f;
    char *path, *format, *simulated;
    *c = (struct checkpoint){0};
    TRY(h5_open(artifact, 0, a, &f, e));
    err_t code = h5_get_text(f, "/", "checkpoint", &path, e);
    if (code == ERR_OK)
        code = h5_get_text(f, "/", "format", &format, e);
    if (code == ERR_OK)
        code = h5_get_text(f, "/", "simulated", &simulated, e);
    if (code == ERR_OK) {
        c->path = path;
        c->format = format;
        c->simulated = simulated[0] ? simulated : NULL;
        code = take_files(c, f, a, e);
    }
    if (code == ERR_OK)
        code = take_tensors(c, f, artifact, a, e);
    err_t closed = h5_close(f, e);
    return code != ERR_OK ? code : closed;
}

/* ---- pairs ---- */

static int same_shape(const struct checkpoint_tensor *x, const struct checkpoint_tensor *y)
{
    return x->ndim == y->ndim && memcmp(x->dims, y->dims, (size_t)x->ndim * sizeof *x->dims) == 0;
}

/* Names on one side only, counted, with the first of each side. */
struct unmatched {
    int64_t n[2];
    const char *first[2];
};

static err_t refuse_unmatched(const struct pair *p, const struct unmatched *u, struct err *e)
{
    int side = u->n[0] > 0 ? 0 : 1;
    const struct checkpoint *has = side == 0 ? &p->base : &p->tuned,
                            *lacks = side == 0 ? &p->tuned : &p->base;
    return err_set(e, ERR_DATA,
                   "tensor %s is in the %s checkpoint %s, but not in the %s checkpoint %s; tensors in the "
                   "base only: %lld, in the "
                   "tuned only: %lld; expected the same names on both sides",
                   u->first[side], side == 0 ? "base" : "tuned", has->path, side == 0 ? "tuned" : "base",
                   lacks->path, (long long)u->n[0], (long long)u->n[1]);
}

static err_t skip(const struct checkpoint_tensor *base, const struct checkpoint_tensor *tuned,
                  const char *cell, const char *node, struct table *skipped, struct err *e)
{
    if (!skipped)
        return ERR_OK;
    char reason[96];
    enum dtype t = dtype_is_compared(base->dtype) ? tuned->dtype : base->dtype;
    snprintf(reason, sizeof reason, "type %s is not compared", dtype_name(t));
    return TABLE_ADD(skipped, e, V_TEXT(cell), V_TEXT(node), V_TEXT(base->name), V_INT(base->elements),
                     V_TEXT(reason));
}

static void add_compared(struct pair *p, const struct checkpoint_tensor *base,
                         const struct checkpoint_tensor *tuned)
{
    int64_t i = p->layout.ntensors++;
    struct layout_tensor *t = &p->layout.tensors[i];
    *t = (struct layout_tensor){.name = base->name,
                                .module = base->module,
                                .layer = base->layer,
                                .ndim = base->ndim,
                                .elements = base->elements,
                                .dtype_base = dtype_name(base->dtype),
                                .dtype_tuned = dtype_name(tuned->dtype)};
    memcpy(t->dims, base->dims, sizeof t->dims);
    p->of_base[i] = base;
    p->of_tuned[i] = tuned;
}

/* Both lists are sorted by name. Names are matched in full before shapes are looked at, so that the message
 * counts them all. */
static err_t match_names(const struct pair *p, struct err *e)
{
    struct unmatched u = {{0, 0}, {NULL, NULL}};
    for (int64_t i = 0, k = 0; i < p->base.ntensors || k < p->tuned.ntensors;) {
        const struct checkpoint_tensor *x = &p->base.tensors[i], *y = &p->tuned.tensors[k];
        int order = i == p->base.ntensors ? 1 : k == p->tuned.ntensors ? -1 : strcmp(x->name, y->name);
        if (order != 0) {
            int side = order < 0 ? 0 : 1;
            if (u.n[side]++ == 0)
                u.first[side] = side == 0 ? x->name : y->name;
        }
        i += order <= 0;
        k += order >= 0;
    }
    return u.n[0] + u.n[1] > 0 ? refuse_unmatched(p, &u, e) : ERR_OK;
}

static err_t match(struct pair *p, const char *cell, const char *node, struct table *skipped, struct arena *a,
                   struct err *e)
{
    TRY(match_names(p, e));
    int64_t n = p->base.ntensors;
    TRY(arena_array(a, "pair.tensors", n, &p->layout.tensors, e));
    TRY(arena_array(a, "pair.of_base", n, &p->of_base, e));
    TRY(arena_array(a, "pair.of_tuned", n, &p->of_tuned, e));
    for (int64_t i = 0; i < n; i++) {
        const struct checkpoint_tensor *x = &p->base.tensors[i], *y = &p->tuned.tensors[i];
        char shape_x[200], shape_y[200];
        if (!same_shape(x, y))
            return err_set(
                e, ERR_DATA,
                "tensor %s: shape %s in the base checkpoint %s, %s in the tuned checkpoint %s; expected "
                "the same shape",
                x->name, shape_text(x->ndim, x->dims, shape_x, sizeof shape_x), p->base.path,
                shape_text(y->ndim, y->dims, shape_y, sizeof shape_y), p->tuned.path);
        if (dtype_is_compared(x->dtype) && dtype_is_compared(y->dtype))
            add_compared(p, x, y);
        else
            TRY(skip(x, y, cell, node, skipped, e));
    }
    layout_number(&p->layout);
    if (p->layout.ntensors == 0)
        return err_set(
            e, ERR_DATA,
            "nothing to compare: %s and %s hold no tensor of type BF16, F16 or F32 (tensors: %lld)",
            p->base.path, p->tuned.path, (long long)n);
    return ERR_OK;
}

err_t pair_check(const struct checkpoint *base, const struct checkpoint *tuned, const char *cell,
                 struct arena *a, struct err *e)
{
    struct pair p = {.base = *base, .tuned = *tuned};
    err_t code = match(&p, cell, "", NULL, a, e);
    err_item(e, "%s", cell);
    return code;
}

err_t pair_open(struct pair *p, const char *base_catalogue, const char *tuned_catalogue,
                enum arithmetic arithmetic, const char *cell, const char *node, struct table *skipped,
                struct arena *a, struct err *e)
{
    *p = (struct pair){.arithmetic = arithmetic};
    TRY(catalogue_read(&p->base, base_catalogue, a, e));
    TRY(catalogue_read(&p->tuned, tuned_catalogue, a, e));
    TRY(checkpoint_verify(&p->base, e));
    TRY(checkpoint_verify(&p->tuned, e));
    TRY(match(p, cell, node, skipped, a, e));
    int widest = 0;
    for (int64_t i = 0; i < p->layout.ntensors; i++) {
        int x = dtype_bits(p->of_base[i]->dtype) / 8, y = dtype_bits(p->of_tuned[i]->dtype) / 8;
        widest = x > widest ? x : widest;
        widest = y > widest ? y : widest;
    }
    char *raw;
    TRY(arena_array(a, "pair.raw", (int64_t)LAYOUT_BLOCK * widest, &raw, e));
    p->raw = raw;
    return ERR_OK;
}

/* One side of a block. Elements as wide as the compare type are read in place, and converted there if they
 * must be. */
static err_t read_side(const struct pair *p, struct checkpoint *c, const struct checkpoint_tensor *t,
                       int64_t first, int64_t n, void *out, struct err *e)
{
    void *to = dtype_bits(t->dtype) == 8 * arithmetic_bytes(p->arithmetic) ? out : p->raw;
    TRY(checkpoint_read(c, t, first, n, to, e));
    tensor_to_compare(p->arithmetic, t->dtype, to, n, out);
    return ERR_OK;
}

err_t pair_read(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e)
{
    if (t < 0 || t >= p->layout.ntensors || n < 0 || n > LAYOUT_BLOCK)
        return err_set(e, ERR_BUG, "%lld elements of tensor %lld of a pair of %lld were asked for",
                       (long long)n, (long long)t, (long long)p->layout.ntensors);
    TRY(read_side(p, &p->base, p->of_base[t], first, n, w0, e));
    return read_side(p, &p->tuned, p->of_tuned[t], first, n, w1, e);
}

void pair_close(struct pair *p)
{
    checkpoint_close(&p->base);
    checkpoint_close(&p->tuned);
}
