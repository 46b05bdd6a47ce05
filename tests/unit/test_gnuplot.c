/* Running gnuplot: found in PATH alone, its failure told in its own words, ended when it takes too long. */
#include "unitlib.h"

#include "base/gnuplot.h"
#include "base/log.h"
#include "base/path.h"
#include "base/file.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *program(struct bench *b, const char *script)
{
    char *path = path_join(&b->arena, b->folder, "gnuplot", &b->err);
    assert_int_equal(file_write(path, script, (int64_t)strlen(script), &b->err), ERR_OK);
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static void test_find(void **state)
{
    struct bench *b = *state;
    const char *usual = getenv("PATH");
    char *keep = arena_strdup(&b->arena, usual ? usual : "", &b->err);
    char *path = arena_printf(&b->arena, &b->err, "/nonexistent::%s", b->folder);
    setenv("PATH", path, 1);
    assert_null(gnuplot_find(&b->arena, &b->err));
    const char *there = program(b, "#!/bin/sh\n");
    assert_string_equal(gnuplot_find(&b->arena, &b->err), there);
    chmod(there, 0644); /* no program */
    assert_true(geteuid() == 0 || !gnuplot_find(&b->arena, &b->err));
    unsetenv("PATH");
    assert_null(gnuplot_find(&b->arena, &b->err));
    setenv("PATH", keep, 1);
    assert_int_equal(b->err.code, ERR_OK);
}

static void test_run(void **state)
{
    struct bench *b = *state;
    char problem[300] = "", *text;
    int64_t n;
    /* What it was started with: no start-up files, the script by name, the folder, nothing to read, plain
     * numbers. */
    const char *there = program(b, "#!/bin/sh\necho \"$1 $2 $LC_ALL $(pwd) $(cat)\" >said\n");
    setenv("LC_NUMERIC", "de_DE.UTF-8", 1);
    assert_int_equal(gnuplot_run(there, b->folder, "x.gp", 20, problem, sizeof problem), 0);
    unsetenv("LC_NUMERIC");
    char *said = path_join(&b->arena, b->folder, "said", &b->err);
    assert_int_equal(file_read(&b->arena, said, 1000, &text, &n, &b->err), ERR_OK);
    char *expected = arena_printf(&b->arena, &b->err, "-d x.gp C.UTF-8 %s \n", b->folder);
    assert_string_equal(text, expected);
}

static void test_failures(void **state)
{
    struct bench *b = *state;
    char problem[300] = "";
    assert_int_equal(gnuplot_run("/nonexistent/gnuplot", b->folder, "x", 20, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "cannot be started"));
    const char *there = program(b, "#!/bin/sh\necho first; echo 'no such terminal' >&2; exit 3\n");
    assert_int_equal(gnuplot_run(there, b->folder, "x", 20, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "exit status 3"));
    assert_non_null(strstr(problem, "no such terminal"));
    there = program(b, "#!/bin/sh\nkill -9 $$\n");
    assert_int_equal(gnuplot_run(there, b->folder, "x", 20, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "signal 9"));
    there = program(b, "#!/bin/sh\nexec sleep 30\n");
    double began = clock_sec();
    assert_int_equal(gnuplot_run(there, b->folder, "x", 0.2, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "longer than 0.2 s"));
    assert_true(clock_sec() - began < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(test_run, bench_setup_folder, bench_delete),
        cmocka_unit_test_setup_teardown(test_failures, bench_setup_folder, bench_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
