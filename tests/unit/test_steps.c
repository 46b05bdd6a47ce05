/* Steps: {step} in a path finds the folder in which the number is padded, the plain one first. */

#include "studylib.h"

#include "study/steps.h"

#include <sys/stat.h>

#define HEAD "study: s\noutput: ${DIR}/out\nstages: {ground: {}, fake: {needs: ground}}\n"
#define MATRIX(steps, tuned)                                                       \
    HEAD "matrix: {families: [f], algorithms: [a], seeds: [0], steps: [" steps "]" \
         ", base: \"${DIR}/base\", tuned: \"${DIR}/" tuned "\"}\n"

static void folder(struct study *s, const char *name)
{
    assert_int_equal(mkdir(in_folder(s, "%s", name), 0777), 0);
}

static err_t settle(struct study *s)
{
    struct comm self = {.mpi = MPI_COMM_SELF, .np = 1};
    return steps_settle(&self, &s->config, &s->bench.arena, &s->bench.err);
}

static void check_tuned(struct study *s, int cell, const char *name)
{
    assert_string_equal(s->config.cells[cell].tuned, in_folder(s, "%s", name));
}

static void padded(void **state)
{
    struct study *s = *state;
    folder(s, "iter_0000100");
    folder(s, "iter_200");
    folder(s, "iter_0000200"); /* the plain one is there */
    study_read(s, MATRIX("100, 200, 300", "iter_{step}"));
    check_tuned(s, 0, "iter_100");
    assert_int_equal(settle(s), ERR_OK);
    check_tuned(s, 0, "iter_0000100");
    check_tuned(s, 1, "iter_200");
    check_tuned(s, 2, "iter_300"); /* neither is */
    assert_non_null(strstr(s->config.resolved, "iter_0000100"));
    assert_null(strstr(s->config.resolved, "iter_100\""));
    assert_string_equal(s->config.cells[0].name, "f/a/0@100");
}

/* In every place of the path, in the base too, and in step 0. */
static void all_places(void **state)
{
    struct study *s = *state;
    folder(s, "base");
    folder(s, "run");
    folder(s, "run/000");
    folder(s, "run/000/actor-000");
    study_read(s, MATRIX("0", "run/{step}/actor-{step}"));
    assert_int_equal(settle(s), ERR_OK);
    check_tuned(s, 0, "run/000/actor-000");
    study_read(
        s, HEAD
        "matrix: {families: [f], algorithms: [a], seeds: [0], steps: [7], base: \"${DIR}/run/{step}00\", "
        "tuned: \"${DIR}/base\"}\n");
    folder(s, "run/00700");
    assert_int_equal(settle(s), ERR_OK);
    assert_string_equal(s->config.cells[0].base, in_folder(s, "run/00700"));
    check_tuned(s, 0, "base");
}

static void several(void **state)
{
    struct study *s = *state;
    folder(s, "iter_0100");
    folder(s, "iter_0000100");
    study_read(s, MATRIX("100", "iter_{step}"));
    assert_int_equal(settle(s), ERR_DATA);
    assert_non_null(strstr(s->bench.err.text, "cell f/a/0@100: there is no "));
    assert_non_null(strstr(s->bench.err.text, "iter_0100 or "));
    assert_non_null(strstr(s->bench.err.text, "iter_0000100; expected one of them"));
    err_clear(&s->bench.err);
}

/* Read, then removed: its name is what it was. */
static void removed(void **state)
{
    struct study *s = *state;
    folder(s, "iter_0000100");
    study_read(s, MATRIX("100", "iter_{step}"));
    assert_int_equal(settle(s), ERR_OK);
    assert_int_equal(dag_build(&s->dag, &s->config, &s->bench.arena, &s->bench.err), ERR_OK);
    study_judge(s);
    study_make(s, study_node(s, "ground", in_folder(s, "iter_0000100")));
    assert_int_equal(rmdir(in_folder(s, "iter_0000100")), 0);
    study_read(s, MATRIX("100", "iter_{step}"));
    assert_int_equal(settle(s), ERR_OK);
    check_tuned(s, 0, "iter_0000100");
}

/* Without {step} nothing is looked for; a path as long as any may be is none with more digits. */
static void left_alone(void **state)
{
    struct study *s = *state;
    folder(s, "iter_0100");
    study_read(s, MATRIX("100", "iter_100"));
    assert_int_equal(settle(s), ERR_OK);
    check_tuned(s, 0, "iter_100");
    assert_null(s->config.cells[0].steps);
}

int main(void)
{
    h5_start();
    const struct CMUnitTest tests[] = {
        TEST_STUDY(padded),  TEST_STUDY(all_places), TEST_STUDY(several),
        TEST_STUDY(removed), TEST_STUDY(left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
