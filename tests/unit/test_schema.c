/* Schemas: what is declared can be told apart, described and held; the archive's tables stand in the order in
 * which the stages declare them, and those at the end after all others. */
#include "hdf5/schema.h"
#include "hdf5/table.h"
#include "study/registry.h"
#include "study/tables.h"
#include "unitlib.h"

/* Two stages: they share tables with the machine and with each other, and each has one of its own. */
SCHEMA(first, "first", KEPT_IN_ARCHIVE, "Of the first stage.", C_CELL, C_NODE);
SCHEMA(late, "late", KEPT_AT_END, "Of the first stage, at the end.", C_CELL, C_NODE);
SCHEMA(inner, "inner", KEPT_IN_ARTIFACT, "Of the first stage, not in the archive.", C_TENSOR);
SCHEMA(second, "second", KEPT_IN_ARCHIVE, "Of the second stage.", C_CELL, C_NODE);
SCHEMA(impostor, "first", KEPT_IN_ARCHIVE, "Another table of the same name.", C_NODE);

static const struct schema *const first_tables[] = {&schema_sparsity, &first, &late, &inner, NULL};
static const struct schema *const second_tables[] = {&second, &schema_sparsity, &schema_skipped, NULL};
static const struct schema *const bad_tables[] = {&impostor, NULL};
static const struct dataset first_datasets[] = {{.name = "/numbers", .type = H5_REAL64}, {0}};
static const struct dataset other_datasets[] = {{.name = "/others", .type = H5_REAL64}, {0}};

static const struct stage stage_first = {.kind = "one", .tables = first_tables, .datasets = first_datasets},
                          stage_second = {.kind = "two", .tables = second_tables},
                          stage_bad = {.kind = "three", .tables = bad_tables};
static const struct stage *const stages[] = {&stage_first, &stage_second, &stage_bad};
static int nstages = 2;

const struct stage *const *registry_stages(int *n)
{
    *n = nstages;
    return stages;
}

const struct stage *registry_find(const char *kind)
{
    for (int i = 0; i < nstages; i++)
        if (strcmp(stages[i]->kind, kind) == 0)
            return stages[i];
    return NULL;
}

static void names_are_unique(void **state)
{
    int n;
    const struct schema *const *all = schema_shared(&n);
    (void)state;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        assert_ptr_equal(schema_find(all[i]->name), all[i]);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(all[k]->name, all[i]->name);
    }
    assert_null(schema_find("first")); /* a stage's */
    assert_null(schema_find(""));
}

static void columns_are_described(void **state)
{
    int n;
    const struct schema *const *all = schema_shared(&n);
    (void)state;
    for (int i = 0; i < n; i++) {
        const struct schema *s = all[i];
        assert_true(s->description[0] != '\0');
        assert_in_range(s->ncolumns, 1, SCHEMA_MAX_COLUMNS);
        for (int c = 0; c < s->ncolumns; c++) {
            assert_int_equal(schema_column(s, s->columns[c].name), c); /* unique as well */
            assert_true(s->columns[c].description[0] != '\0');
            assert_true(s->columns[c].kind != COLUMN_REAL || s->columns[c].units);
        }
        assert_int_equal(schema_column(s, "no such column"), -1);
    }
}

static int place(const struct schema *const *list, int n, const struct schema *s)
{
    for (int i = 0; i < n; i++)
        if (list[i] == s)
            return i;
    return -1;
}

static void the_archive_follows_the_declarations(void **state)
{
    struct bench *b = *state;
    const struct schema *const *list;
    int n;
    nstages = 2;
    assert_int_equal(tables_of_archive(&b->arena, &list, &n, &b->err), ERR_OK);
    assert_ptr_equal(list[0], &schema_sparsity); /* once, where it is first declared */
    assert_ptr_equal(list[1], &first);
    assert_ptr_equal(list[2], &second);
    assert_true(place(list, n, &schema_cells) > 2); /* the machine's, that no stage names */
    assert_true(place(list, n, &late) > place(list, n, &schema_layers));
    assert_int_equal(place(list, n, &schema_skipped), place(list, n, &late) + 1);
    assert_ptr_equal(list[n - 1], &schema_published);
    assert_int_equal(place(list, n, &inner), -1);
    assert_int_equal(place(list, n, &schema_files), -1);
    for (int i = 0; i < n; i++)
        assert_int_equal(place(list, n, list[i]), i);
}

static void tables_are_found_by_name(void **state)
{
    (void)state;
    nstages = 2;
    assert_ptr_equal(tables_find("second"), &second);
    assert_ptr_equal(tables_find("inner"), &inner);
    assert_ptr_equal(tables_find("files"), &schema_files);
    assert_null(tables_find("third"));
}

static void two_tables_of_one_name_are_refused(void **state)
{
    struct bench *b = *state;
    const struct schema *const *list;
    int n;
    nstages = 3;
    assert_int_equal(tables_of_archive(&b->arena, &list, &n, &b->err), ERR_BUG);
    assert_non_null(strstr(b->err.text, "two different tables are called first"));
}

static void a_stage_says_what_it_writes(void **state)
{
    (void)state;
    assert_true(stage_writes(&stage_first, first_datasets));
    assert_false(stage_writes(&stage_first, other_datasets));
    assert_false(stage_writes(&stage_second, first_datasets));
}

static void cells_say_what_varies(void **state)
{
    const struct cell a = {.family = "f", .algorithm = "ppo", .data = "", .seed = 1, .step = -1};
    struct cell b = a;
    char text[CELL_VARIES];
    (void)state;
    assert_string_equal(cell_varies(&a, &b, text, sizeof text), "");
    b.seed = 2;
    assert_string_equal(cell_varies(&a, &b, text, sizeof text), "seed");
    b = (struct cell){.family = "g", .algorithm = "dpo", .data = "d", .seed = 2, .step = 5};
    assert_string_equal(cell_varies(&a, &b, text, sizeof text), "family+algorithm+seed+data+step");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(names_are_unique),
        TEST_BENCH(columns_are_described),
        TEST_BENCH(the_archive_follows_the_declarations),
        TEST_BENCH(tables_are_found_by_name),
        TEST_BENCH(two_tables_of_one_name_are_refused),
        TEST_BENCH(a_stage_says_what_it_writes),
        TEST_BENCH(cells_say_what_varies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
