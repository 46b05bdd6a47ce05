/* Tables in HDF5 files: what is written is read, in any range and however long; and tables that are not what
 * this version expects are refused by name. */

#include "unitlib.h"

#include "hdf5/h5.h"

#include <hdf5.h>

SCHEMA(small, "small", KEPT_IN_ARTIFACT, "Three columns.", C_TEXT("word", "a text"),
       C_INT("count", "a number"), C_REAL("share", "1", "a share"));
SCHEMA(wider, "small", KEPT_IN_ARTIFACT, "One column more.", C_TEXT("word", "a text"),
       C_INT("count", "a number"), C_REAL("share", "1", "a share"), C_INT("more", "not in the file"));

struct fixture {
    struct bench bench;
    char path[160];
    struct h5 *f;
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *x = *state;
    snprintf(x->path, sizeof x->path, "%s/a.h5", x->bench.folder);
    h5_start();
    return h5_create(x->path, &x->bench.arena, &x->f, &x->bench.err) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    err_clear(&x->bench.err);
    int bad = h5_close(x->f, &x->bench.err) != ERR_OK;
    return bench_delete(state) | bad;
}

static void reopen(struct fixture *x)
{
    assert_int_equal(h5_close(x->f, &x->bench.err), ERR_OK);
    assert_int_equal(h5_open(x->path, 0, &x->bench.arena, &x->f, &x->bench.err), ERR_OK);
}

static void check_error(struct fixture *x, err_t code, const char *says)
{
    struct err *e = &x->bench.err;
    if (e->code != code || !strstr(e->text, says))
        fail_msg("code %d, \"%s\"; expected %d, \"%s\"", (int)e->code, e->text, (int)code, says);
    err_clear(e);
}

/* Rows [from, from + n) of a table of which row i says "w...w" (i % 7 letters), i and i / 2. */
static struct table rows(struct fixture *x, int64_t from, int64_t n)
{
    struct table t;
    table_start(&t, &small, &x->bench.arena);
    for (int64_t i = from; i < from + n; i++)
        assert_int_equal(
            TABLE_ADD(&t, &x->bench.err, V_TEXT(&"wwwwwww"[7 - i % 7]), V_INT(i), V_REAL((double)i / 2)),
            ERR_OK);
    return t;
}

static void check_rows(struct fixture *x, const char *name, int64_t from, int64_t asked, int64_t n,
                       int64_t total)
{
    struct table t;
    int64_t in_file = -1;
    table_start(&t, &small, &x->bench.arena);
    if (h5_table_read(x->f, name, &t, from, asked, &in_file, &x->bench.err) != ERR_OK)
        fail_msg("%s", x->bench.err.text);
    assert_int_equal(t.nrows, n);
    assert_int_equal(in_file, total);
    for (int64_t r = 0; r < n; r++) {
        assert_string_equal(table_text(&t, r, "word"), &"wwwwwww"[7 - (from + r) % 7]);
        assert_int_equal(table_int(&t, r, "count"), from + r);
        assert_true(table_real(&t, r, "share") == (double)(from + r) / 2);
    }
}

static void ranges(void **state)
{
    struct fixture *x = *state;
    struct table t = rows(x, 0, 20);
    assert_int_equal(h5_table_write(x->f, "small", &t, &x->bench.err), ERR_OK);
    reopen(x);
    check_rows(x, "small", 0, -1, 20, 20);
    check_rows(x, "small", 0, 0, 0, 20);
    check_rows(x, "small", 19, 1, 1, 20);
    check_rows(x, "small", 15, 100, 5, 20);
    check_rows(x, "small", 20, -1, 0, 20);
    check_rows(x, "small", 1000, 5, 0, 20);
    check_rows(x, "small", 3, INT64_MAX, 17, 20);
}

/* More than fits one pass over the file, and rows added to rows. */
static void long_table(void **state)
{
    struct fixture *x = *state;
    enum { MANY = 120000 };
    int widths[SCHEMA_MAX_COLUMNS] = {6};
    struct table t = rows(x, 0, MANY), more = rows(x, MANY, 11), none = rows(x, 0, 0);
    assert_int_equal(h5_table_write(x->f, "/sub/small", &t, &x->bench.err), ERR_OK);
    assert_int_equal(h5_table_create(x->f, "small", &small, widths, MANY + 11, &x->bench.err), ERR_OK);
    assert_int_equal(h5_table_append(x->f, "small", &t, &x->bench.err), ERR_OK);
    assert_int_equal(h5_table_append(x->f, "small", &none, &x->bench.err), ERR_OK);
    assert_int_equal(h5_table_append(x->f, "small", &more, &x->bench.err), ERR_OK);
    reopen(x);
    check_rows(x, "/sub/small", 0, -1, MANY, MANY);
    check_rows(x, "small", 0, -1, MANY + 11, MANY + 11);
    check_rows(x, "small", MANY - 5, 10, 10, MANY + 11);
}

