#include "report/body/textpage.h"

#include <string.h>

enum { TEXT_ROWS = 200 }; /* of a table: more of them are no reading */

/* A block's marks in Markdown: before each of its lines, or before the first alone. */
static const struct {
    const char *first, *next;
} marks[] = {
    [BODY_TITLE] = {"# ", ""}, [BODY_SECTION] = {"## ", ""}, [BODY_PARAGRAPH] = {"", ""},
    [BODY_ITEM] = {"- ", ""},  [BODY_QUOTE] = {"> ", "> "},  [BODY_SHEET] = {"", ""},
    [BODY_FIGURE] = {"", ""},
};

/* A text, each line but its first after the mark. */
static void put_lines(struct text *out, const char *text, const char *mark, struct err *e)
{
    const char *end;
    while ((end = strchr(text, '\n'))) {
        text_add(out, e, "%.*s\n%s", (int)(end - text), text, mark);
        text = end + 1;
    }
    text_add(out, e, "%s", text);
}

static void put_spans(const struct body *b, const struct body_block *x, int markdown, struct text *out,
                      struct err *e)
{
    const char *next = markdown ? marks[x->kind].next : "";
    for (const struct body_span *s = b->spans + x->from; s < b->spans + x->from + x->n; s++) {
        const char *around = markdown && s->kind == SPAN_STRONG ? "**" : "";
        int link = markdown && s->kind == SPAN_LINK;
        text_add(out, e, "%s%s", around, link ? "[" : "");
        put_lines(out, s->text, next, e);
        text_add(out, e, "%s", around);
        if (link)
            text_add(out, e, "](%s)", s->target);
    }
}

/* The first rows, and a sentence on the others. */
static void put_sheet(const struct sheet *s, int markdown, struct text *out, struct err *e)
{
    int64_t rows = sheet_rows(s), shown = s->whole ? rows : min64(rows, TEXT_ROWS);
    if (markdown)
        sheet_markdown(s, shown, out, e);
    else
        sheet_plain(s, shown, out, e);
    text_add(out, e, "\n");
    if (sheet_all_rows(s) > shown) {
        sheet_say_rest(s, shown, out, e);
        text_add(out, e, "\n\n");
    }
}

static void put_block(const struct body *b, const struct body_block *x, int markdown, struct text *out,
                      struct err *e)
{
    if (x->kind == BODY_SHEET) {
        put_sheet(&x->sheet, markdown, out, e);
        return;
    }
    if (x->kind == BODY_FIGURE && markdown && x->figure->svg)
        text_add(out, e, "![%s](figures/%s.png)\n", x->figure->chart->title, x->figure->chart->name);
    text_add(out, e, "%s", markdown || x->kind == BODY_ITEM ? marks[x->kind].first : "");
    put_spans(b, x, markdown, out, e);
    int list_goes_on = x->kind == BODY_ITEM && x + 1 < b->blocks + b->n && x[1].kind == BODY_ITEM;
    text_add(out, e, list_goes_on ? "\n" : "\n\n");
}

static err_t put_page(const struct body *b, int markdown, struct text *out, struct err *e)
{
    for (int64_t i = 0; i < b->n && e->code == ERR_OK; i++)
        if (b->blocks[i].place != BODY_PAGES)
            put_block(b, &b->blocks[i], markdown, out, e);
    return e->code;
}

err_t textpage_markdown(const struct body *b, struct text *out, struct err *e)
{
    return put_page(b, 1, out, e);
}

err_t textpage_plain(const struct body *b, struct text *out, struct err *e)
{
    return put_page(b, 0, out, e);
}
