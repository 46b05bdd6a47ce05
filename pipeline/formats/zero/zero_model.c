#include "formats/zero/zero_model.h"

#include "formats/torch/torch_reader.h"
#include "formats/zero/zero_folder.h"
#include "formats/zero/zero_map.h"

#include <stdio.h>
#include <string.h>

/* ---- shapes ---- */

/* The pairs name -> shape of one map, as parameters of a group. */
static err_t take_shapes(struct torch_reader *r, const struct pickle_value *map, int64_t group,
                         struct zero_param *out, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *key, *value;
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value), out++) {
        struct stored_tensor *t = &out->t;
        int64_t n = 1;
        int overflow = 0;
        out->group = group;
        TRY(torch_reader_name(r, t, key, e));
        TRY(rebuild_numbers(r, t, value, "shape", t->dims, &t->ndim, e));
        for (int i = 0; i < t->ndim; i++)
            overflow |= __builtin_mul_overflow(n, t->dims[i], &n);
        if (overflow)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: its shape overflows: expected a size of at most 64 bits", r->path,
                           t->name);
        t->elements = n;
    }
    return ERR_OK;
}

/* param_shapes is a list of maps, one of each group; of old it was one map. */
static err_t read_params(struct zero_model *m, struct torch_reader *r, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *shapes = pickle_get(p, p->root, "param_shapes"), *map;
    if (!shapes || shapes->kind == PICKLE_NONE)
        return ERR_OK;
    if (zero_is_map(shapes)) {
        m->ngroups = 1;
        m->nparams = shapes->n;
        TRY(arena_array(r->keep, "zero.params", m->nparams, &m->params, e));
        return take_shapes(r, shapes, 0, m->params, e);
    }
    if (shapes->kind != PICKLE_LIST)
        return zero_refuse(r, "param_shapes", "a list of maps", shapes, e);
    for (const struct pickle_cell *at = pickle_next(p, shapes, NULL, NULL, &map); at;
         at = pickle_next(p, shapes, at, NULL, &map), m->ngroups++) {
        if (!zero_is_map(map))
            return zero_refuse(r, "param_shapes", "a list of maps", map, e);
        m->nparams += map->n;
    }
    TRY(arena_array(r->keep, "zero.params", m->nparams, &m->params, e));
    int64_t group = 0, done = 0;
    for (const struct pickle_cell *at = pickle_next(p, shapes, NULL, NULL, &map); at;
         at = pickle_next(p, shapes, at, NULL, &map), group++) {
        TRY(take_shapes(r, map, group, m->params + done, e));
        done += map->n;
    }
    return ERR_OK;
}

/* ---- frozen parameters ---- */

/* The fragments of m's frozen parameters that this file holds. They stand in the same order, mostly. */
static err_t take_fragments(const struct zero_model *m, struct torch_reader *r, int file,
                            struct zero_run *out, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *map = pickle_get(p, p->root, "frozen_param_fragments"), *key, *value;
    int64_t next = 0, found = 0;
    if (!map || map->kind == PICKLE_NONE)
        return ERR_OK;
    if (!zero_is_map(map))
        return zero_refuse(r, "frozen_param_fragments", "a map", map, e);
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        int64_t k = 0;
        while (k < m->nfrozen && !pickle_is(key, m->frozen[(next + k) % m->nfrozen].t.name))
            k++;
        if (k == m->nfrozen)
            continue;
        next = (next + k) % m->nfrozen;
        struct stored_tensor t = {.name = m->frozen[next].t.name};
        TRY(rebuild_tensor(r, &t, value, e));
        if (t.strides)
            return err_set(e, ERR_DATA, "%s: frozen tensor %s: expected its elements one behind the other",
                           r->path, t.name);
        found += out[next].file < 0;
        out[next] = (struct zero_run){file, t.dtype, t.offset_bytes, t.elements};
        next++;
    }
    if (found != m->nfrozen)
        return err_set(
            e, ERR_DATA,
            "%s: frozen_param_fragments: expected a fragment of each of %lld frozen parameters, found "
            "%lld",
            r->path, (long long)m->nfrozen, (long long)found);
    return ERR_OK;
}

static void no_fragments(struct zero_run *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = (struct zero_run){.file = -1};
}

static err_t read_frozen(struct zero_model *m, struct torch_reader *r, int file, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *shapes = pickle_get(p, p->root, "frozen_param_shapes");
    if (!shapes || shapes->kind == PICKLE_NONE)
        return ERR_OK;
    if (!zero_is_map(shapes))
        return zero_refuse(r, "frozen_param_shapes", "a map", shapes, e);
    m->nfrozen = shapes->n;
    TRY(arena_array(r->keep, "zero.params", m->nfrozen, &m->frozen, e));
    TRY(arena_array(r->keep, "zero.fragments", m->nfrozen, &m->fragments, e));
    TRY(take_shapes(r, shapes, -1, m->frozen, e));
    no_fragments(m->fragments, m->nfrozen);
    return take_fragments(m, r, file, m->fragments, e);
}

/* ---- the module, its buffers, its aliases ---- */

static err_t read_module(struct zero_model *m, struct torch_reader *r, int file, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *map = pickle_get(p, p->root, "module"), *key, *value;
    if (!zero_is_map(map)) {
        char dir[ZERO_SHOWN];
        zero_folder_of(r->path, dir, sizeof dir);
        return err_set(
            e, ERR_DATA,
            "%s: module: expected a map of names to tensors, found %s: the layers of a pipeline lie "
            "in files of their own; make a universal checkpoint with: " ZERO_CONVERT ", and name that folder",
            r->path, pickle_kind_text(map), dir, dir);
    }
    TRY(arena_array(r->keep, "zero.module", map->n, &m->module, e));
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        struct stored_tensor *t = &m->module[m->nmodule];
        if (!rebuild_is_tensor(p, value)) /* extra state of a module: no parameter */
            continue;
        TRY(torch_reader_name(r, t, key, e));
        TRY(rebuild_tensor(r, t, value, e));
        t->file = file;
        m->nmodule++;
    }
    return ERR_OK;
}

