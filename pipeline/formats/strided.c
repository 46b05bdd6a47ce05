#include "formats/strided.h"

#include <string.h>

enum {
    WINDOW_BYTES = 1 << 16,
    DIRECT_BYTES = 1 << 14, /* a run of as many that lies alike on both sides is read without the window */
    GAP_BYTES = 4096        /* a gap of less is read over: asking again costs more than a page */
};

/* One axis of a box: how many, how far apart in the file and in the buffer. In elements. */
struct strided_axis {
    int64_t n, stride, step;
};

struct strided_walk {
    const struct strided_view *view;
    const struct strided_source *source;
    unsigned char *out;
    int64_t width, first,
        end;          /* bytes per element; element at the start of out; byte behind the tensor's last */
    int64_t at, have; /* what of the file the window holds */
    unsigned char window[WINDOW_BYTES];
};

/* n bytes from byte `at` of the file, at most WINDOW_BYTES. ahead: more will follow close behind. */
static err_t look(struct strided_walk *g, int64_t at, int64_t n, int ahead, const unsigned char **p,
                  struct err *e)
{
    if (at < g->at || at + n > g->at + g->have) {
        int64_t most = g->end - at < WINDOW_BYTES ? g->end - at : WINDOW_BYTES, bytes = ahead ? most : n;
        g->have = 0;
        TRY(g->source->read(g->source->arg, at, bytes, g->window, e));
        g->at = at;
        g->have = bytes;
    }
    *p = g->window + (at - g->at);
    return ERR_OK;
}

/* n elements, `from` and `to` bytes apart. */
static void copy(const unsigned char *in, int64_t from, unsigned char *out, int64_t to, int64_t n,
                 int64_t width)
{
    if (from == width && to == width) { /* a row of a box */
        memcpy(out, in, (size_t)(n * width));
        return;
    }
    switch (width) { /* of known size, so that the copies become moves */
    case 1:
        for (int64_t i = 0; i < n; i++)
            out[i * to] = in[i * from];
        break;
    case 2:
        for (int64_t i = 0; i < n; i++)
            memcpy(out + i * to, in + i * from, 2);
        break;
    case 4:
        for (int64_t i = 0; i < n; i++)
            memcpy(out + i * to, in + i * from, 4);
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            memcpy(out + i * to, in + i * from, (size_t)width);
        break;
    }
}

/* Elements along one axis, from element `place` of the tensor's file on, to element `to` of out. */
static err_t read_run(struct strided_walk *g, const struct strided_axis *x, int64_t place, int64_t to,
                      int ahead, struct err *e)
{
    int64_t stride = x->stride * g->width, most = x->n;
    if (x->stride == 1 && x->step == 1 && x->n * g->width >= DIRECT_BYTES)
        return g->source->read(g->source->arg, g->view->offset_bytes + place * g->width, x->n * g->width,
                               g->out + to * g->width, e);
    if (stride >= GAP_BYTES)
        most = 1;
    else if (stride > 0)
        most = 1 + (WINDOW_BYTES - g->width) / stride;
    for (int64_t i = 0; i < x->n; i += most) {
        int64_t n = x->n - i < most ? x->n - i : most;
        int64_t at = g->view->offset_bytes + (place + i * x->stride) * g->width;
        const unsigned char *p = NULL;
        TRY(look(g, at, (n - 1) * stride + g->width, ahead, &p, e));
        copy(p, stride, g->out + (to + i * x->step) * g->width, x->step * g->width, n, g->width);
    }
    return ERR_OK;
}

/* A box: all combinations of its axes, from element `place` of the file to element `to` of out. */
static err_t read_box(struct strided_walk *g, struct strided_axis *axes, int naxes, int64_t place, int64_t to,
                      struct err *e)
{
    int n = 0;
    for (int i = 0; i < naxes; i++) { /* insertion, smallest stride first: the order of the file */
        struct strided_axis x = axes[i];
        if (x.n == 1)
            continue;
        int k = n++;
        for (; k > 0 && axes[k - 1].stride > x.stride; k--)
            axes[k] = axes[k - 1];
        axes[k] = x;
    }
    if (n == 0)
        axes[n++] = (struct strided_axis){1, 0, 1};
    int64_t index[TENSOR_MAX_NDIM] = {0};
    int64_t gap = n > 1 ? (axes[1].stride - (axes[0].n - 1) * axes[0].stride) * g->width : GAP_BYTES;
    for (;;) {
        TRY(read_run(g, &axes[0], place, to, gap < GAP_BYTES, e));
        int i = 1;
        for (; i < n && ++index[i] == axes[i].n; i++) {
            index[i] = 0;
            place -= (axes[i].n - 1) * axes[i].stride;
            to -= (axes[i].n - 1) * axes[i].step;
        }
        if (i >= n)
            return ERR_OK;
        place += axes[i].stride;
        to += axes[i].step;
    }
}

