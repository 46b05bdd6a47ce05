/* Tables in memory and in files: a row that does not fit its schema is refused when it is added, with the
 * table's and the column's name; what fits comes back from a file as it was. */
#include "hdf5/h5.h"
#include "hdf5/table.h"
#include "unitlib.h"

#include <math.h>
#include <stdio.h>

SCHEMA(sample, "sample", KEPT_IN_ARTIFACT, "A table of these tests.", C_TEXT("name", "a text"),
       C_INT("count", "an integer"), C_REAL("size", "m", "a real"));

static struct table start(struct bench *b)
{
    struct table t;
    table_start(&t, &sample, &b->arena);
    return t;
}

static void check_refused(struct bench *b, const struct table *t, err_t code, const char *says)
{
    assert_int_equal(code, ERR_BUG);
    assert_int_equal(b->err.code, ERR_BUG);
    if (!strstr(b->err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", b->err.text, says);
    assert_int_equal(t->nrows, 0);
}

static void rows_come_back(void **state)
{
    struct bench *b = *state;
    struct table t = start(b);
    char name[8] = "first";
    assert_int_equal(TABLE_ADD_OF(sample, &t, &b->err, V_TEXT(name), V_INT(-7), V_REAL(0.5)), ERR_OK);
    name[0] = 'F'; /* texts were copied */
    assert_int_equal(TABLE_ADD(&t, &b->err, V_TEXT(NULL), V_INT(INT64_MAX), V_REAL(NAN)), ERR_OK);
    assert_int_equal(t.nrows, 2);
    assert_string_equal(table_text(&t, 0, "name"), "first");
    assert_int_equal(table_int(&t, 0, "count"), -7);
    assert_true(table_real(&t, 0, "size") == 0.5);
    assert_string_equal(table_text(&t, 1, "name"), "");
    assert_true(table_int(&t, 1, "count") == INT64_MAX);
    assert_true(isnan(table_real(&t, 1, "size")));
}

static void many_rows_keep_their_order(void **state)
{
    struct bench *b = *state;
    struct table t = start(b);
    struct int_column counts;
    char name[24];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%d", i / 100);
        assert_int_equal(TABLE_ADD_OF(sample, &t, &b->err, V_TEXT(name), V_INT(i), V_REAL(i)), ERR_OK);
    }
    assert_int_equal(table_ints(&t, "count", &counts, &b->err), ERR_OK);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(int_at(&counts, i), i);
    assert_string_equal(table_text(&t, 4999, "name"), "n49");
    assert_ptr_equal(table_text(&t, 100, "name"), table_text(&t, 101, "name")); /* repeated: kept once */
}

static void a_wrong_kind_is_refused(void **state)
{
    struct bench *b = *state;
    struct table t = start(b);
    check_refused(b, &t, TABLE_ADD(&t, &b->err, V_TEXT("x"), V_REAL(1), V_REAL(1)),
                  "table sample, column count: a value of kind real where integer is expected");
    err_clear(&b->err);
    check_refused(b, &t, TABLE_ADD(&t, &b->err, V_INT(1), V_INT(1), V_REAL(1)),
                  "table sample, column name: a value of kind integer where text is expected");
    err_clear(&b->err);
    check_refused(b, &t, TABLE_ADD(&t, &b->err, V_TEXT("x"), V_INT(1), V_TEXT("y")),
                  "table sample, column size: a value of kind text where real is expected");
    err_clear(&b->err);
    assert_int_equal(TABLE_ADD(&t, &b->err, V_TEXT("x"), V_INT(1), V_REAL(1)), ERR_OK);
}

static void a_wrong_count_is_refused(void **state)
{
    struct bench *b = *state;
    struct table t = start(b);
    check_refused(b, &t, TABLE_ADD(&t, &b->err, V_TEXT("x"), V_INT(1)),
                  "2 values for table sample, which has 3 columns: nothing for column size");
    err_clear(&b->err);
    check_refused(b, &t, TABLE_ADD(&t, &b->err, V_TEXT("x"), V_INT(1), V_REAL(1), V_REAL(2)),
                  "4 values for table sample, which has 3 columns: too many after column size");
}

static void an_unknown_table_takes_no_rows(void **state)
{
    struct bench *b = *state;
    struct table t;
    table_init(&t, "no such table", &b->arena);
    assert_null(t.schema);
    check_refused(b, &t, TABLE_ADD(&t, &b->err, V_INT(1)), "table (unknown)");
    assert_string_equal(table_text(&t, 0, "name"), "");
}

static void an_unknown_column_reads_as_nothing(void **state)
{
    struct bench *b = *state;
    struct table t = start(b);
    struct int_column c;
    int widths[SCHEMA_MAX_COLUMNS] = {0};
    TABLE_ADD_OF(sample, &t, &b->err, V_TEXT("x"), V_INT(3), V_REAL(4));
    assert_string_equal(table_text(&t, 0, "nome"), "");
    assert_string_equal(table_text(&t, 0, "count"), ""); /* of another kind */
    assert_int_equal(table_int(&t, 0, "cuont"), 0);
    assert_int_equal(table_int(&t, 1, "count"), 0); /* no such row */
    assert_true(isnan(table_real(&t, -1, "size")));
    assert_int_equal(table_ints(&t, "size", &c, &b->err), ERR_BUG);
    assert_non_null(strstr(b->err.text, "table sample, column size"));
    err_clear(&b->err);
    assert_int_equal(schema_set_width(&sample, "nome", 3, widths, &b->err), ERR_BUG);
    assert_non_null(strstr(b->err.text, "table sample, column nome"));
    err_clear(&b->err);
    assert_int_equal(schema_set_width(&sample, "count", 3, widths, &b->err), ERR_BUG);
}

static void rows_are_copied_between_tables(void **state)
{
    struct bench *b = *state;
    struct table t = start(b), same = start(b), any, other;
    table_start(&any, NULL, &b->arena);
    table_init(&other, "files", &b->arena);
    TABLE_ADD_OF(sample, &t, &b->err, V_TEXT("x"), V_INT(3), V_REAL(4));
    TABLE_ADD_OF(sample, &t, &b->err, V_TEXT("y"), V_INT(5), V_REAL(6));
    assert_int_equal(table_add_row(&same, &t, 1, &b->err), ERR_OK);
    assert_int_equal(same.nrows, 1);
    assert_string_equal(table_text(&same, 0, "name"), "y");
    assert_int_equal(table_add_all(&any, &t, &b->err), ERR_OK); /* takes the schema over */
    assert_ptr_equal(any.schema, &sample);
    assert_int_equal(any.nrows, 2);
    assert_int_equal(table_add_row(&t, &t, 0, &b->err),
                     ERR_OK); /* of itself, which may move while it grows */
    assert_int_equal(table_int(&t, 2, "count"), 3);
    assert_int_equal(table_add_row(&other, &t, 0, &b->err), ERR_BUG);
    assert_non_null(strstr(b->err.text, "a row of table sample for table files"));
}

/* ---- in files ---- */

static struct h5 *create(struct bench *b, char *path, size_t size)
{
    struct h5 *f;
    snprintf(path, size, "%s/t.h5", b->folder);
    assert_int_equal(h5_create(path, &b->arena, &f, &b->err), ERR_OK);
    return f;
}

static void a_file_holds_what_was_written(void **state)
{
    struct bench *b = *state;
    struct table t = start(b), back = start(b);
    char path[200], *list;
    int64_t total;
    struct h5 *f = create(b, path, sizeof path);
    TABLE_ADD_OF(sample, &t, &b->err, V_TEXT("k\xc3\xa4se \xe2\x82\xac"), V_INT(1), V_REAL(-0.0));
    TABLE_ADD_OF(sample, &t, &b->err, V_TEXT(""), V_INT(INT64_MIN), V_REAL(INFINITY));
    assert_int_equal(h5_table_write(f, "sample", &t, &b->err), ERR_OK);
    assert_int_equal(h5_close(f, &b->err), ERR_OK);
    assert_int_equal(h5_open(path, 0, &b->arena, &f, &b->err), ERR_OK);
    assert_int_equal(h5_table_list(f, &list, &b->err), ERR_OK);
    assert_string_equal(list, "sample 2\n");
    assert_int_equal(h5_table_read(f, "sample", &back, 0, -1, &total, &b->err), ERR_OK);
    assert_int_equal(total, 2);
    assert_string_equal(table_text(&back, 0, "name"), "k\xc3\xa4se \xe2\x82\xac");
    assert_true(signbit(table_real(&back, 0, "size")));
    assert_true(table_int(&back, 1, "count") == INT64_MIN);
    assert_true(isinf(table_real(&back, 1, "size")));
    h5_close(f, &b->err);
}

static void an_empty_table_is_a_table(void **state)
{
    struct bench *b = *state;
    struct table t = start(b), back = start(b);
    int widths[SCHEMA_MAX_COLUMNS] = {0};
    char path[200];
    int64_t n = -1;
    struct h5 *f = create(b, path, sizeof path);
    assert_int_equal(h5_table_write(f, "sample", &t, &b->err), ERR_OK);
    assert_int_equal(h5_table_create(f, "grown", &sample, widths, 0, &b->err), ERR_OK);
    assert_int_equal(h5_table_append(f, "grown", &t, &b->err), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(h5_table_take(f, i ? "grown" : "sample", &back, widths, &n, &b->err), ERR_OK);
        assert_int_equal(n, 0);
        assert_int_equal(back.nrows, 0);
    }
    assert_true(h5_has_table(f, "sample"));
    assert_false(h5_has_table(f, "other"));
    h5_close(f, &b->err);
}

static void a_text_longer_than_its_column_is_refused(void **state)
{
    struct bench *b = *state;
    struct table t = start(b), back = start(b);
    int widths[SCHEMA_MAX_COLUMNS] = {0};
    char path[200];
    struct h5 *f = create(b, path, sizeof path);
    assert_int_equal(schema_set_width(&sample, "name", 4, widths, &b->err), ERR_OK);
    assert_int_equal(h5_table_create(f, "sample", &sample, widths, 2, &b->err), ERR_OK);
    TABLE_ADD_OF(sample, &t, &b->err, V_TEXT("k\xc3\xa4s"), V_INT(1), V_REAL(1)); /* 4 bytes, 3 letters */
    assert_int_equal(h5_table_append(f, "sample", &t, &b->err), ERR_OK);
    assert_int_equal(h5_table_read(f, "sample", &back, 0, -1, NULL, &b->err), ERR_OK);
    assert_string_equal(table_text(&back, 0, "name"), "k\xc3\xa4s"); /* no letter is cut in two */
    struct table longer = start(b);
    TABLE_ADD_OF(sample, &longer, &b->err, V_TEXT("k\xc3\xa4se"), V_INT(1), V_REAL(1));
    assert_int_equal(h5_table_append(f, "sample", &longer, &b->err), ERR_BUG);
    assert_non_null(strstr(b->err.text, "sample, column name: text longer than the column"));
    h5_close(f, &b->err);
}

SCHEMA(wider, "sample", KEPT_IN_ARTIFACT, "What a later version would expect.", C_TEXT("name", "a text"),
       C_INT("count", "an integer"), C_REAL("size", "m", "a real"), C_INT("more", "not in the file"));
SCHEMA(turned, "sample", KEPT_IN_ARTIFACT, "The columns in another order.", C_REAL("size", "m", "a real"),
       C_TEXT("name", "a text"));
SCHEMA(of_texts, "sample", KEPT_IN_ARTIFACT, "A column of another kind.", C_TEXT("count", "no integer"));

static void a_file_is_read_by_names(void **state)
{
    struct bench *b = *state;
    struct table t = start(b), back;
    char path[200];
    struct h5 *f = create(b, path, sizeof path);
    TABLE_ADD_OF(sample, &t, &b->err, V_TEXT("x"), V_INT(3), V_REAL(4));
    assert_int_equal(h5_table_write(f, "sample", &t, &b->err), ERR_OK);
    table_start(&back, &turned, &b->arena);
    assert_int_equal(h5_table_read(f, "sample", &back, 0, -1, NULL, &b->err), ERR_OK);
    assert_true(table_real(&back, 0, "size") == 4);
    assert_string_equal(table_text(&back, 0, "name"), "x");
    const struct schema *const bad[] = {&wider, &of_texts};
    const char *const column[] = {"lacks column more", "lacks column count"};
    for (int i = 0; i < 2; i++) {
        table_start(&back, bad[i], &b->arena);
        err_clear(&b->err);
        assert_int_equal(h5_table_read(f, "sample", &back, 0, -1, NULL, &b->err), ERR_DATA);
        assert_non_null(strstr(b->err.text, column[i]));
    }
    err_clear(&b->err);
    assert_int_equal(h5_table_read(f, "other", &back, 0, -1, NULL, &b->err), ERR_DATA);
    h5_close(f, &b->err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(rows_come_back),
        TEST_BENCH(many_rows_keep_their_order),
        TEST_BENCH(a_wrong_kind_is_refused),
        TEST_BENCH(a_wrong_count_is_refused),
        TEST_BENCH(an_unknown_table_takes_no_rows),
        TEST_BENCH(an_unknown_column_reads_as_nothing),
        TEST_BENCH(rows_are_copied_between_tables),
        TEST_FOLDER(a_file_holds_what_was_written),
        TEST_FOLDER(an_empty_table_is_a_table),
        TEST_FOLDER(a_text_longer_than_its_column_is_refused),
        TEST_FOLDER(a_file_is_read_by_names),
    };
    h5_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
