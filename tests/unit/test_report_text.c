/* The text helpers of report: CSV fields, aligned sheets, pivots, and the summary's choices. */
#include "unitlib.h"

#include "compare/concentration/concentration.h"
#include "compare/norms.h"
#include "report/body/textpage.h"
#include "report/page/page.h"
#include "report/pivot.h"
#include "report/sheet.h"
#include "report/summary.h"

#include <math.h>

struct fixture {
    struct bench bench;
    struct arena scratch;
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITHOUT_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    arena_init(&f->scratch, &f->bench.mem);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_release(&f->scratch);
    return bench_delete(state);
}

static void check_csv(struct fixture *f, const char *text, const char *expected)
{
    struct text out = {.arena = &f->bench.arena};
    assert_int_equal(csv_text(&out, text, &f->bench.err), ERR_OK);
    assert_string_equal(out.text, expected);
}

static void test_csv_text(void **state)
{
    check_csv(*state, "plain/cell/0", "plain/cell/0");
    check_csv(*state, "", "");
    check_csv(*state, "a,b", "\"a,b\"");
    check_csv(*state, "say \"x\"", "\"say \"\"x\"\"\"");
    check_csv(*state, "\"", "\"\"\"\"");
    check_csv(*state, "two\nlines", "\"two\nlines\"");
    check_csv(*state, " lead", "\" lead\"");
    check_csv(*state, "=HYPERLINK(1)", "'=HYPERLINK(1)");
    check_csv(*state, "@a,b", "\"'@a,b\"");
    check_csv(*state, "-x", "'-x");
    check_csv(*state, "-", "-");
}

static void test_plain(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"layer.0/q\xc3\xbc", "layer.0/q\xc3\xbc"},
                                           {"a\033[2Jb\177", "a?[2Jb?"},
                                           {"c1\xc2\x9b"
                                            "31m",
                                            "c1?31m"},
                                           {"\xe2\x80\xae"
                                            "txt",
                                            "?txt"},
                                           {"x\xe2\x81\xa6y\xe2\x81\xa9", "x?y?"},
                                           {"two\nlines\t", "two\nlines\t"},
                                           {"cut\xe2\x80", "cut\xe2\x80"},
                                           {"nbsp\xc2\xa0", "nbsp\xc2\xa0"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", pairs[i][0]);
        text_plain(text, 1);
        assert_string_equal(text, pairs[i][1]);
    }
    char line[] = "two\nlines";
    text_plain(line, 0);
    assert_string_equal(line, "two?lines");
}

static void test_csv_real(void **state)
{
    struct fixture *f = *state;
    static const double values[] = {0.1,
                                    1.0 / 3,
                                    1e-8,
                                    5e-324,
                                    1.7976931348623157e308,
                                    -0.0,
                                    0,
                                    -42,
                                    999999999999999,
                                    1e15,
                                    1e21,
                                    9007199254740993.0,
                                    0.30000000000000004};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct text out = {.arena = &f->bench.arena};
        assert_int_equal(csv_real(&out, values[i], &f->bench.err), ERR_OK);
        double back = strtod(out.text, NULL);
        assert_memory_equal(&back, &values[i], sizeof back);
        char printed[40];
        for (int digits = 15; snprintf(printed, sizeof printed, "%.*g", digits, values[i]) > 0; digits++)
            if (strtod(printed, NULL) == values[i])
                break;
        assert_string_equal(out.text, printed);
    }
    struct text out = {.arena = &f->bench.arena};
    csv_real(&out, NAN, &f->bench.err);
    text_add(&out, &f->bench.err, " ");
    csv_real(&out, INFINITY, &f->bench.err);
    text_add(&out, &f->bench.err, " ");
    csv_real(&out, -INFINITY, &f->bench.err);
    text_add(&out, &f->bench.err, " ");
    csv_real(&out, 0.1, &f->bench.err);
    assert_string_equal(out.text, "nan inf -inf 0.1");
}

static void test_real_short(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(real_short(1e-5, text, sizeof text), "1e-5");
    assert_string_equal(real_short(1e-4, text, sizeof text), "1e-4");
    assert_string_equal(real_short(2.5e-8, text, sizeof text), "2.5e-8");
    assert_string_equal(real_short(0.672, text, sizeof text), "0.672");
    assert_string_equal(real_short(0, text, sizeof text), "0");
    assert_string_equal(real_short(1e30, text, sizeof text), "1e30");
    assert_string_equal(real_short(9.9999999e-6, text, sizeof text), "1e-5");
}

