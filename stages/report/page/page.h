/* Page: a summary of the archive as the texts that people read: the sparsity table of all cells, and the
 * report.
 *
 * A section whose figures no stage of the study measured says so. Where the archive's weights are simulated,
 * the page says it at the top and under each table. */
#ifndef SINEW_PAGE_H
#define SINEW_PAGE_H

#include "report/page/page_part.h"

/* Local. What both pages are written from. sum, complete, and figures (NULL for none) stay the caller's. */
void page_init(struct page *p, struct summary *sum, const struct figures *figures, struct err *e);

/* Local. Appends the sparsity table of all cells as a Markdown or plain text page. */
err_t page_sparsity(const struct page *p, int markdown, struct text *out, struct err *e);

/* Local. The report, section by section, into p->body. */
err_t page_report(struct page *p, struct err *e);

#endif
