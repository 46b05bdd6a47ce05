/* Figures of single cells: sparsity and rank beside published figures, tolerances, layers and modules,
 * spectra. */
#include "report/figures/figures.h"

#include "report/sheet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MATRIX_FROM =
        13, /* so many rows of dots and more become a matrix, where families and algorithms make one */
    MOST_ROWS = 90, /* rows of dots in one figure; beyond, algorithms */
    MAPS_SHOWN = 2, /* figures of one kind that the page shows unasked */
    MOST_SPECTRA = 8
};

/* A figure of one value per cell. */
struct per_cell {
    const char *section, *name, *title, *caption, *axis, *quantity;
    double (*value)(struct figures *, const char *cell, struct err *);
};

static double sparsity_of(struct figures *f, const char *cell, struct err *e)
{
    struct summary *sum = f->g->sum;
    struct tally t = pivot_at(&sum->sparsity, cell, sum->measures[summary_first_headline(sum)].key);
    (void)e;
    return 100 * tally_mean(&t);
}

static double rank_of(struct figures *f, const char *cell, struct err *e)
{
    struct summary *sum = f->g->sum;
    struct tally t = summary_rank_of(sum, sum->rank_nodes.text[0], cell, "percent", e);
    return tally_mean(&t);
}

static const char *row_label(struct figures *f, const char *cell, int by_class, struct err *e)
{
    struct summary *sum = f->g->sum;
    const char *class = gather_class(f->g, cell, e);
    if (by_class || sum->families.n == 1)
        return class;
    const char *label = arena_printf(sum->scratch, e, "%s %s", summary_cell_text(sum, cell, "family"), class);
    return label ? label : "";
}

/* Several cells may have the same published figure. */
static void point_once(struct chart *c, struct chart_series *s, double x, double y, struct err *e)
{
    for (int64_t k = 0; s && k < s->n; k++)
        if (s->x[k] == x && s->y[k] == y)
            return;
    chart_point(c, s, x, y, e);
}

/* The published figures of a cell, each once per row. */
static void add_published(struct figures *f, struct chart *c, const char *quantity, const char *cell,
                          double row, struct err *e)
{
    struct summary *sum = f->g->sum;
    for (int64_t i = 0; i < sum->published.nrows; i++) {
        if (strcmp(table_text(&sum->published, i, "quantity"), quantity) == 0 &&
            strcmp(table_text(&sum->published, i, "cell"), cell) == 0)
            point_once(c, chart_series(c, "published", CHART_HOLLOW, e),
                       summary_percent(table_real(&sum->published, i, "value")), row, e);
    }
}

/* Rows of dots; published_only: of those cells alone that have a published figure beside them. */
static void rows_figure(struct figures *f, const struct per_cell *p, int by_class, int published_only,
                        struct err *e)
{
    struct summary *sum = f->g->sum;
    struct pivot mean;
    struct chart *c =
        chart_new(sum->a, CHART_ROWS, p->section, e, "%s%s", p->name, published_only ? "-published" : "");
    if (!c)
        return;
    pivot_init(&mean, sum->a);
    c->title = published_only ? chart_text(c, e, "%s, beside published figures", p->title) : p->title;
    c->x_title = p->axis;
    c->label_title = "cells";
    int64_t values = 0;
    struct chart_series *each = chart_series(c, "each cell", CHART_FAINT, e);
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        double x = p->value(f, cell, e);
        if (isnan(x) || (published_only && strcmp(summary_published_of(sum, cell, p->quantity, e), "-") == 0))
            continue;
        const char *label = row_label(f, cell, by_class, e);
        int64_t row = chart_label(c, &c->labels, label, e);
        chart_point(c, each, x, (double)row, e);
        pivot_add(&mean, label, "mean", x, e);
        values++;
    }
    int several = values > c->labels.n;
    if (!several && each)
        each->n = 0; /* the mean is the one value */
    struct chart_series *s =
        chart_series(c, several ? "measured, mean of the row" : "measured", CHART_DOTS, e);
    for (int64_t r = 0; r < c->labels.n; r++) {
        struct tally t = pivot_at(&mean, c->labels.text[r], "mean");
        chart_point(c, s, tally_mean(&t), (double)r, e);
    }
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        const char *label = row_label(f, cell, by_class, e);
        for (int64_t r = 0; r < c->labels.n; r++)
            if (!by_class && strcmp(c->labels.text[r], label) == 0 && summary_is_measured(sum, i))
                add_published(f, c, p->quantity, cell, (double)r, e);
    }
    c->caption = chart_text(
        c, e, "%s In percent.%s%s", p->caption,
        several ? " Crosses: each cell (seed or step); dots: their mean." : "",
        c->nseries > 2 ? " Diamonds: published figures."
                       : (published_only ? "" : " The config gives no published figures beside these."));
    figures_add_study(f, c, e);
}

