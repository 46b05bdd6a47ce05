#include "formats/stored.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

static int by_name_then_file(const void *a, const void *b)
{
    const struct stored_tensor *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : (x->file > y->file) - (x->file < y->file);
}

void stored_sort(struct stored_list *list)
{
    if (list->ntensors > 0)
        qsort(list->tensors, (size_t)list->ntensors, sizeof *list->tensors, by_name_then_file);
}

err_t stored_add_file(struct stored_list *list, const char *path, int64_t size_bytes, int64_t mtime_ns,
                      uint64_t header_hash, struct arena *a, struct err *e)
{
    if (list->files_cap < list->nfiles) /* made in one piece, as by stored_join */
        list->files_cap = list->nfiles;
    TRY(arena_grow(a, "checkpoint.files", list->nfiles + 1, &list->files_cap, &list->files, e));
    list->files[list->nfiles++] = (struct stored_file){
        .path = path, .size_bytes = size_bytes, .mtime_ns = mtime_ns, .header_hash = header_hash, .fd = -1};
    return ERR_OK;
}

err_t stored_join(struct stored_list *out, const struct stored_list *parts, int64_t n, struct arena *a,
                  struct err *e)
{
    int64_t ntensors = 0, nfiles = 0;
    *out = (struct stored_list){0};
    for (int64_t i = 0; i < n; i++) {
        ntensors += parts[i].ntensors;
        nfiles += parts[i].nfiles;
    }
    TRY(arena_array(a, "checkpoint.files", nfiles, &out->files, e));
    TRY(arena_array(a, "checkpoint.tensors", ntensors, &out->tensors, e));
    for (int64_t i = 0; i < n; i++) {
        const struct stored_list *part = &parts[i];
        out->simulated = out->simulated ? out->simulated : part->simulated;
        for (int64_t k = 0; k < part->ntensors; k++) {
            struct stored_tensor *t = &out->tensors[out->ntensors++];
            *t = part->tensors[k];
            t->file += t->file >= 0 ? (int)out->nfiles : 0;
            for (int64_t m = 0; t->cut && m < t->cut->n; m++)
                t->cut->v[m].file += (int)out->nfiles;
        }
        for (int64_t k = 0; k < part->nfiles; k++)
            out->files[out->nfiles++] = part->files[k];
        arena_drop(a, part->tensors);
    }
    stored_sort(out);
    return ERR_OK;
}

