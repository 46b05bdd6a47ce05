/* Ranks' shards, written as torch 2.4 and as torch 2.15 pickle them: meshes of one and two axes, uneven and
 * empty parts, submeshes and replicas read as the whole tensor, whose elements count from 0; and what the
 * files of a run may not be, each with its verdict and what the message must say. */
#include "fsdplib.h"

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct shards), WITH_FOLDER) != 0)
        return -1;
    struct shards *f = *state;
    snprintf(f->dir, sizeof f->dir, "%s", f->bench.folder);
    return 0;
}

static int teardown(void **state)
{
    struct shards *f = *state;
    checkpoint_close(&f->c);
    return bench_delete(state);
}

static void forget(struct shards *f)
{
    checkpoint_close(&f->c);
    f->c = (struct checkpoint){0};
    arena_reset(&f->bench.arena);
    assert_int_equal(folder_remove(f->bench.folder), 0);
    assert_int_equal(mkdir(f->bench.folder, 0700), 0);
}

static err_t open_run(struct shards *f, const struct run *r)
{
    int world = ranks_of(r);
    for (int me = 0; me < world; me++)
        if (r->harm != LACKS_RANK || me != 1)
            write_rank(f, r, me, world);
    if (r->harm == EXTRA_RANK) {
        char path[400];
        snprintf(path, sizeof path, "%s/model_world_size_%d_rank_%d.pt", f->bench.folder, world, world);
        bytes_write(path, "x", 1);
    }
    if (r->harm == TWO_WORLDS)
        write_rank(f, r, 0, world + 1);
    err_clear(&f->bench.err);
    return checkpoint_open(&f->c, f->bench.folder, NULL, &f->bench.arena, &f->bench.err);
}

static const struct run good[] = {
    {"two ranks", {6, 3}, {2}, "0", .old = 0},
    {"two ranks, torch 2.4", {6, 3}, {2}, "0", .old = 1},
    {"one rank, a mesh of shape ()", {5, 3}, {1}, "0", .old = 0},
    {"one rank, torch 2.4", {5, 3}, {1}, "0", .old = 1},
    {"five ranks, uneven", {7, 3}, {5}, "0", .old = 0},
    {"sixteen ranks, most of them empty", {17, 2}, {16}, "0", .old = 0},
    {"seven ranks, four empty", {3, 2}, {7}, "0", .old = 1},
    {"columns", {4, 7}, {3}, "1", .old = 0},
    {"hybrid: copies of shards", {7, 3}, {2, 2}, "R0", .old = 0},
    {"hybrid, torch 2.4", {7, 3}, {2, 2}, "R0", .old = 1},
    {"shards of copies", {7, 3}, {2, 3}, "0R", .old = 0},
    {"tensor x data parallel", {7, 5}, {2, 3}, "01", .old = 0},
    {"data x tensor parallel", {7, 5}, {2, 3}, "10", .old = 1},
    {"one axis twice", {11, 2}, {2, 3}, "00", .old = 0},
    {"one axis twice, the second first", {11, 2}, {2, 3}, "00", .order = {1, 0}},
    {"three axes", {9, 5}, {2, 2, 2}, "R10", .old = 0},
    {"all copies", {4, 3}, {3}, "R", .old = 0},
    {"the inner axis of a larger mesh", {7, 3}, {2}, "0", .steps = {1}},
    {"the outer axis of a larger mesh", {7, 3}, {2}, "0", .steps = {2}},
    {"no rows", {0, 3}, {2}, "0", .old = 0},
};

static void test_good(void **state)
{
    struct shards *f = *state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const struct run *r = &good[i];
        static float got[4096];
        if (open_run(f, r) != ERR_OK)
            fail_msg("%s: %s", r->what, f->bench.err.text);
        const struct stored_tensor *w = checkpoint_find(&f->c, "w"), *v = checkpoint_find(&f->c, "v");
        assert_true(w && v && f->c.ntensors == 2 && strcmp(f->c.format, "fsdp") == 0);
        assert_true(w->ndim == 2 && w->dims[0] == r->dims[0] && w->dims[1] == r->dims[1] &&
                    w->dtype == DTYPE_F32);
        assert_int_equal(checkpoint_read(&f->c, w, 0, w->elements, got, &f->bench.err), ERR_OK);
        for (int64_t k = 0; k < w->elements; k++)
            if (got[k] != (float)k)
                fail_msg("%s: element %d is %g", r->what, (int)k, (double)got[k]);
        assert_int_equal(checkpoint_read(&f->c, v, 0, 2, got, &f->bench.err), ERR_OK);
        assert_true(got[0] == 3 && got[1] == 4);
        assert_non_null(strstr(f->c.note, ranks_of(r) > 1 ? "Read from the shards of" : "of 1 rank."));
        forget(f);
    }
}

