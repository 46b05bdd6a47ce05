/* Charts and what becomes of them: CSV, scripts in which no name is executed, and drawings fit for a
 * page. */
#include "unitlib.h"

#include "report/chart/chart.h"
#include "report/chart/plot.h"

#include <math.h>

static struct chart *sample(struct bench *b, enum chart_kind kind, const char *name)
{
    struct chart *c = chart_new(&b->arena, kind, &b->err, "%s", name);
    assert_non_null(c);
    c->x_title = "x, units";
    c->y_title = "y";
    c->label_title = "row";
    c->value_title = "value";
    return c;
}

static void test_names(void **state)
{
    struct bench *b = *state;
    assert_string_equal(sample(b, CHART_CURVES, "../a b/\"x'.svg")->name, "-.-a-b--x-.svg");
    assert_true(chart_is_empty(sample(b, CHART_MATRIX, "empty")));
}

static void test_csv(void **state)
{
    struct bench *b = *state;
    struct text out = {.arena = &b->arena};
    struct chart *c = sample(b, CHART_CURVES, "curves");
    chart_point(c, chart_series(c, "a,b", CHART_LINE, &b->err), 2, 0.1, &b->err);
    chart_point(c, chart_series(c, "a,b", CHART_LINE, &b->err), 1, 4, &b->err);
    chart_point(c, chart_series(c, "a,b", CHART_LINE, &b->err), 3, NAN, &b->err); /* left out */
    chart_sort(c);
    assert_int_equal(chart_csv(c, &out, &b->err), ERR_OK);
    assert_string_equal(out.text, "series,\"x, units\",y\r\n\"a,b\",1,4\r\n\"a,b\",2,0.1\r\n");

    out = (struct text){.arena = &b->arena};
    c = sample(b, CHART_MATRIX, "matrix");
    chart_label(c, &c->labels, "r0", &b->err);
    chart_label(c, &c->labels, "r1", &b->err);
    assert_int_equal(chart_label(c, &c->labels, "r0", &b->err), 0);
    chart_label(c, &c->columns, "c0", &b->err);
    int block = chart_block(c, "mean", &b->err);
    chart_set(c, block, 1, 0, 7.5);
    chart_set(c, block, 2, 0, 9); /* outside: nowhere */
    double least, greatest;
    chart_range(c, &least, &greatest);
    assert_true(least == 7.5 && greatest == 7.5);
    assert_int_equal(chart_csv(c, &out, &b->err), ERR_OK);
    assert_string_equal(out.text, "block,row,\"x, units\",value\r\nmean,r1,c0,7.5\r\n");
}

static void test_series_limit(void **state)
{
    struct bench *b = *state;
    struct chart *c = sample(b, CHART_CURVES, "many");
    char name[16];
    for (int i = 0; i < CHART_SERIES + 3; i++) {
        snprintf(name, sizeof name, "s%d", i);
        chart_point(c, chart_series(c, name, CHART_DOTS, &b->err), i, i, &b->err);
    }
    assert_int_equal(c->nseries, CHART_SERIES);
    assert_int_equal(b->err.code, ERR_OK);
}

static void test_quoting(void **state)
{
    struct bench *b = *state;
    struct text out = {.arena = &b->arena};
    struct chart *c = sample(b, CHART_ROWS, "rows");
    chart_label(c, &c->labels, "it's `touch x`\n\"$(y)\"", &b->err);
    chart_label(c, &c->labels, "0123456789012345678901234567890123456789", &b->err);
    chart_point(c, chart_series(c, "s", CHART_HOLLOW, &b->err), 1, 0, &b->err);
    assert_int_equal(plot_script(c, &out, &b->err), ERR_OK);
    assert_non_null(strstr(out.text, "'it''s  touch x  \"$(y)\"' 0"));
    assert_non_null(strstr(out.text, "'01234567890123…567890123456789"));
    assert_non_null(strstr(out.text, "set output 'rows.svg'"));
    assert_non_null(strstr(out.text, "set output 'rows.png'"));
}

static void test_inline(void **state)
{
    struct bench *b = *state;
    struct text out = {.arena = &b->arena};
    const char *svg =
        "<?xml version=\"1.0\"?>\n<svg \n viewBox=\"0 0 60 40\"\n xmlns=\"http://www.w3.org/2000/svg\"\n>"
        "<title>Gnuplot</title><desc>by</desc><g id=\"g1\"><rect x=\"0\" width=\"60\" fill=\"#ffffff\"/>"
        "<path id='p' stroke='black' fill=\"rgb(0,0,0)\"/><use xlink:href='#p' color='rgb(  0, 114, "
        "178)' clip-path='url(#c)'/><text>rgb(1, 2, 3)</text></g></svg>\n";
    assert_int_equal(plot_inline(svg, "n", "T", &out, &b->err), 1);
    assert_string_equal(
        out.text,
        "<svg class=\"plot\" viewBox=\"0 0 60 40\" role=\"img\" aria-label=\"T\"><g id=\"n-g1\"><path "
        "id='n-p' stroke=\"currentColor\" fill=\"currentColor\"/><use xlink:href='#n-p' "
        "color='var(--c0)' clip-path='url(#n-c)'/><text>rgb(1, 2, 3)</text></g></svg>\n");
    assert_int_equal(plot_inline("no drawing", "n", "T", &out, &b->err), 0);
    assert_int_equal(plot_inline("<svg>", "n", "T", &out, &b->err), 0);
    assert_int_equal(plot_inline("<svg viewBox=\"0 0 1 1\"><title>", "n", "T", &out, &b->err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, bench_setup, bench_delete),
        cmocka_unit_test_setup_teardown(test_csv, bench_setup, bench_delete),
        cmocka_unit_test_setup_teardown(test_series_limit, bench_setup, bench_delete),
        cmocka_unit_test_setup_teardown(test_quoting, bench_setup, bench_delete),
        cmocka_unit_test_setup_teardown(test_inline, bench_setup, bench_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
