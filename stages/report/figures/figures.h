/* Figures: what the report shows as pictures, from the summary and what was gathered.
 *
 * Each figure is a chart (chart.h) with a caption that says what is shown, in which units, of how many cells
 * and parameters, and whether they are simulated. A figure for which nothing was measured is not in the list.
 * Few cells are shown one by one; many are grouped by algorithm and family, so that a figure of hundreds of
 * cells is still read at a glance. */
#ifndef SINEW_FIGURES_H
#define SINEW_FIGURES_H

#include "report/figures/chart.h"
#include "report/gather.h"

struct figure {
    struct chart *chart;
    const char *svg;     /* the drawing; NULL where there is none */
    const char *problem; /* why there is none; "" where nobody has tried */
};

struct figures {
    struct gather *g;
    struct figure *list;
    int64_t n, cap;
    int wanted;          /* 0: the study asks for none */
    const char *missing; /* why none could be drawn at all; "" where they could */
};

/* Local. All figures of the study, in the order of the page. */
err_t figures_build(struct figures *f, struct gather *g, struct err *e);

/* ---- for those who build figures ---- */

/* Local. Takes a finished chart into the list; NULL or an empty one is left out. The caption receives what
 * holds for all figures: cells, parameters, simulated or not. cells, parameters: what the figure shows. */
void figures_add(struct figures *f, struct chart *c, int64_t cells, double parameters, struct err *e);

/* Local. The same with the cells and parameters of the whole study, or of one base, or of one family. */
void figures_add_study(struct figures *f, struct chart *c, struct err *e);
void figures_add_where(struct figures *f, struct chart *c, const char *column, const char *value,
                       struct err *e);

/* Local. Sparsity and rank of cells, tolerances, layer x module, spectra. */
void figures_of_cells(struct figures *f, struct err *e);

/* Local. Which weights move, how far; token entropy; training dynamics. */
void figures_of_updates(struct figures *f, struct err *e);

/* Local. Overlap and consensus. */
void figures_of_pairs(struct figures *f, struct err *e);

#endif