static void matrix_figure(struct figures *f, const struct per_cell *p, struct err *e)
{
    struct summary *sum = f->g->sum;
    struct pivot mean;
    struct chart *c = chart_new(sum->a, CHART_MATRIX, p->section, e, "%s", p->name);
    if (!c)
        return;
    pivot_init(&mean, sum->a);
    c->title = p->title;
    c->label_title = "family";
    c->x_title = "algorithm";
    c->value_title = p->axis;
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        const char *class = gather_class(f->g, cell, e), *family = summary_cell_text(sum, cell, "family");
        if (!summary_is_measured(sum, i))
            continue;
        chart_label(c, &c->labels, family, e);
        chart_label(c, &c->columns, class, e);
        pivot_add(&mean, family, class, p->value(f, cell, e), e);
    }
    int block = chart_block(c, "mean", e);
    for (int64_t r = 0; r < c->labels.n; r++)
        for (int64_t k = 0; k < c->columns.n; k++) {
            struct tally t = pivot_at(&mean, c->labels.text[r], c->columns.text[k]);
            chart_set(c, block, r, k, tally_mean(&t));
        }
    c->caption = chart_text(c, e,
                            "%s In percent; each field is the mean over the cells (seeds) of a family and "
                            "an algorithm. The colour scale begins at the least value, not at zero.",
                            p->caption);
    figures_add_study(f, c, e);
}

static void per_cell_figures(struct figures *f, const struct per_cell *p, struct err *e)
{
    struct summary *sum = f->g->sum;
    struct keys rows = {.arena = sum->a};
    for (int64_t i = 0; i < sum->cells.nrows; i++)
        keys_add(&rows, row_label(f, table_text(&sum->cells, i, "cell"), 0, e), e);
    int64_t product = sum->families.n * f->g->classes.n;
    int matrix = sum->families.n > 1 && f->g->classes.n > 1 && f->g->classes.n <= GATHER_CURVES &&
                 rows.n >= MATRIX_FROM && 2 * rows.n >= product && sum->families.n <= MOST_ROWS;
    if (matrix)
        matrix_figure(f, p, e);
    else
        rows_figure(f, p, rows.n > MOST_ROWS, 0, e);
    if ((matrix || rows.n > MOST_ROWS) && summary_has_published(sum, p->quantity))
        rows_figure(f, p, 0, 1, e);
}

/* ---- tolerances ---- */

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
                point_once(c, chart_series(c, "published", CHART_HOLLOW, e), (double)k,
                           summary_percent(table_real(&sum->published, i, "value")), e);
    }
}

static void tolerance_figure(struct figures *f, const char *node, struct err *e)
{
    struct summary *sum = f->g->sum;
    double tolerances[SUMMARY_MEASURES];
    struct chart *c = chart_new(sum->a, CHART_CURVES, "Sparsity by tolerance", e, "tolerance-%s", node);
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
        "flat, "
        "the tolerance does not decide the result; where it climbs, many changes are about that small.",
        gather_curve_words(f->g));
    figures_add_study(f, c, e);
}

