/* Command line: what words and options become, and what is said of those that are wrong; the table of verbs.
 */
#include "unitlib.h"

#include "../stage_fake.h"

#include "command/cli.h"

enum { MOST_WORDS = 16 };

/* Parses words, separated by single spaces. Texts are the arena's. */
static err_t parse(struct bench *b, struct cli *c, const char *line)
{
    char *argv[MOST_WORDS + 1] = {NULL};
    int argc = 0;
    err_clear(&b->err);
    for (char *word = arena_strdup(&b->arena, line, &b->err), *next; word; word = next) {
        assert_true(argc < MOST_WORDS);
        next = strchr(word, ' ');
        if (next)
            *next++ = '\0';
        argv[argc++] = word;
    }
    char **all;
    assert_int_equal(arena_array(&b->arena, "test.argv", MOST_WORDS + 1, &all, &b->err), ERR_OK);
    memcpy(all, argv, sizeof argv);
    return cli_parse(c, argc, all, &b->arena, &b->err);
}

static void refused(struct bench *b, const char *line, const char *text)
{
    struct cli c;
    assert_int_equal(parse(b, &c, line), ERR_CONFIG);
    assert_string_equal(b->err.text, text);
}

static void test_run(void **state)
{
    struct bench *b = *state;
    struct cli c;
    assert_int_equal(parse(b, &c, "sinew run s.yaml --stage a -c f/b/0 --stage=b -fv"), ERR_OK);
    assert_string_equal(c.verb->name, "run");
    assert_string_equal(c.config, "s.yaml");
    assert_int_equal(c.selection.stages.n, 2);
    assert_string_equal(c.selection.stages.v[0], "a");
    assert_string_equal(c.selection.stages.v[1], "b");
    assert_int_equal(c.selection.cells.n, 1);
    assert_string_equal(c.selection.cells.v[0], "f/b/0");
    assert_true(c.selection.force && c.verbose && !c.quiet);
}

static void test_export(void **state)
{
    struct bench *b = *state;
    struct cli c;
    assert_int_equal(parse(b, &c, "sinew export -c f/b/0 mask -n m --to out s.yaml --format bits"), ERR_OK);
    assert_string_equal(c.export.cell, "f/b/0");
    assert_string_equal(c.export.node, "m");
    assert_string_equal(c.export.to, "out");
    assert_string_equal(c.config, "s.yaml");
    assert_int_equal(c.export.format, EXPORT_BITS);
    assert_false(c.export.force);
    refused(b, "sinew export mask s.yaml -c f -n m",
            "'sinew export mask' wants --to; 'sinew export --help' explains");
    refused(b, "sinew export mash s.yaml",
            "'sinew export' knows no 'mash', did you mean 'mask'?; it exports: mask");
}

static void test_options_that_are_verbs(void **state)
{
    struct bench *b = *state;
    struct cli c;
    assert_int_equal(parse(b, &c, "sinew plan --help"), ERR_OK);
    assert_ptr_equal(c.verb, &verb_help);
    assert_string_equal(c.about->name, "plan");
    assert_int_equal(parse(b, &c, "sinew help run"), ERR_OK);
    assert_string_equal(c.about->name, "run");
    assert_int_equal(parse(b, &c, "sinew -h"), ERR_OK);
    assert_null(c.about);
    assert_int_equal(parse(b, &c, "sinew check s.yaml --version"), ERR_OK);
    assert_ptr_equal(c.verb, &verb_version);
}

static void test_wrong_words(void **state)
{
    struct bench *b = *state;
    refused(
        b, "sinew",
        "a verb is wanted: compare, init, check, plan, run, status, verify, report or export; 'sinew --help' explains");
    refused(b, "sinew chekc", "unknown verb 'chekc', did you mean 'check'?; 'sinew --help' lists them");
    refused(b, "sinew manuel", "unknown verb 'manuel'; 'sinew --help' lists them"); /* it is hidden */
    refused(b, "sinew check", "'sinew check' wants one CONFIG file, 0 given; 'sinew check --help' explains");
    refused(b, "sinew run s.yaml -z", "unknown option '-z'; 'sinew run --help' lists them");
    refused(b, "sinew run s.yaml -s", "option '-s' wants a value; 'sinew run --help' explains");
}

static void test_options_of_other_verbs(void **state)
{
    struct bench *b = *state;
    refused(
        b, "sinew plan s.yaml -f",
        "--stage, --cell, --share, --cell-index, --take-over, --force, --keep-going and --time-limit are options of 'sinew run', not of 'sinew plan'");
    refused(b, "sinew run s.yaml --to x",
            "--node, --to and --format are options of 'sinew export', not of 'sinew run'");
    refused(
        b, "sinew export mask s.yaml -s x",
        "--stage, --share, --cell-index, --take-over, --keep-going and --time-limit are options of 'sinew run', not of 'sinew export'");
    refused(b, "sinew check s.yaml -o x -s y",
            "--node, --to and --format are options of 'sinew export', not of 'sinew check'");
}

/* One name of an option is one option. */
static void check_alike(const struct verb_option *o)
{
    for (int i = 0; verb_table[i]; i++) {
        const struct verb_option *other = verb_option(verb_table[i], o->name);
        if (!other)
            continue;
        assert_int_equal(other->letter, o->letter);
        assert_int_equal(other->argument != NULL, o->argument != NULL);
    }
}

static void test_table(void **state)
{
    struct bench *b = *state;
    for (int i = 0; verb_table[i]; i++) {
        const struct verb *v = verb_table[i], *found;
        assert_int_equal(verb_find(v->name, &found, &b->err), ERR_OK);
        assert_ptr_equal(found, v); /* no name is given twice */
        assert_true(v->args && v->brief && v->more);
        assert_int_equal((v->say != NULL) + (v->look != NULL) + (v->run != NULL), 1);
        for (const struct verb_option *o = v->options; o && o->name; o++)
            check_alike(o);
    }
    for (const struct verb_option *o = cli_options; o->name; o++)
        for (int i = 0; verb_table[i]; i++)
            assert_null(verb_option(verb_table[i], o->name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(test_run),         TEST_BENCH(test_export),
        TEST_BENCH(test_wrong_words), TEST_BENCH(test_options_that_are_verbs),
        TEST_BENCH(test_table),       TEST_BENCH(test_options_of_other_verbs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
