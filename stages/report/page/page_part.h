/* Page parts: what a page is written from, and what its sections share. */
#ifndef SINEW_PAGE_PART_H
#define SINEW_PAGE_PART_H

#include "report/body/body.h"
#include "report/sheet.h"
#include "report/summary.h"

struct section;

struct page {
    struct summary *sum;
    const struct figures *figures; /* NULL for none */
    struct sheet cells;            /* a row per cell, see headline.h */
    const struct section *section; /* the one being written */
    struct body body;
};

/* Local. Appends a table, and below it whether weights are simulated; resets the scratch arena. */
void page_sheet(struct page *p, const struct sheet *s, struct err *e);

/* Local. The same in text files, or in browsers' pages, alone. */
void page_sheet_only(struct page *p, enum body_place place, const struct sheet *s, struct err *e);

/* Local. Cells of a sheet: the mean of a group, times scale; the same with the least and the greatest value
 * where the group spreads, "81.38 (80.11-82.02)". */
void page_mean(struct sheet *s, struct tally t, double scale, int decimals, struct err *e);
void page_tally(struct sheet *s, struct tally t, double scale, struct err *e);

/* Local, pure. */
double page_percent(double share);

/* Local, pure. Has the section being written figures? */
int page_has_figures(const struct page *p);

#endif