/* ---- layer x module ---- */

static void map_figure(struct figures *f, int64_t nth, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    const char *group = g->groups.text[nth];
    size_t length = strlen(group);
    struct pivot *p = &g->map_elements;
    char label[32];
    int64_t last = -1, without = 0;
    struct chart *c = chart_new(sum->a, CHART_MATRIX, "Sparsity by layer", e, "layer-module-%s", group);
    if (!c)
        return;
    c->title = chart_text(c, e, "Sparsity by layer and module: %s", group);
    c->label_title = "layer";
    c->x_title = "module (kind of weight matrix)";
    c->value_title = "not updated, %";
    for (int64_t r = 0; r < p->rows.n; r++) {
        long long layer;
        if (strncmp(p->rows.text[r], group, length) != 0 || p->rows.text[r][length] != '\t' ||
            sscanf(p->rows.text[r] + length + 1, "%lld", &layer) != 1)
            continue;
        last = layer > last ? layer : last;
        without |= layer < 0;
        for (int64_t k = 0; k < p->cols.n; k++)
            if (pivot_at(p, p->rows.text[r], p->cols.text[k]).n > 0)
                chart_label(c, &c->columns, p->cols.text[k], e);
    }
    for (int64_t layer = 0; layer <= last; layer++) {
        snprintf(label, sizeof label, "%lld", (long long)layer);
        chart_label(c, &c->labels, label, e);
    }
    if (without)
        chart_label(c, &c->labels, "no layer", e);
    int block = chart_block(c, "sparsity", e);
    for (int64_t r = 0; r < c->labels.n && e->code == ERR_OK; r++)
        for (int64_t k = 0; k < c->columns.n; k++) {
            char row[512];
            snprintf(row, sizeof row, "%s\t%lld", group, (long long)(r <= last ? r : -1));
            struct tally n = pivot_at(p, row, c->columns.text[k]);
            struct tally u = pivot_at(&g->map_updated, row, c->columns.text[k]);
            if (n.n > 0 && n.sum > 0 && u.n > 0)
                chart_set(c, block, r, k, 100 * (1 - u.sum / n.sum));
        }
    const char *family = arena_strndup(sum->scratch, group, strcspn(group, ","), e);
    double parameters = 0;
    int64_t cells = 0, others = 0, control = strchr(group, ',') != NULL;
    for (int64_t i = 0; family && i < sum->cells.nrows; i++) {
        if (strcmp(table_text(&sum->cells, i, "family"), family) != 0)
            continue;
        int same = gather_is_control(table_text(&sum->cells, i, "algorithm")) == control;
        parameters += same ? (double)table_int(&sum->cells, i, "parameters") : 0;
        cells += same;
        others += !same;
    }
    c->extra = nth >= MAPS_SHOWN;
    c->caption = chart_text(
        c, e,
        "Each field is the share of parameters of one kind of weight matrix in one layer that were not "
        "updated "
        "(%s), in percent, over all cells of %s%s. Yellow: nearly untouched. The colour scale begins at the "
        "least value.",
        summary_measure_title(sum, summary_first_headline(sum), e), group,
        !control && others > 0 ? " but the controls by supervised fine-tuning" : "");
    figures_add(f, c, cells, parameters, e);
}

/* ---- spectra ---- */

static void put_spectrum(struct chart *c, const struct gather_spectrum *s, const char *name, struct err *e)
{
    struct chart_series *to = c->nseries < MOST_SPECTRA ? chart_series(c, name, CHART_LINE, e) : NULL;
    for (int64_t k = 0; k < s->n && to; k++)
        chart_point(c, to, 100 * s->share[k], s->value[k], e);
}

