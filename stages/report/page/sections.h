/* Sections: the report's page, section by section, in one table.
 *
 * A section whose tables and figures are all that it has needs no function: it shows the figures that name
 * its id (figures.h) and links to the CSV file of `numbers`. A section of more than that has a function
 * `write`. */
#ifndef SINEW_SECTIONS_H
#define SINEW_SECTIONS_H

#include "report/page/page_part.h"

struct section {
    const char *id; /* its name for figures and in links: the title in small letters, digits and '-' */
    const char *title;
    const char *sentence; /* for those who are new to it; NULL for none */
    const char *without;  /* what it says where nothing was measured; NULL where that cannot be */
    const char *numbers;  /* without write: the archive table that has the numbers of the figures */
    const char *list;     /* how its lists look, see html.h; NULL: plainly */
    int optional;         /* left out where it has nothing to say */
    /* What table verdicts calls it: the sentences of cells stand at its top; NULL: no more. */
    const char *about[4];
    /* The kinds of stage that measure what it shows: of their nodes that table failed names it says so. */
    const char *kinds[2];

    /* Local. Appends to p->body what follows the figures. Returns 0 where there was nothing to say, and
     * `without` stands there; else 1. NULL: see numbers. */
    int (*write)(struct page *p, struct err *e);
};

/* Local, pure. All sections in the order of the page, *n of them. */
const struct section *sections(int *n);

/* Local, pure. By id; NULL where there is none. */
const struct section *section_find(const char *id);

/* What the sections write, file by file. */
int section_brief(struct page *p, struct err *e); /* section_brief.c */
int section_words(struct page *p, struct err *e);
int section_study(struct page *p, struct err *e);    /* section_study.c */
int section_sparsity(struct page *p, struct err *e); /* section_sparsity.c */
int section_tolerances(struct page *p, struct err *e);
int section_layers(struct page *p, struct err *e); /* section_layers.c */
int section_modules(struct page *p, struct err *e);
int section_size(struct page *p, struct err *e);    /* section_size.c */
int section_rank(struct page *p, struct err *e);    /* section_rank.c */
int section_overlap(struct page *p, struct err *e); /* section_overlap.c */
int section_consensus(struct page *p, struct err *e);
int section_dynamics(struct page *p, struct err *e);  /* section_dynamics.c */
int section_entropy(struct page *p, struct err *e);   /* section_entropy.c */
int section_published(struct page *p, struct err *e); /* section_published.c */
int section_left_out(struct page *p, struct err *e);

#endif
