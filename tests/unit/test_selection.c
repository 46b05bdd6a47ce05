/* Selection: which nodes of a study the words of the command line pick. */
#include "unitlib.h"

#include "engine/selection.h"

#include <stdio.h>

/* Two cells on base m, one on base n; load of each checkpoint, delta of each cell, overlap of each base, and
 * a report. The third cell's tuned checkpoint is the first one's base. */
static const struct stage load = {.kind = "load", .scope = SCOPE_CHECKPOINT};
static const struct stage delta = {.kind = "delta", .scope = SCOPE_CELL};
static const struct stage overlap = {.kind = "overlap", .scope = SCOPE_BASE};
static const struct stage report = {.kind = "report", .scope = SCOPE_STUDY};

static struct node_decl decls[] = {{.name = "load", .stage = &load},
                                   {.name = "delta", .stage = &delta},
                                   {.name = "overlap", .stage = &overlap},
                                   {.name = "report", .stage = &report}};
static struct cell cells[] = {{.name = "f/grpo/1", .base = "m", .tuned = "m1"},
                              {.name = "f/grpo/2", .base = "m", .tuned = "m2"},
                              {.name = "g/grpo/1", .base = "n", .tuned = "m"}};
static const struct config config = {.ncells = 3, .cells = cells, .nnodes = 4, .nodes = decls};

static struct node nodes[] = {
    {.decl = 0, .stage = &load, .label = "m", .checkpoint = "m"},
    {.decl = 0, .stage = &load, .label = "m1", .checkpoint = "m1"},
    {.decl = 0, .stage = &load, .label = "m2", .checkpoint = "m2"},
    {.decl = 0, .stage = &load, .label = "n", .checkpoint = "n"},
    {.decl = 1, .stage = &delta, .label = "f/grpo/1"},
    {.decl = 1, .stage = &delta, .label = "f/grpo/2"},
    {.decl = 1, .stage = &delta, .label = "g/grpo/1"},
    {.decl = 2, .stage = &overlap, .label = "m", .base = "m"},
    {.decl = 2, .stage = &overlap, .label = "n", .base = "n"},
    {.decl = 3, .stage = &report, .label = "study"},
};
enum { NODES = sizeof nodes / sizeof *nodes };
static const struct dag dag = {.config = &config, .nnodes = NODES, .nodes = nodes};

/* expected: a digit per node, in their order. */
static void check_picked(struct bench *b, struct selection s, const char *expected)
{
    char picked[NODES + 1] = "";
    assert_int_equal(selection_pick(&s, &dag, picked, &b->arena, &b->err), ERR_OK);
    for (int i = 0; i < NODES; i++)
        picked[i] = (char)(picked[i] + '0');
    assert_string_equal(picked, expected);
}

static void test_nothing_picks_all(void **state)
{
    check_picked(*state, (struct selection){0}, "1111111111");
}

static void test_cells_bring_their_checkpoints(void **state)
{
    const char *one[] = {"f/grpo/2"}, *two[] = {"g/grpo/1", "f/grpo/1"};
    check_picked(*state, (struct selection){.cells = {1, one}}, "1010010000");
    check_picked(*state, (struct selection){.cells = {2, two}}, "1101101000");
}

static void test_shares_cover_all_cells_once(void **state)
{
    struct bench *b = *state;
    for (int n = 1; n <= config.ncells; n++) {
        int at = 0;
        for (int i = 1; i <= n; i++) {
            struct selection s = {0};
            char share[16];
            snprintf(share, sizeof share, "%d/%d", i, n);
            assert_int_equal(selection_share(&s, share, &config, &b->arena, &b->err), ERR_OK);
            assert_in_range(s.cells.n, config.ncells / n, config.ncells / n + 1);
            for (int k = 0; k < s.cells.n; k++)
                assert_string_equal(s.cells.v[k], cells[at++].name);
        }
        assert_int_equal(at, config.ncells);
    }
}