static void spectra_figures(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    if (g->nspectra == 0)
        return;
    struct chart *modules = chart_new(g->a, CHART_CURVES, "Rank of the updates", e, "spectra-modules");
    struct chart *cells = chart_new(g->a, CHART_CURVES, "Rank of the updates", e, "spectra-cells");
    if (!modules || !cells)
        return;
    const char *module = g->spectra[0].module, *first = g->spectra[0].cell;
    for (int64_t i = 0; i < g->nspectra; i++)
        if (strcmp(g->spectra[i].module, "o_proj") == 0)
            module = "o_proj";
    double drawn = 0, across = 0;
    for (int64_t i = 0; i < g->nspectra; i++) {
        const struct gather_spectrum *s = &g->spectra[i];
        int before = modules->nseries;
        if (strcmp(s->cell, first) == 0)
            put_spectrum(modules, s, s->module, e);
        drawn += modules->nseries > before ? (double)s->rows * (double)s->cols : 0;
        before = cells->nseries;
        if (strcmp(s->module, module) == 0)
            put_spectrum(cells, s, s->label, e);
        across += cells->nseries > before ? (double)s->rows * (double)s->cols : 0;
    }
    struct chart *const both[] = {modules, cells};
    for (int i = 0; i < 2; i++) {
        both[i]->x_title = "place in the spectrum, % of min(rows, columns)";
        both[i]->y_title = "singular value / largest";
        both[i]->log_y = 1;
        both[i]->x_min = 0;
        both[i]->x_max = 100;
        both[i]->y_max = 1;
    }
    const char *how =
        "The singular values of an update say how strongly it acts in each direction, strongest "
        "first. A low-rank update (such as LoRA's) would fall to nothing early; a curve that "
        "stays up has full rank.";
    const char *layer =
        g->middle < 0 ? "Matrices without layer" : chart_text(modules, e, "Layer %lld", (long long)g->middle);
    modules->title = chart_text(modules, e, "Spectra of one cell's updates: %s", first);
    modules->caption = chart_text(modules, e,
                                  "%s %s, one curve per module, as shares of the largest "
                                  "value; %.6g parameters in these matrices.",
                                  how, layer, drawn);
    cells->title = chart_text(cells, e, "Spectra of the update of %s by algorithm", module);
    cells->caption = chart_text(cells, e,
                                "%s Module %s (%s) of family %s, first cell of each "
                                "algorithm; %.6g parameters in these matrices.",
                                how, module, layer, g->sum->families.text[0], across);
    figures_add_where(f, modules, "cell", first, e);
    if (cells->nseries > 1)
        figures_add(f, cells, cells->nseries, across, e);
}

void figures_of_cells(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    if (sum->cells.nrows == 0)
        return;
    gather_class(g, table_text(&sum->cells, 0, "cell"), e);
    if (summary_first_headline(sum) >= 0) {
        const char *title = arena_printf(sum->a, e, "Update sparsity %s",
                                         summary_measure_title(sum, summary_first_headline(sum), e));
        struct per_cell sparsity = {
            "Sparsity",         "sparsity",
            title ? title : "", "Share of parameters that fine-tuning left as they were.",
            "not updated, %",   "sparsity",
            sparsity_of};
        per_cell_figures(f, &sparsity, e);
    }
    for (int m = 0; m < sum->nmeasures && e->code == ERR_OK; m++) {
        int earlier = 0;
        for (int k = 0; k < m; k++)
            earlier |= strcmp(sum->measures[k].node, sum->measures[m].node) == 0;
        if (!sum->measures[m].alone && !earlier)
            tolerance_figure(f, sum->measures[m].node, e);
    }
    for (int64_t i = 0; i < g->groups.n && e->code == ERR_OK; i++)
        map_figure(f, i, e);
    if (sum->rank_nodes.n > 0) {
        struct per_cell rank = {
            "Rank of the updates",
            "rank",
            "Rank of the updates",
            "The rank of an update counts the independent directions in which it changes a "
            "matrix; here its mean over the matrices, as a share of the largest possible.",
            "rank / min(rows, columns), %",
            summary_has_published(sum, "rank") ? "rank" : "rank_percent",
            rank_of};
        per_cell_figures(f, &rank, e);
        spectra_figures(f, e);
    }
}
