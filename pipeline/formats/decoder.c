#include "formats/decoder.h"

#include <string.h>

const struct decoder *decoder_find(const char *name)
{
    for (const struct decoder *const *d = decoder_table; *d; d++)
        if (strcmp((*d)->name, name) == 0)
            return *d;
    return NULL;
}

/* ---- making ---- */

err_t decoder_derive(struct stored_tensor *t, const struct decoder *by, enum dtype out, struct arena *a,
                     struct decoding **d, struct err *e)
{
    TRY(arena_array(a, "checkpoint.decoding", 1, d, e));
    **d = (struct decoding){.by = by, .of = t, .out = out};
    t->decoding = *d;
    if (t->file == STORED_NOWHERE) {
        t->dtype = out;
        t->size_bytes = t->elements * (dtype_bits(out) / 8);
    }
    return ERR_OK;
}

err_t decoding_add_helper(struct decoding *d, const struct stored_tensor *helper, struct arena *a,
                          struct err *e)
{
    TRY(arena_grow(a, "checkpoint.helpers", d->nhelpers + 1, &d->helpers_cap, &d->helpers, e));
    d->helpers[d->nhelpers++] = helper;
    return ERR_OK;
}

static const struct decoder *taking(const struct stored_tensor *t)
{
    for (const struct decoder *const *d = decoder_table; *d; d++)
        if ((*d)->takes && (*d)->takes(t))
            return *d;
    return NULL;
}

static int is_taken(const struct stored_tensor *t)
{
    return !t->decoding && !t->serves && taking(t) != NULL;
}

/* Those of its helpers that stand in the list serve it and nothing else. */
static void mark(struct stored_list *list, const struct decoding *d)
{
    for (int64_t k = 0; k < d->nhelpers; k++) {
        const struct stored_tensor *t = d->helpers[k];
        if (t >= list->tensors && t < list->tensors + list->ntensors)
            list->tensors[t - list->tensors].serves = d;
    }
}

/* What is taken, and what a decoder replaces before and adds afterwards. */
static err_t take_all(struct stored_list *list, const struct model_config *config, struct arena *a,
                      struct err *e)
{
    struct decoding *room = NULL;
    int64_t n = 0;
    for (const struct decoder *const *d = decoder_table; *d; d++)
        if ((*d)->derive)
            TRY((*d)->derive(list, config, a, e));
    for (int64_t i = 0; i < list->ntensors; i++)
        n += is_taken(&list->tensors[i]);
    if (n > 0)
        TRY(arena_array(a, "checkpoint.decodings", n, &room, e));
    for (int64_t i = 0; i < list->ntensors; i++) {
        struct stored_tensor *t = &list->tensors[i];
        if (is_taken(t)) {
            *room = (struct decoding){.by = taking(t), .of = t};
            TRY(room->by->resolve(room, list, config, a, e));
            t->decoding = room->by ? room++ : NULL;
        } else if (t->decoding && t->decoding->of != t) {
            t->decoding->of = t; /* it was moved when the list was sorted */
        }
    }
    for (const struct decoder *const *d = decoder_table; *d; d++)
        if ((*d)->complete)
            TRY((*d)->complete(list, a, e));
    return ERR_OK;
}

err_t decoder_resolve(struct stored_list *list, const struct model_config *config, struct arena *a,
                      struct err *e)
{
    TRY(take_all(list, config, a, e));
    for (int64_t i = 0; i < list->ntensors; i++)
        if (list->tensors[i].decoding)
            mark(list, list->tensors[i].decoding);
    return ERR_OK;
}

/* ---- asking ---- */

const struct decoding *decoder_decoding(const struct stored_tensor *t)
{
    return t->decoding;
}

const struct decoding *decoder_served(const struct stored_tensor *t)
{
    return t->serves;
}

int decoder_is_number(const struct stored_tensor *t)
{
    return t->decoding || dtype_is_compared(t->dtype);
}

enum dtype decoder_type(const struct stored_tensor *t)
{
    return t->decoding ? t->decoding->out : t->dtype;
}

const struct stored_tensor *decoder_change(const struct stored_tensor *t)
{
    const struct decoding *d = t->decoding;
    return d && !d->problem && d->by->change ? d->by->change(d) : NULL;
}

int64_t decoder_scratch_bytes(const struct stored_tensor *t, int64_t n)
{
    const struct decoding *d = t->decoding;
    return d && !d->problem ? d->by->scratch_bytes(d, n) : 0;
}

/* ---- reading ---- */

enum { NESTED_HEAD = (sizeof(struct decoder_scratch) + 15) / 16 * 16 };

int64_t decoder_nested_bytes(const struct stored_tensor *helper, int64_t n)
{
    return NESTED_HEAD + decoder_scratch_bytes(helper, n);
}

struct decoder_scratch *decoder_nested(const struct stored_tensor *helper, struct decoder_scratch *s,
                                       int64_t at)
{
    struct decoder_scratch *nested = (struct decoder_scratch *)(void *)((char *)s->v + at);
    nested->v = (char *)s->v + at + NESTED_HEAD;
    nested->bytes = decoder_scratch_bytes(helper, s->most);
    nested->most = s->most;
    return nested;
}

err_t decoder_numbers(const struct stored_tensor *t, const struct stored_source *from, int64_t first,
                      int64_t n, struct decoder_scratch *s, void *buf, struct err *e)
{
    return t->decoding ? decoder_read(t, from, first, n, s, buf, e)
                       : from->read(from->arg, t, first, n, buf, e);
}

err_t decoder_read(const struct stored_tensor *t, const struct stored_source *from, int64_t first, int64_t n,
                   struct decoder_scratch *s, void *out, struct err *e)
{
    const struct decoding *d = t->decoding;
    if (!d || d->problem || first < 0 || n < 0 || n > s->most || first > t->elements - n ||
        s->bytes < d->by->scratch_bytes(d, s->most))
        return err_set(e, ERR_BUG, "%lld decoded elements from %lld on of tensor %s were asked for%s",
                       (long long)n, (long long)first, t->name, d && d->problem ? d->problem : "");
    if (from->depth >= DECODING_DEPTH)
        return err_set(e, ERR_DATA, "tensor %s follows from others that follow from others more than %d deep",
                       t->name, DECODING_DEPTH);
    if (n == 0)
        return ERR_OK;
    if (s->of != d->by) {
        if (s->bytes > 0)
            memset(s->v, 0, (size_t)s->bytes);
        s->of = d->by;
    }
    const struct stored_source deeper = {from->read, from->arg, from->depth + 1};
    return d->by->read(d, &deeper, first, n, s, out, e);
}
