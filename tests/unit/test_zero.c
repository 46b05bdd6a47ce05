/* DeepSpeed folders made by hand: masters cut over ranks against a plain count, frozen and shared parameters,
 * the model's own weights; what its files may not say, each with its verdict and what the message must say.
 */
#include "picklelib.h"

#include "formats/checkpoint.h"
#include "formats/zero/zero_folder.h"

enum { MAX_WORLD = 12, NO_CASE = 0 };

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

static int setup(void **state)
{
    return bench_new(state, sizeof(struct fixture), WITH_FOLDER);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    checkpoint_close(&f->c);
    return bench_delete(state);
}

/* ---- the files ---- */

static const int64_t a_dims[] = {3, 2}, b_dims[] = {5}, c_dims[] = {7}, f_dims[] = {4}, m_dims[] = {3},
                     none[] = {0};

static void write_archive(struct fixture *f, const char *folder, const char *name, const void *storage,
                          size_t bytes)
{
    char path[300];
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "x/data.pkl", f->p.b, f->p.n, 1);
    zipped_add(&f->z, "x/data/0", storage, bytes, 1);
    zipped_add(&f->z, "x/data/1", "", 0, 1);
    zipped_end(&f->z, 1);
    snprintf(path, sizeof path, "%s/%s/%s", f->bench.folder, folder, name);
    bytes_write(path, f->z.b, f->z.n);
}

static int64_t share(int64_t n, int world)
{
    return (n + world - 1) / world;
}

static void pk_shapes(struct pickled *p, const struct spec *s)
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
static void pk_module(struct pickled *p, const struct spec *s, const char *name, int64_t at,
                      const int64_t *dims, int ndim, int whole)
{
    pk_key(p, name);
    if (whole || s->stage < 3)
        pk_tensor(p, "Float", "0", 29, at, dims, ndim);
    else
        pk_tensor(p, "BFloat16", "1", 0, 0, none, 1);
}

static void write_model(struct fixture *f, const struct spec *s, const char *folder, int saver)
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
static void group_values(const struct spec *s, int saver, float *v, int64_t *n)
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

static void write_optim(struct fixture *f, const struct spec *s, const char *folder, int saver)
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

static void touch(struct fixture *f, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", f->bench.folder, name);
    bytes_write(path, "", 0);
}

static void write_folder(struct fixture *f, const struct spec *s)
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

static err_t open_folder(struct fixture *f, const char *below, enum choice_weights weights)
{
    char path[300];
    snprintf(path, sizeof path, "%s%s", f->bench.folder, below);
    f->choice.weights = weights;
    err_clear(&f->bench.err);
    checkpoint_close(&f->c);
    return checkpoint_open(&f->c, path, &f->choice, &f->bench.arena, &f->bench.err);
}

/* ---- what is read ---- */

static float element(struct fixture *f, const char *name, int64_t i)
{
    const struct stored_tensor *t = checkpoint_find(&f->c, name);
    float x = -1;
    assert_non_null(t);
    if (decoder_type(t) == DTYPE_F32) {
        assert_int_equal(checkpoint_read(&f->c, t, i, 1, &x, &f->bench.err), ERR_OK);
        return x;
    }
    uint16_t bits = 0;
    struct decoder_scratch scratch = {.most = 1, .bytes = decoder_scratch_bytes(t, 1)};
    assert_int_equal(
        arena_array(&f->bench.arena, "scratch", scratch.bytes, (char **)&scratch.v, &f->bench.err), ERR_OK);
    assert_int_equal(checkpoint_numbers(&f->c, t, i, 1, &scratch, &bits, &f->bench.err), ERR_OK);
    return bf16_to_float(bits);
}

/* The element of a parameter that begins at `at` of group g's line, or of stage 3's shares. */
static float expected(const struct spec *s, int g, int64_t at, int64_t n, int64_t i, int64_t share_at)
{
    if (s->stage != 3)
        return (float)(1000 * g + at + i);
    int64_t part = share(n, s->world);
    return (float)(100 * (i / part) + share_at + i % part);
}

static void check_masters(struct fixture *f, const struct spec *s, int rounded)
{
    int64_t b_at = share(6, s->world), c_at = b_at + share(5, s->world);
    for (int64_t i = 0; i < 7; i++) {
        float a = expected(s, 0, 0, 6, i, 0), b = expected(s, 0, 6 + s->padding, 5, i, b_at),
              c = expected(s, 1, 0, 7, i, c_at);
        if (i < 6) {
            assert_float_equal(element(f, "a.weight", i), rounded ? bf16_to_float(bf16_from_float(a)) : a, 0);
            assert_float_equal(element(f, "t.weight", i), rounded ? bf16_to_float(bf16_from_float(a)) : a, 0);
        }
        if (i < 5)
            assert_float_equal(element(f, "b.weight", i), rounded ? bf16_to_float(bf16_from_float(b)) : b, 0);
        assert_float_equal(element(f, "c.weight", i), rounded ? bf16_to_float(bf16_from_float(c)) : c, 0);
    }
    for (int64_t i = 0; i < 3; i++)
        assert_float_equal(element(f, "m", i), 10000 + 22 + i, 0);
    int64_t part = share(4, s->world);
    for (int64_t i = 0; i < 4 && !rounded; i++)
        assert_float_equal(element(f, "f.weight", i),
                           s->stage < 3 ? 10018 + i : (float)(500 + 10 * (i / part) + i % part), 0);
}

