/* Headline: the table with a row per cell that opens every page, and what its columns count. */
#ifndef SINEW_HEADLINE_H
#define SINEW_HEADLINE_H

#include "report/body/body.h"
#include "report/sheet.h"
#include "report/summary.h"

/* Local. One row per cell: parameters, updated, sparsity of each mask, share of equal bits, published figure,
 * rank. */
void headline_sheet(struct summary *sum, struct sheet *s, struct err *e);

/* Local. "|difference| > 1e-05, both in the compare type": what counts as updated, or (updated 0) the share
 * that does not, as the end of a sentence. */
void headline_criterion(const struct measure *x, int updated, struct body *b, struct err *e);

/* Local. A list: what each column counts as updated. */
void headline_measures(struct summary *sum, struct body *b, struct err *e);

/* Local. A quote: how many cells were not measured, and why; nothing where all were. markdown: 0 for a page
 * without marks, where capitals do for weight. */
void headline_absent(struct summary *sum, int markdown, struct body *b, struct err *e);

/* Local. A quote: what a run that kept going could not do, and the first nodes that failed; nothing where
 * nothing lacks. */
void headline_failed(struct summary *sum, int markdown, struct body *b, struct err *e);

/* Local. A list of the nodes of these kinds (n of them, NULL ends) that lack or are of a part of the cells,
 * with the reason: the first ones, and how many there are more. Nothing where none does. */
void headline_lacks(struct summary *sum, const char *const *kinds, int n, struct body *b, struct err *e);

#endif
