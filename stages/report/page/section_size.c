/* The section on size and direction: norms, the angle, and how concentrated updates are. */
#include "report/page/sections.h"

#include <math.h>

/* Columns of table cells, and how they are shown: shares in percent, others with four digits. */
static const struct {
    const char *column, *title;
    int percent;
} figures[] = {
    {"norm_base", "norm of base", 0},
    {"norm_delta", "norm of update", 0},
    {"relative_norm", "relative norm", 0},
    {"one_minus_cosine", "1 - cosine", 0},
    {"top_0_1_percent_energy", "energy % in largest 0.1 %", 1},
    {"top_1_percent_energy", "in largest 1 %", 1},
    {"top_5_percent_energy", "in largest 5 %", 1},
};
enum { FIGURES_OF_SIZE = sizeof figures / sizeof *figures };

static void put_number(struct sheet *s, double x, int percent, struct err *e)
{
    if (isnan(x))
        sheet_cell(s, e, "-");
    else if (percent)
        sheet_real(s, page_percent(x), 2, e);
    else
        sheet_cell(s, e, "%.4g", x);
}

/* Figures of each cell, or means of those over the cells of an algorithm. */
static int put_sizes(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct pivot mean;
    struct sheet s;
    const int detailed = summary_is_detailed(sum);
    pivot_init(&mean, sum->a);
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        if (isnan(table_real(&sum->cells, i, "norm_delta")))
            continue;
        const char *row = summary_row_of(sum, table_text(&sum->cells, i, "cell"));
        for (int c = 0; c < FIGURES_OF_SIZE; c++)
            pivot_add(&mean, row, figures[c].column, table_real(&sum->cells, i, figures[c].column), e);
    }
    if (mean.rows.n == 0)
        return 0;
    sheet_init(&s, sum->a);
    sheet_column(&s, detailed ? 'c' : 'l', e, detailed ? "cell" : "algorithm");
    for (int c = 0; c < FIGURES_OF_SIZE; c++)
        sheet_column(&s, 'r', e, "%s", figures[c].title);
    for (int64_t r = 0; r < mean.rows.n; r++) {
        sheet_cell(&s, e, "%s", mean.rows.text[r]);
        for (int c = 0; c < FIGURES_OF_SIZE; c++) {
            const struct tally t = pivot_at(&mean, mean.rows.text[r], figures[c].column);
            put_number(&s, tally_mean(&t), figures[c].percent, e);
        }
    }
    page_sheet(p, &s, e);
    return 1;
}

static void put_modules(struct page *p, struct err *e)
{
    struct pivot *norms = &p->sum->module_norms;
    struct sheet s;
    if (norms->rows.n == 0)
        return;
    pivot_sort_rows(norms, e);
    body_say(&p->body, BODY_PARAGRAPH, e, "Relative norm by module, over all layers (node %s).",
             p->sum->norm_nodes.text[0]);
    sheet_init(&s, p->sum->a);
    sheet_column(&s, 'l', e, "module");
    for (int64_t c = 0; c < norms->cols.n; c++)
        sheet_column(&s, 'r', e, "%s", norms->cols.text[c]);
    for (int64_t r = 0; r < norms->rows.n; r++) {
        sheet_cell(&s, e, "%s", norms->rows.text[r]);
        for (int64_t c = 0; c < norms->cols.n; c++) {
            const struct tally t = pivot_at(norms, norms->rows.text[r], norms->cols.text[c]);
            put_number(&s, tally_mean(&t), 0, e);
        }
    }
    page_sheet(p, &s, e);
}

int section_size(struct page *p, struct err *e)
{
    if (!put_sizes(p, e))
        return 0;
    body_say(
        &p->body, BODY_PARAGRAPH, e,
        "Relative norm: of the update, over that of the base. 1 - cosine: of the angle between base and tuned weights. "
        "Energy: share of the\nupdate's sum of squares in the 0.1, 1 and 5 %% of all compared weights that moved furthest; "
        "were all weights moved equally\nfar, it would be 0.1, 1 and 5 %%, and as many times more as fewer weights moved.");
    put_modules(p, e);
    return 1;
}
