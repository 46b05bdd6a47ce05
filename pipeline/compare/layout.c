#include "compare/layout.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void layout_number(struct layout *l)
{
    l->nblocks = l->nwords = l->elements = 0;
    for (int64_t i = 0; i < l->ntensors; i++) {
        struct layout_tensor *t = &l->tensors[i];
        t->first_block = l->nblocks;
        t->nblocks = (t->elements + LAYOUT_BLOCK - 1) / LAYOUT_BLOCK;
        t->first_word = l->nwords;
        t->nwords = (t->elements + 63) / 64;
        l->nblocks += t->nblocks;
        l->nwords += t->nwords;
        l->elements += t->elements;
    }
}

struct block layout_block(const struct layout *l, int64_t b)
{
    int64_t low = 0,
            high = l->ntensors -
                   1; /* the last tensor whose first block is at or before b, empty ones passed over */
    while (low < high) {
        int64_t mid = (low + high + 1) / 2;
        if (l->tensors[mid].first_block <= b)
            low = mid;
        else
            high = mid - 1;
    }
    const struct layout_tensor *t = &l->tensors[low];
    struct block at = {.tensor = low, .first = (b - t->first_block) * LAYOUT_BLOCK};
    at.n = t->elements - at.first < LAYOUT_BLOCK ? t->elements - at.first : LAYOUT_BLOCK;
    at.word = t->first_word + at.first / 64;
    at.nwords = (at.n + 63) / 64;
    return at;
}

int64_t layout_window(const struct layout *l, int64_t b0, int64_t max_elements)
{
    int64_t b1 = b0, held = 0;
    while (b1 < l->nblocks) {
        int64_t n = layout_block(l, b1).n;
        if (b1 > b0 && held + n > max_elements)
            break;
        held += n;
        b1++;
    }
    return b1;
}

int64_t layout_window_tensors(const struct layout *l, int64_t b0, int64_t max_elements, int64_t max_tensors)
{
    int64_t b1 = layout_window(l, b0, max_elements), first = layout_block(l, b0).tensor;
    while (b1 > b0 + 1 && layout_block(l, b1 - 1).tensor - first >= max_tensors)
        b1--;
    return b1;
}

void layout_share(const struct layout *l, int64_t b0, int64_t b1, int np, int me, int64_t *from, int64_t *to)
{
    int64_t total = 0, held = 0;
    for (int64_t b = b0; b < b1; b++)
        total += layout_block(l, b).n;
    *from = *to = b1;
    int found = 0;
    /* A block belongs to the process in whose equal share of the elements its middle falls. */
    for (int64_t b = b0; b < b1; b++) {
        int64_t n = layout_block(l, b).n;
        int owner = (int)((__int128)(2 * held + n) * np / (2 * total));
        held += n;
        if (owner == me && !found) {
            *from = b;
            found = 1;
        }
        if (owner > me) {
            *to = b;
            break;
        }
    }
    if (!found)
        *from = *to;
}

err_t layout_write(const struct layout *l, struct h5 *f, struct arena *a, struct err *e)
{
    struct table t;
    table_init(&t, "compared", a);
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *x = &l->tensors[i];
        char shape[200];
        TRY(TABLE_ADD(&t, e, V_TEXT(x->name), V_INT(x->layer), V_TEXT(x->module),
                      V_TEXT(shape_text(x->ndim, x->dims, shape, sizeof shape)), V_INT(x->elements),
                      V_TEXT(x->dtype_base), V_TEXT(x->dtype_tuned)));
    }
    return h5_table_write(f, "compared", &t, e);
}

