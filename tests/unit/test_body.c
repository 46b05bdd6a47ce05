/* The body of a page: its blocks, and what each is in Markdown, in plain text and in HTML. */
#include "unitlib.h"

#include "report/body/body.h"
#include "report/body/html.h"
#include "report/body/textpage.h"

static const char *markdown_of(struct bench *b, const struct body *body)
{
    struct text out = {.arena = &b->arena};
    assert_int_equal(textpage_markdown(body, &out, &b->err), ERR_OK);
    return out.text;
}

static const char *plain_of(struct bench *b, const struct body *body)
{
    struct text out = {.arena = &b->arena};
    assert_int_equal(textpage_plain(body, &out, &b->err), ERR_OK);
    return out.text;
}

/* What stands between <main> and </main>. */
static const char *html_of(struct bench *b, const struct body *body)
{
    struct text out = {.arena = &b->arena};
    assert_int_equal(html_page(body, "title", &out, &b->err), ERR_OK);
    char *main = strstr(out.text, "<main>\n"), *end = main ? strstr(main, "</main>") : NULL;
    assert_non_null(end);
    *end = '\0';
    return main + strlen("<main>\n");
}

static struct body new_body(struct bench *b)
{
    struct body body;
    body_init(&body, &b->arena);
    return body;
}

static void test_title(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_say(&body, BODY_TITLE, &b->err, "A <%s>", "b");
    body_section(&body, "one-two", "One & two", "", &b->err);
    body_section(&body, "three", "Three", "", &b->err);
    assert_string_equal(markdown_of(b, &body), "# A <b>\n\n## One & two\n\n## Three\n\n");
    assert_string_equal(plain_of(b, &body), "A <b>\n\nOne & two\n\nThree\n\n");
    assert_string_equal(html_of(b, &body),
                        "<h1>A &lt;b&gt;</h1>\n"
                        "<nav aria-label=\"Sections\"><a href=\"#one-two\">One &amp; two</a> "
                        "<a href=\"#three\">Three</a> </nav>\n"
                        "<section id=\"one-two\">\n<h2>One &amp; two</h2>\n</section>\n"
                        "<section id=\"three\">\n<h2>Three</h2>\n</section>\n");
}

static void test_paragraph(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_begin(&body, BODY_PARAGRAPH, &b->err);
    body_text(&body, &b->err, "some ");
    body_strong(&body, &b->err, "%d bold", 1);
    body_text(&body, &b->err, " and\nmore, ");
    body_link(&body, &b->err, "x.csv", "x");
    body_say(&body, BODY_PARAGRAPH, &b->err, "next");
    assert_string_equal(markdown_of(b, &body), "some **1 bold** and\nmore, [x](x.csv)\n\nnext\n\n");
    assert_string_equal(plain_of(b, &body), "some 1 bold and\nmore, x\n\nnext\n\n");
    assert_string_equal(
        html_of(b, &body),
        "<p>some <strong>1 bold</strong> and more, <a href=\"x.csv\">x</a></p>\n<p>next</p>\n");
}

/* Marks of either format in a text are no marks. */
static void test_escaping(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_say(&body, BODY_PARAGRAPH, &b->err, "**x** [y](http://z) <script>\"&'");
    body_begin(&body, BODY_PARAGRAPH, &b->err);
    body_link(&body, &b->err, "a\"b", "<i>");
    body_strong(&body, &b->err, "<b>");
    assert_string_equal(html_of(b, &body),
                        "<p>**x** [y](http://z) &lt;script&gt;&quot;&amp;'</p>\n"
                        "<p><a href=\"a&quot;b\">&lt;i&gt;</a><strong>&lt;b&gt;</strong></p>\n");
    struct text out = {.arena = &b->arena};
    assert_int_equal(html_page(&body, "T & <U>", &out, &b->err), ERR_OK);
    assert_non_null(strstr(out.text, "<title>T &amp; &lt;U&gt;</title>"));
}

static void test_list(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_section(&body, "s", "S", "cards", &b->err);
    body_say(&body, BODY_ITEM, &b->err, "one");
    body_say(&body, BODY_ITEM, &b->err, "two");
    body_section(&body, "t", "T", "", &b->err);
    body_say(&body, BODY_ITEM, &b->err, "three");
    body_say(&body, BODY_PARAGRAPH, &b->err, "end");
    assert_string_equal(markdown_of(b, &body), "## S\n\n- one\n- two\n\n## T\n\n- three\n\nend\n\n");
    assert_string_equal(plain_of(b, &body), "S\n\n- one\n- two\n\nT\n\n- three\n\nend\n\n");
    assert_string_equal(
        html_of(b, &body),
        "<section id=\"s\">\n<h2>S</h2>\n"
        "<ul class=\"cards\">\n<li>one</li>\n<li>two</li>\n</ul>\n</section>\n"
        "<section id=\"t\">\n<h2>T</h2>\n<ul>\n<li>three</li>\n</ul>\n<p>end</p>\n</section>\n");
}

