/* HTML: a body as one page that needs nothing else: no network, no other file.
 *
 * Drawings are put into the page itself. Texts are escaped, so that a name with a "<" in it shows and does
 * nothing. Long tables are folded, and so are figures of which there are many alike; without scripts all of
 * it opens by hand, and with them tables are searched, filtered, sorted and grouped (html_script.h). A
 * section's list looks as its class says: "cards" one box per item, "words" in columns.
 */
#ifndef SINEW_HTML_H
#define SINEW_HTML_H

#include "base/text.h"
#include "report/body/body.h"

/* Local. Appends the whole page. title: of the window. */
err_t html_page(const struct body *b, const char *title, struct text *out, struct err *e);

#endif
