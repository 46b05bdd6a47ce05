/* Figure list: the report's figures as they are built and drawn.
 *
 * Each figure is a chart (chart.h) with a caption that says what is shown, in which units, of how many cells
 * and parameters, and whether they are simulated. A figure for which nothing was measured is not in the list.
 */
#ifndef SINEW_FIGURE_LIST_H
#define SINEW_FIGURE_LIST_H

#include "report/chart/chart.h"
#include "report/gather.h"

struct figure {
    struct chart *chart;
    const char *section; /* id of the section of the page that it stands in */
    const char *svg;     /* the drawing; NULL where there is none */
    const char *problem; /* why there is none; "" where nobody has tried */
};

enum { FIGURES_ALIKE = 24 }; /* of one kind, one per base or family, that are drawn */

/* What a section says of figures that it has not. */
struct figure_note {
    const char *section, *text;
};

struct figures {
    struct gather *g;
    struct figure_note *notes;
    int64_t nnotes, cap_notes;
    struct figure *list;
    int64_t n, cap;
    const char *section; /* of the figures being built */
    int wanted;          /* 0: the study asks for none */
    const char *missing; /* why none could be drawn at all; "" where they could */
};

/* Local. Takes a finished chart into the list; NULL or an empty one is left out. The caption receives what
 * holds for all figures: cells, parameters, simulated or not. cells, parameters: what the figure shows. */
void figures_add(struct figures *f, struct chart *c, int64_t cells, double parameters, struct err *e);

/* Local. The same with the cells and parameters of the whole study, or of one base, or of one family. */
void figures_add_study(struct figures *f, struct chart *c, struct err *e);
void figures_add_where(struct figures *f, struct chart *c, const char *column, const char *value,
                       struct err *e);

/* Local. A sentence of the section's, below its figures, printf. */
void figures_note(struct figures *f, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
