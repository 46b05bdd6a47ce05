/* The report's two tables: its sections and its figures; and what a page makes of them. */
#include "unitlib.h"

#include "report/body/html.h"
#include "report/body/textpage.h"
#include "report/figures/figures.h"
#include "report/page/page.h"
#include "report/page/sections.h"

struct fixture {
    struct bench bench;
    struct arena scratch;
    struct summary sum;
    struct gather gather;
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITHOUT_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    arena_init(&f->scratch, &f->bench.mem);
    summary_init(&f->sum, &f->bench.arena, &f->scratch, 40);
    gather_init(&f->gather, &f->sum);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_release(&f->scratch);
    return bench_delete(state);
}

static void test_section_table(void **state)
{
    (void)state;
    int n;
    const struct section *all = sections(&n);
    assert_true(n > 10);
    for (int i = 0; i < n; i++) {
        const struct section *s = &all[i];
        char slug[64] = "";
        assert_true(strlen(s->title) < sizeof slug);
        for (size_t k = 0; s->title[k]; k++) {
            char c = s->title[k];
            slug[k] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c == ' ' ? '-' : c;
        }
        assert_string_equal(s->id, slug);
        assert_ptr_equal(section_find(s->id), s); /* the first of its id */
        assert_true(s->write || s->without);      /* something to say in any study */
        assert_true(!s->write || !s->numbers);
    }
    assert_null(section_find("no-such-section"));
}

static void test_figure_table(void **state)
{
    (void)state;
    int n;
    const struct figure_kind *kinds = figures_kinds(&n);
    assert_true(n > 10);
    for (int i = 0; i < n; i++) {
        if (!section_find(kinds[i].section))
            fail_msg("figure %d stands in section \"%s\", which the page has not", i, kinds[i].section);
        assert_non_null(kinds[i].build);
    }
}

/* A study in which nothing was measured: no figures, and each section says so. */
static void test_nothing(void **state)
{
    struct fixture *f = *state;
    struct err *e = &f->bench.err;
    struct figures figures;
    struct page p;
    struct text md = {.arena = &f->bench.arena};
    int n;
    const struct section *all = sections(&n);
    assert_int_equal(figures_build(&figures, &f->gather, e), ERR_OK);
    assert_int_equal(figures.n, 0);
    page_init(&p, &f->sum, &figures, e);
    assert_int_equal(page_report(&p, e), ERR_OK);
    assert_int_equal(textpage_markdown(&p.body, &md, e), ERR_OK);
    for (int i = 0; i < n; i++) {
        assert_int_equal(body_has_section(&p.body, all[i].id), !all[i].optional);
        if (!all[i].optional && all[i].without)
            assert_non_null(strstr(md.text, all[i].without));
    }
}

/* Adds a figure as its function does. */
static struct figure *add_figure(struct fixture *f, struct figures *list, const char *name,
                                 const char *section)
{
    struct err *e = &f->bench.err;
    struct chart *c = chart_new(&f->bench.arena, CHART_CURVES, e, "%s", name);
    assert_non_null(c);
    c->title = name;
    c->caption = "What it shows.";
    chart_point(c, chart_series(c, "s", CHART_LINE, e), 1, 2, e);
    list->section = section;
    figures_add(list, c, 3, 3e6, e);
    assert_int_equal(e->code, ERR_OK);
    return &list->list[list->n - 1];
}

static void test_figure_list(void **state)
{
    struct fixture *f = *state;
    struct err *e = &f->bench.err;
    struct figures list = {.g = &f->gather, .wanted = 1, .missing = ""};
    figures_add(&list, NULL, 1, 1, e);
    figures_add(&list, chart_new(&f->bench.arena, CHART_CURVES, e, "empty"), 1, 1, e);
    assert_int_equal(list.n, 0);
    struct figure *one = add_figure(f, &list, "one", "consensus");
    assert_int_equal(list.n, 1);
    assert_string_equal(one->section, "consensus");
    assert_string_equal(one->chart->caption,
                        "What it shows. Shown: 3 cells, 3,000,000 parameters in all, 1,000,000 in the mean "
                        "cell. Measured on the checkpoints listed in cells.csv.");
    assert_null(one->svg);
    assert_string_equal(one->problem, "");
    f->sum.simulated = "made up";
    struct figure *two = add_figure(f, &list, "two", "sparsity");
    assert_non_null(strstr(two->chart->caption, " SIMULATED weights: no measurement of a trained model."));
}

