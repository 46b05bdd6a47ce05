#include "report/body/body.h"

#include <stdarg.h>
#include <string.h>

void body_init(struct body *b, struct arena *a)
{
    *b = (struct body){.arena = a};
}

void body_begin(struct body *b, enum body_kind kind, struct err *e)
{
    if (e->code == ERR_OK && arena_grow(b->arena, "body.blocks", b->n + 1, &b->cap, &b->blocks, e) == ERR_OK)
        b->blocks[b->n++] = (struct body_block){.kind = kind, .from = b->nspans, .id = "", .list = ""};
}

/* Takes the text, which the arena owns; NULL where memory is out. */
static void add_span(struct body *b, enum span_kind kind, const char *text, const char *target, struct err *e)
{
    if (e->code != ERR_OK || !text || b->n == 0 ||
        arena_grow(b->arena, "body.spans", b->nspans + 1, &b->cap_spans, &b->spans, e) != ERR_OK)
        return;
    b->spans[b->nspans++] = (struct body_span){kind, text, target};
    b->blocks[b->n - 1].n++;
}

static void add_printed(struct body *b, enum span_kind kind, const char *fmt, va_list args, struct err *e)
{
    struct text text = {.arena = b->arena};
    if (e->code == ERR_OK && text_add_args(&text, e, fmt, args) == ERR_OK)
        add_span(b, kind, text.text, "", e);
}

void body_say(struct body *b, enum body_kind kind, struct err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    body_begin(b, kind, e);
    add_printed(b, SPAN_PLAIN, fmt, args, e);
    va_end(args);
}

void body_text(struct body *b, struct err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_printed(b, SPAN_PLAIN, fmt, args, e);
    va_end(args);
}

void body_strong(struct body *b, struct err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_printed(b, SPAN_STRONG, fmt, args, e);
    va_end(args);
}

void body_link(struct body *b, struct err *e, const char *target, const char *text)
{
    const char *to = arena_strdup(b->arena, target, e);
    if (to)
        add_span(b, SPAN_LINK, arena_strdup(b->arena, text, e), to, e);
}

void body_section(struct body *b, const char *id, const char *title, const char *list, struct err *e)
{
    body_say(b, BODY_SECTION, e, "%s", title);
    if (e->code == ERR_OK) {
        b->blocks[b->n - 1].id = id;
        b->blocks[b->n - 1].list = list;
    }
}

void body_sheet(struct body *b, const struct sheet *s, struct err *e)
{
    body_begin(b, BODY_SHEET, e);
    if (e->code == ERR_OK)
        b->blocks[b->n - 1].sheet = *s;
}

void body_figure(struct body *b, const struct figure *f, struct err *e)
{
    body_begin(b, BODY_FIGURE, e);
    if (e->code == ERR_OK)
        b->blocks[b->n - 1].figure = f;
}

void body_only(struct body *b, enum body_place place)
{
    if (b->n > 0)
        b->blocks[b->n - 1].place = place;
}

int body_has_section(const struct body *b, const char *id)
{
    for (int64_t i = 0; i < b->n; i++)
        if (b->blocks[i].kind == BODY_SECTION && strcmp(b->blocks[i].id, id) == 0)
            return 1;
    return 0;
}

void body_cut(struct body *b, int64_t n)
{
    if (n < b->n) {
        b->nspans = b->blocks[n].from;
        b->n = n;
    }
}
