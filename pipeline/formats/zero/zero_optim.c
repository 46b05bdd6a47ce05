#include "formats/zero/zero_optim.h"

#include "base/file.h"
#include "formats/torch/torch_reader.h"
#include "formats/zero/zero_map.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* ---- the flat groups ---- */

static err_t read_groups(struct zero_optim *o, struct torch_reader *r, const struct pickle_value *list,
                         int file, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *value;
    const char *key = o->sharded ? "fp32_flat_groups" : "single_partition_of_fp32_groups";
    if (list->kind != PICKLE_LIST)
        return zero_refuse(r, key, "a list of tensors", list, e);
    TRY(arena_array(r->keep, "zero.groups", list->n, &o->groups, e));
    for (const struct pickle_cell *at = pickle_next(p, list, NULL, NULL, &value); at;
         at = pickle_next(p, list, at, NULL, &value)) {
        struct stored_tensor t = {.name = key};
        TRY(rebuild_tensor(r, &t, value, e));
        if (t.ndim != 1 || t.strides || !dtype_is_compared(t.dtype)) {
            char shape[200];
            return err_set(e, ERR_DATA,
                           "%s: %s: group %lld: expected floating-point numbers in one run, found %s of "
                           "shape %s",
                           r->path, key, (long long)o->ngroups, dtype_name(t.dtype),
                           shape_text(t.ndim, t.dims, shape, sizeof shape));
        }
        o->groups[o->ngroups++] = (struct zero_run){file, t.dtype, t.offset_bytes, t.elements};
    }
    return ERR_OK;
}

/* An integer not below 0 that is an item of a list under `key`. */
static err_t take_count(const struct torch_reader *r, const char *key, const struct pickle_value *v,
                        int64_t *out, struct err *e)
{
    if (v->kind != PICKLE_INT || v->i < 0)
        return zero_refuse(r, key, "integers not below 0", v, e);
    *out = v->i;
    return ERR_OK;
}

/* partition_count: of each group, or in stage 3 of all. */
static err_t read_partitions(struct zero_optim *o, const struct torch_reader *r,
                             const struct pickle_value *states, struct err *e)
{
    static const char key[] = "partition_count";
    const struct pickle *p = &r->pickle;
    const struct pickle_value *v = pickle_get(p, states, key), *item;
    int64_t n = 0;
    if (!v || v->kind == PICKLE_NONE)
        return ERR_OK;
    if (v->kind != PICKLE_LIST) {
        TRY(take_count(r, key, v, &o->partitions, e));
        o->most_partitions = o->partitions;
        return ERR_OK;
    }
    for (const struct pickle_cell *at = pickle_next(p, v, NULL, NULL, &item); at;
         at = pickle_next(p, v, at, NULL, &item)) {
        TRY(take_count(r, key, item, &n, e));
        o->partitions = o->most_partitions == 0 || n < o->partitions ? n : o->partitions;
        o->most_partitions = n > o->most_partitions ? n : o->most_partitions;
    }
    return ERR_OK;
}

/* group_paddings: what is cut off the end of this rank's part of each group, or would be. */
static err_t read_cut(struct zero_optim *o, const struct torch_reader *r, const struct pickle_value *states,
                      struct err *e)
{
    static const char key[] = "group_paddings";
    const struct pickle *p = &r->pickle;
    const struct pickle_value *v = pickle_get(p, states, key), *item;
    int64_t n = 0;
    if (!v || v->kind != PICKLE_LIST || v->n != o->ngroups)
        return ERR_OK;
    TRY(arena_array(r->keep, "zero.groups", o->ngroups, &o->cut, e));
    for (const struct pickle_cell *at = pickle_next(p, v, NULL, NULL, &item); at;
         at = pickle_next(p, v, at, NULL, &item))
        TRY(take_count(r, key, item, &o->cut[n++], e));
    return ERR_OK;
}

static err_t read_alignments(struct zero_optim *o, const struct torch_reader *r,
                             const struct pickle_value *states, struct err *e)
{
    static const char key[] = "param_alignment_paddings";
    const struct pickle *p = &r->pickle;
    const struct pickle_value *v = pickle_get(p, states, key), *group, *item;
    int64_t n = 0, g = 0;
    if (!v || v->kind == PICKLE_NONE)
        return ERR_OK;
    if (v->kind != PICKLE_LIST || v->n != o->ngroups)
        return zero_refuse(r, key, "a list with an item for each group", v, e);
    TRY(arena_array(r->keep, "zero.alignments", o->ngroups, &o->naligned, e));
    for (const struct pickle_cell *at = pickle_next(p, v, NULL, NULL, &group); at;
         at = pickle_next(p, v, at, NULL, &group)) {
        if (group->kind != PICKLE_LIST)
            return zero_refuse(r, key, "a list of lists", group, e);
        n += o->naligned[g++] = group->n;
    }
    TRY(arena_array(r->keep, "zero.alignments", n, &o->alignments, e));
    for (const struct pickle_cell *at = pickle_next(p, v, NULL, NULL, &group); at;
         at = pickle_next(p, v, at, NULL, &group))
        for (const struct pickle_cell *in = pickle_next(p, group, NULL, NULL, &item); in;
             in = pickle_next(p, group, in, NULL, &item))
            TRY(take_count(r, key, item, &o->alignments[o->nalignments++], e));
    return ERR_OK;
}

