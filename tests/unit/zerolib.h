/* DeepSpeed folders made by hand, of a few parameters, as its ranks save them, and what is wrong with them.
 */
#ifndef SINEW_ZEROLIB_H
#define SINEW_ZEROLIB_H

#include "picklelib.h"

#include "formats/checkpoint.h"

/* What a folder says. Parameters: a [3, 2] and b [5] in group 0, c [7] in group 1; frozen f [4]; buffer m
 * [3]; t shares a. Elements of a group's line count from 0 in group 0 and from 1000 in group 1; of stage 3,
 * from 100 * rank, with the second group's behind the first's. Those of the module count from 10000. */
struct spec {
    int stage, world;
    int padding;   /* behind a, in stages up to 2 */
    int tail;      /* at the end of each group: kept */
    int no_shared; /* shared_params is not told */
    int dp_world, partitions, step_of_last, steps_of_model_of_last, groups_of_last, short_of_last;
    int lose;       /* 1 + rank whose optimiser states are left out */
    int b_elements; /* what param_shapes says of b */
    const char *latest, *prefix, *version_of_last, *extra;
    int mp_world, autoep, no_module, no_optims, lists_paddings;
};

static const struct spec plain = {.stage = 1,
                                  .world = 2,
                                  .b_elements = 5,
                                  .latest = "global_step3\n",
                                  .prefix = "bf16_",
                                  .version_of_last = "0.19.8",
                                  .mp_world = 1};

struct fixture {
    struct bench bench;
    struct zipped z;
    struct pickled p;
    struct checkpoint c;
    struct choice choice;
};

/* ---- the files ---- */

static const int64_t a_dims[] = {3, 2}, b_dims[] = {5}, c_dims[] = {7}, f_dims[] = {4}, m_dims[] = {3},
                     none[] = {0};

static inline void write_archive(struct fixture *f, const char *folder, const char *name, const void *storage,
                                 size_t bytes)
{
    char path[400];
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "x/data.pkl", f->p.b, f->p.n, 1);
    zipped_add(&f->z, "x/data/0", storage, bytes, 1);
    zipped_add(&f->z, "x/data/1", "", 0, 1);
    zipped_end(&f->z, 1);
    snprintf(path, sizeof path, "%s/%s/%s", f->bench.folder, folder, name);
    bytes_write(path, f->z.b, f->z.n);
}

static inline int64_t share(int64_t n, int world)
{
    return (n + world - 1) / world;
}

static inline void pk_shapes(struct pickled *p, const struct spec *s)
{
    const int64_t b[] = {s->b_elements};
    pk_key(p, "param_shapes");
    pk(p, "](}(");
    pk_key(p, "a.weight");
    pk_size(p, a_dims, 2);
    pk_key(p, "b.weight");
    pk_size(p, b, 1);
    pk(p, "u}(");
    pk_key(p, "c.weight");
    pk_size(p, c_dims, 1);
    pk(p, "ue");
    pk_key(p, "frozen_param_shapes");
    pk(p, "}(");
    if (s->stage > 1) {
        pk_key(p, "f.weight");
        pk_size(p, f_dims, 1);
    }
    pk(p, "u");
}

/* A name of the module: whole up to stage 2, without elements in stage 3. */
static inline void pk_module(struct pickled *p, const struct spec *s, const char *name, int64_t at,
                             const int64_t *dims, int ndim, int whole)
{
    pk_key(p, name);
    if (whole || s->stage < 3)
        pk_tensor(p, "Float", "0", 29, at, dims, ndim);
    else
        pk_tensor(p, "BFloat16", "1", 0, 0, none, 1);
}

static inline void write_model(struct fixture *f, const struct spec *s, const char *folder, int saver)
{
    struct pickled *p = &f->p;
    float storage[29]; /* a 6, b 5, c 7, f 4, m 3, and what rank has of f */
    char name[80];
    int64_t part[] = {s->stage == 3 ? share(4, s->world) : 4};
    for (int i = 0; i < 29; i++)
        storage[i] = i < 25 ? (float)(10000 + i) : (float)(500 + 10 * saver + i - 25);
    pk_begin(p);
    pk(p, "}(");
    pk_key(p, "module");
    if (s->no_module)
        pk(p, "N");
    else {
        pk(p, "ccollections\nOrderedDict\n)R(");
        pk_module(p, s, "a.weight", 0, a_dims, 2, 0);
        pk_module(p, s, "t.weight", 0, a_dims, 2, 0);
        pk_module(p, s, "b.weight", 6, b_dims, 1, 0);
        pk_module(p, s, "c.weight", 11, c_dims, 1, 0);
        pk_module(p, s, "f.weight", 18, f_dims, 1, 0);
        pk_module(p, s, "m", 22, m_dims, 1, 1);
        pk(p, "u");
    }
    pk_key(p, "buffer_names");
    pk(p, "](");
    pk_text(p, "m");
    pk(p, "e");
    pk_shapes(p, s);
    pk_key(p, "frozen_param_fragments");
    pk(p, "}(");
    if (s->stage > 1) {
        pk_key(p, "f.weight");
        pk_tensor(p, "Float", "0", 29, 25, part, 1);
    }
    pk(p, "u");
    if (!s->no_shared) {
        pk_key(p, "shared_params");
        pk(p, "}(");
        pk_key(p, "t.weight");
        pk_text(p, "a.weight");
        pk(p, "u");
    }
    pk_key_int(p, "dp_world_size", s->dp_world ? s->dp_world : s->world);
    pk_key_int(p, "mp_world_size", s->mp_world);
    pk_key_int(p, "global_steps", saver > 0 && saver == s->world - 1 && s->steps_of_model_of_last ? 4 : 3);
    pk_key(p, "ds_autoep_layers");
    pk(p, s->autoep ? "](}e" : "N");
    pk_key(p, "lr_scheduler");
    pk(p, "cother.module\nScheduler\n)\x81}(");
    pk_key_int(p, "last", 3);
    pk(p, "ubu.");
    snprintf(name, sizeof name,
             s->stage == 3 ? "zero_pp_rank_%d_mp_rank_00_model_states.pt" : "mp_rank_00_model_states.pt",
             saver);
    write_archive(f, folder, name, storage, sizeof storage);
}

