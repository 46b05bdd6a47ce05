/* The sections on sparsity: of cells, families and algorithms; and by tolerance. */
#include "report/page/sections.h"

#include "report/page/headline.h"

#include <string.h>

/* ---- sparsity ---- */

/* Is a cell of the algorithm, in the family (NULL: any), one that was not measured? */
static int has_absent(struct summary *sum, const char *family, const char *algorithm)
{
    for (int64_t i = 0; sum->absent.n > 0 && i < sum->cells.nrows; i++)
        if (strcmp(table_text(&sum->cells, i, "algorithm"), algorithm) == 0 &&
            (!family || strcmp(table_text(&sum->cells, i, "family"), family) == 0) &&
            !summary_is_measured(sum, i))
            return 1;
    return 0;
}

/* Families by algorithms, for one headline measure. */
static void sparsity_matrix(struct page *p, int measure, struct err *e)
{
    struct summary *sum = p->sum;
    struct pivot mean;
    struct sheet s;
    pivot_init(&mean, sum->a);
    for (int64_t i = 0; i < sum->cells.nrows; i++) {
        struct tally t =
            pivot_at(&sum->sparsity, table_text(&sum->cells, i, "cell"), sum->measures[measure].key);
        const char *algorithm = table_text(&sum->cells, i, "algorithm");
        pivot_add(&mean, table_text(&sum->cells, i, "family"), algorithm, tally_mean(&t), e);
        pivot_add(&mean, "all families", algorithm, tally_mean(&t), e);
    }
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "sparsity %% %s", summary_measure_title(sum, measure, e));
    for (int64_t c = 0; c < mean.cols.n; c++)
        sheet_column(&s, 'r', e, "%s", mean.cols.text[c]);
    for (int64_t f = 0; f <= sum->families.n; f++) {
        const char *family = f < sum->families.n ? sum->families.text[f] : NULL;
        const char *row = family ? family : "all families";
        sheet_cell(&s, e, "%s", row);
        for (int64_t c = 0; c < mean.cols.n; c++) {
            struct tally t = pivot_at(&mean, row, mean.cols.text[c]);
            if (t.n == 0 && has_absent(sum, family, mean.cols.text[c]))
                sheet_cell(&s, e, "not measured");
            else
                page_tally(&s, t, 100, e);
        }
    }
    page_sheet(p, &s, e);
}

/* Cells of a family and an algorithm are a row, where no matrix has them. */
static void sparsity_groups(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct pivot mean;
    struct sheet s;
    pivot_init(&mean, sum->a);
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        const char *group = summary_join(sum, table_text(&sum->cells, i, "family"),
                                         table_text(&sum->cells, i, "algorithm"), e);
        pivot_add(&mean, group, "cells", summary_is_measured(sum, i), e);
        for (int m = 0; m < sum->nmeasures; m++)
            if (summary_is_headline(sum, m)) {
                struct tally t = pivot_at(&sum->sparsity, cell, sum->measures[m].key);
                pivot_add(&mean, group, sum->measures[m].key, tally_mean(&t), e);
            }
    }
    sheet_init(&s, sum->a);
    s.rest = "sparsity.csv";
    sheet_column(&s, 'l', e, "family");
    sheet_column(&s, 'l', e, "algorithm");
    sheet_column(&s, 'r', e, "cells");
    for (int m = 0; m < sum->nmeasures; m++)
        if (summary_is_headline(sum, m))
            sheet_column(&s, 'r', e, "sparsity %% %s", summary_measure_title(sum, m, e));
    for (int64_t row = 0; row < mean.rows.n && e->code == ERR_OK; row++) {
        const char *group = mean.rows.text[row];
        sheet_cell(&s, e, "%s", summary_piece(sum, group, 0, e));
        sheet_cell(&s, e, "%s", summary_piece(sum, group, 1, e));
        sheet_count(&s, (int64_t)pivot_at(&mean, group, "cells").sum, e);
        for (int m = 0; m < sum->nmeasures; m++)
            if (summary_is_headline(sum, m))
                page_tally(&s, pivot_at(&mean, group, sum->measures[m].key), 100, e);
    }
    page_sheet(p, &s, e);
}

