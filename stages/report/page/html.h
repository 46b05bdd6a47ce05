/* HTML: the report's Markdown as one page that needs nothing else: no network, no other file.
 *
 * It reads the Markdown that page.c writes, not any: headings, paragraphs, lists, quotes, tables, pictures
 * with their captions, bold words and links. Drawings are put into the page itself. Texts are escaped, so
 * that a name with a "<" in it shows and does nothing. */
#ifndef SINEW_HTML_H
#define SINEW_HTML_H

#include "report/figures/figures.h"
#include "base/text.h"

/* Local. Appends the whole page. title: of the window. figures: where the pictures of the Markdown are taken
 * from. */
err_t html_page(const char *markdown, const char *title, const struct figures *figures, struct text *out,
                struct err *e);

#endif