static void test_masters(void **state)
{
    struct fixture *f = *state;
    for (int stage = 1; stage <= 3; stage++)
        for (int world = 1; world <= 11; world += world < 3 ? 1 : 4)
            for (int variant = 0; variant < 4; variant++) {
                struct spec s = plain;
                s.stage = stage;
                s.world = world;
                s.padding = variant == 1 ? 3 : 0;
                s.tail = variant == 2 ? 2 * world - 1 : 0;
                s.no_shared = variant == 3;
                s.prefix = variant == 3 ? "" : "bf16_";
                s.latest = variant == 3 ? NULL : "global_step3";
                write_folder(f, &s);
                if (open_folder(f, variant == 1 ? "/global_step3" : "", CHOICE_WEIGHTS_MASTERS) != ERR_OK)
                    fail_msg("stage %d, %d ranks, variant %d: %s", stage, world, variant, f->bench.err.text);
                assert_int_equal(f->c.ntensors, 6);
                assert_string_equal(f->c.format, "deepspeed");
                check_masters(f, &s, 0);
            }
}

static void test_model(void **state)
{
    struct fixture *f = *state;
    struct spec s = plain;
    write_folder(f, &s);
    for (int weights = 0; weights < 3; weights += 2) { /* default and model */
        assert_int_equal(open_folder(f, "", (enum choice_weights)weights), ERR_OK);
        assert_int_equal(f->c.ntensors, 6);
        assert_float_equal(element(f, "c.weight", 2), 10013, 0);
        assert_float_equal(element(f, "t.weight", 1), 10001, 0);
        assert_int_equal(f->c.nfiles, 1);
        assert_non_null(strstr(f->c.note, "module"));
    }
    s.no_optims = 1; /* thrown away to save space */
    write_folder(f, &s);
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_DEFAULT), ERR_OK);
    s = plain;
    s.stage = 3;
    s.world = 3;
    write_folder(f, &s);
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_DEFAULT), ERR_OK);
    assert_int_equal(decoder_type(checkpoint_find(&f->c, "a.weight")), DTYPE_BF16);
    assert_int_equal(decoder_type(checkpoint_find(&f->c, "t.weight")), DTYPE_BF16);
    assert_int_equal(decoder_type(checkpoint_find(&f->c, "m")), DTYPE_F32);
    check_masters(f, &s, 1);
}

/* ---- universal checkpoints ---- */

/* One parameter's master, numbers from `first` on: in a map with its shape, or flat and alone, as of stage 3.
 */
static void write_master(struct fixture *f, const char *name, const int64_t *dims, int ndim, float first,
                         int flat)
{
    char path[400], folder[200];
    float v[8];
    const int64_t n[] = {ndim == 2 ? dims[0] * dims[1] : dims[0]};
    for (int i = 0; i < 8; i++)
        v[i] = first + (float)i;
    snprintf(folder, sizeof folder, "global_step3/zero/%s", name);
    snprintf(path, sizeof path, "%s/%s", f->bench.folder, folder);
    assert_int_equal(mkdir(path, 0700), 0);
    pk_begin(&f->p);
    pk(&f->p, flat ? "" : "}(");
    if (!flat) {
        pk_key_int(&f->p, "cat_dim", 1);
        pk_key(&f->p, "param");
    }
    pk_tensor(&f->p, "Float", "0", 8, 0, flat ? n : dims, flat ? 1 : ndim);
    pk(&f->p, flat ? "." : "u.");
    write_archive(f, folder, "fp32.pt", v, sizeof v);
}

