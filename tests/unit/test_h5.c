/* HDF5 files: bounds, types and names; and files that are damaged, or were made by somebody else to do harm:
 * what is in them is looked at before anything is read into memory. */

#include "unitlib.h"

#include "hdf5/h5.h"

#include <signal.h>
#include <sys/resource.h>

#include <hdf5.h>

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
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    err_clear(&x->bench.err);
    int bad = h5_close(x->f, &x->bench.err) != ERR_OK;
    return bench_delete(state) | bad;
}

static struct h5 *create(struct fixture *x)
{
    assert_int_equal(h5_create(x->path, &x->bench.arena, &x->f, &x->bench.err), ERR_OK);
    return x->f;
}

/* Closes the file and opens it again, to be read. */
static struct h5 *reopen(struct fixture *x)
{
    assert_int_equal(h5_close(x->f, &x->bench.err), ERR_OK);
    assert_int_equal(h5_open(x->path, 0, &x->bench.arena, &x->f, &x->bench.err), ERR_OK);
    return x->f;
}

/* The last call must have failed with this code and text; the error is forgotten. */
static void check_error(struct fixture *x, err_t code, const char *says)
{
    struct err *e = &x->bench.err;
    if (e->code != code || !strstr(e->text, says))
        fail_msg("code %d, \"%s\"; expected %d, \"%s\"", (int)e->code, e->text, (int)code, says);
    err_clear(e);
}

/* ---- files ---- */

static void no_file(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    h5_open(x->path, 0, &b->arena, &x->f, &b->err);
    check_error(x, ERR_SYSTEM, "cannot open the file: No such file or directory");
    assert_null(x->f);
    FILE *text = fopen(x->path, "w");
    fputs("no HDF5\n", text);
    fclose(text);
    h5_open(x->path, 0, &b->arena, &x->f, &b->err);
    check_error(x, ERR_DATA, "it is damaged or no HDF5 file");
    assert_null(x->f);
    h5_create("/nowhere/at/all.h5", &b->arena, &x->f, &b->err);
    check_error(x, ERR_SYSTEM, "cannot be created");
    assert_null(x->f);
    assert_int_equal(h5_close(NULL, &b->err), ERR_OK);
}

/* Cut short anywhere, a file is refused when it is opened or read; never a crash, never other values. */
/* What has no room is told in bytes when it is put, or at the latest when the file is closed, which it can be
 * all the same. */
static void no_room(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    enum { N = 1 << 18, LIMIT = 1 << 20 };
    struct rlimit before, limit;
    struct h5_bulk *d;
    int64_t *values;
    arena_array(&b->arena, "test", N, &values, &b->err);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){LIMIT, before.rlim_max};
    create(x);
    assert_int_equal(h5_bulk(x->f, "/v", H5_INT64, N, 0, "values", NULL, &d, &b->err), ERR_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    h5_put(d, 0, N, values, &b->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    const char *text = b->err.text, *whole = strstr(text, " bytes more are needed, ");
    assert_int_equal(b->err.code, ERR_SYSTEM);
    assert_non_null(strstr(text, ": cannot be written: the file would be larger than one may be; at least "));
    assert_non_null(whole);
    assert_true(strtoll(whole + strlen(" bytes more are needed, "), NULL, 10) >= 8 * (int64_t)N);
    err_clear(&b->err);
    h5_put(d, 0, 1, values, &b->err); /* nothing is written any more */
    check_error(x, ERR_SYSTEM, "larger than one may be");
    h5_close(x->f, &b->err);
    check_error(x, ERR_SYSTEM, "larger than one may be");
    x->f = NULL;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){100, before.rlim_max}), 0);
    create(x);
    h5_close(x->f, &b->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    check_error(x, ERR_SYSTEM, "100 are allowed for one file (ulimit -f)");
    x->f = NULL;
    assert_false(h5_abandoned());
}

