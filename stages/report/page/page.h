/* Page: a summary of the archive as the texts that people read: the sparsity table of all cells, and the
 * report.
 *
 * A section whose figures no stage of the study measured says so. Where the archive's weights are simulated,
 * the page says it at the top and under each table. */
#ifndef SINEW_PAGE_H
#define SINEW_PAGE_H

#include "report/sheet.h"
#include "report/summary.h"

/* Local. One row per cell: parameters, updated, sparsity of each mask, share of equal bits, published figure,
 * rank. */
void page_headline(struct summary *sum, struct sheet *s, struct err *e);

/* Local. The sparsity table of all cells as a Markdown or plain text page. cells: from page_headline. */
err_t page_sparsity(struct summary *sum, const struct sheet *cells, int markdown, struct text *out,
                    struct err *e);

/* Local. The report as Markdown: sparsity, tolerances, layers, modules, rank, overlap, consensus, entropy,
 * published, left out. */
err_t page_report(struct summary *sum, const struct sheet *cells, struct text *md, struct err *e);

#endif
