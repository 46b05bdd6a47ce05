/* Body: what a page of the report says, as blocks in the order of reading: titles, sections, paragraphs,
 * lists, quotes, tables and figures.
 *
 * It is built once; markdown.h, plain.h and html.h are what it looks like. A text is made of spans: plain
 * words, words of weight, links. Texts are kept as they are, whatever characters they hold: a renderer
 * escapes what its format demands. A '\n' in a text is where a text file breaks the line; HTML, which breaks
 * its own, has a blank there.
 *
 * Order of calls: body_init, then block after block: body_begin, and the spans of the block just begun. After
 * an error in e nothing more is taken; callers look at e once, at the end. */
#ifndef SINEW_BODY_H
#define SINEW_BODY_H

#include "base/err.h"
#include "base/mem.h"
#include "report/figures/figure_list.h"
#include "report/sheet.h"

enum body_kind {
    BODY_TITLE,   /* of the page */
    BODY_SECTION, /* the title of a section, which goes on to the next one */
    BODY_PARAGRAPH,
    BODY_ITEM, /* of a list; items one after another are one list */
    BODY_QUOTE,
    BODY_SHEET,
    BODY_FIGURE /* a figure above its caption; where there is no drawing, the caption alone */
};

/* Where a block stands: text files have the first rows of a table or none, a page in a browser has all. */
enum body_place { BODY_EVERYWHERE, BODY_TEXTS, BODY_PAGES };

enum span_kind { SPAN_PLAIN, SPAN_STRONG, SPAN_LINK };

struct body_span {
    enum span_kind kind;
    const char *text;
    const char *target; /* of a link: a file in the report's folder */
};

struct body_block {
    enum body_kind kind;
    enum body_place place;
    int64_t from, n;       /* its spans */
    const char *id, *list; /* of a section: its name in links; how its lists look (html.h), "" plainly */
    struct sheet sheet;    /* of BODY_SHEET */
    const struct figure *figure; /* of BODY_FIGURE; borrowed */
};

struct body {
    struct arena *arena;
    struct body_block *blocks;
    struct body_span *spans;
    int64_t n, cap, nspans, cap_spans;
};

/* Local. An empty body; texts are copied into the arena. */
void body_init(struct body *b, struct arena *a);

/* Local. Begins a block without spans. */
void body_begin(struct body *b, enum body_kind kind, struct err *e);

/* Local. Begins a block of one plain text, printf. */
void body_say(struct body *b, enum body_kind kind, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Local. Begins a section. id, list: borrowed. */
void body_section(struct body *b, const char *id, const char *title, const char *list, struct err *e);

/* Local. A table; its cells stay the sheet's arena's. */
void body_sheet(struct body *b, const struct sheet *s, struct err *e);

/* Local. Begins a figure, whose spans are its caption. */
void body_figure(struct body *b, const struct figure *f, struct err *e);

/* Local. The next span of the block begun last, printf. */
void body_text(struct body *b, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void body_strong(struct body *b, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Local. A link to a file in the report's folder. */
void body_link(struct body *b, struct err *e, const char *target, const char *text);

/* Local. The block begun last stands there alone. */
void body_only(struct body *b, enum body_place place);

/* Local, pure. Is there a section of this id? */
int body_has_section(const struct body *b, const char *id);

/* Local. Takes back all blocks from number n on. */
void body_cut(struct body *b, int64_t n);

#endif