static void test_sheet(void **state)
{
    struct fixture *f = *state;
    struct sheet s;
    sheet_init(&s, &f->bench.arena);
    sheet_column(&s, 'l', &f->bench.err, "cell");
    sheet_column(&s, 'r', &f->bench.err, "n");
    sheet_column(&s, 'r', &f->bench.err, "%%");
    sheet_cell(&s, &f->bench.err, "a|b");
    sheet_count(&s, 1234567, &f->bench.err);
    sheet_real(&s, 81.375, 1, &f->bench.err);
    sheet_cell(&s, &f->bench.err, "\xc3\xa9");
    sheet_count(&s, -999, &f->bench.err);
    sheet_real(&s, NAN, 1, &f->bench.err);
    assert_int_equal(sheet_rows(&s), 2);
    struct text md = {.arena = &f->bench.arena}, plain = {.arena = &f->bench.arena};
    assert_int_equal(sheet_markdown(&s, 100, &md, &f->bench.err), ERR_OK);
    assert_string_equal(md.text, "| cell |         n |    % |\n"
                                 "|:-----|----------:|-----:|\n"
                                 "| a\\|b | 1,234,567 | 81.4 |\n"
                                 "| \xc3\xa9    |      -999 |    - |\n");
    assert_int_equal(sheet_plain(&s, 100, &plain, &f->bench.err), ERR_OK);
    assert_string_equal(plain.text, "cell          n     %\n"
                                    "----  ---------  ----\n"
                                    "a|b   1,234,567  81.4\n"
                                    "\xc3\xa9          -999     -\n");
}

static void test_sheet_lines(void **state)
{
    struct fixture *f = *state;
    struct sheet s;
    sheet_init(&s, &f->bench.arena);
    sheet_column(&s, 'l', &f->bench.err, "one");
    sheet_cell(&s, &f->bench.err, "a\nb");
    assert_string_equal(s.cells[1], "a b");
    assert_int_equal(f->bench.err.code, ERR_OK);
    sheet_column(&s, 'l', &f->bench.err, "late");
    assert_int_equal(f->bench.err.code, ERR_BUG);
    struct text out = {.arena = &f->bench.arena};
    assert_int_equal(sheet_plain(&s, 100, &out, &f->bench.err), ERR_BUG);
}

/* Rows behind the last that is kept are counted, and a sentence names the file that has them. */
static void test_sheet_bounded(void **state)
{
    struct fixture *f = *state;
    struct sheet s;
    sheet_init(&s, &f->bench.arena);
    s.most = 3;
    s.rest = "all.csv";
    sheet_column(&s, 'l', &f->bench.err, "n");
    sheet_column(&s, 'r', &f->bench.err, "m");
    for (int i = 0; i < 1500; i++) {
        assert_int_equal(sheet_all_rows(&s), i);
        sheet_cell(&s, &f->bench.err, "%d", i);
        sheet_count(&s, i, &f->bench.err);
    }
    assert_int_equal(sheet_rows(&s), 3);
    assert_int_equal(sheet_all_rows(&s), 1500);
    struct text rest = {.arena = &f->bench.arena}, none = {.arena = &f->bench.arena};
    struct text plain = {.arena = &f->bench.arena};
    sheet_say_rest(&s, 3, &rest, &f->bench.err);
    assert_string_equal(rest.text, "The first 3 of 1,500 rows; all.csv has all.");
    struct sheet two = sheet_first(&s, 2);
    assert_int_equal(sheet_rows(&two), 2);
    assert_int_equal(sheet_all_rows(&two), 1500);
    sheet_plain(&two, 1, &plain, &f->bench.err);
    assert_string_equal(plain.text, "n  m\n-  -\n0  0\n");
    sheet_say_rest(&s, 1500, &none, &f->bench.err);
    assert_null(none.text);
    assert_int_equal(f->bench.err.code, ERR_OK);
}

