/* Figures of overlap: pairs of cells on one base beside two kinds of chance. */
#include "report/figures/figures.h"

#include <math.h>
#include <string.h>

enum {
    BASES_SHOWN = 2,  /* figures of one kind that the page shows unasked */
    MOST_CLASSES = 40 /* rows of a matrix that can be read */
};

static void set_block(struct chart *c, struct pivot *p, const char *base, const char *title, struct err *e)
{
    int block = chart_block(c, title, e);
    for (int64_t r = 0; r < c->labels.n; r++)
        for (int64_t k = 0; k < c->columns.n; k++) {
            const char *row = arena_printf(c->arena, e, "%s\t%s", base, c->labels.text[r]);
            struct tally t = row ? pivot_at(p, row, c->columns.text[k]) : (struct tally){0};
            chart_set(c, block, r, k, 100 * tally_mean(&t));
        }
}

static void matrix_figure(struct figures *f, int64_t nth, int64_t *drawn, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    const char *base = sum->bases.text[nth], *label = summary_base_label(sum, base);
    struct chart *c = chart_new(g->a, CHART_MATRIX, e, "overlap-%s", label);
    int by_class = gather_cells_on(g, base) > GATHER_MATRIX;
    if (!c)
        return;
    for (int64_t i = 0; i < sum->cells.nrows; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        if (strcmp(table_text(&sum->cells, i, "base"), base) != 0)
            continue;
        const char *name = by_class ? gather_class(g, cell, e) : cell;
        chart_label(c, &c->labels, name, e);
        chart_label(c, &c->columns, name, e);
    }
    if (c->labels.n > MOST_CLASSES) {
        figures_note(
            f, e, "No matrix is drawn for %s: its cells are of %lld algorithms; overlap.csv has the numbers.",
            label, (long long)c->labels.n);
        return;
    }
    set_block(c, &g->measured, base, "measured", e);
    set_block(c, &g->matched, base, "expected by matched chance", e);
    set_block(c, &g->uniform, base, "expected by uniform chance", e);
    c->title = chart_text(c, e, "Overlap on %s, beside both kinds of chance", label);
    c->label_title = "of the updates of";
    c->x_title = "also updated by";
    c->value_title = "updates in common, %";
    c->y_min = 0;
    c->y_max = 100;
    c->whole = 1;
    c->extra = !chart_is_empty(c) && (*drawn)++ >= BASES_SHOWN;
    c->caption = chart_text(
        c, e,
        "Of the parameters that the row's %s updated, the share that the column's updated too, in percent: "
        "measured; expected if, among weights of one tensor and one size, chance decided (matched); and "
        "expected if chance decided among all parameters (uniform). %s",
        by_class ? "cells" : "cell",
        by_class ? "Means over the pairs of cells; on the diagonal, pairs that share the algorithm." : "");
    figures_add_where(f, c, "base", base, e);
}

void figures_scatter(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct chart *c = chart_new(g->a, CHART_CURVES, e, "overlap-against-chance");
    if (!c)
        return;
    struct chart_series *uniform = chart_series(c, "uniform chance, all pairs", CHART_FAINT, e);
    for (int64_t i = 0; i < g->npairs && e->code == ERR_OK; i++) {
        const struct gather_pair *p = &g->pairs[i];
        const char *name = g->varies.text[p->varies][0] ? g->varies.text[p->varies] : "nothing";
        if (c->nseries > 8)
            name = "others";
        chart_point(c, uniform, 100 * p->random, 100 * p->jaccard, e);
        chart_point(c, chart_series(c, name, CHART_DOTS, e), 100 * p->matched, 100 * p->jaccard, e);
    }
    c->title = "Observed overlap against chance, every pair of cells";
    c->x_title = "expected by chance, Jaccard index, %";
    c->y_title = "observed, Jaccard index, %";
    c->x_min = c->y_min = 0;
    c->x_max = c->y_max = 100;
    chart_mark(c, 'd', 0, "as chance has it");
    c->caption = chart_text(
        c, e,
        "Two points per pair: the grey cross has uniform chance on its horizontal axis, the coloured mark "
        "chance matched on tensor and size of the weight. The Jaccard index is the updates in common as a "
        "share of all updates of either. On the dashed line, chance explains everything: %lld of %lld pairs "
        "lie above it with matched chance. Colours: what differs between the two cells.%s",
        (long long)g->above, (long long)g->counted,
        g->all_pairs > g->npairs ? " Pairs that would fall on one place are one mark; overlap.csv has all."
                                 : "");
    figures_add_study(f, c, e);
}

/* What the study's table 4 shows: overlap by what varies. */
void figures_varies(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    static const char *const columns[][2] = {
        {"jaccard", "measured"}, {"matched_jaccard", "matched chance"}, {"random_jaccard", "uniform chance"}};
    struct chart *c = chart_new(g->a, CHART_ROWS, e, "overlap-by-what-varies");
    if (!c || sum->overlap_nodes.n == 0)
        return;
    for (int64_t r = 0; r < g->varies.n && e->code == ERR_OK; r++) {
        const char *varies = g->varies.text[r];
        const char *key = summary_join(sum, sum->overlap_nodes.text[0], varies, e);
        int64_t row = chart_label(c, &c->labels, varies[0] ? varies : "nothing", e);
        for (int k = 0; k < 3; k++) {
            struct tally t = pivot_at(&sum->by_varies, key, columns[k][0]);
            chart_point(c, chart_series(c, columns[k][1], CHART_DOTS, e), 100 * tally_mean(&t), (double)row,
                        e);
        }
    }
    c->title = "Overlap by what differs between two cells";
    c->x_title = "Jaccard index, %";
    c->label_title = "what varies";
    c->x_min = 0;
    c->x_max = 100;
    c->caption =
        "Mean Jaccard index (updates in common as a share of all updates of either cell) over the pairs "
        "that differ in seed, algorithm, data or step, in percent, measured and as chance would have it. "
        "The gap between \"measured\" and \"matched chance\" is what runs share beyond rounding and the "
        "sizes of weights.";
    figures_add_study(f, c, e);
}

void figures_matrices(struct figures *f, struct err *e)
{
    const struct summary *sum = f->g->sum;
    int64_t drawn = 0, bases = 0;
    for (int64_t i = 0; i < sum->bases.n && f->g->npairs > 0 && e->code == ERR_OK; i++) {
        bases += gather_cells_on(f->g, sum->bases.text[i]) > 1;
        if (drawn < FIGURES_ALIKE)
            matrix_figure(f, i, &drawn, e);
    }
    if (drawn == FIGURES_ALIKE && bases > drawn)
        figures_note(
            f, e,
            "Matrices are drawn for the first %d of %lld bases with several cells; overlap.csv has the numbers of all.",
            FIGURES_ALIKE, (long long)bases);
}