static const struct run bad[] = {
    {"a rank is missing",
     {6, 3},
     {3},
     "0",
     .harm = LACKS_RANK,
     .verdict = ERR_DATA,
     .contains = {"model_world_size_3_rank_1.pt is missing", "all 3 ranks, found 2"}},
    {"a rank too many",
     {6, 3},
     {2},
     "0",
     .harm = EXTRA_RANK,
     .verdict = ERR_DATA,
     .contains = {"model_world_size_2_rank_2.pt: rank 2 of 2"}},
    {"two runs",
     {6, 3},
     {2},
     "0",
     .harm = TWO_WORLDS,
     .verdict = ERR_DATA,
     .contains = {"shards of 2 ranks and of 3", "move the others"}},
    {"another shape",
     {6, 3},
     {2},
     "0",
     .harm = OTHER_SHAPE,
     .verdict = ERR_DATA,
     .contains = {"rank_1.pt: tensor w", "7x3"}},
    {"another type",
     {6, 3},
     {2},
     "0",
     .harm = OTHER_TYPE,
     .verdict = ERR_DATA,
     .contains = {"rank_1.pt: tensor w", "BF16", "F32", "one run"}},
    {"another name",
     {6, 3},
     {2},
     "0",
     .harm = OTHER_NAME,
     .verdict = ERR_DATA,
     .contains = {"rank_1.pt: tensor x is none of rank 0's"}},
    {"a name less",
     {6, 3},
     {2},
     "0",
     .harm = LACKS_NAME,
     .verdict = ERR_DATA,
     .contains = {"rank_1.pt: tensor v is missing"}},
    {"another number in a copy",
     {6, 3},
     {2},
     "0",
     .harm = OTHER_BYTE,
     .verdict = ERR_DATA,
     .contains = {"rank_1.pt: tensor v is the same on several ranks, but byte", "rank_0.pt"}},
    {"another number in a replica",
     {6, 3},
     {2, 2},
     "R0",
     .harm = OTHER_BYTE,
     .verdict = ERR_DATA,
     .contains = {"is the same on several ranks"}},
    {"another rank's file",
     {6, 3},
     {2},
     "0",
     .harm = OTHER_COORDINATE,
     .verdict = ERR_DATA,
     .contains = {"rank_0.pt: tensor w: the mesh says that this rank is at 1 of its axis 0",
                  "another rank's file?"}},
    {"another rank's file, torch 2.4",
     {6, 3},
     {2, 2},
     "R0",
     .old = 1,
     .harm = OTHER_COORDINATE,
     .verdict = ERR_DATA,
     .contains = {"the mesh says"}},
    {"a mesh of others",
     {6, 3},
     {2},
     "0",
     .harm = FOREIGN_RANKS,
     .verdict = ERR_DATA,
     .contains = {"its mesh is of 2 ranks up to 8: expected rank 0 of 2"}},
    {"no mesh",
     {6, 3},
     {2},
     "0",
     .harm = NO_MESH,
     .verdict = ERR_DATA,
     .contains = {"tensor w: mesh: expected", "found nothing"}},
    {"a row less",
     {6, 3},
     {2},
     "0",
     .harm = SHORT_LOCAL,
     .verdict = ERR_DATA,
     .contains = {"its local tensor is of shape 2x3, expected 3x3: the part of 6x3"}},
    {"a placement less",
     {6, 3},
     {2, 1},
     "R0",
     .harm = PLACEMENTS_SHORT,
     .verdict = ERR_DATA,
     .contains = {"placements: expected one for each axis"}},
    {"_StridedShard",
     {6, 3},
     {2},
     "S",
     .verdict = ERR_DATA,
     .contains = {"tensor w: placement: expected Shard or Replicate", "_StridedShard"}},
    {"Partial",
     {6, 3},
     {2},
     "P",
     .verdict = ERR_DATA,
     .contains = {"placement_types.Partial", "full_tensor()"}},
    {"another class",
     {6, 3},
     {2},
     "0",
     .harm = FOREIGN_CLASS,
     .verdict = ERR_DATA,
     .contains = {"tensor w: class: expected DTensor", "Float8Tensor"}},
    {"another spec",
     {6, 3},
     {2},
     "0",
     .harm = FOREIGN_SPEC,
     .verdict = ERR_DATA,
     .contains = {"_spec: expected a DTensorSpec",
                  "an object of torch.distributed.tensor._dtensor_spec.Spec"}},
    {"code for a tensor",
     {6, 3},
     {2},
     "0",
     .harm = FOREIGN_LOCAL,
     .verdict = ERR_DATA,
     .contains = {"expected a tensor, found an object of posix.system; nothing of the file was executed"}},
    {"an order that names an axis twice",
     {6, 3},
     {2, 2},
     "00",
     .order = {1, 1},
     .verdict = ERR_DATA,
     .contains = {"shard order: expected an axis of the mesh, once"}},
    {"an order beyond the mesh",
     {6, 3},
     {2, 2},
     "00",
     .order = {0, 2},
     .verdict = ERR_DATA,
     .contains = {"shard order"}},
};