static void write_universal(struct fixture *f, const struct spec *s)
{
    char path[300];
    write_folder(f, s);
    snprintf(path, sizeof path, "%s/global_step3/zero", f->bench.folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_master(f, "a.weight", a_dims, 2, 1000, s->stage == 3);
    write_master(f, "b.weight", b_dims, 1, 2000, s->stage == 3);
    write_master(f, "c.weight", c_dims, 1, 3000, s->stage == 3);
}

static void test_universal(void **state)
{
    struct fixture *f = *state;
    for (int stage = 1; stage <= 3; stage++) {
        struct spec s = plain;
        s.stage = stage;
        s.no_optims = 1;
        write_universal(f, &s);
        if (open_folder(f, stage == 1 ? "/global_step3" : "", CHOICE_WEIGHTS_MASTERS) != ERR_OK)
            fail_msg("stage %d: %s", stage, f->bench.err.text);
        assert_int_equal(f->c.ntensors, 6);
        assert_int_equal(checkpoint_find(&f->c, "a.weight")->ndim, 2);
        assert_float_equal(element(f, "a.weight", 5), 1005, 0);
        assert_float_equal(element(f, "t.weight", 1), 1001, 0);
        assert_float_equal(element(f, "c.weight", 6), 3006, 0);
        assert_float_equal(element(f, "f.weight", 3), stage < 3 ? 10021 : 511, 0);
        assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_MODEL), ERR_OK);
        assert_float_equal(element(f, "c.weight", 2),
                           stage < 3 ? 10013 : bf16_to_float(bf16_from_float(3002)), 0);
    }
    struct spec s = plain; /* of a model that was cut: the masters alone are whole */
    s.no_optims = 1;
    s.extra = "global_step3/mp_rank_01_model_states.pt";
    write_universal(f, &s);
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_DEFAULT), ERR_OK);
    assert_int_equal(f->c.ntensors, 3);
    assert_float_equal(element(f, "b.weight", 4), 2004, 0);
    assert_non_null(strstr(f->c.note, "universal"));
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_MODEL), ERR_DATA);
    check_message(&f->bench.err, "a part's weights", (const char *const[4]){"universal", "weights: masters"});
    s = plain;
    s.no_optims = 1;
    s.stage = 3;
    s.b_elements = 6;
    write_universal(f, &s);
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_MASTERS), ERR_DATA);
    check_message(&f->bench.err, "another shape", (const char *const[4]){"b.weight", "shape 5, expected 6"});
}

/* ---- what is refused ---- */

/* What a row leaves out is as in `plain`. */
static struct spec completed(struct spec s)
{
    s.stage = s.stage ? s.stage : plain.stage;
    s.world = s.world ? s.world : plain.world;
    s.b_elements = s.b_elements ? s.b_elements : plain.b_elements;
    s.mp_world = s.mp_world ? s.mp_world : plain.mp_world;
    s.latest = s.latest ? s.latest : plain.latest;
    s.version_of_last = s.version_of_last ? s.version_of_last : plain.version_of_last;
    s.prefix = "";
    return s;
}

static const struct one {
    const char *what;
    struct spec spec;
    const char *contains[4];
} cases[] = {
    {"latest names a folder that is gone",
     {.latest = "global_step9"},
     {"latest", "global_step9", "copy it too"}},
    {"latest leaves the folder", {.latest = "../other"}, {"latest", "leaves its folder"}},
    {"latest is absolute", {.latest = "/etc"}, {"latest", "leaves its folder"}},
    {"latest is the parent", {.latest = ".."}, {"latest", "leaves its folder"}},
    {"latest is empty", {.latest = "\n"}, {"latest", "is empty"}},
    {"latest holds an escape", {.latest = "a\033[31m"}, {"latest", "control character"}},
    {"a rank in the middle", {.world = 3, .lose = 2}, {"rank 1 are missing", "optim_states"}},
    {"the last rank",
     {.world = 3, .lose = 3},
     {"rank 2 are missing", "3 ranks (partition_count)", "found 2"}},
    {"the last rank of stage 3",
     {.stage = 3, .world = 3, .lose = 3},
     {"rank 2 are missing", "3 ranks (partition_count)", "found 2"}},
    {"no optimiser states", {.no_optims = 1}, {"no optimiser states", "weights: model"}},
    {"no optimiser states in stage 3", {.stage = 3, .no_optims = 1}, {"no optimiser states"}},
    {"a rank twice",
     {.extra = "global_step3/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"},
     {"both of rank 1", "mixed"}},
    {"two stages",
     {.extra = "global_step3/zero_pp_rank_0_mp_rank_00_model_states.pt"},
     {"two runs are mixed"}},
    {"tensor parallel",
     {.extra = "global_step3/mp_rank_01_model_states.pt"},
     {"tensor parallelism", "ds_to_universal", "global_step3_universal"}},
    {"tensor parallel by its states", {.mp_world = 2}, {"tensor parallelism", "ds_to_universal"}},
    {"a pipeline",
     {.extra = "global_step3/layer_00-model_00-model_states.pt"},
     {"pipeline", "ds_to_universal"}},
    {"a pipeline by its module", {.no_module = 1}, {"pipeline", "ds_to_universal"}},
    {"experts",
     {.extra = "global_step3/layer_0_expert_1_mp_rank_00_model_states.pt"},
     {"experts", "ds_to_universal"}},
    {"AutoEP", {.autoep = 1}, {"AutoEP", "ds_to_universal"}},
    {"ranks of another run", {.dp_world = 4}, {"4 ranks (dp_world_size)", "of 2"}},
    {"groups over fewer ranks", {.partitions = 1}, {"partition_count", "1 ranks", "over 2"}},
    {"stage 3 over other ranks",
     {.stage = 3, .partitions = 5},
     {"rank 2 are missing", "5 ranks (partition_count)"}},
    {"two steps", {.step_of_last = 7}, {"step 3", "step 7", "two steps are mixed"}},
    {"two steps of model states", {.stage = 3, .steps_of_model_of_last = 1}, {"step 4", "step 3"}},
    {"two versions", {.version_of_last = "0.9"}, {"0.19.8", "0.9", "mixed"}},
    {"a group less", {.groups_of_last = 1}, {"2 groups on rank 0, 1 on rank 1"}},
    {"a part too short in stage 3", {.stage = 3, .short_of_last = 1}, {"group 0", "parts of one size"}},
    {"shapes too large", {.b_elements = 6}, {"b.weight", "shape 5 in the module, 6 in"}},
    {"shapes too large for stage 3", {.stage = 3, .b_elements = 30}, {"b.weight", "elements left"}},
    {"a part too short", {.short_of_last = 1}, {"b.weight", "4 elements left"}},
    {"a tail that is no padding", {.tail = 4}, {"group 0", "4 elements too many", "padding"}},
    {"shapes too small for stage 3", {.stage = 3, .b_elements = 2}, {"belong to no parameter"}},
    {"paddings of other parameters", {.lists_paddings = 1}, {"group 0", "param_alignment_paddings"}},
};

