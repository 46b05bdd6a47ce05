/* Figures: what the report shows as pictures, from the summary and what was gathered.
 *
 * A new figure is a function that builds its chart, in a file of this folder, and one line of the list below;
 * a line whose figure needs a table of the archive names it, and gather_table then has its rows. Few cells
 * are shown one by one; many are grouped by algorithm and family, so that a figure of hundreds of cells is
 * still read at a glance. */
#ifndef SINEW_FIGURES_H
#define SINEW_FIGURES_H

#include "report/figures/figure_list.h"

/* X(NAME, section, table): figures_NAME builds the figures, which stand in the page's section of that id (see
 * sections.c), in the order of the lines; table: whose rows are kept for it, a few per cell or run and not
 * one per tensor, or NULL. */
#define FIGURES(X)                                    \
    X(sparsity, "sparsity", NULL)                     \
    X(tolerances, "sparsity-by-tolerance", NULL)      \
    X(maps, "sparsity-by-layer", NULL)                \
    X(norms, "size-and-direction", NULL)              \
    X(rank, "rank-of-the-updates", NULL)              \
    X(spectra, "rank-of-the-updates", NULL)           \
    X(rate, "which-weights-move", NULL)               \
    X(sizes, "which-weights-move", NULL)              \
    X(entropy, "token-entropy", NULL)                 \
    X(dynamics, "training-dynamics", "dynamics")      \
    X(totals, "training-dynamics", "dynamics_totals") \
    X(steps, "training-dynamics", NULL)               \
    X(varies, "overlap-of-updated-sets", NULL)        \
    X(scatter, "overlap-of-updated-sets", NULL)       \
    X(matrices, "overlap-of-updated-sets", NULL)      \
    X(consensus, "consensus", NULL)

/* Local. Appends what it shows to the list by figures_add; nothing where nothing was measured. */
#define FIGURES_PROTOTYPE(name, section, table) void figures_##name(struct figures *f, struct err *e);
FIGURES(FIGURES_PROTOTYPE)
#undef FIGURES_PROTOTYPE

/* One line of the list. */
struct figure_kind {
    const char *section, *table;
    void (*build)(struct figures *f, struct err *e);
};

/* Local, pure. All lines, *n of them. */
const struct figure_kind *figures_kinds(int *n);

/* Local. Asks for the tables that the figures need; before the first gather_take. tables: the archive's.
 * Errors: BUG for a table that is none of them. */
err_t figures_keep(struct gather *g, const struct schema *const *tables, int ntables, struct err *e);

/* Local. All figures of the study, in the order of the lines. */
err_t figures_build(struct figures *f, struct gather *g, struct err *e);

#endif
