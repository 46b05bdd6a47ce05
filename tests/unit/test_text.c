/* Text, paths and files: hand-computed cases. */

#include "unitlib.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/file.h"
#include "base/text.h"

static void grows(void **state)
{
    struct bench *b = *state;
    struct text t = {.arena = &b->arena};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(text_add(&t, &b->err, "%d,", i % 10), ERR_OK);
    assert_int_equal(t.used, 2000);
    assert_int_equal(strlen(t.text), 2000);
    assert_memory_equal(t.text, "0,1,2,3,4,5,6,7,8,9,0,", 22);
}

static void json(void **state)
{
    struct bench *b = *state;
    static const char *const cases[][2] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\r\x01\x7f", "\"\\n\\t\\r\\u0001\\u007f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xc2\x85\xe2\x80\xa8\xef\xbb\xbf", "\"\\u0085\\u2028\\ufeff\""},
        {"a\xff\xc3", "\"a\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text t = {.arena = &b->arena};
        assert_int_equal(text_add_json(&t, &b->err, cases[i][0]), ERR_OK);
        assert_string_equal(t.text, cases[i][1]);
    }
}

static void utf8(void **state)
{
    (void)state;
    assert_int_equal(text_utf8("a", 1), 1);
    assert_int_equal(text_utf8("\xc3\xa9", 2), 2);
    assert_int_equal(text_utf8("\xc3", 1), 0);
    assert_int_equal(text_utf8("\xc0\x80", 2), 0); /* longer than needed */
    assert_int_equal(text_utf8("\xe0\x80\x80", 3), 0);
    assert_int_equal(text_utf8("\xf0\x80\x80\x80", 4), 0);
    assert_int_equal(text_utf8("\xf4\x8f\xbf\xbf", 4), 4); /* U+10FFFF */
    assert_int_equal(text_utf8("\xf4\x90\x80\x80", 4), 0);
    assert_int_equal(text_utf8("\x80", 1), 0);
    assert_int_equal(text_utf8("", 0), 0);
}

static void nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"families", "algorithms", "seeds", "base", "tuned", "load"};
    int n = 6;
    assert_string_equal(text_nearest("famlies", words, n), "families");
    assert_string_equal(text_nearest("algorihtms", words, n), "algorithms");
    assert_string_equal(text_nearest("Seeds", words, n), "seeds");
    assert_string_equal(text_nearest("laod", words, n), "load"); /* a swap counts one */
    assert_string_equal(text_nearest("lod", words, n), "load");
    assert_null(text_nearest("x", words, n));
    assert_null(text_nearest("", words, n));
    assert_null(text_nearest("publisher", words, n));
    assert_null(text_nearest("seeds", words, 0));
    char huge[1000];
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_null(text_nearest(huge, words, n));
}

static void joins(void **state)
{
    struct bench *b = *state;
    static const char *const words[] = {"a", "", "ccc"};
    assert_string_equal(text_join(&b->arena, words, 3, ", ", &b->err), "a, , ccc");
    assert_string_equal(text_join(&b->arena, words, 0, ", ", &b->err), "");
    assert_string_equal(path_join(&b->arena, "a/", "b", &b->err), "a/b");
    assert_string_equal(path_join(&b->arena, "/", "b", &b->err), "/b");
    assert_string_equal(path_join(&b->arena, ".", "b", &b->err), "b");
    assert_string_equal(path_join(&b->arena, "", "b", &b->err), "b");
    assert_string_equal(path_join(&b->arena, "a", "/b", &b->err), "a/b");
}

