/* Figures of training dynamics: what a run's steps change, cancel again and keep. */
#include "report/figures/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_RUNS = 6,   /* runs whose steps are drawn */
    MOST_TOTALS = 60 /* runs whose totals are */
};

static const char *step_text(int64_t step, char *text, int size)
{
    if (step < 0)
        snprintf(text, (size_t)size, "end");
    else
        snprintf(text, (size_t)size, "%lld", (long long)step);
    return text;
}

/* The runs of a table, and which of its rows are whose. */
struct runs {
    struct keys all;   /* run and base, joined; in the order of the rows */
    int64_t *of;       /* of each row: its run; -1 for rows of other nodes than the first row's */
    int64_t *nrows;    /* of each run */
    const char **name; /* of each run: and its base where runs on several bases have that name */
};

/* Names of the runs: a run by itself where no other has its name. */
static err_t name_runs(struct runs *r, struct figures *f, struct err *e)
{
    struct summary *sum = f->g->sum;
    struct keys names = {.arena = sum->a};
    int64_t *shared;
    TRY(arena_array(sum->a, "figure.runs", r->all.n, &shared, e));
    for (int64_t k = 0; k < r->all.n && e->code == ERR_OK; k++) {
        int64_t n = keys_add(&names, summary_piece(sum, r->all.text[k], 0, e), e);
        if (n >= 0)
            shared[n]++;
    }
    for (int64_t k = 0; k < r->all.n && e->code == ERR_OK; k++) {
        const char *run = summary_piece(sum, r->all.text[k], 0, e);
        const char *base = summary_piece(sum, r->all.text[k], 1, e);
        r->name[k] = shared[keys_find(&names, run)] > 1
                         ? arena_printf(sum->a, e, "%s on %s", run, summary_base_label(sum, base))
                         : run;
    }
    return e->code;
}

static err_t find_runs(struct runs *r, struct figures *f, const struct table *t, struct err *e)
{
    struct summary *sum = f->g->sum;
    *r = (struct runs){.all.arena = sum->a};
    TRY(arena_array(sum->a, "figure.runs", t->nrows, &r->of, e));
    TRY(arena_array(sum->a, "figure.runs", t->nrows, &r->nrows, e));
    TRY(arena_array(sum->a, "figure.runs", t->nrows, &r->name, e));
    for (int64_t i = 0; i < t->nrows; i++) {
        const char *key = summary_join(sum, table_text(t, i, "run"), table_text(t, i, "base"), e);
        int64_t k = keys_add(&r->all, key, e);
        arena_reset(sum->scratch);
        if (k < 0)
            return e->code;
        int first_node = strcmp(table_text(t, i, "node"), table_text(t, 0, "node")) == 0;
        r->of[i] = first_node ? k : -1;
        r->nrows[k] += first_node;
    }
    return name_runs(r, f, e);
}

static int ascending(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Steps of the runs shown, ascending, the end last: names of the axis. */
static void label_steps(struct chart *c, const struct table *t, const struct runs *r, const char *shown,
                        struct err *e)
{
    int64_t *steps, n = 0;
    int ends = 0;
    char text[32];
    if (arena_array(c->arena, "figure.steps", t->nrows, &steps, e) != ERR_OK)
        return;
    for (int64_t i = 0; i < t->nrows; i++) {
        int64_t step = table_int(t, i, "step");
        if (r->of[i] < 0 || !shown[r->of[i]])
            continue;
        ends |= step < 0;
        if (step >= 0)
            steps[n++] = step;
    }
    qsort(steps, (size_t)n, sizeof *steps, ascending);
    for (int64_t i = 0; i < n; i++)
        chart_label(c, &c->columns, step_text(steps[i], text, sizeof text), e);
    if (ends)
        chart_label(c, &c->columns, "end", e);
}

static void dynamics_curve(struct chart *c, const struct table *t, const struct runs *r, int64_t run,
                           const char *column, const char *how, struct err *e)
{
    const char *name = chart_text(c, e, "%s, %s", r->name[run], how);
    char text[32];
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        if (r->of[i] != run)
            continue;
        int64_t x = chart_label(c, &c->columns, step_text(table_int(t, i, "step"), text, sizeof text), e);
        chart_point(c, chart_series(c, name, CHART_LINE_POINTS, e), (double)x, 100 * table_real(t, i, column),
                    e);
    }
    chart_sort(c);
}

/* The runs that are drawn: the first ones with several steps, as one step is no curve. Returns how many have
 * several. */
static int64_t choose_runs(const struct runs *r, char *shown, int64_t *drawn)
{
    int64_t several = 0;
    for (int64_t k = 0; k < r->all.n; k++) {
        if (r->nrows[k] < 2)
            continue;
        shown[k] = several++ < MOST_RUNS;
        *drawn += shown[k];
    }
    return several;
}

