/* Figure of consensus: how many parameters how many cells update. */
#include "report/figures/figures.h"

#include <string.h>

void figures_consensus(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    struct chart *c = chart_new(g->a, CHART_CURVES, e, "consensus");
    if (!c)
        return;
    pivot_sort_rows(&sum->consensus, e);
    for (int64_t b = 0; b < sum->consensus.cols.n && e->code == ERR_OK; b++) {
        const char *base = sum->consensus.cols.text[b];
        double parameters = 0;
        for (int64_t i = 0; i < sum->cells.nrows && parameters == 0; i++)
            if (strcmp(table_text(&sum->cells, i, "base"), base) == 0)
                parameters = (double)table_int(&sum->cells, i, "parameters");
        if (gather_cells_on(g, base) < 2)
            continue; /* nothing to agree on */
        for (int64_t r = 0; r < sum->consensus.rows.n && parameters > 0; r++) {
            struct tally t = pivot_at(&sum->consensus, sum->consensus.rows.text[r], base);
            double k = 0;
            for (const char *digit = sum->consensus.rows.text[r]; *digit; digit++)
                k = 10 * k + (*digit - '0');
            if (t.n > 0)
                chart_point(c, chart_series(c, summary_base_label(sum, base), CHART_LINE_POINTS, e), k,
                            100 * tally_mean(&t) / parameters, e);
        }
    }
    c->title = "Parameters that many cells update";
    c->x_title = "updated in at least so many cells of the base";
    c->y_title = "parameters, %";
    c->y_min = 0;
    c->caption =
        "Share of the parameters that at least k of the cells on one base update, in percent, one curve per "
        "base. A curve that falls slowly means that all cells update the same parameters.";
    figures_add_study(f, c, e);
}
