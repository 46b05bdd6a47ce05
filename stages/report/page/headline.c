#include "report/page/headline.h"

#include "report/page/page_part.h"

#include <math.h>
#include <string.h>

/* The share of equal bits has a column of its own unless a mask counts it. */
static int shows_bits(const struct summary *sum)
{
    for (int m = 0; m < sum->nmeasures; m++)
        if (summary_is_headline(sum, m) && strcmp(sum->measures[m].criterion, "bits") == 0)
            return 0;
    return 1;
}

/* The row of a cell that was not measured: nothing but what is published of it. */
static void absent_row(struct summary *sum, struct sheet *s, const char *cell, struct err *e)
{
    int blanks = 1 + shows_bits(sum) + (summary_covered(sum, -1) < 1); /* updated, bits equal, covered */
    for (int m = 0; m < sum->nmeasures; m++)
        blanks += summary_is_headline(sum, m);
    sheet_cell(s, e, "%s", cell);
    sheet_cell(s, e, "not measured");
    while (blanks-- > 0)
        sheet_cell(s, e, "%s", "");
    if (summary_has_published(sum, "sparsity"))
        sheet_cell(s, e, "%s", summary_published_of(sum, cell, "sparsity", e));
    if (sum->rank_nodes.n > 0)
        sheet_cell(s, e, "%s", "");
}

/* The titles, in the order of the cells of measured_row. */
static void put_columns(struct summary *sum, struct sheet *s, struct err *e)
{
    sheet_column(s, 'c', e, "cell");
    sheet_column(s, 'r', e, "parameters");
    if (summary_covered(sum, -1) < 1)
        sheet_column(s, 'r', e, "covered %%");
    sheet_column(s, 'r', e, "updated");
    for (int m = 0; m < sum->nmeasures; m++)
        if (summary_is_headline(sum, m))
            sheet_column(s, 'r', e, "sparsity %% %s", summary_measure_title(sum, m, e));
    if (shows_bits(sum))
        sheet_column(s, 'r', e, "bits equal %%");
    if (summary_has_published(sum, "sparsity"))
        sheet_column(s, 'r', e, "published %%");
    if (sum->rank_nodes.n > 0)
        sheet_column(s, 'r', e, "rank %%");
}

static void measured_row(struct summary *sum, struct sheet *s, int64_t row, struct err *e)
{
    int first = summary_first_headline(sum);
    const char *cell = table_text(&sum->cells, row, "cell");
    int64_t n = table_int(&sum->cells, row, "parameters");
    double bit_changed = (double)table_int(&sum->cells, row, "bit_changed");
    sheet_cell(s, e, "%s", cell);
    sheet_count(s, n, e);
    if (summary_covered(sum, -1) < 1)
        sheet_real(s, floor(1e4 * summary_covered(sum, row)) / 100, 2, e); /* 100 means all */
    struct tally updated =
        first >= 0 ? pivot_at(&sum->updated, cell, sum->measures[first].key) : (struct tally){0};
    if (updated.n > 0)
        sheet_count(s, (int64_t)updated.sum, e);
    else
        sheet_cell(s, e, "-");
    for (int m = 0; m < sum->nmeasures; m++)
        if (summary_is_headline(sum, m))
            page_mean(s, pivot_at(&sum->sparsity, cell, sum->measures[m].key), 100, 2, e);
    if (shows_bits(sum))
        sheet_real(s, n > 0 ? page_percent(1 - bit_changed / (double)n) : NAN, 2, e);
    if (summary_has_published(sum, "sparsity"))
        sheet_cell(s, e, "%s", summary_published_of(sum, cell, "sparsity", e));
    if (sum->rank_nodes.n > 0)
        page_mean(s, summary_rank_of(sum, sum->rank_nodes.text[0], cell, "percent", e), 1, 2, e);
}

void headline_sheet(struct summary *sum, struct sheet *s, struct err *e)
{
    sheet_init(s, sum->a);
    s->most = INT64_MAX;
    s->whole = 1;
    put_columns(sum, s, e);
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        if (summary_is_measured(sum, i))
            measured_row(sum, s, i, e);
        else
            absent_row(sum, s, table_text(&sum->cells, i, "cell"), e);
        arena_reset(sum->scratch);
    }
}