int section_sparsity(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    if (summary_first_headline(sum) < 0)
        return 0;
    if (summary_is_detailed(sum)) {
        page_sheet(p, &p->cells, e);
    } else {
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "The row of each of the %lld cells stands in sparsity.md and sparsity.txt.",
                 (long long)sum->cells.nrows);
        body_only(&p->body, BODY_TEXTS);
        struct sheet cells = sheet_first(&p->cells, SHEET_ROWS);
        cells.rest = "sparsity.md";
        page_sheet_only(p, BODY_PAGES, &cells, e);
    }
    headline_measures(sum, &p->body, e);
    int64_t product = sum->families.n * sum->algorithms.n;
    int is_list = sum->families.n < 2 || sum->algorithms.n < 2 || sum->algorithms.n >= PIVOT_COLUMNS ||
                  2 * sum->cells.nrows < product; /* of cells, and no matrix */
    if (is_list && !summary_is_detailed(sum))
        sparsity_groups(p, e);
    for (int m = 0; m < sum->nmeasures && !is_list && e->code == ERR_OK; m++)
        if (summary_is_headline(sum, m))
            sparsity_matrix(p, m, e);
    return 1;
}

/* ---- by tolerance ---- */

/* The columns of a node that counts at several tolerances, and what stands in them. first: its first measure.
 */
static void take_tolerances(struct summary *sum, int first, struct pivot *mean, struct sheet *s,
                            struct err *e)
{
    sheet_column(s, summary_is_detailed(sum) ? 'c' : 'l', e, summary_is_detailed(sum) ? "cell" : "algorithm");
    for (int k = first; k < sum->nmeasures; k++) {
        const struct measure *x = &sum->measures[k];
        char tolerance[32];
        if (strcmp(x->node, sum->measures[first].node) != 0)
            continue;
        if (strcmp(x->criterion, "bits") == 0)
            sheet_column(s, 'r', e, "bits");
        else
            sheet_column(s, 'r', e, "%s%s", strcmp(x->criterion, "relative") == 0 ? "relative " : "",
                         real_short(x->tolerance, tolerance, sizeof tolerance));
        for (int64_t i = 0; i < sum->cells.nrows; i++) {
            const char *cell = table_text(&sum->cells, i, "cell");
            struct tally t = pivot_at(&sum->sparsity, cell, x->key);
            if (summary_is_measured(sum, i))
                pivot_add(mean, summary_row_of(sum, cell), x->key, tally_mean(&t), e);
        }
    }
}

int section_tolerances(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    int said = 0;
    for (int m = 0; m < sum->nmeasures && e->code == ERR_OK; m++) {
        const char *node = sum->measures[m].node;
        int earlier = 0;
        for (int k = 0; k < m; k++)
            earlier += strcmp(sum->measures[k].node, node) == 0;
        if (sum->measures[m].alone || earlier)
            continue;
        struct pivot mean;
        struct sheet s;
        pivot_init(&mean, sum->a);
        sheet_init(&s, sum->a);
        take_tolerances(sum, m, &mean, &s, e);
        for (int64_t row = 0; row < mean.rows.n; row++) {
            sheet_cell(&s, e, "%s", mean.rows.text[row]);
            for (int64_t c = 0; c < mean.cols.n; c++)
                page_tally(&s, pivot_at(&mean, mean.rows.text[row], mean.cols.text[c]), 100, e);
        }
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "Counted by %s, in percent; a parameter is updated where |difference| is above the "
                 "tolerance.",
                 node);
        page_sheet(p, &s, e);
        said = 1;
    }
    return said;
}