static void test_shares_that_are_none(void **state)
{
    struct bench *b = *state;
    static const char *const bad[] = {"",
                                      "1",
                                      "0/2",
                                      "3/2",
                                      "1/0",
                                      "1/2x",
                                      "a/2",
                                      "-1/2",
                                      "1/-2",
                                      " 1/2",
                                      "1//2",
                                      "1/2/3",
                                      "1/99999999999999",
                                      "4/4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct selection s = {0};
        assert_int_equal(selection_share(&s, bad[i], &config, &b->arena, &b->err), ERR_CONFIG);
        err_clear(&b->err);
    }
    const char *one[] = {"f/grpo/2"};
    struct selection s = {.cells = {1, one}};
    assert_int_equal(selection_share(&s, "1/2", &config, &b->arena, &b->err), ERR_CONFIG);
    err_clear(&b->err);
}

static void test_numbers_of_cells(void **state)
{
    struct bench *b = *state;
    static const char *const bad[] = {"",     "0",  "x",  "1,",   ",1", "1-",          "-1",  "2-1",
                                      "1-99", "99", "1x", "1,,2", "1 ", "99999999999", "1--2"};
    struct selection s = {0};
    assert_int_equal(selection_index(&s, "2", &config, &b->arena, &b->err), ERR_OK);
    assert_int_equal(s.cells.n, 1);
    assert_string_equal(s.cells.v[0], cells[1].name);
    assert_int_equal(selection_index(&s, "2", &config, &b->arena, &b->err), ERR_CONFIG);
    err_clear(&b->err);
    s = (struct selection){0};
    assert_int_equal(selection_index(&s, "3,1-2,2", &config, &b->arena, &b->err), ERR_OK);
    assert_int_equal(s.cells.n, 3);
    assert_string_equal(s.cells.v[0], cells[2].name);
    assert_string_equal(s.cells.v[1], cells[0].name);
    assert_string_equal(s.cells.v[2], cells[1].name);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s = (struct selection){0};
        assert_int_equal(selection_index(&s, bad[i], &config, &b->arena, &b->err), ERR_CONFIG);
        assert_non_null(strstr(b->err.text, "--cell-index"));
        err_clear(&b->err);
    }
}

static void test_stages(void **state)
{
    const char *two[] = {"overlap", "load"}, *last[] = {"report"};
    check_picked(*state, (struct selection){.stages = {2, two}}, "1111000110");
    check_picked(*state, (struct selection){.stages = {1, last}}, "0000000001");
}

static void test_stages_of_cells(void **state)
{
    const char *stages[] = {"delta", "overlap", "report"}, *cell[] = {"f/grpo/1"};
    check_picked(*state, (struct selection){.stages = {3, stages}, .cells = {1, cell}}, "0000100101");
}

static void test_names_are_checked(void **state)
{
    struct bench *b = *state;
    const char *stage[] = {"delta"}, *cell[] = {"f/grpo/1", "f/grpo/2"};
    const struct selection good = {.stages = {1, stage}, .cells = {2, cell}};
    assert_int_equal(selection_check(&good, &config, &b->arena, &b->err), ERR_OK);

    const char *misspelt[] = {"detla"}, *unknown[] = {"f/grpo/1", "zzz"};
    const struct selection bad_stage = {.stages = {1, misspelt}}, bad_cell = {.cells = {2, unknown}};
    assert_int_equal(selection_check(&bad_stage, &config, &b->arena, &b->err), ERR_CONFIG);
    assert_string_equal(b->err.text, "--stage 'detla' is not in the config; did you mean 'delta'?");
    err_clear(&b->err);
    assert_int_equal(selection_check(&bad_cell, &config, &b->arena, &b->err), ERR_CONFIG);
    assert_string_equal(b->err.text, "--cell 'zzz' is not in the config");
}

static void test_a_cell_by_name(void **state)
{
    (void)state;
    const char *one[] = {"f/grpo/2"};
    const struct selection all = {0}, some = {.cells = {1, one}};
    assert_true(selection_has_cell(&all, "f/grpo/1"));
    assert_false(selection_has_cell(&some, "f/grpo/1"));
    assert_true(selection_has_cell(&some, "f/grpo/2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(test_nothing_picks_all),
        TEST_BENCH(test_cells_bring_their_checkpoints),
        TEST_BENCH(test_shares_cover_all_cells_once),
        TEST_BENCH(test_shares_that_are_none),
        TEST_BENCH(test_numbers_of_cells),
        TEST_BENCH(test_stages),
        TEST_BENCH(test_stages_of_cells),
        TEST_BENCH(test_names_are_checked),
        TEST_BENCH(test_a_cell_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
