/* Figures of training dynamics: what a run's steps change, cancel again and keep. */
#include "report/figures/figures.h"

#include <stdio.h>
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

/* A run by its name, and its base where runs on several bases have that name. */
static const char *run_name(struct figures *f, const struct table *t, int64_t row, struct err *e)
{
    const char *run = table_text(t, row, "run"), *base = table_text(t, row, "base");
    for (int64_t i = 0; i < t->nrows; i++)
        if (strcmp(table_text(t, i, "run"), run) == 0 && strcmp(table_text(t, i, "base"), base) != 0) {
            const char *name =
                arena_printf(f->g->sum->scratch, e, "%s on %s", run, summary_base_label(f->g->sum, base));
            return name ? name : "";
        }
    return run;
}

/* Steps of the runs shown, ascending, the end last: names of the axis. */
static void label_steps(struct chart *c, struct figures *f, struct keys *runs, struct err *e)
{
    const struct table *t = gather_table(f->g, "dynamics");
    int64_t last = -1;
    int ends = 0;
    char text[32];
    for (;;) {
        int64_t next = -1;
        for (int64_t i = 0; i < t->nrows; i++) {
            int64_t step = table_int(t, i, "step");
            int shown = keys_find(runs, run_name(f, t, i, e)) >= 0;
            ends |= shown && step < 0;
            if (shown && step > last && (next < 0 || step < next))
                next = step;
        }
        if (next < 0)
            break;
        chart_label(c, &c->columns, step_text(next, text, sizeof text), e);
        last = next;
    }
    if (ends)
        chart_label(c, &c->columns, "end", e);
}

/* Rows of a run in the first node of the table. */
static int64_t rows_of(struct figures *f, const struct table *t, const char *run, struct err *e)
{
    int64_t n = 0;
    for (int64_t i = 0; i < t->nrows; i++)
        n += strcmp(table_text(t, i, "node"), table_text(t, 0, "node")) == 0 &&
             strcmp(run_name(f, t, i, e), run) == 0;
    return n;
}

static void dynamics_curve(struct figures *f, struct chart *c, const char *run, const char *column,
                           const char *how, struct err *e)
{
    const struct table *t = gather_table(f->g, "dynamics");
    const char *name = chart_text(c, e, "%s, %s", run, how);
    char text[32];
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        if (strcmp(table_text(t, i, "node"), table_text(t, 0, "node")) != 0 ||
            strcmp(run_name(f, t, i, e), run) != 0)
            continue;
        int64_t x = chart_label(c, &c->columns, step_text(table_int(t, i, "step"), text, sizeof text), e);
        chart_point(c, chart_series(c, name, CHART_LINE_POINTS, e), (double)x, 100 * table_real(t, i, column),
                    e);
    }
    chart_sort(c);
}

void figures_dynamics(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    const struct table *t = gather_table(g, "dynamics");
    struct keys all = {.arena = g->a}, runs = {.arena = g->a};
    const char *node = table_text(t, 0, "node");
    double parameters = 0;
    int64_t cells = 0;
    if (t->nrows == 0)
        return;
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        const char *run = run_name(f, t, i, e);
        if (strcmp(table_text(t, i, "node"), node) != 0 || rows_of(f, t, run, e) < 2)
            continue; /* one step is no curve */
        keys_add(&all, run, e);
        if (runs.n < MOST_RUNS)
            keys_add(&runs, run, e);
        if (keys_find(&runs, run) < 0)
            continue;
        parameters += (double)table_int(t, i, "parameters");
        cells++;
    }
    struct chart *start = chart_new(g->a, CHART_CURVES, e, "dynamics-sparsity");
    struct chart *outside = chart_new(g->a, CHART_CURVES, e, "dynamics-outside-final");
    if (!start || !outside)
        return;
    label_steps(start, f, &runs, e);
    label_steps(outside, f, &runs, e);
    for (int64_t r = 0; r < runs.n && e->code == ERR_OK; r++) {
        dynamics_curve(f, start, runs.text[r], "sparsity_from_start", "from the start", e);
        dynamics_curve(f, start, runs.text[r], "sparsity_from_previous", "from the step before", e);
        dynamics_curve(f, outside, runs.text[r], "outside_final_share", "at this step", e);
        dynamics_curve(f, outside, runs.text[r], "ever_outside_final_share", "up to this step", e);
    }
    start->title = "Sparsity over training";
    start->x_title = outside->x_title = "training step";
    start->y_title = "parameters not updated, %";
    start->y_max = 100;
    start->caption = chart_text(
        start, e,
        "Share of parameters that are still as they were, in percent, against the start of the run and "
        "against the checkpoint saved before. Runs shown: %lld of %lld with several steps; node %s.",
        (long long)runs.n, (long long)all.n, node);
    figures_add(f, start, cells, parameters, e);
    outside->title = "Updates that do not last";
    outside->y_title = "outside the final subnetwork, %";
    outside->y_min = 0;
    outside->caption = chart_text(
        outside, e,
        "Parameters that were updated but, at the end of the run, are back where they were: at this step, "
        "as a share of all that the run ever updates, and up to this step, as a share of all updated so "
        "far; in percent. Runs shown: %lld of %lld with several steps; node %s.",
        (long long)runs.n, (long long)all.n, node);
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
    int64_t cells = 0;
    struct chart *c = chart_new(g->a, CHART_ROWS, e, "dynamics-totals");
    if (!c || gather_table(g, "dynamics")->nrows == 0)
        return;
    for (int64_t i = 0; i < t->nrows && c->labels.n < MOST_TOTALS && e->code == ERR_OK; i++) {
        if (strcmp(table_text(t, i, "node"), table_text(t, 0, "node")) != 0)
            continue;
        int64_t row = chart_label(c, &c->labels, run_name(f, t, i, e), e);
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
    int64_t cells = 0;
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
    }
    chart_sort(c);
    c->title = "Sparsity by training step";
    c->x_title = "training step";
    c->y_title = "parameters not updated, %";
    c->y_max = 100;
    c->caption =
        "Share of parameters that are still as they were in the base that each cell names, in percent, one "
        "curve per run.";
    figures_add(f, c, cells, parameters, e);
}
