#include "compare/scopes.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

err_t scopes_tables(const struct layout *l, const int64_t *updated, const struct square_sums *squares,
                    const char *cell, const char *node, struct table *layers, struct table *modules,
                    struct arena *a, struct err *e)
{
    struct scopes s;
    int64_t *sum, *tensors;
    double *density;
    struct square_sums *of;
    table_init(layers, "layers", a);
    table_init(modules, "modules", a);
    TRY(scopes_build(&s, l, a, e));
    TRY(arena_array(a, "scopes.updated", s.n, &sum, e));
    TRY(arena_array(a, "scopes.tensors", s.n, &tensors, e));
    TRY(arena_array(a, "scopes.density", s.n, &density, e));
    TRY(arena_array(a, "scopes.squares", s.n, &of, e));
    for (int64_t i = 0; i < l->ntensors; i++)
        for (int k = 0; k < 2; k++) {
            int64_t at = s.of_tensor[2 * i + k];
            if (at < 0 || l->tensors[i].elements == 0)
                continue;
            sum[at] += updated[i];
            tensors[at]++;
            density[at] += (double)updated[i] / (double)l->tensors[i].elements;
            of[at].base += squares ? squares[i].base : NAN;
            of[at].delta += squares ? squares[i].delta : NAN;
            of[at].gain += squares ? squares[i].gain : NAN;
        }
    for (int64_t i = 1; i < s.n; i++) {
        double sparsity = s.parameters[i] > 0 ? 1 - (double)sum[i] / (double)s.parameters[i] : 1;
        const char *colon = strchr(s.name[i], ':') + 1;
        const struct norms norms = norms_of(&of[i]);
        if (s.name[i][0] == 'l')
            TRY(TABLE_ADD(layers, e, V_TEXT(cell), V_TEXT(node), V_INT(strtoll(colon, NULL, 10)),
                          V_INT(s.parameters[i]), V_INT(sum[i]), V_REAL(sparsity),
                          V_REAL(tensors[i] > 0 ? density[i] / (double)tensors[i] : 0), V_NORMS(norms)));
        else
            TRY(TABLE_ADD(modules, e, V_TEXT(cell), V_TEXT(node), V_TEXT(colon), V_INT(s.parameters[i]),
                          V_INT(sum[i]), V_REAL(sparsity), V_NORMS(norms)));
    }
    return ERR_OK;
}

err_t scopes_layers_aside(const struct match_set *aside, const int64_t *updated,
                          const struct square_sums *squares, const char *cell, const char *node,
                          struct table *layers, struct arena *a, struct err *e)
{
    struct layout l = {.ntensors = 0};
    struct table rows, modules;
    int64_t *updated_of;
    struct square_sums *squares_of;
    TRY(arena_array(a, "scopes.aside", aside->layout.ntensors, &l.tensors, e));
    TRY(arena_array(a, "scopes.aside", aside->layout.ntensors, &updated_of, e));
    TRY(arena_array(a, "scopes.aside", aside->layout.ntensors, &squares_of, e));
    for (int64_t t = 0; t < aside->layout.ntensors; t++)
        if (!dtype_is_bits(decoder_type(aside->base[t]))) {
            l.tensors[l.ntensors] = aside->layout.tensors[t];
            squares_of[l.ntensors] = squares[t];
            updated_of[l.ntensors++] = updated[t];
        }
    layout_number(&l);
    TRY(scopes_tables(&l, updated_of, squares_of, cell, node, &rows, &modules, a, e));
    return table_add_all(layers, &rows, e);
}