static void test_pivot(void **state)
{
    struct fixture *f = *state;
    struct pivot p;
    pivot_init(&p, &f->bench.arena);
    pivot_add(&p, "10", "x", 3, &f->bench.err);
    pivot_add(&p, "none", "x", 9, &f->bench.err);
    pivot_add(&p, "9", "x", 1, &f->bench.err);
    pivot_add(&p, "9", "x", 2, &f->bench.err);
    pivot_add(&p, "9", "x", NAN, &f->bench.err);
    pivot_add(&p, "9", "y", NAN, &f->bench.err);
    struct tally t = pivot_at(&p, "9", "x");
    assert_int_equal(t.n, 2);
    assert_true(tally_mean(&t) == 1.5 && t.least == 1 && t.greatest == 2);
    t = pivot_at(&p, "9", "y");
    assert_int_equal(t.n, 0);
    assert_true(isnan(tally_mean(&t)));
    assert_int_equal(pivot_at(&p, "9", "z").n, 0);
    pivot_sort_rows(&p, &f->bench.err);
    assert_string_equal(p.rows.text[0], "9");
    assert_string_equal(p.rows.text[1], "10");
    assert_string_equal(p.rows.text[2], "none");
    assert_true(pivot_at(&p, "10", "x").sum == 3 && pivot_at(&p, "9", "x").sum == 3);
    assert_true(pivot_at(&p, "none", "x").sum == 9);
}

/* Numbers behind the same words go by size: layers of a stack that is named. */
static void test_pivot_stacks(void **state)
{
    struct fixture *f = *state;
    struct pivot p;
    static const char *const keys[] = {"visual 10", "visual", "b x", "2", "visual 9", "10", "audio 3", "a"},
                             *const sorted[] = {"2",   "10",     "a",        "audio 3",
                                                "b x", "visual", "visual 9", "visual 10"};
    enum { N = sizeof keys / sizeof *keys };
    pivot_init(&p, &f->bench.arena);
    for (int i = 0; i < N; i++)
        pivot_add(&p, keys[i], "x", 1, &f->bench.err);
    pivot_sort_rows(&p, &f->bench.err);
    for (int i = 0; i < N; i++)
        assert_string_equal(p.rows.text[i], sorted[i]);
}

/* Past the last column, values are gathered and not lost. */
static void test_pivot_columns(void **state)
{
    struct fixture *f = *state;
    struct pivot p;
    pivot_init(&p, &f->bench.arena);
    for (int i = 0; i < PIVOT_COLUMNS + 10; i++) {
        char col[16];
        snprintf(col, sizeof col, "c%d", i);
        pivot_add(&p, "r", col, i, &f->bench.err);
    }
    assert_int_equal(f->bench.err.code, ERR_OK);
    assert_int_equal(p.cols.n, PIVOT_COLUMNS);
    assert_int_equal(pivot_at(&p, "r", "others").n, 11);
}

static void test_keys_list(void **state)
{
    struct fixture *f = *state;
    struct keys k = {.arena = &f->bench.arena};
    keys_add(&k, "a", &f->bench.err);
    keys_add(&k, "b", &f->bench.err);
    keys_add(&k, "a", &f->bench.err);
    keys_add(&k, "c", &f->bench.err);
    assert_string_equal(keys_list(&k, 3, &f->bench.err), "a, b, c");
    assert_string_equal(keys_list(&k, 2, &f->bench.err), "a, b and 1 more");
}

/* As many keys as there are, each has its own number; groups stay with their rows when these are sorted. */
static void test_many_keys(void **state)
{
    struct fixture *f = *state;
    struct pivot p;
    char key[24];
    enum { MANY = 6000 };
    pivot_init(&p, &f->bench.arena);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, i % 2 ? "%d" : "x%05d",
                 (i * 7919) % MANY); /* 7919 is no divisor: each once */
        pivot_add(&p, key, "v", (i * 7919) % MANY, &f->bench.err);
    }
    assert_int_equal(p.rows.n, MANY);
    pivot_sort_rows(&p, &f->bench.err);
    for (int i = 0; i < MANY; i++) {
        int n = i < MANY / 2 ? 2 * i + 1 : 2 * i - MANY;
        snprintf(key, sizeof key, i < MANY / 2 ? "%d" : "x%05d", n);
        assert_string_equal(p.rows.text[i], key);
        assert_int_equal(keys_find(&p.rows, key), i);
        assert_true(pivot_at(&p, key, "v").sum == n);
    }
    assert_int_equal(keys_find(&p.rows, "x"), -1);
    assert_int_equal(f->bench.err.code, ERR_OK);
}

static const struct norms no_norms;

