#include "formats/zero/zero.h"

#include "base/file.h"
#include "base/dict.h"
#include "base/path.h"
#include "formats/decoders/view.h"
#include "formats/zero/zero_folder.h"
#include "formats/zero/zero_model.h"
#include "formats/zero/zero_optim.h"
#include "formats/zero/zero_place.h"
#include "formats/zero/zero_universal.h"

#include <string.h>

/* A checkpoint that is being opened. */
struct zero_opening {
    struct stored_list *out;
    struct zero_folder folder;
    struct zero_model model;
    const struct zero_optim *ranks;
    int sharded;        /* stage 3 */
    struct dict listed; /* the names in out, and where */
    int64_t kept;       /* tensors as the model states have them: frozen ones and buffers */
    struct arena *a;
};

/* ---- the list ---- */

static int has(const struct zero_opening *o, const char *name)
{
    return dict_find(&o->listed, name) >= 0;
}

/* A tensor for the list, under its own name or, as an alias, another's. */
static err_t add(struct zero_opening *o, const struct stored_tensor *t, const struct stored_tensor *as,
                 struct err *e)
{
    struct stored_tensor *x = &o->out->tensors[o->out->ntensors];
    *x = *t;
    if (as) {
        x->name = as->name;
        x->module = as->module;
        x->layer = as->layer;
    }
    if (has(o, x->name))
        return err_set(e, ERR_DATA, "%s: tensor %s stands in the model states twice", o->folder.dir, x->name);
    return dict_put(&o->listed, x->name, o->out->ntensors++, e);
}

static err_t check_module(const struct zero_opening *o, const struct zero_param *p,
                          const struct stored_tensor *t, struct err *e)
{
    char want[200], have[200];
    int same = t->ndim == p->t.ndim && memcmp(t->dims, p->t.dims, (size_t)t->ndim * sizeof *t->dims) == 0;
    if (same || o->sharded)
        return ERR_OK;
    return err_set(e, ERR_DATA,
                   "%s: tensor %s: shape %s in the module, %s in the shapes of the optimiser: expected one",
                   o->folder.whole, t->name, shape_text(t->ndim, t->dims, have, sizeof have),
                   shape_text(p->t.ndim, p->t.dims, want, sizeof want));
}

/* The module's names, and where. */
static err_t index_module(const struct zero_opening *o, struct dict *names, struct err *e)
{
    const struct zero_model *m = &o->model;
    *names = (struct dict){.arena = o->a};
    for (int64_t i = 0; i < m->nmodule; i++)
        TRY(dict_put(names, m->module[i].name, i, e));
    for (int64_t i = 0; i < m->nparams + m->nfrozen; i++) {
        const struct zero_param *p = i < m->nparams ? &m->params[i] : &m->frozen[i - m->nparams];
        int64_t k = dict_find(names, p->t.name);
        if (k >= 0)
            TRY(check_module(o, p, &m->module[k], e));
    }
    return ERR_OK;
}

/* ---- masters ---- */

static int has_elements(const struct zero_optim *o)
{
    for (int64_t g = 0; g < o->ngroups; g++)
        if (o->groups[g].n > 0)
            return 1;
    return 0;
}

/* One rank's file under another's name too: nothing in it says whose it is, but no two ranks hold the same
 * numbers. Bytes are compared where the directories, which mostly tell files apart, do not. */
static err_t check_copies(const struct zero_folder *f, const struct zero_optim *ranks, struct arena *a,
                          struct err *e)
{
    for (int64_t r = 0; r < f->noptims; r++)
        for (int64_t q = 0; q < r; q++) {
            int same = ranks[q].hash == ranks[r].hash && has_elements(&ranks[r]);
            if (same)
                TRY(file_compare(f->optims[q], f->optims[r], &same, a, e));
            if (same)
                return err_set(
                    e, ERR_DATA,
                    "%s: the optimiser states of ranks %lld and %lld are the same file: expected each "
                    "rank's own; copy them again",
                    f->dir, (long long)q, (long long)r);
        }
    return ERR_OK;
}