/* ---- the step ---- */

/* The first value that a map or list holds; NULL: none. */
static const struct pickle_value *first_of(const struct pickle *p, const struct pickle_value *v)
{
    const struct pickle_value *value = NULL;
    return v && pickle_next(p, v, NULL, NULL, &value) ? value : NULL;
}

/* Where the optimiser says how many steps it has done: with the first parameter's moments, or in its first
 * group. */
static const struct pickle_value *find_step(const struct pickle *p, const struct pickle_value *states)
{
    static const char *const nested[] = {"optimizer_state_dict", "base_optimizer_state"};
    const struct pickle_value *step = pickle_get(p, states, "base_optimizer_state_step");
    for (int i = 0; i < 2 && !step; i++) {
        const struct pickle_value *optimizer = pickle_get(p, states, nested[i]);
        step = pickle_get(p, first_of(p, pickle_get(p, optimizer, "state")), "step");
        if (!step)
            step = pickle_get(p, first_of(p, pickle_get(p, optimizer, "param_groups")), "step");
    }
    return step;
}

/* A number, or a tensor of one float32. Only compared with those of other ranks: what cannot be told is left.
 */
static double read_step(struct torch_reader *r, const struct pickle_value *states)
{
    const struct pickle_value *v = find_step(&r->pickle, states);
    struct stored_tensor t = {.name = "step"};
    struct file_stamp stamp;
    struct err ignored;
    float x = NAN;
    int fd = -1;
    if (v && v->kind == PICKLE_INT)
        return (double)v->i;
    if (v && v->kind == PICKLE_REAL)
        return v->x;
    err_clear(&ignored);
    if (!v || !rebuild_is_tensor(&r->pickle, v) || rebuild_tensor(r, &t, v, &ignored) != ERR_OK ||
        t.elements != 1 || t.dtype != DTYPE_F32 || file_open(r->path, &fd, &stamp, &ignored) != ERR_OK)
        return NAN;
    if (pread(fd, &x, sizeof x, (off_t)t.offset_bytes) != (ssize_t)sizeof x)
        x = NAN;
    close(fd);
    return (double)x;
}

/* ---- the file ---- */

static err_t read_version(struct zero_optim *o, const struct torch_reader *r,
                          const struct pickle_value *states, struct err *e)
{
    const struct pickle_value *v = pickle_get(&r->pickle, states, "ds_version");
    char shown[64];
    o->version = v && v->kind == PICKLE_TEXT
                     ? arena_strdup(r->keep, pickle_shown(v->text, v->n, shown, sizeof shown), e)
                     : "";
    return e->code;
}

static err_t read_optim(struct zero_optim *o, struct torch_reader *r, int file, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *states = pickle_get(p, p->root, "optimizer_state_dict");
    if (!zero_is_map(states))
        return zero_refuse(r, "optimizer_state_dict", "a map", states, e);
    const struct pickle_value *partition = pickle_get(p, states, "single_partition_of_fp32_groups"),
                              *flat = pickle_get(p, states, "fp32_flat_groups");
    if (!partition == !flat)
        return err_set(
            e, ERR_DATA,
            "%s: optimizer_state_dict: expected single_partition_of_fp32_groups (stages 1 and 2) or "
            "fp32_flat_groups (stage 3), found %s: no optimiser states of ZeRO",
            r->path, flat ? "both" : "neither");
    o->sharded = flat != NULL;
    TRY(read_groups(o, r, flat ? flat : partition, file, e));
    TRY(read_partitions(o, r, states, e));
    TRY(read_cut(o, r, states, e));
    TRY(read_version(o, r, states, e));
    o->step = read_step(r, states);
    return o->sharded ? ERR_OK : read_alignments(o, r, states, e);
}

err_t zero_optim_read(struct zero_optim *o, const char *path, struct stored_list *list, struct arena *a,
                      struct err *e)
{
    struct torch_reader r;
    struct arena scratch = {0};
    int file = -1;
    *o = (struct zero_optim){.step = NAN, .version = ""};
    arena_init(&scratch, a->mem);
    err_t code = zero_open(&r, path, list, &file, a, &scratch, e);
    if (code == ERR_OK) {
        o->hash = r.header_hash;
        code = read_optim(o, &r, file, e);
    }
    arena_release(&scratch);
    return code;
}