static void test_quote(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_begin(&body, BODY_QUOTE, &b->err);
    body_strong(&body, &b->err, "S.");
    body_text(&body, &b->err, " one\ntwo");
    assert_string_equal(markdown_of(b, &body), "> **S.** one\n> two\n\n");
    assert_string_equal(plain_of(b, &body), "S. one\ntwo\n\n");
    assert_string_equal(html_of(b, &body), "<blockquote><p><strong>S.</strong> one two </p></blockquote>\n");
}

static void test_sheet(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    struct sheet s;
    sheet_init(&s, &b->arena);
    sheet_column(&s, 'l', &b->err, "a | b");
    sheet_column(&s, 'r', &b->err, "n");
    sheet_cell(&s, &b->err, "<i>");
    sheet_count(&s, 1000, &b->err);
    sheet_cell(&s, &b->err, "%061d", 0); /* longer than sixty */
    sheet_cell(&s, &b->err, "%061d", 0);
    body_sheet(&body, &s, &b->err);
    const char *zeros = s.cells[4];
    struct text html = {.arena = &b->arena};
    text_add(
        &html, &b->err,
        "<div class=\"table\" tabindex=\"0\"><table>\n"
        "<thead><tr><th scope=\"col\">a | b</th><th scope=\"col\" class=\"r\">n</th></tr></thead><tbody>\n"
        "<tr><td>&lt;i&gt;</td><td class=\"r\">1,000</td></tr>\n"
        "<tr><td class=\"long\">%s</td><td class=\"r\">%s</td></tr>\n"
        "</tbody></table></div>\n",
        zeros, zeros);
    assert_string_equal(html_of(b, &body), html.text);
    struct text sheet = {.arena = &b->arena};
    sheet_markdown(&s, 100, &sheet, &b->err);
    assert_non_null(strstr(sheet.text, "a \\| b"));
    text_add(&sheet, &b->err, "\n");
    assert_string_equal(markdown_of(b, &body), sheet.text);
    sheet = (struct text){.arena = &b->arena};
    sheet_plain(&s, 100, &sheet, &b->err);
    text_add(&sheet, &b->err, "\n");
    assert_string_equal(plain_of(b, &body), sheet.text);
}

/* Long tables are folded; one without columns is nothing. */
static void test_long_sheet(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    struct sheet s;
    sheet_init(&s, &b->arena);
    body_sheet(&body, &s, &b->err);
    assert_string_equal(html_of(b, &body), "");
    sheet_column(&s, 'l', &b->err, "n");
    for (int rows = 1; rows <= 13; rows++) {
        sheet_cell(&s, &b->err, "%d", rows);
        body = new_body(b);
        body_sheet(&body, &s, &b->err);
        const char *html = html_of(b, &body);
        assert_int_equal(strstr(html, "<details><summary>Table: 13 rows</summary>") != NULL, rows == 13);
        assert_int_equal(strstr(html, "</details>") != NULL, rows == 13);
    }
}

/* A text file has the first two hundred rows and says so, unless the whole table is wanted. */
static void test_sheet_in_texts(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    struct sheet s;
    sheet_init(&s, &b->arena);
    sheet_column(&s, 'c', &b->err, "cell");
    for (int i = 0; i < 201; i++)
        sheet_cell(&s, &b->err, "f/a/%d", i);
    body_sheet(&body, &s, &b->err);
    s.whole = 1;
    body_sheet(&body, &s, &b->err);
    const char *text = plain_of(b, &body), *first = strstr(text, "f/a/199\n"),
               *last = strstr(text, "f/a/200\n");
    const char *said =
        strstr(text, "The first 200 of 201 rows; the CSV files beside this page have all.\n\n");
    assert_true(first && said && last && first < said && said < last);
    assert_null(strstr(last + 1, "f/a/200\n"));
    const char *html = html_of(b, &body);
    assert_non_null(strstr(html, "<th scope=\"col\" data-cell>cell</th>"));
    assert_null(strstr(html, "The first"));
    assert_non_null(strstr(strstr(html, "f/a/200<") + 1, "f/a/200<"));
}

/* Blocks that stand in text files alone, or in pages alone. */
static void test_places(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_say(&body, BODY_PARAGRAPH, &b->err, "everywhere");
    body_say(&body, BODY_PARAGRAPH, &b->err, "texts");
    body_only(&body, BODY_TEXTS);
    body_say(&body, BODY_PARAGRAPH, &b->err, "pages");
    body_only(&body, BODY_PAGES);
    assert_string_equal(markdown_of(b, &body), "everywhere\n\ntexts\n\n");
    assert_string_equal(html_of(b, &body), "<p>everywhere</p>\n<p>pages</p>\n");
}