void headline_criterion(const struct measure *x, int updated, struct body *b, struct err *e)
{
    char tolerance[32];
    const char *sign = updated ? ">" : "<=";
    real_short(x->tolerance, tolerance, sizeof tolerance);
    if (strcmp(x->criterion, "bits") == 0)
        body_text(b, e, updated ? "the bits differ" : "has the bits it had");
    else if (!updated)
        body_text(b, e, "counts as not updated: ");
    if (strcmp(x->criterion, "absolute") == 0)
        body_text(b, e, "|difference| %s %s, both in the compare type", sign, tolerance);
    else if (strcmp(x->criterion, "relative") == 0)
        body_text(b, e, "|difference| %s %s * max(|before|, |after|)", sign, tolerance);
}

void headline_measures(struct summary *sum, struct body *b, struct err *e)
{
    for (int m = 0; m < sum->nmeasures; m++) {
        const struct measure *x = &sum->measures[m];
        if (!summary_is_headline(sum, m))
            continue;
        body_say(b, BODY_ITEM, e, "sparsity %% %s (node %s): updated where ",
                 summary_measure_title(sum, m, e), x->node);
        headline_criterion(x, 1, b, e);
    }
    if (shows_bits(sum))
        body_say(b, BODY_ITEM, e,
                 "bits equal: share of parameters whose bits did not change in the compare type");
    if (summary_has_published(sum, "sparsity"))
        body_say(b, BODY_ITEM, e, "published: as the config gives it; several sources are parted by /");
    if (sum->rank_nodes.n > 0)
        body_say(
            b, BODY_ITEM, e,
            "rank: mean over matrices of the numerical rank as a share of min(rows, columns); those that did "
            "not change have rank 0 and count");
}

void headline_absent(struct summary *sum, int markdown, struct body *b, struct err *e)
{
    long long n = summary_absent(sum), all = sum->cells.nrows;
    if (n == 0)
        return;
    body_begin(b, BODY_QUOTE, e);
    if (markdown)
        body_strong(b, e, "%lld of %lld cells not measured", n, all);
    else
        body_text(b, e, "%lld of %lld cells NOT MEASURED", n, all);
    body_text(b, e, "%s%s.%s", sum->why_absent[0] ? ", each because " : "", sum->why_absent,
              sum->published.nrows > 0 ? " What is published of them is shown all the same." : "");
}

/* ---- what a run that kept going could not do ---- */

static int is_state(const struct table *t, int64_t row, const char *state)
{
    return strcmp(table_text(t, row, "state"), state) == 0;
}

void headline_failed(struct summary *sum, int markdown, struct body *b, struct err *e)
{
    enum { NAMED = 3 };
    const struct table *t = &sum->failed;
    long long failed = 0, left = 0, named = 0;
    for (int64_t i = 0; i < t->nrows; i++) {
        failed += is_state(t, i, "failed");
        left += is_state(t, i, "not run");
    }
    if (failed == 0)
        return;
    body_begin(b, BODY_QUOTE, e);
    if (markdown)
        body_strong(b, e, "INCOMPLETE.");
    body_text(b, e, markdown ? " " : "INCOMPLETE: ");
    body_text(b, e, "%lld node%s of this study failed; nodes not run for want of what they need: %lld. ",
              failed, failed == 1 ? "" : "s", left);
    for (int64_t i = 0; i < t->nrows && named < NAMED; i++)
        if (is_state(t, i, "failed"))
            body_text(b, e, "%s%s of %s (%s)", named++ > 0 ? "; " : "", table_text(t, i, "node"),
                      table_text(t, i, "label"), table_text(t, i, "reason"));
    body_text(b, e, "%s. Each section names what it lacks; failed.csv lists all.",
              failed > named ? "; and others" : "");
}

void headline_lacks(struct summary *sum, const char *const *kinds, int n, struct body *b, struct err *e)
{
    enum { SHOWN = 8 };
    const struct table *t = &sum->failed;
    int64_t found = 0;
    for (int64_t i = 0; i < t->nrows; i++) {
        int ours = 0;
        for (int k = 0; k < n && kinds[k]; k++)
            ours |= strcmp(kinds[k], table_text(t, i, "kind")) == 0;
        if (!ours || found++ >= SHOWN)
            continue;
        body_begin(b, BODY_ITEM, e);
        body_strong(b, e, is_state(t, i, "in part") ? "In part:" : "Not here:");
        body_text(b, e, " %s of %s: %s.", table_text(t, i, "node"), table_text(t, i, "label"),
                  table_text(t, i, "reason"));
    }
    if (found > SHOWN)
        body_say(b, BODY_ITEM, e, "%lld more lack here; failed.csv lists them.", (long long)found - SHOWN);
}