static void empty(void **state)
{
    struct fixture *x = *state;
    struct table none = rows(x, 0, 0);
    char *list;
    assert_int_equal(h5_table_list(x->f, &list, &x->bench.err), ERR_OK);
    assert_string_equal(list, "");
    assert_int_equal(h5_table_write(x->f, "small", &none, &x->bench.err), ERR_OK);
    assert_int_equal(
        h5_table_create(x->f, "grows", &small, (const int[SCHEMA_MAX_COLUMNS]){0}, 0, &x->bench.err), ERR_OK);
    reopen(x);
    check_rows(x, "small", 0, -1, 0, 0);
    check_rows(x, "grows", 0, -1, 0, 0);
    assert_true(h5_has_table(x->f, "small"));
    assert_false(h5_has_table(x->f, "large"));
    assert_int_equal(h5_table_list(x->f, &list, &x->bench.err), ERR_OK);
    assert_string_equal(list, "grows 0\nsmall 0\n");
}

/* Texts: as wide as the widest, empty ones, UTF-8, and one that is too wide for a column made before. */
static void texts(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    int widths[SCHEMA_MAX_COLUMNS] = {3}, found[SCHEMA_MAX_COLUMNS] = {1, 99, 99};
    int64_t n;
    struct table t, back;
    table_start(&t, &small, &b->arena);
    TABLE_ADD(&t, &b->err, V_TEXT(NULL), V_INT(INT64_MIN), V_REAL(-1e308));
    TABLE_ADD(&t, &b->err, V_TEXT("\xc3\xa9\xe2\x82\xac"), V_INT(INT64_MAX), V_REAL(5e-324));
    assert_int_equal(h5_table_write(x->f, "small", &t, &b->err), ERR_OK);
    assert_int_equal(h5_table_create(x->f, "narrow", &small, widths, 2, &b->err), ERR_OK);
    h5_table_append(x->f, "narrow", &t, &b->err);
    check_error(x, ERR_BUG, "table tables/narrow, column word: text longer than the column");
    reopen(x);
    assert_int_equal(h5_table_widths(x->f, "small", &small, found, &n, &b->err), ERR_OK);
    assert_int_equal(found[0], 5);
    assert_int_equal(n, 2);
    found[0] = 50; /* widths are only raised */
    table_start(&back, &small, &b->arena);
    assert_int_equal(h5_table_take(x->f, "small", &back, found, &n, &b->err), ERR_OK);
    assert_int_equal(found[0], 50);
    assert_string_equal(table_text(&back, 0, "word"), "");
    assert_string_equal(table_text(&back, 1, "word"), "\xc3\xa9\xe2\x82\xac");
    assert_int_equal(table_int(&back, 0, "count"), INT64_MIN);
    assert_int_equal(table_int(&back, 1, "count"), INT64_MAX);
    assert_true(table_real(&back, 0, "share") == -1e308 && table_real(&back, 1, "share") == 5e-324);
}

static void not_there(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    struct table t = rows(x, 0, 3), back;
    struct h5_bulk *d;
    int64_t n;
    int widths[SCHEMA_MAX_COLUMNS] = {0};
    table_start(&back, &wider, &b->arena);
    assert_int_equal(h5_table_write(x->f, "small", &t, &b->err), ERR_OK);
    h5_table_write(x->f, "small", &t, &b->err);
    check_error(x, ERR_SYSTEM, "cannot create table tables/small");
    h5_bulk(x->f, "/tables/bulk", H5_INT64, 3, 0, "no table", NULL, &d, &b->err);
    h5_group(x->f, "/tables/group", "no table", &b->err);
    assert_int_equal(b->err.code, ERR_OK);
    h5_table_append(x->f, "absent", &t, &b->err);
    check_error(x, ERR_DATA, "cannot open table tables/absent");
    reopen(x);
    h5_table_read(x->f, "small", &back, 0, -1, NULL, &b->err);
    check_error(x, ERR_DATA, "table tables/small lacks column more as this version expects it");
    assert_int_equal(back.nrows, 0);
    h5_table_read(x->f, "absent", &back, 0, -1, NULL, &b->err);
    check_error(x, ERR_DATA, "cannot open table tables/absent");
    h5_table_read(x->f, "bulk", &back, 0, -1, NULL, &b->err);
    check_error(x, ERR_DATA, "tables/bulk is no table");
    h5_table_widths(x->f, "group", &small, widths, &n, &b->err);
    check_error(x, ERR_DATA, "cannot open table tables/group");
    h5_table_take(x->f, "/tables/bulk/below", &back, widths, &n, &b->err);
    check_error(x, ERR_DATA, "cannot open table /tables/bulk/below");
    assert_false(h5_has_table(x->f, "bulk") || h5_has_table(x->f, "group"));
}

