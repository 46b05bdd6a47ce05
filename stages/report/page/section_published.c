/* The sections that end the page: published figures beside the measured ones, and what was left out. */
#include "report/page/sections.h"

#include <math.h>
#include <string.h>

/* ---- published figures ---- */

/* Rows that give one figure beside cells that differ in their seed alone: shown once, beside their mean. */
struct same_figure {
    int64_t first, others; /* its first row; rows of other cells than that one's */
    int measured_here;     /* a cell of it was measured, or is none of the study's */
    struct tally measured;
};

/* What such rows have alike. */
static const char *figure_key(struct summary *sum, int64_t row, struct err *e)
{
    static const char *const columns[] = {"source", "quantity", "algorithm", "model"};
    const struct table *t = &sum->published, *cells = &sum->cells;
    int64_t at = keys_find(&sum->cell_keys, table_text(t, row, "cell"));
    struct text key = {.arena = sum->scratch};
    for (int c = 0; c < 4; c++)
        text_add(&key, e, "%s\n", table_text(t, row, columns[c]));
    text_add(&key, e, "%.17g\n", table_real(t, row, "value"));
    if (at >= 0)
        text_add(&key, e, "%lld\n%s", (long long)table_int(cells, at, "step"), table_text(cells, at, "data"));
    return e->code == ERR_OK ? key.text : "";
}

/* A share in percent, any other figure as it is. given: as the config has it, which may be either. */
static void put_figure(struct sheet *s, const char *quantity, double x, int given, struct err *e)
{
    if (summary_is_share(quantity))
        sheet_real(s, given ? summary_percent(x) : x, 2, e);
    else if (isnan(x))
        sheet_cell(s, e, "-");
    else
        sheet_cell(s, e, "%.5g", x);
}

/* All figures, in the order of their first rows; *n of them. */
static struct same_figure *same_figures(struct summary *sum, int64_t *n, struct err *e)
{
    const struct table *t = &sum->published;
    struct keys keys = {.arena = sum->a};
    struct same_figure *all;
    if (arena_array(sum->a, "page.published", t->nrows, &all, e) != ERR_OK)
        return NULL;
    for (int64_t row = 0; row < t->nrows && e->code == ERR_OK; row++) {
        const char *cell = table_text(t, row, "cell");
        int64_t k = keys_add(&keys, figure_key(sum, row, e), e), at = keys_find(&sum->cell_keys, cell);
        if (k < 0)
            break;
        if (k == *n)
            all[(*n)++].first = row;
        all[k].others += strcmp(cell, table_text(t, all[k].first, "cell")) != 0;
        all[k].measured_here |= at < 0 || summary_is_measured(sum, at);
        tally_add(&all[k].measured, summary_measured(sum, table_text(t, row, "quantity"), cell, e));
        arena_reset(sum->scratch);
    }
    return e->code == ERR_OK ? all : NULL;
}

static void published_row(struct summary *sum, struct sheet *s, const struct same_figure *f, int units,
                          struct err *e)
{
    const struct table *t = &sum->published;
    const char *cell = table_text(t, f->first, "cell"), *quantity = table_text(t, f->first, "quantity");
    if (f->others > 0)
        sheet_cell(s, e, "%s and %lld more %s", cell, (long long)f->others,
                   f->others == 1 ? "seed" : "seeds");
    else
        sheet_cell(s, e, "%s", cell);
    sheet_cell(s, e, "%s", quantity);
    put_figure(s, quantity, table_real(t, f->first, "value"), 1, e);
    if (!f->measured_here)
        sheet_cell(s, e, "not measured");
    else
        put_figure(s, quantity, tally_mean(&f->measured), 0, e);
    if (units)
        sheet_cell(s, e, "%s", summary_is_share(quantity) ? "%" : "1");
    sheet_cell(s, e, "%s", table_text(t, f->first, "source"));
}

int section_published(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct sheet s;
    int64_t n = 0;
    int units = 0; /* some figures are no shares, so that each row says its unit */
    if (sum->published.nrows == 0)
        return 0;
    for (int64_t i = 0; i < sum->published.nrows; i++)
        units |= !summary_is_share(table_text(&sum->published, i, "quantity"));
    sheet_init(&s, sum->a);
    s.rest = "published.csv";
    sheet_column(&s, 'l', e, "cell");
    sheet_column(&s, 'l', e, "quantity");
    sheet_column(&s, 'r', e, units ? "published" : "published %%");
    sheet_column(&s, 'r', e, units ? "measured" : "measured %%");
    if (units)
        sheet_column(&s, 'l', e, "unit");
    sheet_column(&s, 'l', e, "source");
    const struct same_figure *all = same_figures(sum, &n, e);
    for (int64_t i = 0; i < n && all; i++)
        published_row(sum, &s, &all[i], units, e);
    page_sheet(p, &s, e);
    return 1;
}

/* ---- left out ---- */

int section_left_out(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct sheet s;
    if (sum->skipped.rows.n == 0)
        return 0;
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "node");
    sheet_column(&s, 'r', e, "rows");
    sheet_column(&s, 'r', e, "parameters");
    sheet_column(&s, 'l', e, "reason");
    for (int64_t i = 0; i < sum->skipped.rows.n; i++) {
        const char *key = sum->skipped.rows.text[i];
        struct tally t = pivot_at(&sum->skipped, key, "parameters");
        sheet_cell(&s, e, "%s", summary_piece(sum, key, 0, e));
        sheet_count(&s, t.n, e);
        sheet_count(&s, (int64_t)t.sum, e);
        sheet_cell(&s, e, "%s", summary_piece(sum, key, 1, e));
    }
    body_say(
        &p->body, BODY_PARAGRAPH, e,
        "Each row of skipped.csv is one tensor of one cell that a stage did not take, or a whole cell that "
        "was not measured,\n"
        "with the reason; here reasons that differ only in a tensor's name or in sizes are one.");
    page_sheet(p, &s, e);
    return 1;
}
