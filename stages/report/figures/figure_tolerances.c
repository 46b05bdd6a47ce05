/* Figures of sparsity by tolerance: a curve per node that counts at several. */
#include "report/figures/figures.h"

#include "report/sheet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of the cells that the node measured: a figure beside no curve would be taken for another's. */
static void add_published_tolerances(struct figures *f, struct chart *c, const double *tolerances,
                                     struct err *e)
{
    struct summary *sum = f->g->sum;
    for (int64_t i = 0; i < sum->published.nrows; i++) {
        const char *quantity = table_text(&sum->published, i, "quantity");
        double tolerance;
        if (sscanf(quantity, "sparsity_%lf", &tolerance) != 1)
            continue;
        for (int64_t k = 0; k < c->columns.n; k++)
            if (fabs(tolerances[k] - tolerance) <= 1e-9 * tolerance &&
                !isnan(summary_measured(sum, quantity, table_text(&sum->published, i, "cell"), e)))
                chart_point_once(c, chart_series(c, "published", CHART_HOLLOW, e), (double)k,
                                 summary_percent(table_real(&sum->published, i, "value")), e);
    }
}

static void tolerance_figure(struct figures *f, const char *node, struct err *e)
{
    struct summary *sum = f->g->sum;
    double tolerances[SUMMARY_MEASURES];
    struct chart *c = chart_new(sum->a, CHART_CURVES, e, "tolerance-%s", node);
    if (!c)
        return;
    c->title = chart_text(c, e, "Sparsity by tolerance, counted by %s", node);
    c->x_title = "tolerance in weight units (bits: any bit differs)";
    c->y_title = "parameters not updated, %";
    for (int m = 0; m < sum->nmeasures && e->code == ERR_OK; m++) {
        const struct measure *x = &sum->measures[m];
        char label[32] = "bits";
        if (strcmp(x->node, node) != 0 || strcmp(x->criterion, "relative") == 0)
            continue;
        if (strcmp(x->criterion, "absolute") == 0)
            real_short(x->tolerance, label, sizeof label);
        int64_t k = chart_label(c, &c->columns, label, e);
        if (k < 0)
            return;
        tolerances[k] = strcmp(x->criterion, "absolute") == 0 ? x->tolerance : NAN;
        struct pivot mean;
        pivot_init(&mean, sum->scratch);
        for (int64_t i = 0; i < sum->cells.nrows; i++) {
            const char *cell = table_text(&sum->cells, i, "cell");
            struct tally t = pivot_at(&sum->sparsity, cell, x->key);
            if (summary_is_measured(sum, i))
                pivot_add(&mean, gather_curve(f->g, cell, e), "mean", tally_mean(&t), e);
        }
        for (int64_t r = 0; r < mean.rows.n; r++) {
            struct tally t = pivot_at(&mean, mean.rows.text[r], "mean");
            chart_point(c, chart_series(c, mean.rows.text[r], CHART_LINE_POINTS, e), (double)k,
                        100 * tally_mean(&t), e);
        }
        arena_reset(sum->scratch);
    }
    add_published_tolerances(f, c, tolerances, e);
    c->y_max = 100;
    c->caption = chart_text(
        c, e,
        "Share of parameters whose change is at most the tolerance, in percent, for %s. Where a curve is "
        "flat, the tolerance does not decide the result; where it climbs, many changes are about that small.",
        gather_curve_words(f->g));
    figures_add_study(f, c, e);
}

void figures_tolerances(struct figures *f, struct err *e)
{
    struct summary *sum = f->g->sum;
    for (int m = 0; m < sum->nmeasures && e->code == ERR_OK; m++) {
        int earlier = 0;
        for (int k = 0; k < m; k++)
            earlier |= strcmp(sum->measures[k].node, sum->measures[m].node) == 0;
        if (!sum->measures[m].alone && !earlier)
            tolerance_figure(f, sum->measures[m].node, e);
    }
}
