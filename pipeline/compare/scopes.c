#include "compare/scopes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pointers to tensors, by stack and layer. */
static int by_layer(const void *a, const void *b)
{
    const struct layout_tensor *x = *(const struct layout_tensor *const *)a,
                               *y = *(const struct layout_tensor *const *)b;
    int c = strcmp(x->stack, y->stack);
    return c ? c : (x->layer > y->layer) - (x->layer < y->layer);
}

static int by_module(const void *a, const void *b)
{
    const struct layout_tensor *x = *(const struct layout_tensor *const *)a,
                               *y = *(const struct layout_tensor *const *)b;
    return strcmp(x->module, y->module);
}

typedef int order_fn(const void *, const void *);

/* One tensor of each group that the order holds equal, in that order, in v. Without layer: no group if
 * layered. Returns how many. */
static int64_t groups(const struct layout *l, order_fn *order, int layered, const struct layout_tensor **v)
{
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; i < l->ntensors; i++)
        if (!layered || l->tensors[i].layer >= 0)
            v[n++] = &l->tensors[i];
    if (n > 0)
        qsort(v, (size_t)n, sizeof *v, order);
    for (int64_t i = 0; i < n; i++)
        if (kept == 0 || order(&v[kept - 1], &v[i]) != 0)
            v[kept++] = v[i];
    return kept;
}

static const char *name_of(const struct scopes *s, int64_t i, struct arena *a, struct err *e)
{
    const struct layout_tensor *t = s->of[i];
    if (i > s->nlayers)
        return arena_printf(a, e, "module:%s", t->module);
    return arena_printf(a, e, "%s%slayer:%lld", t->stack, t->stack[0] ? "/" : "", (long long)t->layer);
}

/* Of n groups, the one that t is in; -1: none. */
static int64_t group_of(const struct layout_tensor *t, const struct layout_tensor **v, int64_t n,
                        order_fn *order)
{
    const struct layout_tensor **at = n > 0 ? bsearch(&t, v, (size_t)n, sizeof *v, order) : NULL;
    return at ? at - v : -1;
}

err_t scopes_build(struct scopes *s, const struct layout *l, struct arena *a, struct err *e)
{
    TRY(arena_array(a, "scopes.of", 1 + 2 * l->ntensors, &s->of, e));
    s->nlayers = groups(l, by_layer, 1, s->of + 1);
    const struct layout_tensor **layers = s->of + 1, **modules = layers + s->nlayers;
    int64_t nmodules = groups(l, by_module, 0, modules);
    s->n = 1 + s->nlayers + nmodules;
    TRY(arena_array(a, "scopes.name", s->n, &s->name, e));
    TRY(arena_array(a, "scopes.parameters", s->n, &s->parameters, e));
    TRY(arena_array(a, "scopes.of_tensor", 2 * l->ntensors, &s->of_tensor, e));
    s->name[0] = "model";
    for (int64_t i = 1; i < s->n; i++)
        if (!(s->name[i] = name_of(s, i, a, e)))
            return e->code;
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *t = &l->tensors[i];
        int64_t layer = t->layer >= 0 ? group_of(t, layers, s->nlayers, by_layer) : -1;
        s->of_tensor[2 * i] = layer >= 0 ? 1 + layer : -1;
        s->of_tensor[2 * i + 1] = 1 + s->nlayers + group_of(t, modules, nmodules, by_module);
        s->parameters[0] += t->elements;
        if (layer >= 0)
            s->parameters[1 + layer] += t->elements;
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
        const struct layout_tensor *t = s.of[i];
        const struct norms norms = norms_of(&of[i]);
        if (i <= s.nlayers)
            TRY(TABLE_ADD(layers, e, V_TEXT(cell), V_TEXT(node), V_INT(t->layer), V_TEXT(t->stack),
                          V_INT(s.parameters[i]), V_INT(sum[i]), V_REAL(sparsity),
                          V_REAL(tensors[i] > 0 ? density[i] / (double)tensors[i] : 0), V_NORMS(norms)));
        else
            TRY(TABLE_ADD(modules, e, V_TEXT(cell), V_TEXT(node), V_TEXT(t->module), V_INT(s.parameters[i]),
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
