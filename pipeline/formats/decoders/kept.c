#include "formats/decoders/kept.h"

#include "base/text.h"
#include "formats/decoder.h"
#include "hdf5/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sources ---- */

struct source_seen {
    const struct stored_tensor *t;
    int64_t at; /* in the order in which they were come across */
};

static int by_address(const void *a, const void *b)
{
    const struct source_seen *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->t, q = (uintptr_t)y->t;
    return p != q ? (p > q) - (p < q) : (x->at > y->at) - (x->at < y->at);
}

static int by_place(const void *a, const void *b)
{
    const struct source_seen *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static int64_t find_source(const struct sources *s, const struct stored_tensor *t)
{
    int64_t low = 0, high = s->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if ((uintptr_t)s->seen[middle].t < (uintptr_t)t)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n && s->seen[low].t == t ? s->seen[low].at : -1;
}

static int in_list(const struct stored_tensor *tensors, int64_t n, const struct stored_tensor *t)
{
    return (uintptr_t)t >= (uintptr_t)tensors && (uintptr_t)t < (uintptr_t)(tensors + n);
}

/* What is new among the helpers of tensors [0, n) of `of`: each once, in the order of asking. */
static err_t gather(const struct stored_tensor *const *of, int64_t n, const struct sources *s,
                    const struct stored_tensor *list, int64_t nlist, struct source_seen **out, int64_t *found,
                    struct arena *a, struct err *e)
{
    int64_t cap = 0, nout = 0;
    *out = NULL;
    for (int64_t i = 0; i < n; i++) {
        const struct decoding *d = of[i]->decoding;
        for (int64_t k = 0; d && k < d->nhelpers; k++) {
            if (in_list(list, nlist, d->helpers[k]) || find_source(s, d->helpers[k]) >= 0)
                continue;
            TRY(arena_grow(a, "catalogue.sources", nout + 1, &cap, out, e));
            (*out)[nout] = (struct source_seen){d->helpers[k], nout};
            nout++;
        }
    }
    *found = 0;
    if (nout == 0)
        return ERR_OK;
    qsort(*out, (size_t)nout, sizeof **out, by_address);
    for (int64_t i = 0; i < nout; i++)
        if (*found == 0 || (*out)[*found - 1].t != (*out)[i].t)
            (*out)[(*found)++] = (*out)[i];
    qsort(*out, (size_t)*found, sizeof **out, by_place);
    return ERR_OK;
}

err_t sources_collect(struct sources *s, const struct stored_tensor *tensors, int64_t n, struct arena *a,
                      struct err *e)
{
    const struct stored_tensor **asked;
    int64_t nasked = n, cap = 0, seen_cap = 0, found;
    *s = (struct sources){0};
    TRY(arena_array(a, "catalogue.sources", n, &asked, e));
    for (int64_t i = 0; i < n; i++)
        asked[i] = &tensors[i];
    for (int depth = 0; nasked > 0; depth++) {
        struct source_seen *next;
        if (depth > DECODING_DEPTH)
            return err_set(e, ERR_BUG, "tensor %s helps itself", asked[0]->name);
        TRY(gather(asked, nasked, s, tensors, n, &next, &found, a, e));
        TRY(arena_grow(a, "catalogue.sources", s->n + found, &cap, &s->v, e));
        TRY(arena_grow(a, "catalogue.sources", s->n + found, &seen_cap, &s->seen, e));
        for (int64_t i = 0; i < found; i++) {
            s->v[s->n] = next[i].t;
            s->seen[s->n] = (struct source_seen){next[i].t, s->n};
            s->n++;
        }
        if (s->n > 0)
            qsort(s->seen, (size_t)s->n, sizeof *s->seen, by_address);
        asked = s->v + s->n - found;
        nasked = found;
    }
    return ERR_OK;
}

/* ---- writing ---- */

static int64_t row_of(const struct stored_tensor *tensors, int64_t n, const struct sources *s,
                      const struct stored_tensor *t)
{
    return in_list(tensors, n, t) ? t - tensors : n + find_source(s, t);
}

/* The numbers up to the last that is not 0: "3,0,128". */
static const char *numbers_text(const struct decoding *d, char *out, int size)
{
    int n = DECODING_NUMBERS, at = 0;
    while (n > 0 && d->numbers[n - 1] == 0)
        n--;
    out[0] = '\0';
    for (int i = 0; i < n; i++)
        at += snprintf(out + at, (size_t)(size - at), "%s%lld", i > 0 ? "," : "", (long long)d->numbers[i]);
    return out;
}

/* Hexadecimal, so that what is read back is the same. */
static const char *reals_text(const struct decoding *d, char *out, int size)
{
    int n = DECODING_REALS, at = 0;
    while (n > 0 && d->reals[n - 1] == 0)
        n--;
    out[0] = '\0';
    for (int i = 0; i < n; i++)
        at += snprintf(out + at, (size_t)(size - at), "%s%a", i > 0 ? "," : "", d->reals[i]);
    return out;
}

enum { NUMBERS_TEXT = 21 * DECODING_NUMBERS + 1, REALS_TEXT = 30 * DECODING_REALS + 1 };

static err_t keep(const struct stored_tensor *t, int64_t row, struct table *decodings, struct table *helpers,
                  const struct stored_tensor *tensors, int64_t n, const struct sources *s, struct err *e)
{
    const struct decoding *d = t->decoding;
    char numbers[NUMBERS_TEXT], reals[REALS_TEXT];
    if (!d)
        return ERR_OK;
    for (int64_t k = 0; k < d->nhelpers; k++)
        TRY(TABLE_ADD(helpers, e, V_INT(decodings->nrows), V_INT(row_of(tensors, n, s, d->helpers[k]))));
    return TABLE_ADD(decodings, e, V_TEXT(t->name), V_INT(row), V_TEXT(d->by->name),
                     V_TEXT(dtype_name(d->out)), V_TEXT(d->note), V_TEXT(d->problem),
                     V_TEXT(numbers_text(d, numbers, sizeof numbers)),
                     V_TEXT(reals_text(d, reals, sizeof reals)));
}

err_t kept_write(const struct stored_tensor *tensors, int64_t n, const struct sources *s, struct h5 *f,
                 struct arena *a, struct err *e)
{
    struct table decodings, helpers;
    table_init(&decodings, "decodings", a);
    table_init(&helpers, "helpers", a);
    for (int64_t i = 0; i < n + s->n; i++)
        TRY(keep(i < n ? &tensors[i] : s->v[i - n], i, &decodings, &helpers, tensors, n, s, e));
    if (decodings.nrows == 0)
        return ERR_OK;
    TRY(h5_table_write(f, "decodings", &decodings, e));
    return h5_table_write(f, "helpers", &helpers, e);
}

/* ---- reading ---- */

/* The tensors of a catalogue as rows. */
struct kept_rows {
    struct stored_tensor *tensors, *sources;
    int64_t n, nsources;
    const char *artifact;
};

static struct stored_tensor *at_row(const struct kept_rows *r, int64_t row)
{
    if (row < 0 || row >= r->n + r->nsources)
        return NULL;
    return row < r->n ? &r->tensors[row] : &r->sources[row - r->n];
}

static err_t damaged(const struct kept_rows *r, const char *tensor, struct err *e)
{
    return err_set(e, ERR_DATA,
                   "%s: the catalogue is damaged at how tensor %s is decoded; run sinew run again with "
                   "--force",
                   r->artifact, tensor);
}

/* 0, or -1 where the text is no such list. */
static int parse_numbers(const char *text, int64_t *out, int most)
{
    for (int i = 0; *text; i++) {
        char *end;
        errno = 0;
        if (i == most)
            return -1;
        out[i] = strtoll(text, &end, 10);
        if (end == text || errno != 0 || (*end != ',' && *end != '\0'))
            return -1;
        text = *end ? end + 1 : end;
    }
    return 0;
}

static int parse_reals(const char *text, double *out, int most)
{
    for (int i = 0; *text; i++) {
        char *end;
        if (i == most)
            return -1;
        out[i] = strtod(text, &end);
        if (end == text || (*end != ',' && *end != '\0'))
            return -1;
        text = *end ? end + 1 : end;
    }
    return 0;
}

static const char *text_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static err_t take(const struct kept_rows *r, const struct table *t, int64_t row, struct decoding *d,
                  struct err *e)
{
    const char *name = table_text(t, row, "tensor");
    struct stored_tensor *of = at_row(r, table_int(t, row, "row"));
    *d = (struct decoding){.by = decoder_find(table_text(t, row, "decoder")),
                           .of = of,
                           .out = dtype_find(table_text(t, row, "dtype")),
                           .note = text_or_null(table_text(t, row, "note")),
                           .problem = text_or_null(table_text(t, row, "problem"))};
    if (!of || !d->by || d->out == DTYPE_COUNT || of->decoding || strcmp(of->name, name) != 0 ||
        parse_numbers(table_text(t, row, "numbers"), d->numbers, DECODING_NUMBERS) != 0 ||
        parse_reals(table_text(t, row, "reals"), d->reals, DECODING_REALS) != 0)
        return damaged(r, name, e);
    of->decoding = d;
    return ERR_OK;
}

static err_t take_helpers(const struct kept_rows *r, const struct table *t, struct decoding *d, int64_t nd,
                          struct arena *a, struct err *e)
{
    for (int64_t i = 0; i < t->nrows; i++) {
        int64_t of = table_int(t, i, "decoding");
        struct stored_tensor *helper = at_row(r, table_int(t, i, "row"));
        if (of < 0 || of >= nd || !helper || helper == d[of].of)
            return damaged(r, of >= 0 && of < nd ? d[of].of->name : "?", e);
        TRY(decoding_add_helper(&d[of], helper, a, e));
        if (table_int(t, i, "row") < r->n)
            helper->serves = &d[of];
    }
    return ERR_OK;
}

static err_t check(const struct kept_rows *r, const struct decoding *d, int64_t nd, struct err *e)
{
    for (int64_t i = 0; i < nd; i++)
        if (!d[i].problem && !d[i].by->valid(&d[i]))
            return damaged(r, d[i].of->name, e);
    return ERR_OK;
}

/* Decodings must not ask each other in a circle, nor deeper than they are read. */
static err_t check_depth(const struct kept_rows *r, const struct decoding *d, int64_t nd, struct arena *a,
                         struct err *e)
{
    int *depth, changed = 1;
    TRY(arena_array(a, "checkpoint.depths", nd, &depth, e));
    for (int pass = 0; changed; pass++) {
        changed = 0;
        for (int64_t i = 0; i < nd; i++)
            for (int64_t k = 0; k < d[i].nhelpers; k++) {
                const struct decoding *helper = d[i].helpers[k]->decoding;
                if (!helper || depth[helper - d] < depth[i])
                    continue;
                depth[i] = depth[helper - d] + 1;
                changed = 1;
                if (pass > DECODING_DEPTH)
                    return damaged(r, d[i].of->name, e);
            }
    }
    arena_drop(a, depth);
    return ERR_OK;
}

/* A derived tensor without a decoding has no elements to give. */
static err_t check_derived(const struct kept_rows *r, struct err *e)
{
    for (int64_t i = 0; i < r->n + r->nsources; i++) {
        const struct stored_tensor *t = at_row(r, i);
        if (t->file < 0 && !t->decoding)
            return damaged(r, t->name, e);
    }
    return ERR_OK;
}

err_t kept_read(struct stored_tensor *tensors, int64_t n, struct stored_tensor *sources, int64_t nsources,
                struct h5 *f, const char *artifact, struct arena *a, struct err *e)
{
    const struct kept_rows r = {tensors, sources, n, nsources, artifact};
    struct table decodings, helpers;
    struct decoding *d;
    if (!h5_has_table(f, "decodings"))
        return check_derived(&r, e);
    table_init(&decodings, "decodings", a);
    table_init(&helpers, "helpers", a);
    TRY(h5_table_read(f, "decodings", &decodings, 0, -1, NULL, e));
    TRY(h5_table_read(f, "helpers", &helpers, 0, -1, NULL, e));
    TRY(arena_array(a, "checkpoint.decodings", decodings.nrows, &d, e));
    for (int64_t i = 0; i < decodings.nrows; i++)
        TRY(take(&r, &decodings, i, &d[i], e));
    TRY(take_helpers(&r, &helpers, d, decodings.nrows, a, e));
    TRY(check_depth(&r, d, decodings.nrows, a, e));
    TRY(check(&r, d, decodings.nrows, e));
    TRY(check_derived(&r, e));
    arena_drop(a, helpers.values);
    return ERR_OK;
}