static void take_study(struct fixture *f, struct summary *sum)
{
    struct table cells, sparsity, published;
    summary_init(sum, &f->bench.arena, &f->scratch, 40);
    table_init(&cells, "cells", &f->bench.arena);
    table_init(&sparsity, "sparsity", &f->bench.arena);
    table_init(&published, "published", &f->bench.arena);
    TABLE_ADD(&cells, &f->bench.err, V_TEXT("m/dpo/0"), V_TEXT("m"), V_TEXT("dpo"), V_INT(0), V_TEXT(""),
              V_INT(-1), V_TEXT("b"), V_TEXT("t"), V_INT(2), V_INT(0), V_INT(0), V_REAL(1), V_REAL(1),
              V_INT(1000), V_INT(250), V_INT(250), V_NORMS(no_norms), V_CONCENTRATION(CONCENTRATION_UNKNOWN));
    static const double tolerances[] = {0, 1e-8, 1e-5};
    for (int i = 0; i < 3; i++)
        TABLE_ADD(&sparsity, &f->bench.err, V_TEXT("m/dpo/0"), V_TEXT("delta"), V_TEXT("absolute"),
                  V_REAL(tolerances[i]), V_INT(1000), V_INT(250 - 50 * i), V_REAL(0.75 + 0.05 * i));
    TABLE_ADD(&sparsity, &f->bench.err, V_TEXT("m/dpo/0"), V_TEXT("mask"), V_TEXT("absolute"), V_REAL(1e-5),
              V_INT(1000), V_INT(150), V_REAL(0.85));
    for (int i = 0; i < 2; i++)
        TABLE_ADD(&published, &f->bench.err, V_TEXT("table 1"), V_TEXT("sparsity"), V_TEXT("dpo"),
                  V_TEXT("m"), V_REAL(0.814), V_TEXT("m/dpo/0"));
    TABLE_ADD(&published, &f->bench.err, V_TEXT("table 6"), V_TEXT("sparsity"), V_TEXT("dpo"), V_TEXT("m"),
              V_REAL(76.42), V_TEXT("m/dpo/0"));
    summary_take(sum, &cells, &f->bench.err);
    summary_take(sum, &sparsity, &f->bench.err);
    summary_take(sum, &published, &f->bench.err);
    assert_int_equal(f->bench.err.code, ERR_OK);
}

static void test_summary(void **state)
{
    struct fixture *f = *state;
    struct summary sum;
    take_study(f, &sum);
    assert_int_equal(sum.nmeasures, 4);
    assert_int_equal(summary_first_headline(&sum), 3);
    assert_string_equal(summary_measure_title(&sum, 3, &f->bench.err), "at 1e-5");
    assert_string_equal(summary_published_of(&sum, "m/dpo/0", "sparsity", &f->bench.err), "81.40 / 76.42");
    assert_string_equal(summary_published_of(&sum, "m/dpo/0", "rank", &f->bench.err), "-");
    assert_string_equal(summary_published_of(&sum, "m/dpo/1", "sparsity", &f->bench.err), "-");
    assert_string_equal(summary_published_of(&sum, "m/ppo/0", "sparsity", &f->bench.err), "-");
    assert_float_equal(summary_measured(&sum, "sparsity", "m/dpo/0", &f->bench.err), 85, 1e-9);
    assert_float_equal(summary_measured(&sum, "sparsity_1e-8", "m/dpo/0", &f->bench.err), 80, 1e-9);
    assert_true(isnan(summary_measured(&sum, "sparsity_1e-3", "m/dpo/0", &f->bench.err)));
    assert_true(isnan(summary_measured(&sum, "sparsity", "m/dpo/1", &f->bench.err)));
    assert_true(isnan(summary_measured(&sum, "rank", "m/dpo/0", &f->bench.err)));
    assert_int_equal(summary_absent(&sum), 0);
    assert_true(summary_is_measured(&sum, 0));
    assert_string_equal(summary_base_label(&sum, "b"), "m");
}

/* The report of a summary as Markdown. */
static const char *report_of(struct fixture *f, struct summary *sum)
{
    struct page p;
    struct text report = {.arena = &f->bench.arena};
    page_init(&p, sum, NULL, &f->bench.err);
    assert_int_equal(page_report(&p, &f->bench.err), ERR_OK);
    assert_int_equal(textpage_markdown(&p.body, &report, &f->bench.err), ERR_OK);
    return report.text;
}