static struct figure sample(struct bench *b, const char *name, const char *svg, int extra)
{
    struct chart *c = chart_new(&b->arena, CHART_CURVES, &b->err, "%s", name);
    assert_non_null(c);
    c->title = "T \"1\"";
    c->extra = extra;
    return (struct figure){.chart = c, .section = "s", .svg = svg, .problem = ""};
}

#define SVG "<svg viewBox=\"0 0 6 4\"><g/></svg>"
#define PLOT \
    "<svg class=\"plot\" viewBox=\"0 0 6 4\" role=\"img\" aria-label=\"T &quot;1&quot;\"><g/></svg>\n"
#define FIGURE(name) "<figure id=\"figure-" name "\">\n" PLOT "<figcaption>caption</figcaption>\n</figure>\n"

static void test_figures(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    struct figure all[] = {sample(b, "f0", SVG, 0), sample(b, "f1", SVG, 0), sample(b, "f2", SVG, 1),
                           sample(b, "f3", SVG, 1), sample(b, "f4", NULL, 0)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        body_figure(&body, &all[i], &b->err);
        body_text(&body, &b->err, "caption");
    }
    body_say(&body, BODY_PARAGRAPH, &b->err, "end");
    assert_string_equal(html_of(b, &body),
                        "<div class=\"figures\">\n" FIGURE("f0")
                            FIGURE("f1") "</div>\n"
                                         "<details class=\"more\"><summary>2 more of this kind</summary>\n"
                                         "<div class=\"figures\">\n" FIGURE("f2")
                                             FIGURE("f3") "</div>\n</details>\n"
                                                          "<p>caption</p>\n<p>end</p>\n");
    assert_string_equal(markdown_of(b, &body), "![T \"1\"](figures/f0.png)\ncaption\n\n"
                                               "![T \"1\"](figures/f1.png)\ncaption\n\n"
                                               "![T \"1\"](figures/f2.png)\ncaption\n\n"
                                               "![T \"1\"](figures/f3.png)\ncaption\n\n"
                                               "caption\n\nend\n\n");
    assert_string_equal(plain_of(b, &body), "caption\n\ncaption\n\ncaption\n\ncaption\n\ncaption\n\nend\n\n");
}

/* A drawing that is none. */
static void test_undrawn(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    struct figure f = sample(b, "f", "no drawing", 0);
    f.problem = "it <broke>";
    body_figure(&body, &f, &b->err);
    assert_string_equal(html_of(b, &body), "<div class=\"figures\">\n<figure id=\"figure-f\">\n"
                                           "<p class=\"undrawn\">Not drawn: it &lt;broke&gt;</p>\n"
                                           "<figcaption></figcaption>\n</figure>\n</div>\n");
}

static void test_cut(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_say(&body, BODY_PARAGRAPH, &b->err, "kept");
    int64_t n = body.n;
    body_section(&body, "gone", "Gone", "", &b->err);
    body_say(&body, BODY_PARAGRAPH, &b->err, "gone");
    assert_true(body_has_section(&body, "gone"));
    body_cut(&body, n);
    assert_false(body_has_section(&body, "gone"));
    body_text(&body, &b->err, ", and more");
    assert_string_equal(markdown_of(b, &body), "kept, and more\n\n");
    body_cut(&body, 7); /* nothing there */
    assert_int_equal(body.n, n);
}

/* After an error nothing more is taken. */
static void test_error(void **state)
{
    struct bench *b = *state;
    struct body body = new_body(b);
    body_say(&body, BODY_PARAGRAPH, &b->err, "text");
    err_set(&b->err, ERR_SYSTEM, "full");
    body_say(&body, BODY_PARAGRAPH, &b->err, "next");
    body_text(&body, &b->err, "next");
    body_link(&body, &b->err, "a", "b");
    body_section(&body, "a", "b", "", &b->err);
    assert_int_equal(body.n, 1);
    assert_int_equal(body.nspans, 1);
    struct text out = {.arena = &b->arena};
    assert_int_equal(textpage_markdown(&body, &out, &b->err), ERR_SYSTEM);
    err_clear(&b->err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(test_title),      TEST_BENCH(test_paragraph),      TEST_BENCH(test_escaping),
        TEST_BENCH(test_list),       TEST_BENCH(test_quote),          TEST_BENCH(test_sheet),
        TEST_BENCH(test_long_sheet), TEST_BENCH(test_sheet_in_texts), TEST_BENCH(test_places),
        TEST_BENCH(test_figures),    TEST_BENCH(test_undrawn),        TEST_BENCH(test_cut),
        TEST_BENCH(test_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