void figures_dynamics(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    const struct table *t = gather_table(g, "dynamics");
    const char *node = table_text(t, 0, "node");
    double parameters = 0;
    int64_t cells = 0, drawn = 0;
    struct runs r;
    char *shown;
    if (t->nrows == 0 || find_runs(&r, f, t, e) != ERR_OK ||
        arena_array(g->a, "figure.runs", r.all.n, &shown, e) != ERR_OK)
        return;
    int64_t several = choose_runs(&r, shown, &drawn);
    for (int64_t i = 0; i < t->nrows; i++)
        if (r.of[i] >= 0 && shown[r.of[i]]) {
            parameters += (double)table_int(t, i, "parameters");
            cells++;
        }
    struct chart *start = chart_new(g->a, CHART_CURVES, e, "dynamics-sparsity");
    struct chart *outside = chart_new(g->a, CHART_CURVES, e, "dynamics-outside-final");
    if (!start || !outside)
        return;
    label_steps(start, t, &r, shown, e);
    label_steps(outside, t, &r, shown, e);
    for (int64_t k = 0; k < r.all.n && e->code == ERR_OK; k++) {
        if (!shown[k])
            continue;
        dynamics_curve(start, t, &r, k, "sparsity_from_start", "from the start", e);
        dynamics_curve(start, t, &r, k, "sparsity_from_previous", "from the step before", e);
        dynamics_curve(outside, t, &r, k, "outside_final_share", "at this step", e);
        dynamics_curve(outside, t, &r, k, "ever_outside_final_share", "up to this step", e);
    }
    start->title = "Sparsity over training";
    start->x_title = outside->x_title = "training step";
    start->y_title = "parameters not updated, %";
    start->y_max = 100;
    start->caption = chart_text(
        start, e,
        "Share of parameters that are still as they were, in percent, against the start of the run and "
        "against the checkpoint saved before. Runs shown: %lld of %lld with several steps; node %s.",
        (long long)drawn, (long long)several, node);
    figures_add(f, start, cells, parameters, e);
    outside->title = "Updates that do not last";
    outside->y_title = "outside the final subnetwork, %";
    outside->y_min = 0;
    outside->caption = chart_text(
        outside, e,
        "Parameters that were updated but, at the end of the run, are back where they were: at this step, "
        "as a share of all that the run ever updates, and up to this step, as a share of all updated so "
        "far; in percent. Runs shown: %lld of %lld with several steps; node %s.",
        (long long)drawn, (long long)several, node);
    figures_add(f, outside, cells, parameters, e);
}

/* What becomes of the parameters over each run. */
void figures_totals(struct figures *f, struct err *e)
{
    static const char *const columns[][2] = {{"never_updated_share", "never updated"},
                                             {"cancelled_share", "updated, then cancelled"},
                                             {"final_subnetwork_share", "final subnetwork"}};
    struct gather *g = f->g;
    const struct table *t = gather_table(g, "dynamics_totals");
    double parameters = 0;
    int64_t cells = 0, left = 0;
    struct runs r;
    struct chart *c = chart_new(g->a, CHART_ROWS, e, "dynamics-totals");
    if (!c || gather_table(g, "dynamics")->nrows == 0 || find_runs(&r, f, t, e) != ERR_OK)
        return;
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        if (r.of[i] < 0)
            continue;
        if (c->labels.n == MOST_TOTALS) {
            left++;
            continue;
        }
        int64_t row = chart_label(c, &c->labels, r.name[r.of[i]], e);
        cells += table_int(t, i, "steps");
        parameters += (double)table_int(t, i, "steps") * (double)table_int(t, i, "parameters");
        for (int k = 0; k < 3; k++)
            chart_point(c, chart_series(c, columns[k][1], CHART_DOTS, e),
                        100 * table_real(t, i, columns[k][0]), (double)row, e);
    }
    c->title = "What becomes of the parameters over a run";
    c->x_title = "parameters, %";
    c->label_title = "run";
    c->x_min = 0;
    c->x_max = 100;
    c->caption =
        "Shares of all parameters, in percent: never updated at any saved step; updated at some step but at "
        "the end back where they started; and those that differ at the end, the final subnetwork.";
    if (left > 0)
        c->caption = chart_text(c, e, "%s The first %d runs are drawn; dynamics_totals.csv has %lld more.",
                                c->caption, MOST_TOTALS, (long long)left);
    figures_add(f, c, cells, parameters, e);
}

/* Sparsity by step from the cells alone, for a study without the stage dynamics. */
void figures_steps(struct figures *f, struct err *e)
{
    struct summary *sum = f->g->sum;
    int first = summary_first_headline(sum);
    if (gather_table(f->g, "dynamics")->nrows > 0 || sum->steps.n == 0 || first < 0)
        return;
    struct chart *c = chart_new(sum->a, CHART_CURVES, e, "sparsity-by-step");
    if (!c)
        return;
    double parameters = 0;
    int64_t cells = 0, left = 0;
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        struct tally x = pivot_at(&sum->sparsity, cell, sum->measures[first].key);
        const char *run = arena_strndup(sum->scratch, cell, strcspn(cell, "@"), e);
        if (table_int(&sum->cells, i, "step") < 0 || !run)
            continue;
        struct chart_series *s = chart_series(c, run, CHART_LINE_POINTS, e);
        chart_point(c, s, (double)table_int(&sum->cells, i, "step"), 100 * tally_mean(&x), e);
        parameters += s ? (double)table_int(&sum->cells, i, "parameters") : 0;
        cells += s != NULL;
        left += s == NULL;
    }
    chart_sort(c);
    c->title = "Sparsity by training step";
    c->x_title = "training step";
    c->y_title = "parameters not updated, %";
    c->y_max = 100;
    c->caption =
        "Share of parameters that are still as they were in the base that each cell names, in percent, one "
        "curve per run.";
    if (left > 0)
        c->caption = chart_text(
            c, e, "%s The first %d runs are drawn; %lld cells are of others, and stand in the tables.",
            c->caption, CHART_SERIES, (long long)left);
    figures_add(f, c, cells, parameters, e);
}
