/* Figures of the weights that move: how often by size, how far, how much. */
#include "report/figures/figures.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_ELEMENTS = 30 }; /* a rate over fewer weights is noise */

static double lower_of(struct pivot *p, const char *bin)
{
    struct tally t = pivot_at(p, bin, "lower");
    return tally_mean(&t);
}

void figures_rate(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct pivot *all = &g->elements[GATHER_MAGNITUDE], *moved = &g->updated[GATHER_MAGNITUDE];
    struct chart *c = chart_new(g->a, CHART_CURVES, e, "update-rate-by-magnitude");
    if (!c)
        return;
    pivot_sort_rows(all, e);
    for (int64_t k = 0; k < all->cols.n; k++)
        for (int64_t r = 0; r < all->rows.n && strcmp(all->cols.text[k], "lower") != 0; r++) {
            const char *bin = all->rows.text[r], *curve = all->cols.text[k];
            struct tally n = pivot_at(all, bin, curve), u = pivot_at(moved, bin, curve);
            double lower = lower_of(all, bin);
            if (n.sum >= LEAST_ELEMENTS && lower > 0)
                chart_point(c, chart_series(c, curve, CHART_LINE, e), lower, 100 * u.sum / n.sum, e);
        }
    c->title = "How often a weight moves, by its size";
    c->x_title = "|w| before, weight units";
    c->y_title = "weights whose bits changed, %";
    c->log_x = 1;
    c->y_min = 0;
    c->caption = chart_text(
        c, e,
        "Of the weights of each size before fine-tuning (quarters of an octave), the share whose stored "
        "bits changed, in percent; %s. A step smaller than half the gap between neighbouring numbers is "
        "rounded away, and large numbers have large gaps: that alone makes the curve fall. Sizes with fewer "
        "than %d weights are left out.",
        gather_curve_words(g), LEAST_ELEMENTS);
    figures_add_study(f, c, e);
}

/* Shares of the changed elements by bin. */
static void share_curves(struct gather *g, struct chart *c, enum gather_histogram q, struct err *e)
{
    struct pivot *p = &g->elements[q];
    int steps = q == GATHER_ULP_DISTANCE;
    long least = LONG_MAX, most = LONG_MIN;
    pivot_sort_rows(p, e);
    for (int64_t r = 0; r < p->rows.n; r++) {
        long bin = strtol(p->rows.text[r], NULL, 10);
        least = bin < least ? bin : least;
        most = bin > most ? bin : most;
    }
    for (long bin = least; bin <= most && steps; bin++) { /* empty bins have their place on the axis too */
        char label[48];
        snprintf(label, sizeof label, bin < 1 ? "%.0f" : "%.0f+", bin < 0 ? 0 : ldexp(1, (int)bin));
        chart_label(c, &c->columns, label, e);
    }
    for (int64_t k = 0; k < p->cols.n; k++) {
        double total = 0;
        if (strcmp(p->cols.text[k], "lower") == 0)
            continue;
        for (int64_t r = 0; r < p->rows.n; r++)
            total += pivot_at(p, p->rows.text[r], p->cols.text[k]).sum;
        for (long bin = least; bin <= most && total > 0; bin++) {
            char key[32];
            snprintf(key, sizeof key, "%ld", bin);
            struct tally t = pivot_at(p, key, p->cols.text[k]);
            double lower = lower_of(p, key);
            if (steps || (lower > 0 && t.sum > 0))
                chart_point(c, chart_series(c, p->cols.text[k], CHART_LINE_POINTS, e),
                            steps ? (double)(bin - least) : lower, 100 * t.sum / total, e);
        }
    }
}

void figures_sizes(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct chart *steps = chart_new(g->a, CHART_CURVES, e, "ulp-distance");
    struct chart *sizes = chart_new(g->a, CHART_CURVES, e, "abs-delta");
    if (!steps || !sizes)
        return;
    share_curves(g, steps, GATHER_ULP_DISTANCE, e);
    steps->title = "How far the weights moved, in steps of the number format";
    steps->x_title = "distance in units of the last place (8+: 8 to 15)";
    steps->y_title = "changed weights, %";
    steps->y_min = 0;
    steps->caption = chart_text(
        steps, e,
        "Of the weights that changed, the share by distance, in percent; %s. A unit of the last place is "
        "the gap to the next number that the format can hold; 1 is the smallest change there is, 0 a zero "
        "that changed its sign. A weight that changes its sign passes all the small numbers between, which "
        "is far: the bump on the right.",
        gather_curve_words(g));
    figures_add_study(f, steps, e);
    share_curves(g, sizes, GATHER_ABS_DELTA, e);
    sizes->title = "How large the changes are";
    sizes->x_title = "|difference|, weight units (bins from x to 2x)";
    sizes->y_title = "changed weights, %";
    sizes->log_x = 1;
    sizes->y_min = 0;
    chart_mark(sizes, 'x', 1e-5, "tolerance 1e-5");
    sizes->caption = chart_text(
        sizes, e,
        "Of the weights that changed, the share by size of the change, in percent; %s. The dashed line is "
        "the study's tolerance: what lies left of it counts as not updated.",
        gather_curve_words(g));
    figures_add_study(f, sizes, e);
}
