/* A format of the tests' own, in which a tensor lies in several pieces, with a writer for it; and the table
 * of formats that has it, which takes the program's place where a test includes this.
 *
 * A folder holds model.cut, a text, and the files that it names. Its lines:
 *     tensor NAME TYPE SHAPE                      then the pieces of it:
 *     box START SIZE FILE OFFSET STRIDES          of the tensor; STRIDES "-": row-major
 *     run FIRST COUNT FILE OFFSET -               of the row-major order of its elements */
#ifndef SINEW_TEST_CUT_H
#define SINEW_TEST_CUT_H

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "formats/format.h"
#include "formats/stored.h"

#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

enum { CUT_PIECES = 4096, CUT_TENSORS = 64 };

/* Index of the file in the list, which gets it where it is new; -1 with e set. */
static inline int cut_file(struct stored_list *list, const char *dir, const char *name, struct arena *a,
                           struct err *e)
{
    struct file_stamp stamp;
    char *path = path_join(a, dir, name, e);
    for (int64_t i = 0; path && i < list->nfiles; i++)
        if (strcmp(list->files[i].path, path) == 0)
            return (int)i;
    if (path && !file_stamp_of(path, &stamp))
        err_set(e, ERR_DATA, "%s: is not there", path);
    if (!path || e->code != ERR_OK ||
        stored_add_file(list, path, stamp.size_bytes, stamp.mtime_ns, hash_bytes(name, strlen(name)), a, e) !=
            ERR_OK)
        return -1;
    return (int)list->nfiles - 1;
}

/* One line of a piece; *flat: it is a run. */
static inline err_t cut_piece(struct stored_list *list, const char *line, const char *dir,
                              const struct stored_tensor *t, struct stored_piece *p, int *flat,
                              struct arena *a, struct err *e)
{
    char word[10], start[100], size[100], file[100], strides[100];
    long long offset;
    int n;
    if (sscanf(line, "%9s %99s %99s %99s %lld %99s", word, start, size, file, &offset, strides) != 6)
        return err_set(e, ERR_DATA, "%s: no piece", line);
    *p = (struct stored_piece){.dtype = t->dtype, .offset_bytes = offset};
    *flat = strcmp(word, "run") == 0;
    TRY(shape_parse(start, &n, p->start, e));
    TRY(shape_parse(size, &n, p->dims, e));
    if (strides[0] != '-') {
        int64_t *kept;
        TRY(arena_array(a, "cut.strides", TENSOR_MAX_NDIM, &kept, e));
        TRY(shape_parse(strides, &n, kept, e));
        p->strides = kept;
    }
    p->file = cut_file(list, dir, file, a, e);
    return e->code;
}

static inline err_t cut_tensor(struct stored_tensor *t, const char *line, struct arena *a, struct err *e)
{
    char name[200], type[20], shape[100];
    if (sscanf(line, "tensor %199s %19s %99s", name, type, shape) != 3)
        return err_set(e, ERR_DATA, "%s: no tensor", line);
    char *kept = arena_strdup(a, name, e), *module = arena_strdup(a, name, e);
    if (!kept || !module)
        return e->code;
    tensor_module(name, module, (int)strlen(name) + 1);
    *t = (struct stored_tensor){
        .name = kept, .module = module, .layer = tensor_layer(name), .dtype = dtype_find(type)};
    return shape_parse(shape, &t->ndim, t->dims, e);
}

/* One tensor and its pieces, from the line at *at on, which is moved behind them. */
static inline err_t cut_next(struct stored_list *list, char **at, const char *dir, struct arena *a,
                             struct err *e)
{
    struct stored_tensor *t = &list->tensors[list->ntensors++];
    struct stored_piece *v;
    int64_t n = 0;
    int flat = 0;
    TRY(cut_tensor(t, *at, a, e));
    TRY(arena_array(a, "cut.pieces", CUT_PIECES, &v, e));
    for (*at = strchr(*at, '\n') + 1; **at == 'b' || **at == 'r'; *at = strchr(*at, '\n') + 1)
        TRY(cut_piece(list, *at, dir, t, &v[n++], &flat, a, e));
    return stored_assemble(t, v, n, flat, list, dir, a, e);
}

static inline err_t cut_open(struct stored_list *out, const char *path, const struct choice *choice,
                             struct arena *a, struct err *e)
{
    (void)choice;
    char *text, *dir = path_dir(a, path, e);
    int64_t n;
    *out = (struct stored_list){0};
    TRY(e->code);
    TRY(file_read(a, path, 1 << 20, &text, &n, e));
    cut_file(out, dir, path_last(path), a, e);
    TRY(e->code);
    TRY(arena_array(a, "cut.tensors", CUT_TENSORS, &out->tensors, e));
    for (char *at = text; *at;)
        TRY(cut_next(out, &at, dir, a, e));
    return ERR_OK;
}

static const struct format cut_format = {
    .name = "cut", .endings = {".cut"}, .model = "model.cut", .open = cut_open};
extern const struct format format_safetensors;

const struct format *const format_table[] = {&cut_format, &format_safetensors, NULL};

/* ---- writing ---- */

enum cut_kind {
    CUT_ROWS,       /* chunks of ceil(n / parts) along the first axis, the last ones short or empty */
    CUT_COLUMNS,    /* the same along the last axis */
    CUT_GRID,       /* 2 x parts */
    CUT_RUNS,       /* chunks of ceil(n / parts) of all elements */
    CUT_TRANSPOSED, /* rows, each chunk with its first axis innermost */
    CUT_REPLICAS,   /* the grid, and all of it once more */
    CUT_KINDS
};