/* Text of a value as a name, kept. */
static err_t take_name(struct torch_reader *r, const struct pickle_value *v, const char **out, struct err *e)
{
    struct stored_tensor t = {0};
    TRY(torch_reader_name(r, &t, v, e));
    *out = t.name;
    return ERR_OK;
}

static err_t read_buffers(struct zero_model *m, struct torch_reader *r, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *names = pickle_get(p, p->root, "buffer_names"), *name;
    if (!names || names->kind != PICKLE_LIST)
        return ERR_OK;
    TRY(arena_array(r->keep, "zero.buffers", names->n, &m->buffers, e));
    for (const struct pickle_cell *at = pickle_next(p, names, NULL, NULL, &name); at;
         at = pickle_next(p, names, at, NULL, &name))
        TRY(take_name(r, name, &m->buffers[m->nbuffers++], e));
    return ERR_OK;
}

static err_t read_aliases(struct zero_model *m, struct torch_reader *r, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *map = pickle_get(p, p->root, "shared_params"), *key, *value;
    if (!zero_is_map(map)) /* not told of old: the module's tensors then share their place */
        return ERR_OK;
    TRY(arena_array(r->keep, "zero.aliases", map->n, &m->aliases, e));
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        struct zero_alias *alias = &m->aliases[m->naliases++];
        TRY(torch_reader_name(r, &alias->as, key, e));
        TRY(take_name(r, value, &alias->source, e));
    }
    return ERR_OK;
}

/* ---- the file ---- */

static err_t refuse_parallel(const struct torch_reader *r, const char *what, struct err *e)
{
    char dir[ZERO_SHOWN];
    zero_folder_of(r->path, dir, sizeof dir);
    return err_set(
        e, ERR_DATA,
        "%s: %s, expected a whole model on each rank; make a universal checkpoint with: " ZERO_CONVERT
        ", and name that folder",
        r->path, what, dir, dir);
}

/* What says how the whole is cut. */
static err_t read_counts(struct zero_model *m, const struct torch_reader *r, struct err *e)
{
    const struct pickle *p = &r->pickle;
    char what[80];
    m->world = zero_int(p, p->root, "dp_world_size", 0);
    m->step = zero_int(p, p->root, "global_steps", -1);
    int64_t parts = zero_int(p, p->root, "mp_world_size", 1);
    if (parts > 1) {
        snprintf(what, sizeof what, "one of %lld parts of a model that is cut by tensor parallelism",
                 (long long)parts);
        return refuse_parallel(r, what, e);
    }
    static const char *const experts[] = {"ds_autoep_layers", "autoep_layers"};
    for (int i = 0; i < 2; i++) {
        const struct pickle_value *v = pickle_get(p, p->root, experts[i]);
        if (v && v->kind == PICKLE_LIST && v->n > 0)
            return refuse_parallel(r, "experts that AutoEP has cut over groups of ranks", e);
    }
    return ERR_OK;
}

static err_t check_is_model(const struct torch_reader *r, struct err *e)
{
    const struct pickle *p = &r->pickle;
    if (!zero_is_map(p->root) || !pickle_get(p, p->root, "module"))
        return err_set(e, ERR_DATA,
                       "%s: no model states of DeepSpeed: expected a map with the key \"module\"", r->path);
    return ERR_OK;
}

static err_t read_model(struct zero_model *m, struct torch_reader *r, int file, struct err *e)
{
    TRY(check_is_model(r, e));
    TRY(read_counts(m, r, e));
    TRY(read_params(m, r, e));
    TRY(read_frozen(m, r, file, e));
    TRY(read_module(m, r, file, e));
    TRY(read_buffers(m, r, e));
    return read_aliases(m, r, e);
}

err_t zero_model_read(struct zero_model *m, const char *path, struct stored_list *list, struct arena *a,
                      struct err *e)
{
    struct torch_reader r;
    struct arena scratch = {0};
    int file = -1;
    *m = (struct zero_model){.step = -1};
    arena_init(&scratch, a->mem);
    err_t code = zero_open(&r, path, list, &file, a, &scratch, e);
    if (code == ERR_OK)
        code = read_model(m, &r, file, e);
    arena_release(&scratch);
    return code;
}

static err_t read_other(const struct zero_model *m, struct torch_reader *r, int file, struct zero_run *out,
                        struct err *e)
{
    TRY(check_is_model(r, e));
    int64_t step = zero_int(&r->pickle, r->pickle.root, "global_steps", -1);
    if (step != m->step)
        return err_set(
            e, ERR_DATA,
            "%s: of step %lld, but the model states of rank 0 are of step %lld: two steps are mixed; "
            "copy the files of all ranks of one step",
            r->path, (long long)step, (long long)m->step);
    no_fragments(out, m->nfrozen);
    return take_fragments(m, r, file, out, e);
}

err_t zero_model_fragments(const struct zero_model *m, struct zero_run *out, const char *path,
                           struct stored_list *list, struct arena *a, struct err *e)
{
    struct torch_reader r;
    struct arena scratch = {0};
    int file = -1;
    arena_init(&scratch, a->mem);
    err_t code = zero_open(&r, path, list, &file, a, &scratch, e);
    if (code == ERR_OK)
        code = read_other(m, &r, file, out, e);
    arena_release(&scratch);
    return code;
}