const struct stored_tensor *stored_find(const struct stored_tensor *tensors, int64_t n, const char *name)
{
    int64_t low = 0, high = n - 1;
    while (low <= high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, tensors[middle].name);
        if (order == 0)
            return &tensors[middle];
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct stored_tensor *stored_find_named(const struct stored_list *list, const char *name,
                                              const char *end, const char *by, struct arena *a, struct err *e)
{
    const struct stored_tensor *t = NULL;
    if (!text_ends_with(name, end))
        return NULL;
    char *other = arena_printf(a, e, "%.*s%s", (int)(strlen(name) - strlen(end)), name, by);
    if (other)
        t = stored_find(list->tensors, list->ntensors, other);
    arena_drop(a, other);
    return t;
}

/* ---- places ---- */

/* Bytes from the first element of a box to behind its last; -1 where that overflows. None of dims is 0. */
static int64_t span_of(int ndim, const int64_t *dims, const int64_t *strides, enum dtype dtype)
{
    int64_t last = 0, bytes;
    for (int i = 0; i < ndim; i++)
        if (strides[i] < 0 || __builtin_mul_overflow(dims[i] - 1, strides[i], &bytes) ||
            __builtin_add_overflow(last, bytes, &last))
            return -1;
    return __builtin_add_overflow(last, 1, &last) ||
                   __builtin_mul_overflow(last, dtype_bits(dtype) / 8, &bytes)
               ? -1
               : bytes;
}

int64_t stored_span(const struct stored_tensor *t)
{
    return !t->strides || t->elements == 0 ? t->size_bytes : span_of(t->ndim, t->dims, t->strides, t->dtype);
}

int stored_in_runs(const struct stored_tensor *t)
{
    return t->file >= 0 && (t->cut ? t->cut->flat : !t->strides);
}

int64_t stored_piece_from(const struct stored_cut *cut, int64_t at)
{
    int64_t low = 0, high = cut->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (cut->reach[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- pieces: each by itself ---- */

/* The work of stored_assemble. dims: what the pieces are boxes of, 1 where it has no axis. */
struct assembly {
    struct stored_tensor *t;
    struct stored_piece *v;
    int64_t n;
    int flat, ndim;
    int64_t dims[TENSOR_MAX_NDIM], steps[TENSOR_MAX_NDIM]; /* steps: elements to the next index of an axis */
    const struct stored_list *files;
    const char *path;
};

/* Elements and bytes from shape and type. */
static err_t count(struct assembly *g, struct err *e)
{
    struct stored_tensor *t = g->t;
    char shape[200];
    int64_t n = 1, bits;
    int overflow = 0;
    for (int i = 0; i < t->ndim; i++)
        overflow |= t->dims[i] < 0 || __builtin_mul_overflow(n, t->dims[i], &n);
    overflow |= __builtin_mul_overflow(n, (int64_t)dtype_bits(t->dtype), &bits);
    if (overflow)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: shape %s of %s overflows: expected a size of at most 64 bits", g->path,
                       t->name, shape_text(t->ndim, t->dims, shape, sizeof shape), dtype_name(t->dtype));
    if (dtype_bits(t->dtype) % 8 != 0)
        return err_set(e, ERR_DATA, "%s: tensor %s: type %s of %d bits in pieces: expected whole bytes",
                       g->path, t->name, dtype_name(t->dtype), dtype_bits(t->dtype));
    t->elements = n;
    t->size_bytes = bits / 8;
    g->ndim = g->flat ? 1 : t->ndim;
    for (int i = 0; i < TENSOR_MAX_NDIM; i++)
        g->dims[i] = i >= g->ndim ? 1 : g->flat ? n : t->dims[i];
    int64_t step = 1;
    for (int i = TENSOR_MAX_NDIM - 1; n > 0 && i >= 0; i--) { /* without elements they may overflow */
        g->steps[i] = step;
        step *= g->dims[i];
    }
    return ERR_OK;
}

static err_t check_box(const struct assembly *g, const struct stored_piece *p, struct err *e)
{
    char start[200], size[200], shape[200];
    int outside = 0;
    for (int i = 0; i < g->ndim; i++)
        outside |= p->start[i] < 0 || p->dims[i] < 0 || p->start[i] > g->dims[i] ||
                   p->dims[i] > g->dims[i] - p->start[i];
    if (!outside)
        return ERR_OK;
    return err_set(e, ERR_DATA, "%s: tensor %s: a piece of shape %s from %s on leaves the tensor's %s%s",
                   g->path, g->t->name, shape_text(g->ndim, p->dims, size, sizeof size),
                   shape_text(g->ndim, p->start, start, sizeof start),
                   shape_text(g->ndim, g->dims, shape, sizeof shape), g->flat ? " elements" : "");
}

/* Fills in the span, and whether it lies within the file. */
static err_t check_place(const struct assembly *g, struct stored_piece *p, struct err *e)
{
    const struct stored_tensor *t = g->t;
    char size[200];
    int64_t n = 1;
    if (p->file < 0 || p->file >= g->files->nfiles)
        return err_set(e, ERR_DATA, "%s: tensor %s: a piece lies in file %d of %lld", g->path, t->name,
                       p->file, (long long)g->files->nfiles);
    const struct stored_file *f = &g->files->files[p->file];
    if (p->dtype != t->dtype)
        return err_set(e, ERR_DATA, "%s: tensor %s: a piece of type %s in %s: expected the tensor's, %s",
                       g->path, t->name, dtype_name(p->dtype), f->path, dtype_name(t->dtype));
    for (int i = 0; i < g->ndim; i++)
        n *= p->dims[i]; /* at most the tensor's */
    p->span_bytes = n == 0 || !p->strides || g->flat ? n * (dtype_bits(t->dtype) / 8)
                                                     : span_of(g->ndim, p->dims, p->strides, t->dtype);
    if (p->span_bytes < 0 || p->offset_bytes < 0 || p->offset_bytes > f->size_bytes ||
        p->span_bytes > f->size_bytes - p->offset_bytes)
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s: a piece of shape %s from byte %lld on leaves its file %s of %lld bytes", g->path,
            t->name, shape_text(g->ndim, p->dims, size, sizeof size), (long long)p->offset_bytes, f->path,
            (long long)f->size_bytes);
    return ERR_OK;
}

static int compare_numbers(const int64_t *x, const int64_t *y)
{
    for (int i = 0; i < TENSOR_MAX_NDIM; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

static int same_box(const struct stored_piece *x, const struct stored_piece *y)
{
    return compare_numbers(x->start, y->start) == 0 && compare_numbers(x->dims, y->dims) == 0;
}

/* By box; the same box by file and place, so that the order does not depend on the sort. */
static int by_box(const void *a, const void *b)
{
    const struct stored_piece *x = a, *y = b;
    int c = compare_numbers(x->start, y->start);
    c = c ? c : compare_numbers(x->dims, y->dims);
    c = c ? c : (x->file > y->file) - (x->file < y->file);
    return c ? c : (x->offset_bytes > y->offset_bytes) - (x->offset_bytes < y->offset_bytes);
}

/* Checks the pieces, sorts them, and takes empty ones and replicas out. */
static err_t tidy(struct assembly *g, struct err *e)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < g->n; i++) {
        struct stored_piece *p = &g->v[i];
        int empty = 0;
        TRY(check_box(g, p, e));
        TRY(check_place(g, p, e));
        for (int k = 0; k < TENSOR_MAX_NDIM; k++) {
            p->start[k] = k < g->ndim ? p->start[k] : 0;
            p->dims[k] = k < g->ndim ? p->dims[k] : 1;
            empty |= p->dims[k] == 0;
        }
        if (!empty)
            g->v[kept++] = *p;
    }
    if (kept > 0)
        qsort(g->v, (size_t)kept, sizeof *g->v, by_box);
    g->n = 0;
    for (int64_t i = 0; i < kept; i++)
        if (g->n == 0 || !same_box(&g->v[g->n - 1], &g->v[i]))
            g->v[g->n++] = g->v[i];
    return ERR_OK;
}

/* ---- pieces: all together ---- */

/* How often elements are covered is a sum of steps: a box adds one at its first corner, takes one away where
 * it ends along one axis, adds one again where it ends along two, and so on. Every element lies in exactly
 * one box if and only if these steps are, place by place, those of the whole tensor; and the first place in
 * row-major order where they are not is the first element that is covered otherwise, by as much. Sorting
 * finds it. */
struct corner {
    int64_t at; /* element */
    int step;
};

static int by_place(const void *a, const void *b)
{
    const struct corner *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Axes along which any piece is shorter than the tensor. */
static int cut_axes(const struct assembly *g, int *axes)
{
    int n = 0;
    for (int i = 0; i < g->ndim; i++) {
        int cut = 0;
        for (int64_t k = 0; k < g->n && !cut; k++)
            cut = g->v[k].dims[i] != g->dims[i];
        if (cut)
            axes[n++] = i;
    }
    return n;
}

/* The corners of one piece, but for those at the tensor's own end, behind which there is nothing. */
static int64_t corners_of(const struct assembly *g, const struct stored_piece *p, const int *axes, int naxes,
                          struct corner *out)
{
    int64_t n = 0;
    for (unsigned ends = 0; ends < 1u << naxes; ends++) {
        struct corner c = {0, 1};
        int beyond = 0;
        for (int i = 0; i < TENSOR_MAX_NDIM; i++)
            c.at += p->start[i] * g->steps[i];
        for (int k = 0; k < naxes; k++)
            if (ends >> k & 1) {
                int i = axes[k];
                beyond |= p->start[i] + p->dims[i] == g->dims[i];
                c.at += beyond ? 0 : p->dims[i] * g->steps[i];
                c.step = -c.step;
            }
        if (!beyond)
            out[n++] = c;
    }
    return n;
}

/* The first element that does not lie in exactly one piece, -1 where there is none, and in how many it does.
 */
static err_t find_fault(const struct assembly *g, const int *axes, int naxes, int64_t *at, int64_t *times,
                        struct arena *a, struct err *e)
{
    struct corner *v;
    int64_t n = 0;
    *at = -1;
    *times = 1;
    TRY(arena_array(a, "checkpoint.corners", (g->n << naxes) + 1, &v, e));
    v[n++] = (struct corner){0, -1}; /* of the tensor itself: what the pieces' must sum to */
    for (int64_t i = 0; i < g->n; i++)
        n += corners_of(g, &g->v[i], axes, naxes, v + n);
    qsort(v, (size_t)n, sizeof *v, by_place);
    for (int64_t i = 0; i < n && *at < 0;) {
        int64_t place = v[i].at, sum = 0;
        for (; i < n && v[i].at == place; i++)
            sum += v[i].step;
        if (sum != 0) {
            *at = place;
            *times = 1 + sum;
        }
    }
    arena_drop(a, v);
    return ERR_OK;
}

/* Says which elements from `at` on are covered as that one is, up to the next place along the last cut axis
 * where a piece begins or ends. */
static err_t refuse_cover(const struct assembly *g, int axis, int64_t at, int64_t times, struct err *e)
{
    const struct stored_piece *in[2] = {NULL, NULL};
    int64_t index[TENSOR_MAX_NDIM], rest = at, next = g->dims[axis];
    for (int i = 0; i < TENSOR_MAX_NDIM; i++) {
        index[i] = rest / g->steps[i];
        rest %= g->steps[i];
    }
    for (int64_t k = 0; k < g->n; k++) {
        const struct stored_piece *p = &g->v[k];
        int beside = 0;
        for (int i = 0; i < axis; i++)
            beside |= index[i] < p->start[i] || index[i] >= p->start[i] + p->dims[i];
        int64_t begin = p->start[axis], end = begin + p->dims[axis];
        if (beside || end <= index[axis])
            continue;
        next = min64(next, begin > index[axis] ? begin : end);
        if (begin <= index[axis] && !in[1])
            in[in[0] != NULL] = p;
    }
    char shape[200];
    const struct stored_tensor *t = g->t;
    long long last = (long long)(at + (next - index[axis]) * g->steps[axis] - 1);
    shape_text(t->ndim, t->dims, shape, sizeof shape);
    if (times < 1)
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s: elements %lld to %lld of %lld (shape %s) lie in none of its %lld pieces: "
            "expected each in exactly one",
            g->path, t->name, (long long)at, last, (long long)t->elements, shape, (long long)g->n);
    return err_set(
        e, ERR_DATA,
        "%s: tensor %s: elements %lld to %lld of %lld (shape %s) lie in %lld pieces, of %s and %s: "
        "expected each in exactly one",
        g->path, t->name, (long long)at, last, (long long)t->elements, shape, (long long)times,
        in[0] ? g->files->files[in[0]->file].path : "", in[1] ? g->files->files[in[1]->file].path : "");
}

/* Is the piece a run of the tensor's row-major order? Then behind the first axis along which it has more than
 * one index, it has all. */
static int is_run(const struct assembly *g, const struct stored_piece *p)
{
    int i = 0;
    while (i < g->ndim && p->dims[i] == 1)
        i++;
    for (i++; i < g->ndim; i++)
        if (p->dims[i] != g->dims[i])
            return 0;
    return !p->strides;
}

/* Boxes that are all runs, as a flat cut: what can be read without a walk. */
static void flatten(struct assembly *g)
{
    for (int64_t k = 0; k < g->n; k++)
        if (!is_run(g, &g->v[k]))
            return;
    for (int64_t k = 0; k < g->n; k++) {
        struct stored_piece *p = &g->v[k];
        int64_t at = 0, n = 1;
        for (int i = 0; i < TENSOR_MAX_NDIM; i++) {
            at += p->start[i] * g->steps[i];
            n *= p->dims[i];
            p->start[i] = 0;
            p->dims[i] = 1;
        }
        p->start[0] = at;
        p->dims[0] = n;
    }
    g->flat = 1;
}

static err_t keep(struct assembly *g, struct arena *a, struct err *e)
{
    struct stored_cut *cut;
    TRY(arena_array(a, "checkpoint.cuts", 1, &cut, e));
    TRY(arena_array(a, "checkpoint.cuts", g->n, &cut->reach, e));
    flatten(g);
    cut->flat = g->flat;
    cut->n = g->n;
    cut->v = g->v;
    for (int64_t i = 0; i < g->n; i++) {
        int64_t end = g->v[i].start[0] + g->v[i].dims[0];
        cut->reach[i] = i > 0 && cut->reach[i - 1] > end ? cut->reach[i - 1] : end;
    }
    g->t->cut = cut;
    return ERR_OK;
}

err_t stored_assemble(struct stored_tensor *t, struct stored_piece *v, int64_t n, int flat,
                      const struct stored_list *files, const char *path, struct arena *a, struct err *e)
{
    struct assembly g = {.t = t, .v = v, .n = n, .flat = flat, .files = files, .path = path};
    int axes[TENSOR_MAX_NDIM];
    TRY(count(&g, e));
    t->file = n > 0 ? v[0].file : 0;
    t->offset_bytes = n > 0 ? v[0].offset_bytes : 0;
    t->strides = NULL;
    t->cut = NULL;
    TRY(tidy(&g, e));
    if (t->elements == 0)
        return ERR_OK;
    int naxes = cut_axes(&g, axes);
    int64_t at = -1, times;
    TRY(find_fault(&g, axes, naxes, &at, &times, a, e));
    if (at >= 0)
        return refuse_cover(&g, naxes > 0 ? axes[naxes - 1] : 0, at, times, e);
    t->file = g.v[0].file;
    t->offset_bytes = g.v[0].offset_bytes;
    if (g.n > 1)
        return keep(&g, a, e);
    t->strides = flat ? NULL : g.v[0].strides;
    return ERR_OK;
}
