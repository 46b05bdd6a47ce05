#include "report/body/html.h"

#include "report/body/html_script.h"
#include "report/body/html_style.h"
#include "report/chart/plot.h"

#include <string.h>

enum {
    OPEN_ROWS = 12, /* a table with more rows is folded */
    LONG_TEXT = 60  /* bytes; a cell of texts longer than this has a least width */
};

struct html {
    const struct body *body;
    struct text *out;
    struct err *e;
    int in_section, in_list, in_figures, in_extra;
    const char *list; /* class of the section's lists */
};

/* ---- texts ---- */

/* Where a text file breaks the line stands a blank. */
static void escape(struct text *out, const char *text, struct err *e)
{
    while (*text) {
        size_t plain = strcspn(text, "<>&\"\n");
        char c = text[plain];
        text_add(out, e, "%.*s%s", (int)plain, text,
                 c == '<'    ? "&lt;"
                 : c == '>'  ? "&gt;"
                 : c == '&'  ? "&amp;"
                 : c == '"'  ? "&quot;"
                 : c == '\n' ? " "
                             : "");
        text += plain + (c != '\0');
    }
}

static void put_spans(struct html *h, const struct body_block *x)
{
    for (const struct body_span *s = h->body->spans + x->from; s < h->body->spans + x->from + x->n; s++) {
        if (s->kind == SPAN_STRONG)
            text_add(h->out, h->e, "<strong>");
        if (s->kind == SPAN_LINK) {
            text_add(h->out, h->e, "<a href=\"");
            escape(h->out, s->target, h->e);
            text_add(h->out, h->e, "\">");
        }
        escape(h->out, s->text, h->e);
        if (s->kind != SPAN_PLAIN)
            text_add(h->out, h->e, s->kind == SPAN_LINK ? "</a>" : "</strong>");
    }
}

static void put_around(struct html *h, const char *before, const struct body_block *x, const char *after)
{
    text_add(h->out, h->e, "%s", before);
    put_spans(h, x);
    text_add(h->out, h->e, "%s", after);
}

/* ---- blocks ---- */

static void put_title(struct html *h, const struct body_block *x)
{
    put_around(h, "<h1>", x, "</h1>\n");
    text_add(h->out, h->e, "<nav aria-label=\"Sections\">");
    for (const struct body_block *s = h->body->blocks; s < h->body->blocks + h->body->n; s++)
        if (s->kind == BODY_SECTION) {
            text_add(h->out, h->e, "<a href=\"#%s", s->id);
            put_around(h, "\">", s, "</a> ");
        }
    text_add(h->out, h->e, "</nav>\n");
}

static void put_section(struct html *h, const struct body_block *x)
{
    text_add(h->out, h->e, "%s<section id=\"%s", h->in_section ? "</section>\n" : "", x->id);
    put_around(h, "\">\n<h2>", x, "</h2>\n");
    h->in_section = 1;
    h->list = x->list;
}

static void put_item(struct html *h, const struct body_block *x)
{
    if (!h->in_list && h->list[0])
        text_add(h->out, h->e, "<ul class=\"%s\">\n", h->list);
    else if (!h->in_list)
        text_add(h->out, h->e, "<ul>\n");
    h->in_list = 1;
    put_around(h, "<li>", x, "</li>\n");
}

static void put_row(struct html *h, const struct sheet *s, int64_t row)
{
    const char *tag = row == 0 ? "th" : "td";
    text_add(h->out, h->e, row == 0 ? "<thead><tr>" : "<tr>");
    for (int c = 0; c < s->ncols; c++) {
        const char *cell = s->cells[row * s->ncols + c];
        int is_right = s->align[c] == 'r', is_long = row > 0 && !is_right && strlen(cell) > LONG_TEXT;
        text_add(h->out, h->e, "<%s%s%s%s>", tag, row == 0 ? " scope=\"col\"" : "",
                 row == 0 && s->align[c] == 'c' ? " data-cell" : "",
                 is_right  ? " class=\"r\""
                 : is_long ? " class=\"long\""
                           : "");
        escape(h->out, cell, h->e);
        text_add(h->out, h->e, "</%s>", tag);
    }
    text_add(h->out, h->e, row == 0 ? "</tr></thead><tbody>\n" : "</tr>\n");
}

