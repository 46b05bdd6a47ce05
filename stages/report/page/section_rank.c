/* The section on the rank of the updates. */
#include "report/page/sections.h"

enum { STATISTICS = 6 };
static const char *const statistics[STATISTICS] = {"percent",   "full",   "zero",
                                                   "ambiguous", "stable", "effective"};

/* Statistics of a rank node over the matrices of one cell, or means of those over the cells of an algorithm.
 */
static void take_statistics(struct summary *sum, const char *node, struct pivot *p, struct err *e)
{
    for (int64_t i = 0; i < sum->cells.nrows; i++) {
        const char *cell = table_text(&sum->cells, i, "cell"), *row = summary_row_of(sum, cell);
        struct tally first = summary_rank_of(sum, node, cell, statistics[0], e);
        if (first.n == 0)
            continue;
        pivot_add(p, row, "matrices", (double)first.n, e);
        for (int c = 0; c < STATISTICS; c++) {
            struct tally t = summary_rank_of(sum, node, cell, statistics[c], e);
            int counted = c >= 1 && c <= 3;
            pivot_add(p, row, statistics[c], counted ? t.sum : tally_mean(&t), e);
        }
        pivot_add(p, row, "least", first.least, e);
        const struct tally zero = summary_rank_of(sum, node, cell, "zero", e);
        if ((double)first.n > zero.sum) /* to the sum those that did not change add nothing */
            pivot_add(p, row, "changed", first.sum / ((double)first.n - zero.sum), e);
    }
}

/* published: the quantity beside; NULL for none. */
static void put_statistics(struct page *page, struct pivot *p, const char *published, struct err *e)
{
    static const char *const titles[] = {"matrices",     "rank %",      "rank % of changed",
                                         "least rank %", "full rank",   "zero updates",
                                         "ambiguous",    "stable rank", "effective rank"};
    struct summary *sum = page->sum;
    struct sheet s;
    sheet_init(&s, sum->a);
    sheet_column(&s, summary_is_detailed(sum) ? 'c' : 'l', e,
                 summary_is_detailed(sum) ? "cell" : "algorithm");
    for (size_t c = 0; c < sizeof titles / sizeof *titles; c++)
        sheet_column(&s, 'r', e, "%s", titles[c]);
    if (published)
        sheet_column(&s, 'r', e, "published %%");
    for (int64_t row = 0; row < p->rows.n; row++) {
        const char *key = p->rows.text[row];
        sheet_cell(&s, e, "%s", key);
        sheet_count(&s, (int64_t)pivot_at(p, key, "matrices").sum, e);
        page_tally(&s, pivot_at(p, key, "percent"), 1, e);
        page_tally(&s, pivot_at(p, key, "changed"), 1, e);
        sheet_real(&s, pivot_at(p, key, "least").least, 2, e);
        sheet_count(&s, (int64_t)pivot_at(p, key, "full").sum, e);
        sheet_count(&s, (int64_t)pivot_at(p, key, "zero").sum, e);
        sheet_count(&s, (int64_t)pivot_at(p, key, "ambiguous").sum, e);
        page_mean(&s, pivot_at(p, key, "stable"), 1, 2, e);
        page_mean(&s, pivot_at(p, key, "effective"), 1, 2, e);
        if (published)
            sheet_cell(&s, e, "%s", summary_published_of(sum, key, published, e));
    }
    page_sheet(page, &s, e);
}

int section_rank(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    const char *published = summary_has_published(sum, "rank")           ? "rank"
                            : summary_has_published(sum, "rank_percent") ? "rank_percent"
                                                                         : NULL;
    for (int64_t node = 0; node < sum->rank_nodes.n && e->code == ERR_OK; node++) {
        struct pivot means;
        pivot_init(&means, sum->a);
        take_statistics(sum, sum->rank_nodes.text[node], &means, e);
        body_say(
            &p->body, BODY_PARAGRAPH, e,
            "Node %s. Rank is the mean over matrices of the numerical rank as a share of min(rows, "
            "columns); zero updates have\n"
            "rank 0 and count, but for \"rank %% of changed\". Ambiguous: a singular value is so near the tolerance that float32 may "
            "count it otherwise.",
            sum->rank_nodes.text[node]);
        put_statistics(p, &means, summary_is_detailed(sum) ? published : NULL, e);
    }
    return sum->rank_nodes.n > 0;
}
