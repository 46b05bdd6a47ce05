/* Figures of the updates themselves: which weights move and how far; token entropy; training dynamics. */
#include "report/figures/figures.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAST_ELEMENTS = 30, /* a rate over fewer weights is noise */
    ENTROPIES_SHOWN = 2, /* figures of one kind that the page shows unasked */
    MOST_RUNS = 6,       /* runs whose steps are drawn */
    MOST_TOTALS = 60     /* runs whose totals are */
};

static const char weights[] = "Which weights move";
static const char dynamics[] = "Training dynamics";

/* ---- distributions ---- */

static double lower_of(struct pivot *p, const char *bin)
{
    struct tally t = pivot_at(p, bin, "lower");
    return tally_mean(&t);
}

static void rate_figure(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct pivot *all = &g->elements[GATHER_MAGNITUDE], *moved = &g->updated[GATHER_MAGNITUDE];
    struct chart *c = chart_new(g->a, CHART_CURVES, weights, e, "update-rate-by-magnitude");
    if (!c)
        return;
    pivot_sort_rows(all);
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
        "Of the weights of each size before fine-tuning (quarters of an octave), the share whose stored bits "
        "changed, in percent; %s. A step smaller than half the gap between neighbouring numbers is rounded "
        "away, and large numbers have large gaps: that alone makes the curve fall. Sizes with fewer than %d "
        "weights are left out.",
        gather_curve_words(g), LEAST_ELEMENTS);
    figures_add_study(f, c, e);
}

/* Shares of the changed elements by bin. */
static void share_curves(struct gather *g, struct chart *c, enum gather_histogram q, struct err *e)
{
    struct pivot *p = &g->elements[q];
    int steps = q == GATHER_ULP_DISTANCE;
    long least = LONG_MAX, most = LONG_MIN;
    pivot_sort_rows(p);
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

static void size_figures(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    struct chart *steps = chart_new(g->a, CHART_CURVES, weights, e, "ulp-distance");
    struct chart *sizes = chart_new(g->a, CHART_CURVES, weights, e, "abs-delta");
    if (!steps || !sizes)
        return;
    share_curves(g, steps, GATHER_ULP_DISTANCE, e);
    steps->title = "How far the weights moved, in steps of the number format";
    steps->x_title = "distance in units of the last place (8+: 8 to 15)";
    steps->y_title = "changed weights, %";
    steps->y_min = 0;
    steps->caption = chart_text(steps, e,
                                "Of the weights that changed, the share by distance, in percent; %s. A unit "
                                "of the last place is the gap "
                                "to the next number that the format can hold; 1 is the smallest change there "
                                "is, 0 a zero that changed "
                                "its sign. A weight that changes its sign passes all the small numbers "
                                "between, which is far: the bump on the "
                                "right.",
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
        "Of the weights that changed, the share by size of the change, in percent; %s. The dashed line "
        "is the study's tolerance: what lies left of it counts as not updated.",
        gather_curve_words(g));
    figures_add_study(f, sizes, e);
}

/* ---- token entropy ---- */

static void entropy_figure(struct figures *f, int64_t nth, int64_t *drawn, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    struct pivot *p = &g->entropy;
    const char *family = sum->families.text[nth];
    size_t length = strlen(family);
    struct tally threshold = {0}, tokens = {0}, certain = {0};
    struct chart *c = chart_new(g->a, CHART_CURVES, "Token entropy", e, "entropy-%s", family);
    if (!c)
        return;
    for (int64_t k = 0; k < p->cols.n && e->code == ERR_OK; k++) {
        const char *curve = p->cols.text[k];
        double total = 0;
        if (strcmp(curve, "lower") == 0 || strcmp(curve, "upper") == 0)
            continue;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t r = 0; r < p->rows.n; r++) {
                const char *row = p->rows.text[r];
                if (strncmp(row, family, length) != 0 || row[length] != '\t')
                    continue;
                struct tally n = pivot_at(p, row, curve), from = pivot_at(p, row, "lower"),
                             to = pivot_at(p, row, "upper");
                if (pass == 0)
                    total += n.sum;
                else if (total > 0 && n.sum > 0)
                    chart_point(c, chart_series(c, curve, CHART_LINE_POINTS, e),
                                (tally_mean(&from) + tally_mean(&to)) / 2, 100 * n.sum / total, e);
            }
    }
    chart_sort(c);
    for (int64_t i = 0; i < sum->entropy.nrows; i++) {
        const char *cell = table_text(&sum->entropy, i, "cell");
        if (strcmp(summary_cell_text(sum, cell, "family"), family) != 0 ||
            strcmp(table_text(&sum->entropy, i, "node"), sum->entropy_nodes.text[0]) != 0)
            continue;
        tally_add(&tokens, (double)table_int(&sum->entropy, i, "tokens"));
        if (strcmp(table_text(&sum->entropy, i, "policy"), "base") == 0) {
            tally_add(&threshold, table_real(&sum->entropy, i, "threshold"));
            tally_add(&certain, table_real(&sum->entropy, i, "share_below_001"));
        }
    }
    chart_mark(c, 'x', tally_mean(&threshold), "top 20 % of tokens");
    c->title = chart_text(c, e, "Entropy of tokens: %s", family);
    c->x_title = "entropy of the next token, nats";
    c->y_title = "tokens, % (logarithmic)";
    c->log_y = 1;
    c->extra = (*drawn)++ >= ENTROPIES_SHOWN;
    c->caption = chart_text(c, e,
                            "Entropy says how open the choice of the next token was: 0 nats means certain. "
                            "Share of tokens per bin, in "
                            "percent on a logarithmic axis, before tuning and after (%s). Dashed: %.3f nats, "
                            "which the 20 %% most open "
                            "tokens before tuning (\"forking tokens\") exceed; %.1f %% of the tokens lie "
                            "below 0.01 nats. %.0f tokens in "
                            "the mean cell.",
                            gather_curve_words(g), tally_mean(&threshold), 100 * tally_mean(&certain),
                            tally_mean(&tokens));
    figures_add_where(f, c, "family", family, e);
}

