/* Figures of token entropy: how its tokens are spread, one per family. */
#include "report/figures/figures.h"

#include <string.h>

enum { ENTROPIES_SHOWN = 2 }; /* figures of one kind that the page shows unasked */

/* Shares of the family's tokens by bin, at the middle of each bin. */
static void entropy_curve(struct chart *c, struct pivot *p, const char *family, const char *curve,
                          struct err *e)
{
    size_t length = strlen(family);
    double total = 0;
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

static void entropy_figure(struct figures *f, int64_t nth, int64_t *drawn, struct err *e)
{
    struct gather *g = f->g;
    struct summary *sum = g->sum;
    struct pivot *p = &g->entropy;
    const char *family = sum->families.text[nth];
    struct tally threshold = {0}, tokens = {0}, certain = {0};
    struct chart *c = chart_new(g->a, CHART_CURVES, e, "entropy-%s", family);
    if (!c)
        return;
    for (int64_t k = 0; k < p->cols.n && e->code == ERR_OK; k++)
        if (strcmp(p->cols.text[k], "lower") != 0 && strcmp(p->cols.text[k], "upper") != 0)
            entropy_curve(c, p, family, p->cols.text[k], e);
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
    c->caption = chart_text(
        c, e,
        "Entropy says how open the choice of the next token was: 0 nats means certain. Share of tokens per "
        "bin, in percent on a logarithmic axis, before tuning and after (%s). Dashed: %.3f nats, which the "
        "20 %% most open tokens before tuning (\"forking tokens\") exceed; %.1f %% of the tokens lie below "
        "0.01 nats. %.0f tokens in the mean cell.",
        gather_curve_words(g), tally_mean(&threshold), 100 * tally_mean(&certain), tally_mean(&tokens));
    figures_add_where(f, c, "family", family, e);
}

void figures_entropy(struct figures *f, struct err *e)
{
    int64_t drawn = 0, families = f->g->entropy.rows.n > 0 ? f->g->sum->families.n : 0;
    for (int64_t i = 0; i < families && i < FIGURES_ALIKE && e->code == ERR_OK; i++)
        entropy_figure(f, i, &drawn, e);
    if (families > FIGURES_ALIKE)
        figures_note(f, e,
                     "Drawn for the first %d of %lld families; entropy_histogram.csv has the numbers of all.",
                     FIGURES_ALIKE, (long long)families);
}