static void test_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct spec s = completed(cases[i].spec);
        write_folder(f, &s);
        err_t code = open_folder(f, "", CHOICE_WEIGHTS_MASTERS);
        if (code != ERR_DATA)
            fail_msg("%s: verdict %d: %s", cases[i].what, (int)code, f->bench.err.text);
        check_message(&f->bench.err, cases[i].what, cases[i].contains);
    }
}

static void test_shapes_of_module(void **state)
{
    struct fixture *f = *state;
    struct spec s = plain;
    s.b_elements = 4;
    write_folder(f, &s);
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_MODEL), ERR_DATA);
    check_message(&f->bench.err, "shapes",
                  (const char *const[4]){"b.weight", "shape 5 in the module", "4 in"});
    s = plain;
    s.lose = 2; /* an incomplete step, whichever weights are asked for */
    write_folder(f, &s);
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_MODEL), ERR_DATA);
    check_message(&f->bench.err, "incomplete", (const char *const[4]){"2 ranks", "of 1", "incomplete"});
}

/* ---- beside other weights ---- */

static void write_deployed(struct fixture *f, int64_t elements)
{
    char path[300];
    const float x[4] = {1, 2, 3, 4};
    const void *bytes[] = {x};
    struct stored_tensor t = {.name = "a.weight",
                              .dtype = DTYPE_F32,
                              .ndim = 1,
                              .dims = {elements},
                              .elements = elements,
                              .size_bytes = 4 * elements};
    snprintf(path, sizeof path, "%s/model.safetensors", f->bench.folder);
    assert_int_equal(model_write(path, &t, 1, bytes, NULL, 0, &f->bench.arena, &f->bench.err), 0);
}

static void test_beside(void **state)
{
    struct fixture *f = *state;
    write_folder(f, &plain);
    write_deployed(f, 4);
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_DEFAULT),
                     ERR_OK); /* what is deployed, and what else is there */
    assert_string_equal(f->c.format, "safetensors");
    assert_non_null(strstr(f->c.note, "deepspeed"));
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_MASTERS), ERR_OK);
    assert_string_equal(f->c.format, "deepspeed");
    write_deployed(f, 0); /* not gathered: the trainer's own files then */
    assert_int_equal(open_folder(f, "", CHOICE_WEIGHTS_DEFAULT), ERR_OK);
    assert_string_equal(f->c.format, "deepspeed");
    folder_remove(f->bench.folder);
    assert_int_equal(mkdir(f->bench.folder, 0700), 0);
    write_deployed(f, 0);
    for (int file = 0; file < 2; file++) {
        assert_int_equal(open_folder(f, file ? "/model.safetensors" : "", CHOICE_WEIGHTS_DEFAULT), ERR_DATA);
        check_message(&f->bench.err, "not gathered",
                      (const char *const[4]){"a.weight", "stage3_gather_16bit_weights_on_model_save",
                                             "zero_to_fp32.py"});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_masters),          TEST(test_model),
                                       TEST(test_universal),        TEST(test_refused),
                                       TEST(test_shapes_of_module), TEST(test_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