struct cut_writer {
    const char *dir;
    FILE *list;
    int file, nfiles; /* the next piece's; of so many */
};

/* 0, or -1. */
static inline int cut_begin(struct cut_writer *w, const char *dir, int nfiles)
{
    char path[400];
    *w = (struct cut_writer){.dir = dir, .nfiles = nfiles};
    if (mkdir(dir, 0777) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/model.cut", dir);
    w->list = fopen(path, "wb");
    return w->list ? 0 : -1;
}

static inline int cut_end(struct cut_writer *w)
{
    return fclose(w->list);
}

/* The next data file, open behind what it has and three more bytes, so that places are odd. */
static inline FILE *cut_data(struct cut_writer *w, char *name, size_t size)
{
    char path[400];
    snprintf(name, size, "rank-%d.bin", w->file++ % w->nfiles);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    FILE *f = fopen(path, "ab");
    if (f)
        fwrite("odd", 1, 3, f);
    return f;
}

/* A box of a row-major tensor; transposed: its first axis lies innermost. */
static inline void cut_box(struct cut_writer *w, const struct stored_tensor *t, const char *bytes,
                           const int64_t *start, const int64_t *size, int transposed)
{
    char name[40], from[200], dims[200], steps[200] = "-";
    int64_t n = 1, width = dtype_bits(t->dtype) / 8, strides[TENSOR_MAX_NDIM], step = 1;
    FILE *f = cut_data(w, name, sizeof name);
    for (int i = 0; i < t->ndim; i++) {
        n *= size[i];
        strides[i] = step;
        step *= size[i] > 0 ? size[i] : 1;
    }
    if (transposed && t->ndim > 1 && n > 0)
        shape_text(t->ndim, strides, steps, sizeof steps);
    fprintf(w->list, "box %s %s %s %ld %s\n", shape_text(t->ndim, start, from, sizeof from),
            shape_text(t->ndim, size, dims, sizeof dims), name, ftell(f), steps);
    for (int64_t k = 0; k < n; k++) {
        int64_t rest = k, at = 0, place = 0, row = 1;
        int64_t index[TENSOR_MAX_NDIM] = {0};
        for (int i = 0; i < t->ndim; i++) {
            int axis = steps[0] == '-' ? t->ndim - 1 - i : i; /* the innermost first */
            index[axis] = rest % size[axis];
            rest /= size[axis];
        }
        for (int i = t->ndim - 1; i >= 0; i--) {
            at += (start[i] + index[i]) * row;
            row *= t->dims[i];
        }
        place = at * width;
        fwrite(bytes + place, 1, (size_t)width, f);
    }
    fclose(f);
}

static inline void cut_run(struct cut_writer *w, const struct stored_tensor *t, const char *bytes,
                           int64_t first, int64_t n)
{
    char name[40];
    int64_t width = dtype_bits(t->dtype) / 8;
    FILE *f = cut_data(w, name, sizeof name);
    fprintf(w->list, "run %lld %lld %s %ld -\n", (long long)first, (long long)n, name, ftell(f));
    fwrite(bytes + first * width, 1, (size_t)(n * width), f);
    fclose(f);
}

/* All boxes of down x across chunks along the first and the last axis. */
static inline void cut_chunks(struct cut_writer *w, const struct stored_tensor *t, const char *bytes,
                              int64_t down, int64_t across, int transposed)
{
    int last = t->ndim - 1;
    int64_t start[TENSOR_MAX_NDIM] = {0}, size[TENSOR_MAX_NDIM];
    memcpy(size, t->dims, sizeof size);
    if (t->ndim == 0) {
        cut_box(w, t, bytes, start, size, 0);
        return;
    }
    if (last == 0) { /* the first axis is the last */
        down *= across;
        across = 1;
    }
    int64_t high = (t->dims[0] + down - 1) / down, wide = (t->dims[last] + across - 1) / across;
    for (int64_t i = 0; i < down; i++)
        for (int64_t k = 0; k < across; k++) {
            if (last > 0) {
                start[last] = k * wide < t->dims[last] ? k * wide : t->dims[last];
                size[last] = t->dims[last] - start[last] < wide ? t->dims[last] - start[last] : wide;
            }
            start[0] = i * high < t->dims[0] ? i * high : t->dims[0];
            size[0] = t->dims[0] - start[0] < high ? t->dims[0] - start[0] : high;
            cut_box(w, t, bytes, start, size, transposed);
        }
}

/* A tensor (name, type, shape; bytes row-major) in pieces of a kind. */
static inline void cut_add(struct cut_writer *w, const struct stored_tensor *t, const void *bytes,
                           enum cut_kind kind, int64_t parts)
{
    char shape[200];
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->dims[i];
    fprintf(w->list, "tensor %s %s %s\n", t->name, dtype_name(t->dtype),
            shape_text(t->ndim, t->dims, shape, sizeof shape));
    int64_t each = (n + parts - 1) / parts;
    switch (kind) {
    case CUT_RUNS:
        for (int64_t at = 0; at < n; at += each)
            cut_run(w, t, bytes, at, n - at < each ? n - at : each);
        break;
    case CUT_COLUMNS:
        cut_chunks(w, t, bytes, 1, parts, 0);
        break;
    case CUT_GRID:
    case CUT_REPLICAS:
        for (int i = 0; i < (kind == CUT_REPLICAS ? 2 : 1); i++)
            cut_chunks(w, t, bytes, 2, t->ndim > 1 ? parts : 1, 0);
        break;
    default:
        cut_chunks(w, t, bytes, parts, 1, kind == CUT_TRANSPOSED);
    }
}

#endif