static void cleans(void **state)
{
    struct bench *b = *state;
    static const char *const cases[][2] = {
        {"a//b///c/", "a/b/c"},
        {"./a/./b/.", "a/b"},
        {"/", "/"},
        {"///", "/"},
        {"", "."},
        {"./", "."},
        {"../a/..", "../a/.."},
        {"/./a", "/a"},
        {".a/..b/.c.", ".a/..b/.c."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(path_clean(&b->arena, cases[i][0], &b->err), cases[i][1]);
    assert_string_equal(path_last("a/b"), "b");
    assert_string_equal(path_last("b"), "b");
    assert_string_equal(path_dir(&b->arena, "a/b/c", &b->err), "a/b");
    assert_string_equal(path_dir(&b->arena, "c", &b->err), ".");
    assert_string_equal(path_dir(&b->arena, "/c", &b->err), "/");
    assert_string_equal(path_dir(&b->arena, "a//c", &b->err), "a");
}

static void relates(void **state)
{
    struct bench *b = *state;
    static const char *const cases[][3] = {
        {"a/b", "a/c/d", "../c/d"}, {"a/b", "a/b/c", "c"},        {"a/b", "a/b", "."},
        {"/x/y", "/z", "../../z"},  {"a/bc", "a/b/c", "../b/c"},  {".", "a/b", "a/b"},
        {"a", ".", ".."},           {"../o", "../m/w", "../m/w"}, {"../o/p", "../o/m", "../m"},
        {"a//b/", "./a/b/c", "c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(path_relative(&b->arena, cases[i][0], cases[i][1], &b->err), cases[i][2]);
    /* where "..", seen backwards, is unknown: absolute */
    char here[512];
    assert_non_null(getcwd(here, sizeof here));
    const char *far = path_relative(&b->arena, "../o", "m", &b->err);
    assert_int_equal(far[0], '/');
    const char *absolute = path_absolute(&b->arena, "x/./y", &b->err);
    assert_memory_equal(absolute, here, strlen(here));
    assert_string_equal(absolute + strlen(absolute) - 4, "/x/y");
    assert_string_equal(path_absolute(&b->arena, "/x//y", &b->err), "/x/y");
    /* one absolute, one not */
    assert_string_equal(path_relative(&b->arena, here, "q", &b->err), "q");
}

static void folders(void **state)
{
    struct bench *b = *state;
    char *deep = path_join(&b->arena, b->folder, "a/b/c", &b->err);
    assert_int_equal(path_make_dir(deep, &b->err), ERR_OK);
    assert_int_equal(path_make_dir(deep, &b->err), ERR_OK);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    char *file = path_join(&b->arena, b->folder, "file", &b->err);
    assert_int_equal(file_write(file, "x", 1, &b->err), ERR_OK);
    char *below = path_join(&b->arena, file, "d", &b->err);
    assert_int_equal(path_make_dir(below, &b->err), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, "in the way"));
}

static void files(void **state)
{
    struct bench *b = *state;
    char *path = path_join(&b->arena, b->folder, "out", &b->err);
    int64_t size = 300000, n;
    char *bytes, *text;
    assert_int_equal(arena_array(&b->arena, "test", size, &bytes, &b->err), ERR_OK);
    for (int64_t i = 0; i < size; i++)
        bytes[i] = (char)(i % 251);
    assert_int_equal(file_write(path, bytes, size, &b->err), ERR_OK);
    assert_false(file_has_partial(path));
    assert_int_equal(file_read(&b->arena, path, size, &text, &n, &b->err), ERR_OK);
    assert_int_equal(n, size);
    assert_memory_equal(text, bytes, (size_t)size);
    assert_int_equal(text[n], 0);
    /* written anew, shorter, empty */
    assert_int_equal(file_write(path, "ab", 2, &b->err), ERR_OK);
    assert_int_equal(file_read(&b->arena, path, 2, &text, &n, &b->err), ERR_OK);
    assert_string_equal(text, "ab");
    assert_int_equal(file_write(path, "", 0, &b->err), ERR_OK);
    assert_int_equal(file_read(&b->arena, path, 0, &text, &n, &b->err), ERR_OK);
    assert_int_equal(n, 0);
    /* a file of unknown length, as pipes and /proc are */
    assert_int_equal(file_read(&b->arena, "/proc/self/status", 1 << 20, &text, &n, &b->err), ERR_OK);
    assert_true(n > 100);
    assert_int_equal(text[n], 0);
}

static void refuses(void **state)
{
    struct bench *b = *state;
    char *text;
    int64_t n;
    char *path = path_join(&b->arena, b->folder, "out", &b->err);
    assert_int_equal(file_write(path, "abc", 3, &b->err), ERR_OK);
    assert_int_equal(file_read(&b->arena, path, 2, &text, &n, &b->err), ERR_DATA);
    assert_null(text);
    err_clear(&b->err);
    assert_int_equal(file_read(&b->arena, "/proc/self/status", 10, &text, &n, &b->err), ERR_DATA);
    err_clear(&b->err);
    assert_int_equal(file_read(&b->arena, "/nowhere/at/all", 10, &text, &n, &b->err), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, "/nowhere/at/all"));
    err_clear(&b->err);
    assert_int_equal(file_read(&b->arena, b->folder, 10000000, &text, &n, &b->err), ERR_SYSTEM);
    err_clear(&b->err);
    assert_int_equal(file_write("/nowhere/at/all", "x", 1, &b->err), ERR_SYSTEM);
    err_clear(&b->err);
    assert_int_equal(file_commit("/nowhere/x.partial", "/nowhere/x", &b->err), ERR_SYSTEM);
    /* a full disk leaves nothing behind */
    err_clear(&b->err);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    path = path_join(&b->arena, b->folder, "full", &b->err);
    assert_int_equal(file_write(path, "x", 1, &b->err), ERR_SYSTEM);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    char *partial = file_partial(&b->arena, path, NULL, &b->err);
    assert_non_null(strstr(b->err.text, partial));
    assert_non_null(strstr(b->err.text,
                           ": cannot be written: the file would be larger than one may be; at least "
                           "1 bytes more are needed, 1 for the whole file, 0 are allowed"));
    assert_int_not_equal(access(path, F_OK), 0);
    err_clear(&b->err);
    assert_int_not_equal(access(partial, F_OK), 0);
    /* what lies under the name for the time being is not written through */
    char *other = path_join(&b->arena, b->folder, "other", &b->err);
    assert_int_equal(file_write(other, "abc", 3, &b->err), ERR_OK);
    assert_int_equal(symlink(other, partial), 0);
    assert_int_equal(file_write(path_join(&b->arena, b->folder, "full", &b->err), "x", 1, &b->err), ERR_OK);
    assert_int_equal(file_read(&b->arena, other, 10, &text, &n, &b->err), ERR_OK);
    assert_string_equal(text, "abc");
}

/* What is short is told in bytes, and what to do; any other reason is the system's. */
static void room(void **state)
{
    struct bench *b = *state;
    static const int short_of[] = {ENOSPC, EDQUOT, EROFS};
    static const char *const says[] = {"no space left on the device", "the disk quota is used up",
                                       "the file system is read-only"};
    char *path = path_join(&b->arena, b->folder, "not/there", &b->err);
    for (int i = 0; i < 3; i++) {
        assert_true(file_is_room(short_of[i]));
        assert_int_equal(file_cannot(&b->err, path, "written", short_of[i], 4096, 123456), ERR_SYSTEM);
        assert_ptr_equal(strstr(b->err.text, path), b->err.text);
        assert_non_null(strstr(b->err.text, says[i]));
        assert_non_null(
            strstr(b->err.text, "; at least 4096 bytes more are needed, 123456 for the whole file"));
        assert_non_null(strstr(b->err.text, "give the same command again"));
        err_clear(&b->err);
    }
    assert_int_equal(file_cannot(&b->err, b->folder, "written", ENOSPC, 0, 0), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, "no space left on the device; "));
    assert_non_null(strstr(b->err.text, " are free on that file system; make room"));
    err_clear(&b->err);
    assert_false(file_is_room(EACCES));
    assert_int_equal(file_cannot(&b->err, path, "created", EACCES, 5, 5), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, "not/there: cannot be created: Permission denied"));
    err_clear(&b->err);
}