static void test_bad(void **state)
{
    struct shards *f = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct run *r = &bad[i];
        err_t code = open_run(f, r);
        if ((int)code != r->verdict)
            fail_msg("%s: verdict %d, expected %d: %s", r->what, (int)code, r->verdict, f->bench.err.text);
        check_message(&f->bench.err, r->what, r->contains);
        forget(f);
    }
}

/* A file alone is all of the model, or says what else is needed. */
static void test_one_file(void **state)
{
    struct shards *f = *state;
    static const struct run one = {"one", {6, 3}, {1}, "0", .old = 0},
                            two = {"two", {6, 3}, {2}, "0", .old = 0};
    char path[400];
    float got[18];
    assert_int_equal(open_run(f, &one), ERR_OK);
    snprintf(path, sizeof path, "%s/model_world_size_1_rank_0.pt", f->bench.folder);
    checkpoint_close(&f->c);
    assert_int_equal(checkpoint_open(&f->c, path, NULL, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_string_equal(f->c.format, "torch");
    assert_int_equal(checkpoint_read(&f->c, checkpoint_find(&f->c, "w"), 0, 18, got, &f->bench.err), ERR_OK);
    assert_true(got[0] == 0 && got[17] == 17);
    forget(f);
    assert_int_equal(open_run(f, &two), ERR_OK);
    snprintf(path, sizeof path, "%s/model_world_size_2_rank_1.pt", f->bench.folder);
    checkpoint_close(&f->c);
    assert_int_equal(checkpoint_open(&f->c, path, NULL, &f->bench.arena, &f->bench.err), ERR_DATA);
    check_message(&f->bench.err, "one of two",
                  (const char *const[4]){"tensor w: this file has one of 2 shards of it", "name the folder"});
}

/* The folder of a step and that of a run lead to the files; masters are taken or rounded, as is said. */
static void test_folders(void **state)
{
    struct shards *f = *state;
    static const struct run r = {"run", {6, 3}, {2}, "0", .old = 0};
    char run[140], step[160], text[300];
    const char *const paths[] = {run, step, f->dir};
    snprintf(run, sizeof run, "%s/run", f->bench.folder);
    snprintf(step, sizeof step, "%s/global_step_20", run);
    snprintf(f->dir, sizeof f->dir, "%s/actor", step);
    assert_true(mkdir(run, 0700) == 0 && mkdir(step, 0700) == 0 && mkdir(f->dir, 0700) == 0);
    write_rank(f, &r, 0, 2);
    write_rank(f, &r, 1, 2);
    snprintf(text, sizeof text, "%s/latest_checkpointed_iteration.txt", run);
    bytes_write(text, "20", 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(checkpoint_open(&f->c, paths[i], NULL, &f->bench.arena, &f->bench.err), ERR_OK);
        assert_non_null(strstr(f->c.note, "The float32 masters are taken as they are"));
        checkpoint_close(&f->c);
    }
    snprintf(text, sizeof text, "%s/critic", step);
    assert_int_equal(mkdir(text, 0700), 0);
    assert_int_equal(checkpoint_open(&f->c, step, NULL, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_non_null(strstr(f->c.note, "critic/ beside it is a checkpoint of its own"));
    checkpoint_close(&f->c);
    snprintf(text, sizeof text, "%s/latest_checkpointed_iteration.txt", run);
    for (size_t i = 0; i < 4; i++) {
        static const char *const wrong[] = {"../x", "21", "", "020"};
        bytes_write(text, wrong[i], strlen(wrong[i]));
        assert_int_equal(checkpoint_open(&f->c, run, NULL, &f->bench.arena, &f->bench.err), ERR_DATA);
        err_clear(&f->bench.err);
    }
    const struct choice model = {.weights = CHOICE_WEIGHTS_MODEL};
    snprintf(text, sizeof text, "%s/huggingface", f->dir);
    assert_int_equal(mkdir(text, 0700), 0);
    snprintf(text, sizeof text, "%s/huggingface/config.json", f->dir);
    for (int i = 0; i < 3; i++) {
        const char *config = i == 0 ? "{\"dtype\": \"bfloat16\"}" : "{\"torch_dtype\": \"float32\"}";
        bytes_write(text, config, strlen(config));
        assert_int_equal(
            checkpoint_open(&f->c, f->dir, i == 2 ? &model : NULL, &f->bench.arena, &f->bench.err), ERR_OK);
        assert_int_equal(decoder_type(checkpoint_find(&f->c, "w")), i == 1 ? DTYPE_F32 : DTYPE_BF16);
        assert_non_null(strstr(f->c.note, i == 1 ? "taken as they are" : "rounded once to bf16"));
        checkpoint_close(&f->c);
    }
    f->c = (struct checkpoint){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_good), TEST(test_bad), TEST(test_one_file),
                                       TEST(test_folders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