/* Its table of sparsity. */
static const char *sparsity_of(struct fixture *f, struct summary *sum, int markdown)
{
    struct page p;
    struct text out = {.arena = &f->bench.arena};
    page_init(&p, sum, NULL, &f->bench.err);
    assert_int_equal(page_sparsity(&p, markdown, &out, &f->bench.err), ERR_OK);
    return out.text;
}

static void test_pages(void **state)
{
    struct fixture *f = *state;
    struct summary sum;
    take_study(f, &sum);
    sum.study = "s";
    const char *plain = sparsity_of(f, &sum, 0), *report = report_of(f, &sum);
    assert_non_null(
        strstr(plain, "\nm/dpo/0       1,000      150               85.00         75.00  81.40 / 76.42\n"));
    assert_null(strstr(report, "SIMULATED"));
    assert_null(strstr(report, "not measured"));
    assert_null(strstr(plain, "NOT MEASURED"));
    /* The page of one pair is of what was asked: no section says that it has nothing. */
    assert_null(strstr(report, "the study has no rank"));
    assert_null(strstr(report, "## Rank of the updates"));
    assert_null(strstr(report, "## Overlap of updated sets"));
    assert_null(strstr(report, "1 cell"));
    assert_null(strstr(report, "1 family"));
    assert_non_null(strstr(report, "\nOne cell, m/dpo/0: the tuned checkpoint "));
    /* Two words, two numbers: what counts as not updated, and what is unchanged. */
    assert_non_null(
        strstr(report, "- **85.00 % sparse at 1e-5.** That share of the parameters counts as not updated: "
                       "|difference| <= 1e-5, both in the compare type; 75.00 % are unchanged, bit for "
                       "bit.\n"));
    sum.simulated = "drawn at random";
    report = report_of(f, &sum);
    assert_non_null(strstr(report, "> **SIMULATED.** Weights of this study are made up (drawn at random)."));
}

/* Cells that differ in their data alone, two seeds with one figure, and one that is not on disk. */
static void take_own(struct fixture *f, struct summary *sum)
{
    static const struct {
        const char *cell, *data;
        int64_t seed, parameters;
        double sparsity, published;
    } own[] = {{"m/orpo/0+beta", "beta", 0, 1000, 0.75, 0.7642},
               {"m/orpo/0+alpha", "alpha", 0, 1000, 0.5, 0.5323},
               {"m/orpo/1+alpha", "alpha", 1, 1000, 0.25, 0.5323},
               {"m/orpo/2", "", 2, 0, 0, 0.5323},
               {"m/nothing/0", "", 0, 0, 0, 0}};
    struct table cells, sparsity, published, skipped;
    struct err *e = &f->bench.err;
    struct arena *a = &f->bench.arena;
    summary_init(sum, a, &f->scratch, 40);
    sum->study = "s";
    table_init(&cells, "cells", a);
    table_init(&sparsity, "sparsity", a);
    table_init(&published, "published", a);
    table_init(&skipped, "skipped", a);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        const char *algorithm = i < 4 ? "orpo" : "nothing";
        int64_t n = own[i].parameters;
        TABLE_ADD(&cells, e, V_TEXT(own[i].cell), V_TEXT("m"), V_TEXT(algorithm), V_INT(own[i].seed),
                  V_TEXT(own[i].data), V_INT(-1), V_TEXT("b"), V_TEXT("t"), V_INT(n > 0), V_INT(0), V_INT(0),
                  V_REAL(1), V_REAL(1), V_INT(n), V_INT(0), V_INT(0), V_NORMS(no_norms),
                  V_CONCENTRATION(CONCENTRATION_UNKNOWN));
        if (n > 0)
            TABLE_ADD(&sparsity, e, V_TEXT(own[i].cell), V_TEXT("mask"), V_TEXT("absolute"), V_REAL(1e-5),
                      V_INT(n), V_INT((int64_t)((double)n * (1 - own[i].sparsity))), V_REAL(own[i].sparsity));
        if (own[i].published > 0)
            TABLE_ADD(&published, e, V_TEXT("table 6"), V_TEXT("sparsity"), V_TEXT(algorithm), V_TEXT("m"),
                      V_REAL(own[i].published), V_TEXT(own[i].cell));
    }
    TABLE_ADD(&skipped, e, V_TEXT("m/orpo/0+beta"), V_TEXT("delta"), V_TEXT("x"), V_INT(5), V_TEXT("type"));
    TABLE_ADD(&skipped, e, V_TEXT("m/orpo/2"), V_TEXT(""), V_TEXT(""), V_INT(0),
              V_TEXT("not measured: it is far away"));
    const struct table *const all[] = {&cells, &sparsity, &skipped, &published};
    for (int i = 0; i < 4; i++)
        summary_take(sum, all[i], e);
    assert_int_equal(e->code, ERR_OK);
}

