/* Textpage: a body as a text file, in Markdown or without any marks.
 *
 * In Markdown texts stand as they are: a stray '*' or '[' in a name shows as itself. Only the bars of table
 * cells are escaped, without which a row would have more of them. */
#ifndef SINEW_TEXTPAGE_H
#define SINEW_TEXTPAGE_H

#include "base/text.h"
#include "report/body/body.h"

/* Local. Appends the page as Markdown; a blank line after each block, pictures as figures/NAME.png. */
err_t textpage_markdown(const struct body *b, struct text *out, struct err *e);

/* Local. Appends the page for a terminal: aligned columns, no marks, of a figure its caption. */
err_t textpage_plain(const struct body *b, struct text *out, struct err *e);

#endif
