#include "formats/decoders/view.h"

#include "formats/strided.h"

#include <string.h>

enum { NDIM, OFFSET, DIMS, STRIDES = DIMS + VIEW_MAX_NDIM, VIEW_NUMBERS = STRIDES + VIEW_MAX_NDIM };
_Static_assert((int)VIEW_NUMBERS <= (int)DECODING_NUMBERS, "a decoding keeps a view");

/* ---- views ---- */

/* Does the view stay within a tensor of `elements`, and are its own as many as *n receives? */
static int fits(const struct view_shape *v, int64_t elements, int64_t *n)
{
    int64_t last = v->offset, step;
    *n = 1;
    if (v->ndim < 1 || v->ndim > VIEW_MAX_NDIM || v->offset < 0)
        return 0;
    for (int i = 0; i < v->ndim; i++) {
        if (v->dims[i] < 0 || v->strides[i] < 0 || __builtin_mul_overflow(*n, v->dims[i], n))
            return 0;
        if (__builtin_mul_overflow(v->dims[i] - (v->dims[i] > 0), v->strides[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return 0;
    }
    return *n == 0 || last < elements;
}

static struct view_shape shape_of(const struct decoding *d)
{
    struct view_shape v = {(int)d->numbers[NDIM], d->numbers[OFFSET], {0}, {0}};
    memcpy(v.dims, d->numbers + DIMS, sizeof v.dims);
    memcpy(v.strides, d->numbers + STRIDES, sizeof v.strides);
    return v;
}

static int view_valid(const struct decoding *d)
{
    const struct view_shape v = shape_of(d);
    int64_t n;
    return d->nhelpers == 1 && d->numbers[NDIM] == v.ndim && fits(&v, d->helpers[0]->elements, &n) &&
           n == d->of->elements && d->out == decoder_type(d->helpers[0]) && dtype_bits(d->out) % 8 == 0;
}

/* Strides over a file that has `of` whole, where it lies in one run and the axes are t's own. */
static err_t make_stored(struct stored_tensor *t, const struct stored_tensor *of, const struct view_shape *v,
                         struct arena *a, struct err *e)
{
    int64_t *strides;
    TRY(arena_array(a, "checkpoint.strides", v->ndim, &strides, e));
    memcpy(strides, v->strides, (size_t)v->ndim * sizeof *strides);
    t->dtype = of->dtype;
    t->file = of->file;
    t->offset_bytes = of->offset_bytes + v->offset * (dtype_bits(of->dtype) / 8);
    t->size_bytes = t->elements * (dtype_bits(of->dtype) / 8);
    int64_t step = 1;
    int in_order = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        in_order &= v->strides[i] == step || v->dims[i] == 1;
        step *= v->dims[i];
    }
    t->strides = in_order ? NULL : strides;
    return ERR_OK;
}

static int is_plain(const struct stored_tensor *t, const struct view_shape *v, const struct stored_tensor *of)
{
    int same = t->ndim == v->ndim && !of->decoding && !of->cut && !of->strides && of->file >= 0;
    for (int i = 0; same && i < t->ndim; i++)
        same = t->dims[i] == v->dims[i];
    return same && t->elements > 0;
}

err_t view_make(struct stored_tensor *t, const struct stored_tensor *of, const struct view_shape *view,
                struct arena *a, struct err *e)
{
    int64_t n;
    if (!fits(view, of->elements, &n) || n != t->elements || dtype_bits(decoder_type(of)) % 8 != 0)
        return err_set(
            e, ERR_DATA, "tensor %s, of %lld elements: is no part of tensor %s, which has %lld of %s",
            t->name, (long long)t->elements, of->name, (long long)of->elements, dtype_name(decoder_type(of)));
    if (is_plain(t, view, of))
        return make_stored(t, of, view, a, e);
    struct decoding *d;
    t->file = STORED_NOWHERE;
    TRY(decoder_derive(t, &decoder_view, decoder_type(of), a, &d, e));
    TRY(decoding_add_helper(d, of, a, e));
    d->problem = of->decoding ? of->decoding->problem : NULL;
    d->numbers[NDIM] = view->ndim;
    d->numbers[OFFSET] = view->offset;
    memcpy(d->numbers + DIMS, view->dims, sizeof view->dims);
    memcpy(d->numbers + STRIDES, view->strides, sizeof view->strides);
    return ERR_OK;
}

static int64_t view_scratch(const struct decoding *d, int64_t n)
{
    return decoder_nested_bytes(d->helpers[0], n);
}

/* The helper's numbers as if they lay in a file: a strided_source. */
struct viewed {
    const struct stored_tensor *of;
    const struct stored_source *from;
    struct decoder_scratch *scratch;
    int64_t width, most;
};

static err_t read_viewed(void *arg, int64_t at, int64_t bytes, void *buf, struct err *e)
{
    const struct viewed *v = arg;
    int64_t first = at / v->width, n = bytes / v->width;
    for (int64_t done = 0; done < n;) {
        int64_t part = n - done < v->most ? n - done : v->most;
        TRY(decoder_numbers(v->of, v->from, first + done, part, v->scratch, (char *)buf + done * v->width,
                            e));
        done += part;
    }
    return ERR_OK;
}

static err_t view_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                       struct decoder_scratch *s, void *out, struct err *e)
{
    static const int64_t zeros[VIEW_MAX_NDIM];
    const struct view_shape v = shape_of(d);
    int64_t width = dtype_bits(d->out) / 8, span = 1;
    for (int i = 0; i < v.ndim; i++)
        span += (v.dims[i] - 1) * v.strides[i];
    struct viewed of = {d->helpers[0], from, decoder_nested(d->helpers[0], s, 0), width, s->most};
    const struct strided_view view = {v.ndim,    v.dims,           zeros,        v.dims,
                                      v.strides, v.offset * width, span * width, width};
    return strided_read_box(&view, first, n, &(struct strided_source){read_viewed, &of}, out, e);
}

const struct decoder decoder_view = {
    .name = "view",
    .helper = "source",
    .valid = view_valid,
    .scratch_bytes = view_scratch,
    .read = view_read,
};

/* ---- joins ---- */

static int join_valid(const struct decoding *d)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->nhelpers; i++)
        if (decoder_type(d->helpers[i]) != d->out || __builtin_add_overflow(n, d->helpers[i]->elements, &n))
            return 0;
    return d->nhelpers > 0 && n == d->of->elements && dtype_bits(d->out) % 8 == 0;
}

