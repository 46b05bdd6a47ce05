/* Sections of the page on pairs of cells: overlap and consensus. */
#include "report/page/page_part.h"

#include <math.h>
#include <string.h>

/* One plain sentence: what is left of an overlap beyond what the magnitudes of the weights predict. */
static void say_beyond(struct summary *sum, struct text *md, const char *node, const char *varies,
                       struct err *e)
{
    const char *key = summary_join(sum, node, varies, e);
    struct tally measured = pivot_at(&sum->by_varies, key, "jaccard");
    struct tally random = pivot_at(&sum->by_varies, key, "random_jaccard");
    struct tally matched = pivot_at(&sum->by_varies, key, "matched_jaccard");
    double j = tally_mean(&measured), u = tally_mean(&random), m = tally_mean(&matched);
    text_add(md, e, "- %s varies: ", varies[0] ? varies : "nothing");
    if (isnan(j) || isnan(m)) {
        text_add(md, e, "no pair has updates on both sides, so there is no overlap to explain.\n");
        return;
    }
    text_add(md, e, "Jaccard is %.3f, uniform chance gives %.3f and matched chance %.3f; ", j, u, m);
    if (j <= m)
        text_add(md, e, "beyond matched chance nothing is left.\n");
    else if (j > u && m > u)
        text_add(md, e, "beyond matched chance %.3f is left, %.1f %% of the excess over uniform chance.\n",
                 j - m, page_percent((j - m) / (j - u)));
    else
        text_add(md, e, "beyond matched chance %.3f is left.\n", j - m);
}

static void overlap_titles(struct sheet *s, struct err *e)
{
    sheet_column(s, 'r', e, "o1");
    sheet_column(s, 'r', e, "o2");
    sheet_column(s, 'r', e, "Jaccard");
    sheet_column(s, 'r', e, "uniform o1");
    sheet_column(s, 'r', e, "uniform o2");
    sheet_column(s, 'r', e, "uniform J.");
    sheet_column(s, 'r', e, "matched o1");
    sheet_column(s, 'r', e, "matched o2");
    sheet_column(s, 'r', e, "matched J.");
}

/* Means of one group of pairs. */
static void overlap_group(struct sheet *s, struct pivot *p, const char *key, struct err *e)
{
    sheet_count(s, pivot_at(p, key, "pairs").n, e);
    for (int c = 0; c < SUMMARY_OVERLAPS; c++)
        page_mean(s, pivot_at(p, key, summary_overlaps[c]), 100, 2, e);
}

static void overlap_pairs(struct summary *sum, struct text *md, struct err *e)
{
    struct sheet s;
    if (sum->npairs > sum->pairs.nrows) {
        text_add(md, e,
                 "The row of each of the %lld pairs stands in overlap.csv, per layer and module too.\n\n",
                 (long long)sum->npairs);
        return;
    }
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "cell 1");
    sheet_column(&s, 'l', e, "cell 2");
    sheet_column(&s, 'l', e, "varies");
    if (sum->overlap_nodes.n > 1)
        sheet_column(&s, 'l', e, "node");
    overlap_titles(&s, e);
    for (int64_t i = 0; i < sum->pairs.nrows; i++) {
        sheet_cell(&s, e, "%s", table_text(&sum->pairs, i, "cell_1"));
        sheet_cell(&s, e, "%s", table_text(&sum->pairs, i, "cell_2"));
        sheet_cell(&s, e, "%s", table_text(&sum->pairs, i, "varies"));
        if (sum->overlap_nodes.n > 1)
            sheet_cell(&s, e, "%s", table_text(&sum->pairs, i, "node"));
        for (int c = 0; c < SUMMARY_OVERLAPS; c++)
            sheet_real(&s, page_percent(table_real(&sum->pairs, i, summary_overlaps[c])), 2, e);
    }
    page_sheet(sum, md, &s, e);
}

