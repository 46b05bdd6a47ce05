/* Figure of consensus: how many parameters how many cells update. */
#include "report/figures/figures.h"

#include <stdlib.h>
#include <string.h>

/* The curve of a base of so many parameters. Returns 0 where there is no room for another. */
static int consensus_curve(struct gather *g, struct chart *c, const char *base, double parameters,
                           struct err *e)
{
    struct summary *sum = g->sum;
    const struct keys *all_k = &sum->consensus_k.rows;
    struct chart_series *s = chart_series(c, summary_base_label(sum, base), CHART_LINE_POINTS, e);
    for (int64_t i = 0; i < all_k->n && s; i++) {
        struct tally t = pivot_at(&sum->consensus, summary_join(sum, base, all_k->text[i], e), "updated");
        if (t.n > 0)
            chart_point(c, s, strtod(all_k->text[i], NULL), 100 * tally_mean(&t) / parameters, e);
    }
    arena_reset(sum->scratch);
    return s != NULL;
}

void figures_consensus(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    const struct keys *bases = &sum->consensus_cells.rows;
    struct chart *c = chart_new(g->a, CHART_CURVES, e, "consensus");
    int64_t drawn = 0, all = 0;
    if (!c)
        return;
    pivot_sort_rows(&sum->consensus_k, e);
    for (int64_t b = 0; b < bases->n && e->code == ERR_OK; b++) {
        const char *base = bases->text[b];
        double parameters = 0;
        for (int64_t i = 0; i < sum->cells.nrows && parameters == 0; i++)
            if (strcmp(table_text(&sum->cells, i, "base"), base) == 0)
                parameters = (double)table_int(&sum->cells, i, "parameters");
        if (gather_cells_on(g, base) < 2 || !(parameters > 0))
            continue; /* nothing to agree on */
        drawn += consensus_curve(g, c, base, parameters, e);
        all++;
    }
    c->title = "Parameters that many cells update";
    c->x_title = "updated in at least so many cells of the base";
    c->y_title = "parameters, %";
    c->y_min = 0;
    c->caption =
        "Share of the parameters that at least k of the cells on one base update, in percent, one curve per "
        "base. A curve that falls slowly means that all cells update the same parameters.";
    if (all > drawn)
        c->caption = chart_text(c, e, "%s The first %lld of %lld bases are drawn; consensus.csv has all.",
                                c->caption, (long long)drawn, (long long)all);
    figures_add_study(f, c, e);
}
