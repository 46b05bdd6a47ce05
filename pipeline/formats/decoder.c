#include "formats/decoder.h"

#include <string.h>

extern const struct decoder decoder_fp8;

static const struct decoder *const decoders[] = {
    &decoder_fp8,
    NULL,
};

/* ---- resolving ---- */

static const struct decoder *taking(const struct stored_tensor *t)
{
    for (const struct decoder *const *d = decoders; *d; d++)
        if ((*d)->takes(t))
            return *d;
    return NULL;
}

/* What serves one tensor may be decoded itself; what it is for others goes first. */
static void mark(struct stored_list *list, const struct decoding *d)
{
    for (int k = 0; k < d->nhelpers; k++)
        list->tensors[d->helpers[k] - list->tensors].decoding = d;
}

err_t decoder_resolve(struct stored_list *list, struct arena *a, struct err *e)
{
    struct decoding *room;
    int64_t n = 0;
    for (int64_t i = 0; i < list->ntensors; i++)
        n += !list->tensors[i].decoding && taking(&list->tensors[i]) != NULL;
    if (n == 0)
        return ERR_OK;
    TRY(arena_array(a, "checkpoint.decodings", n, &room, e));
    const struct decoding *first = room;
    for (int64_t i = 0; i < list->ntensors; i++) {
        struct stored_tensor *t = &list->tensors[i];
        const struct decoder *by = t->decoding ? NULL : taking(t);
        if (!by)
            continue;
        *room = (struct decoding){.by = by, .of = t};
        TRY(by->resolve(room, list, a, e));
        t->decoding = room++;
    }
    for (const struct decoding *d = first; d < room; d++)
        mark(list, d);
    return ERR_OK;
}

/* ---- asking ---- */

const struct decoding *decoder_decoding(const struct stored_tensor *t)
{
    return t->decoding && t->decoding->of == t ? t->decoding : NULL;
}

const struct decoding *decoder_served(const struct stored_tensor *t)
{
    return t->decoding && t->decoding->of != t ? t->decoding : NULL;
}

int decoder_is_number(const struct stored_tensor *t)
{
    return dtype_is_compared(t->dtype) || decoder_decoding(t);
}

enum dtype decoder_type(const struct stored_tensor *t)
{
    const struct decoding *d = decoder_decoding(t);
    return d ? d->by->out : t->dtype;
}

int64_t decoder_scratch_bytes(const struct stored_tensor *t, int64_t n)
{
    const struct decoding *d = decoder_decoding(t);
    return d && !d->problem ? d->by->scratch_bytes(n) : 0;
}

/* ---- reading ---- */

err_t decoder_read(const struct stored_tensor *t, const struct stored_source *from, int64_t first, int64_t n,
                   struct decoder_scratch *s, void *out, struct err *e)
{
    const struct decoding *d = decoder_decoding(t);
    if (!d || d->problem || first < 0 || n < 0 || n > s->most || first > t->elements - n ||
        s->bytes < d->by->scratch_bytes(s->most))
        return err_set(e, ERR_BUG, "%lld decoded elements from %lld on of tensor %s were asked for%s",
                       (long long)n, (long long)first, t->name, d && d->problem ? d->problem : "");
    if (n == 0)
        return ERR_OK;
    if (s->of != d->by) {
        memset(s->v, 0, (size_t)s->bytes);
        s->of = d->by;
    }
    return d->by->read(d, from, first, n, s, out, e);
}