void page_overlap(struct summary *sum, struct text *md, struct err *e)
{
    page_section(sum, md, "Overlap of updated sets",
                 "Do two runs from the same base update the same parameters, and more of them than chance "
                 "would have it?",
                 e);
    if (sum->npairs == 0) {
        text_add(md, e, "Not measured: the study has no overlap, or no two cells on one base.\n\n");
        return;
    }
    text_add(md, e,
             "o1 and o2: the intersection as a share of the first and of the second updated set. Uniform "
             "chance (the published\n"
             "null): two sets of these sizes drawn at random from all parameters. Matched chance: drawn at "
             "random among the\n"
             "parameters of the same tensor with the same magnitude before (exponent and two bits). In "
             "percent, over the whole\n"
             "model; \"-\" where an updated set is empty.\n\n");
    for (int64_t node = 0; node < sum->overlap_nodes.n && e->code == ERR_OK; node++) {
        const char *name = sum->overlap_nodes.text[node];
        struct sheet s;
        sheet_init(&s, sum->a);
        sheet_column(&s, 'l', e, "what varies");
        sheet_column(&s, 'r', e, "pairs");
        overlap_titles(&s, e);
        for (int64_t i = 0; i < sum->by_varies.rows.n; i++) {
            const char *key = sum->by_varies.rows.text[i];
            if (strcmp(summary_piece(sum, key, 0, e), name) != 0)
                continue;
            sheet_cell(&s, e, "%s", summary_piece(sum, key, 1, e));
            overlap_group(&s, &sum->by_varies, key, e);
        }
        text_add(md, e, "Node %s, mean over all pairs:\n\n", name);
        page_sheet(sum, md, &s, e);
        for (int64_t i = 0; i < sum->by_varies.rows.n; i++)
            if (strcmp(summary_piece(sum, sum->by_varies.rows.text[i], 0, e), name) == 0)
                say_beyond(sum, md, name, summary_piece(sum, sum->by_varies.rows.text[i], 1, e), e);
        text_add(md, e, "\n");
    }
    overlap_pairs(sum, md, e);
    struct sheet s;
    if (sum->by_base.rows.n > sum->by_varies.rows.n && sum->npairs > sum->pairs.nrows) {
        sheet_init(&s, sum->a);
        sheet_column(&s, 'l', e, "base");
        sheet_column(&s, 'l', e, "what varies");
        if (sum->overlap_nodes.n > 1)
            sheet_column(&s, 'l', e, "node");
        sheet_column(&s, 'r', e, "pairs");
        overlap_titles(&s, e);
        for (int64_t i = 0; i < sum->by_base.rows.n; i++) {
            const char *key = sum->by_base.rows.text[i];
            sheet_cell(&s, e, "%s", summary_piece(sum, key, 1, e));
            sheet_cell(&s, e, "%s", summary_piece(sum, key, 2, e));
            if (sum->overlap_nodes.n > 1)
                sheet_cell(&s, e, "%s", summary_piece(sum, key, 0, e));
            overlap_group(&s, &sum->by_base, key, e);
        }
        page_sheet(sum, md, &s, e);
    }
    if (sum->algorithms.n > 1 && sum->npairs > sum->pairs.nrows) {
        sheet_init(&s, sum->a);
        sheet_column(&s, 'l', e, "algorithm 1");
        sheet_column(&s, 'l', e, "algorithm 2");
        sheet_column(&s, 'r', e, "pairs");
        overlap_titles(&s, e);
        for (int64_t i = 0; i < sum->by_algorithms.rows.n; i++) {
            const char *key = sum->by_algorithms.rows.text[i];
            sheet_cell(&s, e, "%s", summary_piece(sum, key, 0, e));
            sheet_cell(&s, e, "%s", summary_piece(sum, key, 1, e));
            overlap_group(&s, &sum->by_algorithms, key, e);
        }
        text_add(md, e, "By algorithms, node %s, mean over all pairs:\n\n", sum->overlap_nodes.text[0]);
        page_sheet(sum, md, &s, e);
    }
    if (sum->by_scope.rows.n == 0)
        return;
    text_add(md, e, "Per module, node %s, mean over all pairs:\n\n", sum->overlap_nodes.text[0]);
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "module");
    sheet_column(&s, 'r', e, "pairs");
    overlap_titles(&s, e);
    pivot_sort_rows(&sum->by_scope);
    for (int64_t i = 0; i < sum->by_scope.rows.n; i++) {
        sheet_cell(&s, e, "%s", sum->by_scope.rows.text[i]);
        overlap_group(&s, &sum->by_scope, sum->by_scope.rows.text[i], e);
    }
    page_sheet(sum, md, &s, e);
}

/* Every so many, and the last. */
static int64_t next_k(int64_t k, int64_t nk, int64_t every)
{
    return k < nk - 1 && k + every > nk - 1 ? nk - 1 : k + every;
}

void page_consensus(struct summary *sum, struct text *md, struct err *e)
{
    page_section(sum, md, "Consensus", "How many parameters do most of the runs on one base agree upon?", e);
    if (sum->consensus.rows.n == 0) {
        text_add(md, e, "Not measured: the study has no overlap.\n\n");
        return;
    }
    struct sheet s;
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "base");
    sheet_column(&s, 'r', e, "cells");
    int64_t nk = sum->consensus.rows.n, every = nk <= 16 ? 1 : (nk + 15) / 16;
    pivot_sort_rows(&sum->consensus);
    for (int64_t k = 0; k < nk; k = next_k(k, nk, every))
        sheet_column(&s, 'r', e, "k = %s", sum->consensus.rows.text[k]);
    for (int64_t b = 0; b < sum->consensus.cols.n; b++) {
        const char *base = sum->consensus.cols.text[b];
        int64_t parameters = 0;
        for (int64_t i = 0; i < sum->cells.nrows && parameters == 0; i++)
            if (strcmp(table_text(&sum->cells, i, "base"), base) == 0)
                parameters = table_int(&sum->cells, i, "parameters");
        sheet_cell(&s, e, "%s", summary_base_label(sum, base));
        page_mean(&s, pivot_at(&sum->consensus_cells, base, "cells"), 1, 0, e);
        for (int64_t k = 0; k < nk; k = next_k(k, nk, every))
            page_mean(&s, pivot_at(&sum->consensus, sum->consensus.rows.text[k], base),
                      parameters > 0 ? 100 / (double)parameters : NAN, 2, e);
    }
    text_add(md, e,
             "Node %s: share of parameters, in percent, updated in at least k of the cells on one base; "
             "consensus.csv has every k,\n"
             "and layers and modules.\n\n",
             sum->consensus_nodes.text[0]);
    page_sheet(sum, md, &s, e);
}