static void put_sheet(struct html *h, const struct sheet *s)
{
    int64_t rows = sheet_rows(s);
    struct text rest = {.arena = h->out->arena};
    if (s->ncols == 0)
        return;
    sheet_say_rest(s, rows, &rest, h->e);
    if (rest.text) {
        text_add(h->out, h->e, "<p>");
        escape(h->out, rest.text, h->e);
        text_add(h->out, h->e, "</p>\n");
    }
    if (rows > OPEN_ROWS)
        text_add(h->out, h->e, "<details><summary>Table: %lld rows</summary>\n", (long long)rows);
    text_add(h->out, h->e, "<div class=\"table\" tabindex=\"0\"><table>\n");
    for (int64_t r = 0; r <= rows; r++)
        put_row(h, s, r);
    text_add(h->out, h->e, "</tbody></table></div>\n%s", rows > OPEN_ROWS ? "</details>\n" : "");
}

/* ---- figures ---- */

/* The place that the figure stands in, with those before it: of the shown ones, or of the folded. */
static void open_figures(struct html *h, const struct body_block *x)
{
    int extra = x->figure->chart->extra;
    long long n = 0;
    for (const struct body_block *y = x; y < h->body->blocks + h->body->n && y->kind == BODY_FIGURE; y++, n++)
        if (!y->figure->chart->extra)
            break;
    if (extra)
        text_add(h->out, h->e, "<details class=\"more\"><summary>%lld more of this kind</summary>\n", n);
    text_add(h->out, h->e, "<div class=\"figures\">\n");
    h->in_figures = 1;
    h->in_extra = extra;
}

static void close_figures(struct html *h)
{
    if (h->in_figures)
        text_add(h->out, h->e, "</div>\n%s", h->in_extra ? "</details>\n" : "");
    h->in_figures = h->in_extra = 0;
}

static void put_figure(struct html *h, const struct body_block *x)
{
    const struct figure *f = x->figure;
    struct text title = {.arena = h->out->arena};
    if (!h->in_figures)
        open_figures(h, x);
    text_add(h->out, h->e, "<figure id=\"figure-%s\">\n", f->chart->name);
    escape(&title, f->chart->title, h->e);
    if (!plot_inline(f->svg, f->chart->name, title.text ? title.text : "", h->out, h->e)) {
        text_add(h->out, h->e, "<p class=\"undrawn\">Not drawn");
        if (f->problem[0])
            text_add(h->out, h->e, ": ");
        escape(h->out, f->problem, h->e);
        text_add(h->out, h->e, "</p>\n");
    }
    put_around(h, "<figcaption>", x, "</figcaption>\n</figure>\n");
}

/* ---- the page ---- */

/* What the block does not go on with ends before it. */
static void end_groups(struct html *h, const struct body_block *x)
{
    int drawn = x && x->kind == BODY_FIGURE && x->figure->svg;
    if (!drawn || (h->in_figures && x->figure->chart->extra != h->in_extra))
        close_figures(h);
    if (h->in_list && !(x && x->kind == BODY_ITEM)) {
        text_add(h->out, h->e, "</ul>\n");
        h->in_list = 0;
    }
}

static void put_block(struct html *h, const struct body_block *x)
{
    switch (x->kind) {
    case BODY_TITLE:
        put_title(h, x);
        break;
    case BODY_SECTION:
        put_section(h, x);
        break;
    case BODY_PARAGRAPH:
        put_around(h, "<p>", x, "</p>\n");
        break;
    case BODY_ITEM:
        put_item(h, x);
        break;
    case BODY_QUOTE:
        put_around(h, "<blockquote><p>", x, " </p></blockquote>\n");
        break;
    case BODY_SHEET:
        put_sheet(h, &x->sheet);
        break;
    case BODY_FIGURE:
        if (x->figure->svg)
            put_figure(h, x);
        else
            put_around(h, "<p>", x, "</p>\n");
        break;
    }
}

err_t html_page(const struct body *b, const char *title, struct text *out, struct err *e)
{
    struct html h = {.body = b, .out = out, .e = e, .list = ""};
    text_add(out, e,
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
             "content=\"width=device-width, initial-scale=1\">\n<title>");
    escape(out, title, e);
    text_add(out, e, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", html_style);
    for (const struct body_block *x = b->blocks; x < b->blocks + b->n && e->code == ERR_OK; x++) {
        if (x->place == BODY_TEXTS)
            continue;
        end_groups(&h, x);
        put_block(&h, x);
    }
    end_groups(&h, NULL);
    return text_add(out, e, "%s</main>\n<script>%s</script>\n</body>\n</html>\n",
                    h.in_section ? "</section>\n" : "", html_script);
}
