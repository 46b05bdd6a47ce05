/* Figures of one value per cell: sparsity and rank, beside published figures. */
#include "report/figures/figures.h"

#include <math.h>
#include <string.h>

enum {
    MATRIX_FROM =
        13,        /* so many rows of dots and more become a matrix, where families and algorithms make one */
    MOST_ROWS = 90 /* rows of dots in one figure; beyond, algorithms */
};

/* A figure of one value per cell. */
struct per_cell {
    const char *name, *title, *caption, *axis, *quantity;
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

/* The published figures of a cell, each once per row. */
static void add_published(struct figures *f, struct chart *c, const char *quantity, const char *cell,
                          double row, struct err *e)
{
    struct summary *sum = f->g->sum;
    for (int64_t i = summary_published_first(sum, cell); i >= 0; i = summary_published_next(sum, i)) {
        if (strcmp(table_text(&sum->published, i, "quantity"), quantity) == 0)
            chart_point_once(c, chart_series(c, "published", CHART_HOLLOW, e),
                             summary_percent(table_real(&sum->published, i, "value")), row, e);
    }
}

/* Rows of dots; published_only: of those cells alone that have a published figure beside them. */
static void rows_figure(struct figures *f, const struct per_cell *p, int by_class, int published_only,
                        struct err *e)
{
    struct summary *sum = f->g->sum;
    struct pivot mean;
    struct chart *c = chart_new(sum->a, CHART_ROWS, e, "%s%s", p->name, published_only ? "-published" : "");
    if (!c)
        return;
    pivot_init(&mean, sum->a);
    c->title = published_only ? chart_text(c, e, "%s, beside published figures", p->title) : p->title;
    c->x_title = p->axis;
    c->label_title = "cells";
    int64_t values = 0, left = 0;
    struct chart_series *each = chart_series(c, "each cell", CHART_FAINT, e);
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        double x = p->value(f, cell, e);
        if (isnan(x) || (published_only && strcmp(summary_published_of(sum, cell, p->quantity, e), "-") == 0))
            continue;
        const char *label = row_label(f, cell, by_class, e);
        if (c->labels.n == MOST_ROWS && keys_find(&c->labels, label) < 0) {
            left++;
            continue;
        }
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
        int64_t row = keys_find(&c->labels, label);
        if (!by_class && row >= 0 && summary_is_measured(sum, i))
            add_published(f, c, p->quantity, cell, (double)row, e);
    }
    c->caption = chart_text(c, e, "%s In percent.%s%s", p->caption,
                            several ? " Crosses: each cell (seed or step); dots: their mean." : "",
                            c->nseries > 2 ? " Diamonds: published figures."
                                           : (published_only || sum->published.nrows == 0
                                                  ? ""
                                                  : " The config gives no published figures beside these."));
    if (left > 0)
        c->caption = chart_text(
            c, e, "%s The first %d rows are drawn; %lld cells of other rows are not: the tables have them.",
            c->caption, MOST_ROWS, (long long)left);
    figures_add_study(f, c, e);
}

static void matrix_figure(struct figures *f, const struct per_cell *p, struct err *e)
{
    struct summary *sum = f->g->sum;
    struct pivot mean;
    struct chart *c = chart_new(sum->a, CHART_MATRIX, e, "%s", p->name);
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
    c->caption = chart_text(
        c, e,
        "%s In percent; each field is the mean over the cells (seeds) of a family and an algorithm. The "
        "colour scale begins at the least value, not at zero.",
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

void figures_sparsity(struct figures *f, struct err *e)
{
    struct summary *sum = f->g->sum;
    int first = summary_first_headline(sum);
    if (first < 0)
        return;
    const char *title = arena_printf(sum->a, e, "Update sparsity %s", summary_measure_title(sum, first, e));
    const struct per_cell sparsity = {.name = "sparsity",
                                      .title = title ? title : "",
                                      .caption = "Share of parameters that do not count as updated.",
                                      .axis = "not updated, %",
                                      .quantity = "sparsity",
                                      .value = sparsity_of};
    per_cell_figures(f, &sparsity, e);
}

void figures_rank(struct figures *f, struct err *e)
{
    struct summary *sum = f->g->sum;
    const struct per_cell rank = {
        .name = "rank",
        .title = "Rank of the updates",
        .caption =
            "The rank of an update counts the independent directions in which it changes a matrix; here its "
            "mean over the matrices, as a share of the largest possible.",
        .axis = "rank / min(rows, columns), %",
        .quantity = summary_has_published(sum, "rank") ? "rank" : "rank_percent",
        .value = rank_of};
    if (sum->rank_nodes.n > 0)
        per_cell_figures(f, &rank, e);
}