/* Words of the one line that begins with `start`, blanks squeezed. */
static void assert_row(const char *page, const char *start, const char *expected)
{
    char line[512], squeezed[512];
    size_t at = 0;
    snprintf(line, sizeof line, "\n%s", start);
    const char *found = strstr(page, line);
    if (!found)
        fail_msg("no line begins with %s in\n%s", start, page);
    for (const char *c = found + 1; *c && *c != '\n' && at < sizeof squeezed - 1; c++)
        if (*c != ' ' || (at > 0 && squeezed[at - 1] != ' '))
            squeezed[at++] = *c;
    while (at > 0 && squeezed[at - 1] == ' ')
        at--;
    squeezed[at] = '\0';
    assert_string_equal(squeezed, expected);
}

static void test_own_figures(void **state)
{
    struct fixture *f = *state;
    struct summary sum;
    take_own(f, &sum);
    assert_int_equal(summary_absent(&sum), 1);
    assert_true(summary_is_measured(&sum, 0)); /* a tensor of it was left out */
    assert_false(summary_is_measured(&sum, 3));
    assert_true(summary_is_measured(&sum, 4)); /* no parameters, but nobody says why */
    assert_string_equal(sum.why_absent, "it is far away");
    const char *plain = sparsity_of(f, &sum, 0), *page = sparsity_of(f, &sum, 1),
               *report = report_of(f, &sum);
    assert_row(plain, "m/orpo/0+beta ", "m/orpo/0+beta 1,000 250 75.00 100.00 76.42");
    assert_row(plain, "m/orpo/0+alpha ", "m/orpo/0+alpha 1,000 500 50.00 100.00 53.23");
    assert_row(plain, "m/orpo/1+alpha ", "m/orpo/1+alpha 1,000 750 25.00 100.00 53.23");
    assert_row(plain, "m/orpo/2 ", "m/orpo/2 not measured 53.23");
    assert_row(plain, "m/nothing/0 ", "m/nothing/0 0 - - - -");
    assert_row(plain, "1 of 5 cells",
               "1 of 5 cells NOT MEASURED, each because it is far away. What is published of them is shown "
               "all the same.");
    assert_row(page, "| m/orpo/2 ", "| m/orpo/2 | not measured | | | | 53.23 |");
    const char *const pages[] = {page, report};
    for (int i = 0; i < 2; i++)
        assert_row(pages[i], "> **1 of 5",
                   "> **1 of 5 cells not measured**, each because it is far away. What is published of them "
                   "is shown all the "
                   "same.");
    assert_true(strstr(report, "not measured**") < strstr(report, "\n## "));
    const char *published = strstr(report, "## Published figures");
    assert_non_null(published);
    assert_row(published, "| m/orpo/0+beta ", "| m/orpo/0+beta | sparsity | 76.42 | 75.00 | table 6 |");
    assert_row(published, "| m/orpo/0+alpha ",
               "| m/orpo/0+alpha and 1 more seed | sparsity | 53.23 | 37.50 | table 6 |");
    assert_null(strstr(published, "| m/orpo/1+alpha "));
    assert_row(published, "| m/orpo/2 ", "| m/orpo/2 | sparsity | 53.23 | not measured | table 6 |");
}

static void test_empty(void **state)
{
    struct fixture *f = *state;
    struct summary sum;
    summary_init(&sum, &f->bench.arena, &f->scratch, 40);
    const char *report = report_of(f, &sum);
    assert_non_null(strstr(report, "Not measured"));
    assert_null(strstr(report, "## In short")); /* nothing to say in short, and no words to explain it */
    assert_null(strstr(report, "## Words"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_csv_text), TEST(test_plain),         TEST(test_csv_real),      TEST(test_real_short),
        TEST(test_sheet),    TEST(test_sheet_lines),   TEST(test_sheet_bounded), TEST(test_many_keys),
        TEST(test_pivot),    TEST(test_pivot_columns), TEST(test_pivot_stacks),  TEST(test_keys_list),
        TEST(test_summary),  TEST(test_pages),         TEST(test_own_figures),   TEST(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