/* A section without a function: its figures where they belong, and where the numbers are. */
static void test_section_of_figures(void **state)
{
    struct fixture *f = *state;
    struct err *e = &f->bench.err;
    struct figures list = {.g = &f->gather, .wanted = 1, .missing = ""};
    struct page p;
    struct text md = {.arena = &f->bench.arena}, html = {.arena = &f->bench.arena};
    add_figure(f, &list, "one", "which-weights-move")->svg = "<svg viewBox=\"0 0 6 4\"><g/></svg>";
    add_figure(f, &list, "two", "consensus");
    page_init(&p, &f->sum, &list, e);
    assert_int_equal(page_report(&p, e), ERR_OK);
    assert_int_equal(textpage_markdown(&p.body, &md, e), ERR_OK);
    assert_int_equal(html_page(&p.body, "t", &html, e), ERR_OK);
    assert_non_null(
        strstr(md.text, "whether a weight moves depends on its size.\n\n"
                        "![one](figures/one.png)\n**one.** What it shows. Shown: 3 cells, 3,000,000 "
                        "parameters in all, 1,000,000 in the mean cell. Measured on the checkpoints listed "
                        "in cells.csv. Data and drawing: [CSV](figures/one.csv), [SVG](figures/one.svg), "
                        "[PNG](figures/one.png).\n\n[histograms.csv](histograms.csv) has the numbers of each "
                        "cell.\n\n## Rank"));
    const char *consensus = strstr(md.text, "## Consensus");
    assert_non_null(consensus);
    assert_non_null(strstr(consensus, "agree upon?\n\n**two.** Not drawn. What it shows."));
    assert_non_null(strstr(html.text, "<figure id=\"figure-one\">"));
    assert_null(strstr(html.text, "<figure id=\"figure-two\">"));

    /* Where drawing was not asked for, only what is drawn is there. */
    list.wanted = 0;
    md = (struct text){.arena = &f->bench.arena};
    page_init(&p, &f->sum, &list, e);
    page_report(&p, e);
    assert_int_equal(textpage_markdown(&p.body, &md, e), ERR_OK);
    assert_null(strstr(md.text, "**two.**"));
}

static void test_kept_tables(void **state)
{
    struct fixture *f = *state;
    struct err *e = &f->bench.err;
    struct table cells;
    table_init(&cells, "published", &f->bench.arena);
    TABLE_ADD(&cells, e, V_TEXT("t"), V_TEXT("sparsity"), V_TEXT("dpo"), V_TEXT("m"), V_REAL(0.5),
              V_TEXT("c"));
    assert_int_equal(gather_table(&f->gather, "published")->nrows, 0); /* nobody asked */
    gather_take(&f->gather, &cells, e);
    assert_int_equal(gather_table(&f->gather, "published")->nrows, 0);
    gather_keep(&f->gather, "published", e);
    gather_keep(&f->gather, "published", e);
    assert_int_equal(f->gather.nkept, 1);
    gather_take(&f->gather, &cells, e);
    gather_take(&f->gather, &cells, e);
    assert_int_equal(e->code, ERR_OK);
    const struct table *kept = gather_table(&f->gather, "published");
    assert_int_equal(kept->nrows, 2);
    assert_string_equal(table_text(kept, 1, "cell"), "c");
    assert_int_equal(gather_table(&f->gather, "no_such_table")->nrows, 0);
}

/* Figures keep what they name, if it is the archive's. */
static void test_tables_of_figures(void **state)
{
    struct fixture *f = *state;
    struct schema schemas[64] = {{0}};
    const struct schema *tables[64], **last = tables;
    int n;
    const struct figure_kind *kinds = figures_kinds(&n);
    assert_true(n < 64);
    for (int i = 0; i < n; i++)
        if (kinds[i].table) {
            struct schema *s = &schemas[last - tables];
            s->name = kinds[i].table;
            *last++ = s;
        }
    int all = (int)(last - tables);
    assert_true(all > 0);
    assert_int_equal(figures_keep(&f->gather, tables, all, &f->bench.err), ERR_OK);
    assert_true(f->gather.nkept > 0 && f->gather.nkept <= all);
    for (int i = 0; i < f->gather.nkept; i++)
        assert_int_equal(gather_table(&f->gather, tables[i]->name)->nrows, 0);
    assert_int_equal(figures_keep(&f->gather, tables, 0, &f->bench.err), ERR_BUG);
    assert_non_null(strstr(f->bench.err.text, "which no stage adds to the archive"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_section_table),     TEST(test_figure_table),       TEST(test_nothing),
        TEST(test_figure_list),       TEST(test_section_of_figures), TEST(test_kept_tables),
        TEST(test_tables_of_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
