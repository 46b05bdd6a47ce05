/* The sections that end the page: published figures beside the measured ones, and what was left out. */
#include "report/page/sections.h"

#include <string.h>

/* ---- published figures ---- */

/* Do two rows give one figure beside cells that differ in their seed alone? */
static int is_repeated(struct summary *sum, int64_t row, int64_t other)
{
    static const char *const columns[] = {"source", "quantity", "algorithm", "model"};
    const struct table *t = &sum->published, *cells = &sum->cells;
    int same = table_real(t, row, "value") == table_real(t, other, "value");
    for (int c = 0; c < 4 && same; c++)
        same = strcmp(table_text(t, row, columns[c]), table_text(t, other, columns[c])) == 0;
    if (!same)
        return 0;
    int64_t x = keys_find(&sum->cell_keys, table_text(t, row, "cell")),
            y = keys_find(&sum->cell_keys, table_text(t, other, "cell"));
    return x == y || (x >= 0 && y >= 0 && table_int(cells, x, "step") == table_int(cells, y, "step") &&
                      strcmp(table_text(cells, x, "data"), table_text(cells, y, "data")) == 0);
}

/* A figure that the config gives beside several seeds is shown once, beside their mean. row: the first of
 * them. */
static void published_row(struct summary *sum, struct sheet *s, int64_t row, struct err *e)
{
    const struct table *t = &sum->published;
    const char *quantity = table_text(t, row, "quantity"), *cell = table_text(t, row, "cell");
    struct tally measured = {0};
    int64_t more = 0, absent = 1;
    for (int64_t k = row; k < t->nrows; k++) {
        if (k > row && !is_repeated(sum, row, k))
            continue;
        const char *other = table_text(t, k, "cell");
        int64_t at = keys_find(&sum->cell_keys, other);
        more += strcmp(other, cell) != 0;
        absent &= at >= 0 && !summary_is_measured(sum, at);
        tally_add(&measured, summary_measured(sum, quantity, other, e));
    }
    if (more > 0)
        sheet_cell(s, e, "%s and %lld more %s", cell, (long long)more, more == 1 ? "seed" : "seeds");
    else
        sheet_cell(s, e, "%s", cell);
    sheet_cell(s, e, "%s", quantity);
    sheet_real(s, summary_percent(table_real(t, row, "value")), 2, e);
    if (absent)
        sheet_cell(s, e, "not measured");
    else
        sheet_real(s, tally_mean(&measured), 2, e);
    sheet_cell(s, e, "%s", table_text(t, row, "source"));
}

int section_published(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct sheet s;
    if (sum->published.nrows == 0)
        return 0;
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "cell");
    sheet_column(&s, 'l', e, "quantity");
    sheet_column(&s, 'r', e, "published %%");
    sheet_column(&s, 'r', e, "measured %%");
    sheet_column(&s, 'l', e, "source");
    for (int64_t i = 0; i < sum->published.nrows && e->code == ERR_OK; i++) {
        int earlier = 0;
        for (int64_t k = 0; k < i && !earlier; k++)
            earlier = is_repeated(sum, i, k);
        if (earlier)
            continue;
        published_row(sum, &s, i, e);
        arena_reset(sum->scratch);
    }
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