/* What a rank has of both groups, one behind the other in v: sizes into n[2]. */
static inline void group_values(const struct spec *s, int saver, float *v, int64_t *n)
{
    if (s->stage == 3) {
        n[0] = share(6, s->world) + share(5, s->world);
        n[1] = share(7, s->world);
        for (int i = 0; i < n[0] + n[1]; i++)
            v[i] = (float)(100 * saver + i);
        return;
    }
    int64_t all[] = {11 + s->padding + s->tail, 7 + s->tail}, done = 0;
    for (int g = 0; g < 2; g++) {
        int64_t part = share(all[g], s->world), from = min64(saver * part, all[g]),
                to = min64(from + part, all[g]);
        n[g] = to - from;
        for (int64_t i = from; i < to; i++)
            v[done++] = (float)(1000 * g + i);
    }
}

static inline void write_optim(struct fixture *f, const struct spec *s, const char *folder, int saver)
{
    struct pickled *p = &f->p;
    float v[64] = {0};
    int64_t n[2], first[] = {0}, all;
    char name[80];
    int last = saver > 0 && saver == s->world - 1;
    group_values(s, saver, v, n);
    n[0] -= last ? s->short_of_last : 0;
    all = n[0] + n[1];
    pk_begin(p);
    pk(p, "}(");
    pk_key(p, "optimizer_state_dict");
    pk(p, "}(");
    pk_key(p, "loss_scaler");
    pk(p, "cdeepspeed.runtime.fp16.loss_scaler\nLossScaler\n)\x81}(");
    pk_key_int(p, "cur_scale", 1);
    pk(p, "ub");
    pk_key(p, "zero_stage");
    pk(p, "cdeepspeed.runtime.zero.config\nZeroStageEnum\n");
    pk_int(p, s->stage);
    pk(p, "\x85R");
    pk_key(p, "partition_count");
    if (s->stage == 3)
        pk_int(p, s->partitions ? s->partitions : s->world);
    else {
        pk(p, "](");
        pk_int(p, s->world);
        pk_int(p, s->partitions ? s->partitions : s->world);
        pk(p, "e");
    }
    pk_key(p, s->stage == 3 ? "optimizer_state_dict" : "base_optimizer_state");
    pk(p, "}(");
    pk_key(p, "state");
    pk(p, "}(");
    pk_int(p, 0);
    pk(p, "}(");
    pk_key_int(p, "step", last && s->step_of_last ? s->step_of_last : 3);
    pk(p, "uuu");
    if (s->padding || s->lists_paddings) {
        const int64_t paddings[] = {s->padding, 0};
        pk_key(p, "param_alignment_paddings");
        pk(p, "](](");
        for (int i = 0; i < 2; i++)
            pk_int(p, (int32_t)paddings[i]);
        pk(p, s->lists_paddings ? "K\1e](K\1ee" : "e](");
        if (!s->lists_paddings)
            pk_bytes(p, "K\0ee", 4);
    }
    pk_key(p, s->stage == 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups");
    pk(p, "](");
    for (int g = 0; g < 2; g++) {
        first[0] = n[g];
        if (g == 0 || !(last && s->groups_of_last))
            pk_tensor(p, "Float", "0", all, g == 0 ? 0 : n[0], first, 1);
    }
    pk(p, "e");
    pk_key(p, "ds_version");
    pk_text(p, last ? s->version_of_last : "0.19.8");
    pk(p, "uu.");
    snprintf(name, sizeof name, "%szero_pp_rank_%d_mp_rank_00_optim_states.pt", s->prefix, saver);
    write_archive(f, folder, name, v, (size_t)all * sizeof *v);
}

static inline void touch(struct fixture *f, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", f->bench.folder, name);
    bytes_write(path, "", 0);
}

static inline void write_folder(struct fixture *f, const struct spec *s)
{
    char path[300];
    folder_remove(f->bench.folder);
    assert_int_equal(mkdir(f->bench.folder, 0700), 0);
    snprintf(path, sizeof path, "%s/global_step3", f->bench.folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int r = 0; r < s->world; r++) {
        if (r == 0 || s->stage == 3)
            write_model(f, s, "global_step3", r);
        if (s->lose != r + 1 && !s->no_optims)
            write_optim(f, s, "global_step3", r);
    }
    if (s->latest) {
        snprintf(path, sizeof path, "%s/latest", f->bench.folder);
        bytes_write(path, s->latest, strlen(s->latest));
    }
    if (s->extra)
        touch(f, s->extra);
}

#endif
