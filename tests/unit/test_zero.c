/* DeepSpeed folders made by hand: masters cut over ranks against a plain count, frozen and shared parameters,
 * the model's own weights; what its files may not say, each with its verdict and what the message must say.
 */
#include "zerolib.h"

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
