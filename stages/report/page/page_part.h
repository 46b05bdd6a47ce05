/* Parts of the page: sections that stand in files of their own, and what all sections share. Only page*.c
 * include this. */
#ifndef SINEW_PAGE_PART_H
#define SINEW_PAGE_PART_H

#include "report/sheet.h"
#include "report/summary.h"

/* Local. Begins a section: its title, a sentence for those who are new to it ("" for none), and its figures,
 * where there are any. */
void page_section(struct summary *sum, struct text *md, const char *title, const char *sentence,
                  struct err *e);

/* Local. Ends a table of the page; says below it where weights are simulated. */
void page_sheet(struct summary *sum, struct text *md, const struct sheet *s, struct err *e);

/* Local. The mean of a group, times scale. */
void page_mean(struct sheet *s, struct tally t, double scale, int decimals, struct err *e);

/* Local, pure. */
double page_percent(double share);

/* Local. How much of all parameters the study's figures cover, in words that follow "compared,";
 * scratch-owned. */
const char *page_covered(struct summary *sum, struct err *e);

/* Local. The results in a few sentences, and the words used. */
void page_brief(struct summary *sum, struct text *md, struct err *e);

/* Local. Sections. */
void page_overlap(struct summary *sum, struct text *md, struct err *e);
void page_consensus(struct summary *sum, struct text *md, struct err *e);
void page_weights(struct summary *sum, struct text *md, struct err *e);
void page_dynamics(struct summary *sum, struct text *md, struct err *e);

#endif