err_t layout_read(struct layout *l, struct h5 *f, struct arena *a, struct err *e)
{
    struct table t;
    table_init(&t, "compared", a);
    TRY(h5_table_read(f, "compared", &t, 0, -1, NULL, e));
    *l = (struct layout){.ntensors = t.nrows};
    TRY(arena_array(a, "layout.tensors", t.nrows, &l->tensors, e));
    for (int64_t i = 0; i < t.nrows; i++) {
        struct layout_tensor *x = &l->tensors[i];
        x->name = table_text(&t, i, "tensor");
        x->module = table_text(&t, i, "module");
        x->layer = table_int(&t, i, "layer");
        x->elements = table_int(&t, i, "parameters");
        x->dtype_base = table_text(&t, i, "dtype_base");
        x->dtype_tuned = table_text(&t, i, "dtype_tuned");
        TRY(shape_parse(table_text(&t, i, "shape"), &x->ndim, x->dims, e));
    }
    layout_number(l);
    return ERR_OK;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

err_t scopes_build(struct scopes *s, const struct layout *l, struct arena *a, struct err *e)
{
    int64_t nlayers = 0, nmodules = 0, *layers;
    const char **modules;
    TRY(arena_array(a, "scopes.layers", l->ntensors, &layers, e));
    TRY(arena_array(a, "scopes.modules", l->ntensors, &modules, e));
    for (int64_t i = 0; i < l->ntensors; i++) {
        layers[i] = l->tensors[i].layer;
        modules[i] = l->tensors[i].module;
    }
    if (l->ntensors > 0) {
        qsort(layers, (size_t)l->ntensors, sizeof *layers, by_number);
        qsort(modules, (size_t)l->ntensors, sizeof *modules, text_order);
    }
    for (int64_t i = 0; i < l->ntensors; i++) {
        if (layers[i] >= 0 && (nlayers == 0 || layers[nlayers - 1] != layers[i]))
            layers[nlayers++] = layers[i];
        if (nmodules == 0 || strcmp(modules[nmodules - 1], modules[i]) != 0)
            modules[nmodules++] = modules[i];
    }
    s->n = 1 + nlayers + nmodules;
    TRY(arena_array(a, "scopes.name", s->n, &s->name, e));
    TRY(arena_array(a, "scopes.parameters", s->n, &s->parameters, e));
    TRY(arena_array(a, "scopes.of_tensor", 2 * l->ntensors, &s->of_tensor, e));
    s->name[0] = "model";
    for (int64_t i = 0; i < nlayers; i++)
        if (!(s->name[1 + i] = arena_printf(a, e, "layer:%lld", (long long)layers[i])))
            return e->code;
    for (int64_t i = 0; i < nmodules; i++)
        if (!(s->name[1 + nlayers + i] = arena_printf(a, e, "module:%s", modules[i])))
            return e->code;
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *t = &l->tensors[i];
        const int64_t *layer =
            nlayers ? bsearch(&t->layer, layers, (size_t)nlayers, sizeof *layers, by_number) : NULL;
        const char **module = bsearch(&t->module, modules, (size_t)nmodules, sizeof *modules, text_order);
        s->of_tensor[2 * i] = layer ? 1 + (layer - layers) : -1;
        s->of_tensor[2 * i + 1] = 1 + nlayers + (module - modules);
        s->parameters[0] += t->elements;
        if (layer)
            s->parameters[s->of_tensor[2 * i]] += t->elements;
        s->parameters[s->of_tensor[2 * i + 1]] += t->elements;
    }
    return ERR_OK;
}

err_t layout_scope_tables(const struct layout *l, const int64_t *updated, const char *cell, const char *node,
                          struct table *layers, struct table *modules, struct arena *a, struct err *e)
{
    struct scopes s;
    int64_t *sum, *tensors;
    double *density;
    table_init(layers, "layers", a);
    table_init(modules, "modules", a);
    TRY(scopes_build(&s, l, a, e));
    TRY(arena_array(a, "scopes.updated", s.n, &sum, e));
    TRY(arena_array(a, "scopes.tensors", s.n, &tensors, e));
    TRY(arena_array(a, "scopes.density", s.n, &density, e));
    for (int64_t i = 0; i < l->ntensors; i++)
        for (int k = 0; k < 2; k++) {
            int64_t at = s.of_tensor[2 * i + k];
            if (at < 0 || l->tensors[i].elements == 0)
                continue;
            sum[at] += updated[i];
            tensors[at]++;
            density[at] += (double)updated[i] / (double)l->tensors[i].elements;
        }
    for (int64_t i = 1; i < s.n; i++) {
        double sparsity = s.parameters[i] > 0 ? 1 - (double)sum[i] / (double)s.parameters[i] : 1;
        const char *colon = strchr(s.name[i], ':') + 1;
        if (s.name[i][0] == 'l')
            TRY(TABLE_ADD(layers, e, V_TEXT(cell), V_TEXT(node), V_INT(strtoll(colon, NULL, 10)),
                          V_INT(s.parameters[i]), V_INT(sum[i]), V_REAL(sparsity),
                          V_REAL(tensors[i] > 0 ? density[i] / (double)tensors[i] : 0)));
        else
            TRY(TABLE_ADD(modules, e, V_TEXT(cell), V_TEXT(node), V_TEXT(colon), V_INT(s.parameters[i]),
                          V_INT(sum[i]), V_REAL(sparsity)));
    }
    return ERR_OK;
}