static void cut_short(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    struct h5_bulk *d;
    int64_t v[100], n;
    for (int i = 0; i < 100; i++)
        v[i] = 3 * i;
    h5_bulk(create(x), "/v", H5_INT64, 100, 0, "values", NULL, &d, &b->err);
    h5_put(d, 0, 100, v, &b->err);
    h5_set_text(x->f, "/", "name", "value", &b->err);
    assert_int_equal(h5_close(x->f, &b->err), ERR_OK);
    x->f = NULL;
    FILE *whole = fopen(x->path, "rb");
    static char bytes[1 << 16];
    size_t size = fread(bytes, 1, sizeof bytes, whole);
    fclose(whole);
    assert_true(size > 800 && size < sizeof bytes);
    for (size_t keep = 0; keep < size; keep += 61) {
        FILE *f = fopen(x->path, "wb");
        assert_int_equal(fwrite(bytes, 1, keep, f), keep);
        fclose(f);
        if (h5_open(x->path, 0, &b->arena, &x->f, &b->err) == ERR_OK &&
            h5_find(x->f, "/v", H5_INT64, &d, &n, &b->err) == ERR_OK && h5_get(d, 0, n, v, &b->err) == ERR_OK)
            for (int i = 0; i < 100; i++)
                assert_int_equal(v[i], 3 * i);
        assert_true(b->err.code == ERR_OK || b->err.code == ERR_DATA || b->err.code == ERR_SYSTEM);
        err_clear(&b->err);
        h5_close(x->f, &b->err);
        x->f = NULL;
        err_clear(&b->err);
    }
}

/* ---- bulk datasets ---- */