static err_t read_ranks(struct zero_opening *o, struct err *e)
{
    const struct zero_folder *f = &o->folder;
    struct zero_optim *ranks;
    if (f->noptims == 0)
        return err_set(e, ERR_DATA,
                       "%s: no optimiser states, in which the masters are: expected "
                       "zero_pp_rank_0_mp_rank_00_optim_states.pt and those of the other ranks%s",
                       f->dir, o->sharded ? "" : "; weights: model reads the weights that are here");
    TRY(arena_array(o->a, "zero.ranks", f->noptims, &ranks, e));
    for (int64_t r = 0; r < f->noptims; r++)
        TRY(zero_optim_read(&ranks[r], f->optims[r], o->out, o->a, e));
    o->ranks = ranks;
    TRY(zero_check_ranks(&o->model, ranks, f->noptims, f->dir, e));
    TRY(check_copies(f, ranks, o->a, e));
    if (ranks[0].sharded != o->sharded)
        return err_set(e, ERR_DATA,
                       "%s: model states as of stage %s, optimiser states of stage %s: two runs are mixed",
                       f->dir, o->sharded ? "3" : "1 or 2", o->sharded ? "1 or 2" : "3");
    if (o->sharded && f->nmodels != f->noptims)
        return err_set(
            e, ERR_DATA,
            "%s: model states of %lld ranks, optimiser states of %lld: expected those of all ranks; copy "
            "them too",
            f->dir, (long long)f->nmodels, (long long)f->noptims);
    return ERR_OK;
}

/* In stage 3 all ranks' fragments, in stage 2 the whole ones of the one file; stage 1 has none. */
static err_t place_frozen(struct zero_opening *o, struct err *e)
{
    struct zero_model *m = &o->model;
    struct zero_run *fragments;
    int64_t world = o->folder.nmodels;
    if (!o->sharded || m->nfrozen == 0)
        return ERR_OK;
    TRY(arena_array(o->a, "zero.fragments", m->nfrozen * world, &fragments, e));
    memcpy(fragments, m->fragments, (size_t)m->nfrozen * sizeof *fragments);
    for (int64_t r = 1; r < world; r++)
        TRY(zero_model_fragments(m, fragments + r * m->nfrozen, o->folder.models[r], o->out, o->a, e));
    TRY(zero_place_frozen(m, fragments, world, o->out, o->folder.dir, o->a, e));
    arena_drop(o->a, fragments);
    for (int64_t i = 0; i < m->nfrozen; i++, o->kept++)
        TRY(add(o, &m->frozen[i].t, NULL, e));
    return ERR_OK;
}

static err_t add_aliases(struct zero_opening *o, struct err *e)
{
    const struct zero_model *m = &o->model;
    for (int64_t i = 0; i < m->naliases; i++) {
        int64_t source = dict_find(&o->listed, m->aliases[i].source);
        if (source < 0 || has(o, m->aliases[i].as.name))
            continue;
        const struct stored_tensor t = o->out->tensors[source];
        TRY(add(o, &t, &m->aliases[i].as, e));
    }
    return ERR_OK;
}

/* The tensor of the list that shares its place in the module with this one of another name: of old, shared
 * tensors were not told otherwise. NULL: none does. */
static const struct stored_tensor *sharing(const struct zero_opening *o, const struct stored_tensor *t)
{
    const struct zero_model *m = &o->model;
    for (int64_t i = 0; i < m->nmodule; i++) {
        const struct stored_tensor *x = &m->module[i];
        int64_t k = x != t && x->offset_bytes == t->offset_bytes && x->dtype == t->dtype &&
                            x->ndim == t->ndim &&
                            memcmp(x->dims, t->dims, (size_t)t->ndim * sizeof *t->dims) == 0
                        ? dict_find(&o->listed, x->name)
                        : -1;
        if (k >= 0)
            return &o->out->tensors[k];
    }
    return NULL;
}

static int is_buffer(const struct zero_model *m, const char *name)
{
    for (int64_t i = 0; i < m->nbuffers; i++)
        if (strcmp(m->buffers[i], name) == 0)
            return 1;
    return 0;
}