/* ---- training dynamics ---- */

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
    const struct table *t = &f->g->dynamics;
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
    const struct table *t = &f->g->dynamics;
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

static void dynamics_figures(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    const struct table *t = &g->dynamics;
    struct keys all = {.arena = g->a}, runs = {.arena = g->a};
    const char *node = table_text(t, 0, "node");
    double parameters = 0;
    int64_t cells = 0;
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
    struct chart *start = chart_new(g->a, CHART_CURVES, dynamics, e, "dynamics-sparsity");
    struct chart *outside = chart_new(g->a, CHART_CURVES, dynamics, e, "dynamics-outside-final");
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
    start->caption =
        chart_text(start, e,
                   "Share of parameters that are still as they were, in percent, against the start of the "
                   "run and against "
                   "the checkpoint saved before. Runs shown: %lld of %lld with several steps; node %s.",
                   (long long)runs.n, (long long)all.n, node);
    figures_add(f, start, cells, parameters, e);
    outside->title = "Updates that do not last";
    outside->y_title = "outside the final subnetwork, %";
    outside->y_min = 0;
    outside->caption = chart_text(
        outside, e,
        "Parameters that were updated but, at the end of the run, are back where they were: at this step, as "
        "a "
        "share of all that the run ever updates, and up to this step, as a share of all updated so far; in "
        "percent. Runs shown: %lld of %lld with several steps; node %s.",
        (long long)runs.n, (long long)all.n, node);
    figures_add(f, outside, cells, parameters, e);
}

/* What becomes of the parameters over each run. */
static void totals_figure(struct figures *f, struct err *e)
{
    static const char *const columns[][2] = {{"never_updated_share", "never updated"},
                                             {"cancelled_share", "updated, then cancelled"},
                                             {"final_subnetwork_share", "final subnetwork"}};
    struct gather *g = f->g;
    const struct table *t = &g->dynamics_totals;
    double parameters = 0;
    int64_t cells = 0;
    struct chart *c = chart_new(g->a, CHART_ROWS, dynamics, e, "dynamics-totals");
    if (!c)
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
        "Shares of all parameters, in percent: never updated at any saved step; updated at some step but "
        "at the end back where they started; and those that differ at the end, the final subnetwork.";
    figures_add(f, c, cells, parameters, e);
}

/* Sparsity by step from the cells alone, for a study without the stage dynamics. */
static void steps_figure(struct figures *f, struct err *e)
{
    struct summary *sum = f->g->sum;
    int first = summary_first_headline(sum);
    struct chart *c = chart_new(sum->a, CHART_CURVES, dynamics, e, "sparsity-by-step");
    if (!c || first < 0)
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

void figures_of_updates(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    int64_t drawn = 0;
    rate_figure(f, e);
    size_figures(f, e);
    for (int64_t i = 0; i < g->sum->families.n && g->entropy.rows.n > 0 && e->code == ERR_OK; i++)
        entropy_figure(f, i, &drawn, e);
    if (g->dynamics.nrows > 0) {
        dynamics_figures(f, e);
        totals_figure(f, e);
    } else if (g->sum->steps.n > 0) {
        steps_figure(f, e);
    }
}