err_t join_make(struct stored_tensor *t, const struct stored_tensor *const *parts, int64_t n, struct arena *a,
                struct err *e)
{
    struct decoding *d;
    if (n < 1)
        return err_set(e, ERR_DATA, "tensor %s: no part of it was found", t->name);
    t->file = STORED_NOWHERE;
    TRY(decoder_derive(t, &decoder_join, decoder_type(parts[0]), a, &d, e));
    for (int64_t i = 0; i < n; i++) {
        TRY(decoding_add_helper(d, parts[i], a, e));
        if (!d->problem && parts[i]->decoding)
            d->problem = parts[i]->decoding->problem;
    }
    if (join_valid(d))
        return ERR_OK;
    return err_set(e, ERR_DATA,
                   "tensor %s, of %lld elements of %s: its %lld parts, %s the first, have other types or do "
                   "not add up",
                   t->name, (long long)t->elements, dtype_name(d->out), (long long)n, parts[0]->name);
}

static int64_t join_scratch(const struct decoding *d, int64_t n)
{
    int64_t most = 0;
    for (int64_t i = 0; i < d->nhelpers; i++) {
        int64_t bytes = decoder_nested_bytes(d->helpers[i], n);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static err_t join_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                       struct decoder_scratch *s, void *out, struct err *e)
{
    int64_t start = 0, width = dtype_bits(d->out) / 8;
    for (int64_t i = 0; i < d->nhelpers && start < first + n; i++) {
        const struct stored_tensor *t = d->helpers[i];
        int64_t low = first > start ? first : start;
        int64_t high = first + n < start + t->elements ? first + n : start + t->elements;
        if (low < high)
            TRY(decoder_numbers(t, from, low - start, high - low, decoder_nested(t, s, 0),
                                (char *)out + (low - first) * width, e));
        start += t->elements;
    }
    return ERR_OK;
}

const struct decoder decoder_join = {
    .name = "join",
    .helper = "part",
    .valid = join_valid,
    .scratch_bytes = join_scratch,
    .read = join_read,
};

/* ---- casts ---- */

static int cast_valid(const struct decoding *d)
{
    return d->nhelpers == 0 && d->of->file >= 0 && d->out == DTYPE_BF16 &&
           (d->of->dtype == DTYPE_F32 || d->of->dtype == DTYPE_F64);
}

err_t cast_make(struct stored_tensor *t, struct arena *a, struct err *e)
{
    struct decoding *d;
    if (t->file < 0 || t->decoding || (t->dtype != DTYPE_F32 && t->dtype != DTYPE_F64))
        return ERR_OK;
    return decoder_derive(t, &decoder_cast, DTYPE_BF16, a, &d, e);
}

static int64_t cast_scratch(const struct decoding *d, int64_t n)
{
    return n * (dtype_bits(d->of->dtype) / 8);
}

static err_t cast_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                       struct decoder_scratch *s, void *out, struct err *e)
{
    TRY(from->read(from->arg, d->of, first, n, s->v, e));
    tensor_to_compare(ARITHMETIC_BF16, d->of->dtype, s->v, n, out);
    return ERR_OK;
}

const struct decoder decoder_cast = {
    .name = "cast",
    .helper = "source",
    .valid = cast_valid,
    .scratch_bytes = cast_scratch,
    .read = cast_read,
};