/* What the module has beside the optimiser's parameters: buffers, and frozen ones that it has whole. */
static err_t add_rest(struct zero_opening *o, struct err *e)
{
    const struct zero_model *m = &o->model;
    for (int64_t i = 0; i < m->nmodule; i++) {
        const struct stored_tensor *t = &m->module[i];
        if (has(o, t->name))
            continue;
        const struct stored_tensor *shared = is_buffer(m, t->name) ? NULL : sharing(o, t);
        if (shared) {
            const struct stored_tensor copy = *shared;
            TRY(add(o, &copy, t, e));
            continue;
        }
        if (o->sharded && t->ndim == 1 && t->elements == 0 && !is_buffer(m, t->name))
            return err_set(
                e, ERR_DATA,
                "%s: tensor %s has no elements in the module, as in stage 3 all parameters, but neither "
                "param_shapes nor frozen_param_shapes nor shared_params says where they are",
                o->folder.dir, t->name);
        TRY(add(o, t, NULL, e));
        o->kept++;
    }
    return ERR_OK;
}

static err_t list_masters(struct zero_opening *o, struct err *e)
{
    struct zero_model *m = &o->model;
    TRY(read_ranks(o, e));
    TRY(zero_place_params(m, o->ranks, o->folder.noptims, o->out, o->folder.dir, o->a, e));
    TRY(arena_array(o->a, "checkpoint.tensors", m->nparams + m->nfrozen + m->nmodule + m->naliases,
                    &o->out->tensors, e));
    for (int64_t i = 0; i < m->nparams; i++)
        TRY(add(o, &m->params[i].t, NULL, e));
    TRY(place_frozen(o, e));
    TRY(add_aliases(o, e));
    return add_rest(o, e);
}

/* The masters of a universal checkpoint, which are whole. */
static err_t list_universal(struct zero_opening *o, struct err *e)
{
    struct zero_model *m = &o->model;
    struct stored_tensor *v;
    int64_t n;
    TRY(zero_universal_read(&v, &n, o->folder.universal, o->folder.partial ? NULL : m, o->out, o->a, e));
    TRY(arena_array(o->a, "checkpoint.tensors", n + m->nfrozen + m->nmodule + m->naliases, &o->out->tensors,
                    e));
    for (int64_t i = 0; i < n; i++)
        TRY(add(o, &v[i], NULL, e));
    if (o->folder.partial)
        return ERR_OK;
    TRY(place_frozen(o, e));
    TRY(add_aliases(o, e));
    return add_rest(o, e);
}

/* ---- the model's weights ---- */

/* Stage 3: each tensor in the module's type, as the engine rounds its masters. */
static err_t round_to_module(struct zero_opening *o, const struct dict *names, struct err *e)
{
    for (int64_t i = 0; i < o->out->ntensors; i++) {
        struct stored_tensor *t = &o->out->tensors[i];
        int64_t k = dict_find(names, t->name);
        if (k < 0 || o->model.module[k].dtype == t->dtype)
            continue;
        if (o->model.module[k].dtype != DTYPE_BF16)
            return err_set(
                e, ERR_DATA,
                "%s: tensor %s: the module's weights are %s and in stage 3 not saved, and masters are "
                "rounded to BF16 alone: name weights: masters",
                o->folder.dir, t->name, dtype_name(o->model.module[k].dtype));
        TRY(cast_make(t, o->a, e));
    }
    return ERR_OK;
}

/* Files of optimiser states are not opened for the module's weights, but an incomplete set of them is an
 * incomplete step. */
static err_t check_complete(const struct zero_opening *o, struct err *e)
{
    const struct zero_folder *f = &o->folder;
    if (f->noptims == 0 ||
        f->noptims >= o->model.world) /* fewer are told of old, where sequences are cut too */
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%s: the model states are of %lld ranks (dp_world_size), found optimiser states of %lld: this step "
        "is incomplete; copy those of all its ranks, or none",
        f->dir, (long long)o->model.world, (long long)f->noptims);
}

static err_t list_module(struct zero_opening *o, struct err *e)
{
    TRY(check_complete(o, e));
    TRY(arena_array(o->a, "checkpoint.tensors", o->model.nmodule, &o->out->tensors, e));
    for (int64_t i = 0; i < o->model.nmodule; i++)
        TRY(add(o, &o->model.module[i], NULL, e));
    return ERR_OK;
}