/* The part of a box of the tensor, n[i] indices from low[i] on along each axis, that lies in the view's. */
static err_t read_part(struct strided_walk *g, const int64_t *low, const int64_t *n, struct err *e)
{
    const struct strided_view *v = g->view;
    struct strided_axis axes[TENSOR_MAX_NDIM];
    int64_t step = 1, place = 0, to = -g->first;
    for (int i = v->ndim - 1; i >= 0; i--) {
        int64_t from = low[i] > v->start[i] ? low[i] : v->start[i];
        int64_t end = min64(low[i] + n[i], v->start[i] + v->size[i]);
        if (from >= end)
            return ERR_OK;
        axes[i] = (struct strided_axis){end - from, v->strides[i], step};
        place += (from - v->start[i]) * v->strides[i];
        to += from * step;
        step *= v->dims[i];
    }
    return read_box(g, axes, v->ndim, place, to, e);
}

/* Elements [low, high) of the subtensor of axes axis, axis+1, ... at the indices at[0..axis-1] of those
 * before. Boxes: what the range has of the first index, all it has whole, and what it has of the last. As
 * deep as the tensor has axes. */
static err_t read_range(struct strided_walk *g, int axis, int64_t low, int64_t high, int64_t *at,
                        struct err *e)
{
    const struct strided_view *v = g->view;
    int64_t row = 1, n[TENSOR_MAX_NDIM];
    for (int i = axis + 1; i < v->ndim; i++)
        row *= v->dims[i];
    while (low < high) {
        int64_t index = low / row, within = low % row, whole = (high - low) / row;
        at[axis] = index;
        if (within == 0 && whole > 0) {
            for (int i = 0; i < v->ndim; i++) {
                n[i] = i < axis ? 1 : i == axis ? whole : v->dims[i];
                at[i] = i > axis ? 0 : at[i];
            }
            TRY(read_part(g, at, n, e));
            low += whole * row;
        } else {
            int64_t end = (index + 1) * row < high ? (index + 1) * row : high;
            if (index >= v->start[axis] && index < v->start[axis] + v->size[axis])
                TRY(read_range(g, axis + 1, within, end - index * row, at, e));
            low = end;
        }
    }
    return ERR_OK;
}

err_t strided_read_box(const struct strided_view *view, int64_t first, int64_t n,
                       const struct strided_source *source, void *buf, struct err *e)
{
    struct strided_walk g;
    int64_t at[TENSOR_MAX_NDIM];
    g.view = view;
    g.source = source;
    g.out = buf;
    g.width = view->width;
    g.first = first;
    g.end = view->offset_bytes + view->span_bytes;
    g.at = g.have = 0;
    if (n == 0) /* also of a scalar, which read_box would give whole */
        return ERR_OK;
    if (view->ndim == 0)
        return read_box(&g, (struct strided_axis[1]){{1, 0, 1}}, 1, 0, 0, e);
    return read_range(&g, 0, first, first + n, at, e);
}

err_t strided_read(const struct stored_tensor *t, int64_t first, int64_t n,
                   const struct strided_source *source, void *buf, struct err *e)
{
    static const int64_t zeros[TENSOR_MAX_NDIM];
    const struct strided_view view = {t->ndim,    t->dims,         zeros,          t->dims,
                                      t->strides, t->offset_bytes, stored_span(t), dtype_bits(t->dtype) / 8};
    return strided_read_box(&view, first, n, source, buf, e);
}

void strided_range(const struct stored_tensor *t, int64_t first, int64_t n, int64_t *at, int64_t *bytes)
{
    int64_t row = 1, low = 0, rest = 0; /* rows of the first axis that the range touches, each whole */
    for (int i = 1; i < t->ndim; i++) {
        row *= t->dims[i];
        rest += (t->dims[i] - 1) * t->strides[i];
    }
    if (t->ndim > 0) {
        low = first / row * t->strides[0];
        rest += (first + n - 1) / row * t->strides[0] - low;
    }
    int64_t width = dtype_bits(t->dtype) / 8;
    *at = t->offset_bytes + low * width;
    *bytes = (rest + 1) * width;
}
