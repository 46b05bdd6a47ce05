/* Presence: which cells have their checkpoints, and what becomes of those that have not. */

#include "studylib.h"

#include "command/presence.h"

#include <sys/stat.h>

#define HEAD "study: s\noutput: ${DIR}/out\n"
#define CELL(algorithm) \
    "  - {family: f, algorithm: " algorithm ", base: \"${DIR}/base\", tuned: \"${DIR}/" algorithm "\"}\n"
#define CELLS "cells:\n" CELL("a") CELL("b") CELL("c") CELL("d")
#define STAGES "stages: {ground: {}, fake: {needs: ground}}\n"

static void touch(struct study *s, const char *name)
{
    FILE *f = fopen(in_folder(s, "%s", name), "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

/* Looks; returns how many cells lack a checkpoint. */
static int settle(struct study *s, const struct selection *picked)
{
    static const struct selection all = {0};
    struct comm self = {.mpi = MPI_COMM_SELF, .np = 1};
    struct log log;
    int missing = -1;
    log_init(&log, LOG_QUIET, 0);
    presence_settle(&self, &s->config, &s->dag, picked ? picked : &all, &s->headers, &log, &missing,
                    &s->bench.arena, &s->bench.err);
    return missing;
}

static void check_cells(const struct study *s, int n, const char *const *names, int nabsent)
{
    assert_int_equal(s->bench.err.code, ERR_OK);
    assert_int_equal(s->config.ncells, n);
    assert_int_equal(s->config.nabsent, nabsent);
    for (int i = 0; i < n + nabsent; i++)
        assert_string_equal(s->config.cells[i].name, names[i]);
}

static const char *const in_order[] = {"f/a/0", "f/b/0", "f/c/0", "f/d/0"};

static void all_there(void **state)
{
    struct study *s = *state;
    for (int i = 0; i < 5; i++)
        touch(s, (const char *const[]){"base", "a", "b", "c", "d"}[i]);
    for (int skip = 0; skip < 2; skip++) {
        study_read(s, skip ? HEAD "missing: skip\n" CELLS STAGES : HEAD CELLS STAGES);
        assert_int_equal(settle(s, NULL), 0);
        check_cells(s, 4, in_order, 0);
        assert_int_equal(s->dag.nnodes, 5 + 4);
    }
}

/* fail: they are counted, and nothing else happens. */
static void counted(void **state)
{
    struct study *s = *state;
    touch(s, "base");
    touch(s, "c");
    study_read(s, HEAD CELLS STAGES);
    assert_int_equal(settle(s, NULL), 3);
    check_cells(s, 4, in_order, 0);
    assert_int_equal(s->dag.nnodes, 5 + 4);
}

/* skip: they stand behind the others, both in their order, and have no nodes. */
static void left_out(void **state)
{
    struct study *s = *state;
    static const char *const moved[] = {"f/b/0", "f/d/0", "f/a/0", "f/c/0"};
    touch(s, "base");
    touch(s, "b");
    touch(s, "d");
    study_read(s, HEAD "missing: skip\n" CELLS STAGES);
    assert_int_equal(settle(s, NULL), 0);
    check_cells(s, 2, moved, 2);
    assert_int_equal(s->dag.nnodes, 3 + 2);
    for (int i = 0; i < s->dag.nnodes; i++)
        assert_string_not_equal(s->dag.nodes[i].label, "f/a/0");
    study_node(s, "fake", "f/d/0");
}

static void none_there(void **state)
{
    struct study *s = *state;
    touch(s, "a"); /* but not its base */
    study_read(s, HEAD "missing: skip\n" CELLS STAGES);
    settle(s, NULL);
    assert_int_equal(s->bench.err.code, ERR_DATA);
    assert_non_null(
        strstr(s->bench.err.text, "no cell has its checkpoints on disk; the first, f/a/0, lacks "));
    assert_non_null(strstr(s->bench.err.text, "/base"));
    err_clear(&s->bench.err);
}

/* A stage of the study makes them, or has them catalogued from before they were removed. */
static void known(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD CELLS "stages: {maker: {}, ground: {needs: maker}}\n");
    assert_int_equal(settle(s, NULL), 0);
    study_read(s, HEAD CELLS STAGES);
    assert_int_equal(settle(s, NULL), 4);
    study_judge(s);
    study_make(s, study_node(s, "ground", in_folder(s, "base")));
    study_make(s, study_node(s, "ground", in_folder(s, "c")));
    assert_int_equal(settle(s, NULL), 3);
}

/* A folder is a checkpoint if there is one in it. */
static void folders(void **state)
{
    struct study *s = *state;
    touch(s, "base");
    for (int i = 0; i < 4; i++)
        assert_int_equal(mkdir(in_folder(s, "%s", (const char *const[]){"a", "b", "c", "d"}[i]), 0777), 0);
    touch(s, "a/README.md");
    touch(s, "b/model.safetensors");
    touch(s, "c/model.safetensors.index.json");
    touch(s, "d/pytorch_model.bin");
    study_read(s, HEAD CELLS STAGES);
    assert_int_equal(settle(s, NULL), 1);
}

/* Of picked cells alone is asked, and none of them is left out in silence. */
static void picked(void **state)
{
    struct study *s = *state;
    const char *there[] = {"f/b/0"}, *both[] = {"f/b/0", "f/c/0"};
    const struct selection one = {.cells = {1, there}}, two = {.cells = {2, both}};
    touch(s, "base");
    touch(s, "b");
    study_read(s, HEAD "missing: skip\n" CELLS STAGES);
    assert_int_equal(settle(s, &one), 0);
    check_cells(s, 4, in_order, 0);
    assert_int_equal(settle(s, &two), 1);
    check_cells(s, 4, in_order, 0);
}

/* Reads the checkpoint of f/NAME/0 in full, as a run would, then removes it. */
static void read_and_remove(struct study *s, const char *name)
{
    char label[20];
    snprintf(label, sizeof label, "f/%s/0", name);
    study_judge(s);
    study_make(s, study_node(s, "ground", in_folder(s, "%s", name)));
    study_judge(s);
    study_make(s, study_node(s, "fake", label));
    assert_int_equal(remove(in_folder(s, "%s", name)), 0);
}

#define KEPT HEAD "missing: kept\n" CELLS STAGES

static void kept(void **state)
{
    struct study *s = *state;
    static const char *const moved[] = {"f/a/0", "f/b/0", "f/c/0", "f/d/0"};
    for (int i = 0; i < 4; i++)
        touch(s, (const char *const[]){"base", "a", "b", "c"}[i]);
    study_read(s, KEPT);
    study_judge(s);
    study_make(s, study_node(s, "ground", in_folder(s, "base")));
    read_and_remove(s, "a");
    study_read(s, KEPT);
    assert_int_equal(settle(s, NULL), 0);
    check_cells(s, 3, moved, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(s->config.cells[i].kept, i == 0);
        assert_null(s->config.cells[i].lost);
    }
    study_judge(s);
    assert_int_equal(s->all[study_node(s, "fake", "f/a/0")].state, STATE_FRESH);
    assert_int_equal(s->all[study_node(s, "fake", "f/b/0")].state, STATE_MISSING);
    /* its base may be gone too; a cell that was not read by then is left out */
    assert_int_equal(remove(in_folder(s, "base")), 0);
    study_read(s, KEPT);
    settle(s, NULL);
    check_cells(s, 1, moved, 3);
    assert_non_null(
        strstr(s->config.cells[1].lost, "/base is gone, and fake of f/b/0 is not complete: it is missing"));
}

/* Catalogued, and gone before it was compared; compared in another way than is asked for now. */
static void lost(void **state)
{
    struct study *s = *state;
    static const char *const moved[] = {"f/a/0", "f/c/0", "f/d/0", "f/b/0"};
    for (int i = 0; i < 5; i++)
        touch(s, (const char *const[]){"base", "a", "b", "c", "d"}[i]);
    study_read(s, KEPT);
    study_judge(s);
    study_make(s, study_node(s, "ground", in_folder(s, "base")));
    study_make(s, study_node(s, "ground", in_folder(s, "b")));
    assert_int_equal(remove(in_folder(s, "b")), 0);
    read_and_remove(s, "a");
    study_read(s, KEPT);
    assert_int_equal(settle(s, NULL), 0);
    check_cells(s, 3, moved, 1);
    assert_non_null(
        strstr(s->config.cells[3].lost, "/b is gone, and fake of f/b/0 is not complete: it is missing"));

    const char *one[] = {"f/b/0"};
    const struct selection picked = {.cells = {1, one}};
    study_read(s, KEPT);
    assert_int_equal(settle(s, &picked), 1);
    assert_int_equal(presence_refuse(&s->dag, &picked, 1, &s->bench.arena, &s->bench.err), ERR_DATA);
    assert_non_null(strstr(s->bench.err.text, "/b is gone, and fake of f/b/0"));
    err_clear(&s->bench.err);

    study_read(s, HEAD "missing: kept\n" CELLS "stages: {ground: {}, fake: {needs: ground, items: 2}}\n");
    assert_int_equal(settle(s, NULL), 0);
    assert_int_equal(s->config.ncells, 2);
    assert_non_null(strstr(s->config.cells[2].lost, "stale: its parameters changed"));
}

int main(void)
{
    h5_start();
    const struct CMUnitTest tests[] = {
        TEST_STUDY(all_there),  TEST_STUDY(counted), TEST_STUDY(left_out),
        TEST_STUDY(none_there), TEST_STUDY(known),   TEST_STUDY(folders),
        TEST_STUDY(picked),     TEST_STUDY(kept),    TEST_STUDY(lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