/* ---- as a format ---- */

/* What was taken. The type is that of the first parameter. */
static err_t tell(struct zero_opening *o, int masters, struct err *e)
{
    const struct zero_model *m = &o->model;
    const char *type = m->nmodule > 0 ? dtype_name(m->module[0].dtype) : "no";
    struct stored_list *out = o->out;
    long long world = (long long)(m->world > 0 ? m->world : o->folder.noptims);
    if (masters)
        out->note = arena_printf(
            o->a, e,
            "DeepSpeed %s of %lld ranks, step %lld: the %s masters of its optimiser; %lld tensors "
            "(frozen, buffers) as the model states have them",
            o->sharded ? "ZeRO 3" : "ZeRO 1 or 2", world, (long long)m->step,
            m->nparams > 0 ? dtype_name(m->params[0].t.dtype) : "F32", (long long)o->kept);
    else if (o->sharded)
        out->note =
            arena_printf(o->a, e,
                         "DeepSpeed ZeRO 3 of %lld ranks, step %lld: the model's %s weights, which are the "
                         "optimiser's masters rounded once; weights: masters takes these as they are",
                         world, (long long)m->step, type);
    else
        out->note = arena_printf(
            o->a, e,
            "DeepSpeed, step %lld: the module's own %s weights; weights: masters takes the masters "
            "of its optimiser",
            (long long)m->step, type);
    return e->code;
}

/* The model's config.json stands in the run's folder, or above the step's. */
static err_t find_config(struct zero_opening *o, struct err *e)
{
    const struct zero_folder *f = &o->folder;
    char *above = path_dir(o->a, f->run, e);
    if (!above)
        return e->code;
    if (!format_has_entry(f->run, "config.json") && strcmp(f->run, ".") != 0 &&
        format_has_entry(above, "config.json"))
        o->out->config_dir = above;
    return ERR_OK;
}

/* Of a universal checkpoint whose model states are a part's, the masters alone: of the model's weights
 * nothing is whole. */
static err_t open_partial(struct zero_opening *o, const struct choice *choice, struct err *e)
{
    if (choice->weights == CHOICE_WEIGHTS_MODEL)
        return err_set(
            e, ERR_DATA,
            "%s: a universal checkpoint of a model that was cut by tensor or pipeline parallelism: it has "
            "the masters whole, but not the model's weights; name weights: masters",
            o->folder.dir);
    TRY(list_universal(o, e));
    o->out->note =
        arena_printf(o->a, e,
                     "DeepSpeed, a universal checkpoint: the masters of %lld parameters; frozen ones and "
                     "buffers, which lie in the parts of the model, are not read",
                     (long long)o->out->ntensors);
    return o->out->note ? find_config(o, e) : e->code;
}

static err_t open_whole(struct zero_opening *o, const struct choice *choice, struct err *e)
{
    struct dict names;
    int masters = choice->weights == CHOICE_WEIGHTS_MASTERS;
    o->sharded = !o->folder.whole;
    TRY(zero_model_read(&o->model, o->sharded ? o->folder.models[0] : o->folder.whole, o->out, o->a, e));
    TRY(index_module(o, &names, e));
    if (!masters && !o->sharded)
        TRY(list_module(o, e));
    else
        TRY(o->folder.universal ? list_universal(o, e) : list_masters(o, e));
    if (!masters && o->sharded)
        TRY(round_to_module(o, &names, e));
    TRY(find_config(o, e));
    return tell(o, masters, e);
}

static err_t open_list(struct stored_list *out, const char *path, const struct choice *choice,
                       struct arena *a, struct err *e)
{
    struct zero_opening o = {.out = out, .a = a, .listed = {.arena = a}};
    *out = (struct stored_list){0};
    TRY(zero_folder_read(&o.folder, path, a, e));
    return o.folder.partial ? open_partial(&o, choice, e) : open_whole(&o, choice, e);
}

const struct format format_zero = {
    .name = "deepspeed",
    .endings = {NULL},
    .finds = "a DeepSpeed run's latest, or its step's model states",
    .ignores = CHOICE_OF_BASE,
    .masters = 1,
    .find = zero_folder_find,
    .open = open_list,
};