/* Whose a partial name is shows in it; what others left is removed, and nothing else. */
static void partial_names(void **state)
{
    struct bench *b = *state;
    static const char *const left[] = {"a.h5.partial", "a.h5.partial.node1-77", "a.h5.partial.x-y-1"},
                             *const stays[] = {"a.h5",          "b.a.h5.partial.n-1",  "a.h5.partially",
                                               "a.h5.partial.", "a.h5.partial.n-1.h5", "a.h5.partial.n-",
                                               "aXh5.partial"};
    char own[FILE_MARK], *path = path_join(&b->arena, b->folder, "a.h5", &b->err);
    file_mark(own);
    assert_non_null(strchr(own, '-'));
    assert_int_equal(atoll(strrchr(own, '-') + 1), getpid());
    assert_false(file_has_partial(path));
    assert_string_equal(file_partial(&b->arena, "x/a", "node-7", &b->err), "x/a.partial.node-7");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 7; i++)
            assert_int_equal(file_write(path_join(&b->arena, b->folder, stays[i], &b->err), "", 0, &b->err),
                             ERR_OK);
        assert_false(file_has_partial(path));
        for (int i = 0; i < 3; i++)
            assert_int_equal(symlink("/nowhere", path_join(&b->arena, b->folder, left[i], &b->err)), 0);
        char *folder = file_partial(&b->arena, path, NULL, &b->err);
        assert_int_equal(mkdir(folder, 0777), 0);
        assert_int_equal(file_write(path_join(&b->arena, folder, "figure", &b->err), "x", 1, &b->err),
                         ERR_OK);
        assert_true(file_has_partial(path));
        if (round == 0)
            file_sweep(path);
        else
            file_sweep_folder(b->folder);
        assert_false(file_has_partial(path));
        for (int i = 0; i < 7; i++) /* of the folder's sweep, two of them are others' partial files */
            assert_int_equal(access(path_join(&b->arena, b->folder, stays[i], &b->err), F_OK) == 0,
                             round == 0 || (i != 1 && i != 6));
    }
    file_sweep("/nowhere/at/all");
}

static void puts_as_printf_does(void **state)
{
    struct bench *b = *state;
    static const int64_t numbers[] = {0, 7, -7, 10, 1234567890123, INT64_MAX, INT64_MIN};
    struct text put = {.arena = &b->arena}, add = {.arena = &b->arena};
    assert_int_equal(text_put(&put, &b->err, "", 0), ERR_OK);
    assert_string_equal(put.text, "");
    for (int i = 0; i < 7; i++) {
        assert_int_equal(text_put_int(&put, &b->err, numbers[i]), ERR_OK);
        assert_int_equal(text_put(&put, &b->err, ", and more", 2), ERR_OK);
        assert_int_equal(text_add(&add, &b->err, "%lld, ", (long long)numbers[i]), ERR_OK);
    }
    assert_string_equal(put.text, add.text);
    assert_int_equal(put.used, add.used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(grows),
                                       TEST_FOLDER(json),
                                       TEST_FOLDER(utf8),
                                       TEST_FOLDER(nearest),
                                       TEST_FOLDER(joins),
                                       TEST_FOLDER(cleans),
                                       TEST_FOLDER(relates),
                                       TEST_FOLDER(folders),
                                       TEST_FOLDER(files),
                                       TEST_FOLDER(refuses),
                                       TEST_FOLDER(room),
                                       TEST_FOLDER(partial_names),
                                       TEST_FOLDER(puts_as_printf_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