static void bounds(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    struct h5_bulk *d;
    int64_t v[10] = {0}, n;
    h5_bulk(create(x), "/deep/er/v", H5_INT64, 10, 0, "values", "m", &d, &b->err);
    assert_int_equal(h5_put(d, 0, 10, v, &b->err), ERR_OK);
    assert_int_equal(h5_put(d, 10, 0, v, &b->err), ERR_OK);
    assert_int_equal(h5_put(d, 0, 0, NULL, &b->err), ERR_OK);
    static const int64_t wrong[][2] = {{0, 11},
                                       {10, 1},
                                       {11, 0},
                                       {-1, 1},
                                       {1, -1},
                                       {5, 6},
                                       {INT64_MAX, 1},
                                       {1, INT64_MAX},
                                       {INT64_MAX, 0},
                                       {INT64_MIN, 10},
                                       {INT64_MAX, INT64_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        h5_put(d, wrong[i][0], wrong[i][1], v, &b->err);
        check_error(x, ERR_DATA, "dataset /deep/er/v has 10 elements");
        h5_get(d, wrong[i][0], wrong[i][1], v, &b->err);
        check_error(x, ERR_DATA, "was asked for");
    }
    h5_bulk(x->f, "/deep/er/v", H5_INT64, 10, 0, "again", NULL, &d, &b->err);
    check_error(x, ERR_SYSTEM, "cannot create dataset /deep/er/v");
    h5_find(reopen(x), "/deep/er/v", H5_BITS64, &d, &n, &b->err);
    check_error(x, ERR_DATA, "has another element type than expected");
    h5_find(x->f, "/deep", H5_INT64, &d, &n, &b->err);
    check_error(x, ERR_DATA, "cannot open dataset /deep");
    h5_find(x->f, "/nothing", H5_INT64, &d, &n, &b->err);
    check_error(x, ERR_DATA, "cannot open dataset /nothing");
    assert_int_equal(h5_find(x->f, "/deep/er/v", H5_INT64, &d, &n, &b->err), ERR_OK);
    assert_int_equal(n, 10);
}

static void empty_and_growing(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    struct h5_bulk *d;
    uint16_t v[5] = {1, 2, 3, 4, 5}, back[5];
    int64_t n;
    h5_bulk(create(x), "/none", H5_REAL64, 0, 0, "nothing", NULL, &d, &b->err);
    h5_bulk(x->f, "/grows", H5_BF16, 2, 1000, "grows", NULL, &d, &b->err);
    assert_int_equal(h5_put(d, 0, 2, v, &b->err), ERR_OK);
    h5_put(d, 2, 3, v + 2, &b->err);
    check_error(x, ERR_DATA, "has 2 elements");
    assert_int_equal(h5_bulk_grow(d, 5, &b->err), ERR_OK);
    assert_int_equal(h5_put(d, 2, 3, v + 2, &b->err), ERR_OK);
    h5_find(reopen(x), "/grows", H5_BF16, &d, &n, &b->err);
    assert_int_equal(n, 5);
    assert_int_equal(h5_get(d, 0, 5, back, &b->err), ERR_OK);
    assert_memory_equal(back, v, sizeof v);
    assert_int_equal(h5_find(x->f, "/none", H5_REAL64, &d, &n, &b->err), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(h5_get(d, 0, 0, NULL, &b->err), ERR_OK);
}

/* ---- attributes and texts ---- */

static void attributes(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    char *text;
    int64_t i;
    double r;
    h5_set_text(create(x), "/", "text", "a", &b->err);
    h5_set_text(x->f, "/", "text", "longer than it was, \xc3\xa9", &b->err); /* replaced */
    h5_set_text(x->f, "/", "empty", "", &b->err);
    h5_set_int(x->f, "/", "int", INT64_MIN, &b->err);
    h5_set_real(x->f, "/", "real", -0.0, &b->err);
    assert_int_equal(b->err.code, ERR_OK);
    h5_set_int(x->f, "/nowhere", "int", 1, &b->err);
    check_error(x, ERR_SYSTEM, "cannot write attribute int");
    h5_set_text(x->f, "/nowhere", "t", "", &b->err);
    check_error(x, ERR_SYSTEM, "cannot write attribute t");
    reopen(x);
    assert_int_equal(h5_get_text(x->f, "/", "text", &text, &b->err), ERR_OK);
    assert_string_equal(text, "longer than it was, \xc3\xa9");
    assert_int_equal(h5_get_text(x->f, "/", "empty", &text, &b->err), ERR_OK);
    assert_string_equal(text, "");
    assert_int_equal(h5_get_int(x->f, "/", "int", &i, &b->err), ERR_OK);
    assert_int_equal(i, INT64_MIN);
    assert_int_equal(h5_get_real(x->f, "/", "real", &r, &b->err), ERR_OK);
    assert_true(r == 0);
    h5_get_text(x->f, "/", "int", &text, &b->err);
    check_error(x, ERR_DATA, "attribute int has another type than expected");
    assert_null(text);
    h5_get_int(x->f, "/", "real", &i, &b->err);
    check_error(x, ERR_DATA, "attribute real has another type than expected");
    h5_get_real(x->f, "/", "absent", &r, &b->err);
    check_error(x, ERR_DATA, "cannot read attribute absent");
    h5_get_text(x->f, "/nowhere", "text", &text, &b->err);
    check_error(x, ERR_DATA, "cannot read attribute text");
}

static void texts(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    struct h5_bulk *d;
    char *text;
    h5_write_text(create(x), "/sub/t", "a: b\n", "a text", &b->err);
    h5_write_text(x->f, "/empty", "", "nothing", &b->err);
    h5_bulk(x->f, "/v", H5_BITS8, 3, 0, "values", NULL, &d, &b->err);
    assert_int_equal(b->err.code, ERR_OK);
    h5_write_text(x->f, "/empty", "again", "", &b->err);
    check_error(x, ERR_SYSTEM, "cannot write /empty");
    reopen(x);
    assert_int_equal(h5_read_text(x->f, "/sub/t", &text, &b->err), ERR_OK);
    assert_string_equal(text, "a: b\n");
    assert_int_equal(h5_read_text(x->f, "/empty", &text, &b->err), ERR_OK);
    assert_string_equal(text, "");
    h5_read_text(x->f, "/v", &text, &b->err);
    check_error(x, ERR_DATA, "/v is no fixed text");
    h5_read_text(x->f, "/absent", &text, &b->err);
    check_error(x, ERR_DATA, "cannot open /absent");
    assert_null(text);
}

static void names(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    char longer[2000] = "/";
    memset(longer + 1, 'x', sizeof longer - 2);
    longer[sizeof longer - 1] = '\0';
    h5_group(create(x), "/a/b", "a group", &b->err);
    assert_int_equal(h5_group(x->f, "/a/b", "again", &b->err), ERR_OK);
    assert_int_equal(h5_link_external(x->f, "/a/b/link", "absent.h5", "/", &b->err), ERR_OK);
    assert_true(h5_has(x->f, "/") && h5_has(x->f, "/a") && h5_has(x->f, "a/b") && h5_has(x->f, "/a/b/link"));
    assert_false(h5_has(x->f, "/a/c") || h5_has(x->f, "/b/c/d") || h5_has(x->f, longer));
    assert_false(h5_has_table(x->f, "/a/b") || h5_has_table(x->f, "/nothing"));
    h5_link_external(x->f, "/a/b/link", "other.h5", "/", &b->err);
    check_error(x, ERR_SYSTEM, "cannot create link /a/b/link");
}

/* ---- made by somebody else ---- */

/* Attributes and datasets of a thousand values where one is expected, and of more dimensions than are ours.
 */
static void foreign(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    enum { MANY = 1000, DEEP = 32 };
    static int64_t numbers[MANY];
    static char letters[MANY * 8];
    const hsize_t many = MANY, ones[DEEP] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                             1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    hid_t f = H5Fcreate(x->path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
          row = H5Screate_simple(1, &many, NULL), deep = H5Screate_simple(DEEP, ones, NULL),
          none = H5Screate(H5S_NULL), text = H5Tcopy(H5T_C_S1), vlen = H5Tcopy(H5T_C_S1),
          one = H5Screate(H5S_SCALAR);
    H5Tset_size(text, 8);
    H5Tset_size(vlen, H5T_VARIABLE);
    const struct {
        const char *name;
        hid_t type, space;
    } made[] = {{"ints", H5T_STD_I64LE, row},
                {"reals", H5T_IEEE_F64LE, row},
                {"texts", text, row},
                {"none", H5T_STD_I64LE, none},
                {"vlen", vlen, one}};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        hid_t at = H5Acreate2(f, made[i].name, made[i].type, made[i].space, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(at >= 0);
        if (made[i].space == row)
            H5Awrite(at, made[i].type, made[i].type == text ? (const void *)letters : numbers);
        H5Aclose(at);
    }
    H5Dclose(H5Dcreate2(f, "texts", text, row, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Dclose(H5Dcreate2(f, "deep", H5T_STD_I64LE, deep, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Dclose(H5Dcreate2(f, "null", H5T_STD_I64LE, none, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Dclose(H5Dcreate2(f, "one", H5T_STD_I64LE, one, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(row), H5Sclose(deep), H5Sclose(none), H5Sclose(one), H5Tclose(text), H5Tclose(vlen);
    assert_true(H5Fclose(f) >= 0);

    int64_t i = 0, n;
    double r = 0;
    char *read;
    struct h5_bulk *d;
    assert_int_equal(h5_open(x->path, 0, &b->arena, &x->f, &b->err), ERR_OK);
    h5_get_int(x->f, "/", "ints", &i, &b->err);
    check_error(x, ERR_DATA, "attribute ints has another type than expected");
    h5_get_real(x->f, "/", "reals", &r, &b->err);
    check_error(x, ERR_DATA, "attribute reals has another type than expected");
    h5_get_text(x->f, "/", "texts", &read, &b->err);
    check_error(x, ERR_DATA, "attribute texts has another type than expected");
    h5_get_int(x->f, "/", "none", &i, &b->err);
    check_error(x, ERR_DATA, "attribute none has another type than expected");
    h5_get_text(x->f, "/", "vlen", &read, &b->err);
    check_error(x, ERR_DATA, "attribute vlen is no fixed text");
    h5_read_text(x->f, "/texts", &read, &b->err);
    check_error(x, ERR_DATA, "/texts is no fixed text");
    h5_find(x->f, "/deep", H5_INT64, &d, &n, &b->err);
    check_error(x, ERR_DATA, "dataset /deep has 32 dimensions, expected 1");
    h5_find(x->f, "/null", H5_INT64, &d, &n, &b->err);
    check_error(x, ERR_DATA, "dataset /null has 0 dimensions, expected 1");
    h5_find(x->f, "/one", H5_INT64, &d, &n, &b->err);
    check_error(x, ERR_DATA, "dataset /one has 0 dimensions, expected 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_file),    TEST(no_room), TEST(cut_short), TEST(bounds),  TEST(empty_and_growing),
        TEST(attributes), TEST(texts),   TEST(names),     TEST(foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