/* ---- made by somebody else ---- */

/* A compound dataset of `count` of one type, `word` of another, `share` a double. */
static void put_foreign(struct fixture *x, const char *name, hid_t word, hid_t count, int ndim)
{
    const hsize_t dims[2] = {2, 2};
    hid_t f = H5Fopen(x->path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate_simple(ndim, dims, NULL);
    size_t at_count = H5Tget_size(word), at_share = at_count + H5Tget_size(count);
    hid_t type = H5Tcreate(H5T_COMPOUND, at_share + 8);
    H5Tinsert(type, "word", 0, word);
    H5Tinsert(type, "count", at_count, count);
    H5Tinsert(type, "share", at_share, H5T_IEEE_F64LE);
    hid_t id = H5Dcreate2(f, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(id >= 0);
    H5Dclose(id), H5Sclose(space), H5Tclose(type);
    assert_true(H5Fclose(f) >= 0);
}

static void foreign(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    const hsize_t thousand = 1000;
    struct table t;
    assert_int_equal(h5_close(x->f, &b->err), ERR_OK);
    hid_t text = H5Tcopy(H5T_C_S1), ascii = H5Tcopy(H5T_C_S1), wide = H5Tcopy(H5T_C_S1),
          vlen = H5Tcopy(H5T_C_S1), array = H5Tarray_create2(H5T_STD_I64LE, 1, &thousand);
    H5Tset_size(text, 4);
    H5Tset_cset(text, H5T_CSET_UTF8);
    H5Tset_size(ascii, 4);
    H5Tset_cset(wide, H5T_CSET_UTF8);
    H5Tset_size(wide, (size_t)3 << 30);
    H5Tset_size(vlen, H5T_VARIABLE);
    put_foreign(x, "/vlen", vlen, H5T_STD_I64LE, 1);
    put_foreign(x, "/ascii", ascii, H5T_STD_I64LE, 1);
    put_foreign(x, "/wide", wide, H5T_STD_I64LE, 1);
    put_foreign(x, "/number", H5T_STD_I64LE, H5T_STD_I64LE, 1);
    put_foreign(x, "/text", text, text, 1);
    put_foreign(x, "/array", text, array, 1);
    put_foreign(x, "/square", text, H5T_STD_I64LE, 2);
    put_foreign(x, "/narrow", text, H5T_STD_I8BE, 1);
    H5Tclose(text), H5Tclose(ascii), H5Tclose(wide), H5Tclose(vlen), H5Tclose(array);
    assert_int_equal(h5_open(x->path, 0, &b->arena, &x->f, &b->err), ERR_OK);
    static const char *const refused[][2] = {
        {"/vlen", "table /vlen lacks column word as this version expects it"},
        {"/ascii", "table /ascii lacks column word as this version expects it"},
        {"/wide", "table /wide lacks column word as this version expects it"},
        {"/number", "table /number lacks column word as this version expects it"},
        {"/text", "table /text lacks column count as this version expects it"},
        {"/array", "table /array lacks column count as this version expects it"},
        {"/square", "/square is no table: it has 2 dimensions, expected 1"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        table_start(&t, &small, &b->arena);
        h5_table_read(x->f, refused[i][0], &t, 0, -1, NULL, &b->err);
        check_error(x, ERR_DATA, refused[i][1]);
        assert_int_equal(t.nrows, 0);
    }
    table_start(&t, &small, &b->arena); /* another width of the same kind is converted */
    assert_int_equal(h5_table_read(x->f, "/narrow", &t, 0, -1, NULL, &b->err), ERR_OK);
    assert_int_equal(t.nrows, 2);
    assert_int_equal(table_int(&t, 1, "count"), 0);
}

static void no_memory(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    struct table t = rows(x, 0, 5000);
    assert_int_equal(h5_table_write(x->f, "small", &t, &b->err), ERR_OK);
    reopen(x);
    int done = 0;
    for (size_t more = 1; !done; more += more) {
        struct arena a;
        struct table back;
        arena_init(&a, &b->mem);
        table_start(&back, &small, &a);
        b->mem.budget_bytes = b->mem.live_bytes + more;
        err_t code = h5_table_read(x->f, "small", &back, 0, -1, NULL, &b->err);
        assert_true(more < 100000000 && (code == ERR_OK || code == ERR_SYSTEM));
        err_clear(&b->err);
        done = code == ERR_OK;
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ranges),    TEST(long_table), TEST(empty),     TEST(texts),
        TEST(not_there), TEST(foreign),    TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
