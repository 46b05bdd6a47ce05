/* The sections on pairs of cells: overlap and consensus. */
#include "report/page/sections.h"

#include <math.h>
#include <string.h>

/* ---- what the tables of overlap share ---- */

static void overlap_titles(struct sheet *s, struct err *e)
{
    static const char *const titles[SUMMARY_OVERLAPS] = {"o1",         "o2",         "Jaccard",
                                                         "uniform o1", "uniform o2", "uniform J.",
                                                         "matched o1", "matched o2", "matched J."};
    for (int c = 0; c < SUMMARY_OVERLAPS; c++)
        sheet_column(s, 'r', e, "%s", titles[c]);
}

/* Means of one group of pairs. */
static void overlap_group(struct sheet *s, struct pivot *p, const char *key, struct err *e)
{
    sheet_count(s, pivot_at(p, key, "pairs").n, e);
    for (int c = 0; c < SUMMARY_OVERLAPS; c++)
        page_mean(s, pivot_at(p, key, summary_overlaps[c]), 100, 2, e);
}

/* ---- by what varies ---- */

/* One plain sentence: what is left of an overlap beyond what the magnitudes of the weights predict. */
static void say_beyond(struct page *p, const char *node, const char *varies, struct err *e)
{
    struct summary *sum = p->sum;
    const char *key = summary_join(sum, node, varies, e);
    struct tally measured = pivot_at(&sum->by_varies, key, "jaccard");
    struct tally random = pivot_at(&sum->by_varies, key, "random_jaccard");
    struct tally matched = pivot_at(&sum->by_varies, key, "matched_jaccard");
    double j = tally_mean(&measured), u = tally_mean(&random), m = tally_mean(&matched);
    body_say(&p->body, BODY_ITEM, e, "%s varies: ", varies[0] ? varies : "nothing");
    if (isnan(j) || isnan(m)) {
        body_text(&p->body, e, "no pair has updates on both sides, so there is no overlap to explain.");
        return;
    }
    body_text(&p->body, e, "Jaccard is %.3f, uniform chance gives %.3f and matched chance %.3f; ", j, u, m);
    if (j <= m)
        body_text(&p->body, e, "beyond matched chance nothing is left.");
    else if (j > u && m > u)
        body_text(&p->body, e,
                  "beyond matched chance %.3f is left, %.1f %% of the excess over uniform chance.", j - m,
                  page_percent((j - m) / (j - u)));
    else
        body_text(&p->body, e, "beyond matched chance %.3f is left.", j - m);
}

static void by_varies(struct page *p, const char *node, struct err *e)
{
    struct summary *sum = p->sum;
    const struct keys *rows = &sum->by_varies.rows;
    struct sheet s;
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "what varies");
    sheet_column(&s, 'r', e, "pairs");
    overlap_titles(&s, e);
    for (int64_t i = 0; i < rows->n; i++) {
        if (strcmp(summary_piece(sum, rows->text[i], 0, e), node) != 0)
            continue;
        sheet_cell(&s, e, "%s", summary_piece(sum, rows->text[i], 1, e));
        overlap_group(&s, &sum->by_varies, rows->text[i], e);
    }
    body_say(&p->body, BODY_PARAGRAPH, e, "Node %s, mean over all pairs:", node);
    page_sheet(p, &s, e);
    for (int64_t i = 0; i < rows->n; i++)
        if (strcmp(summary_piece(sum, rows->text[i], 0, e), node) == 0)
            say_beyond(p, node, summary_piece(sum, rows->text[i], 1, e), e);
}

/* ---- single pairs, and other groups of them ---- */

/* Are there too many pairs for a text file, so that groups of them say more? */
static int has_many(const struct summary *sum)
{
    return sum->npairs > sum->detail;
}

static void overlap_pairs(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct sheet s;
    int all = sum->npairs == sum->pairs.nrows;
    if (has_many(sum)) {
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "The row of each of the %lld pairs stands in overlap.csv, per layer and module too.",
                 (long long)sum->npairs);
        if (!all)
            return;
        body_only(&p->body, BODY_TEXTS);
    }
    sheet_init(&s, sum->a);
    s.rest = "overlap.csv";
    sheet_column(&s, 'c', e, "cell 1");
    sheet_column(&s, 'c', e, "cell 2");
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
    page_sheet_only(p, has_many(sum) ? BODY_PAGES : BODY_EVERYWHERE, &s, e);
}

static void by_base(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct sheet s;
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
    page_sheet(p, &s, e);
}

static void by_algorithms(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct sheet s;
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
    body_say(&p->body, BODY_PARAGRAPH, e,
             "By algorithms, node %s, mean over all pairs:", sum->overlap_nodes.text[0]);
    page_sheet(p, &s, e);
}

static void by_module(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct sheet s;
    body_say(&p->body, BODY_PARAGRAPH, e,
             "Per module, node %s, mean over all pairs:", sum->overlap_nodes.text[0]);
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "module");
    sheet_column(&s, 'r', e, "pairs");
    overlap_titles(&s, e);
    pivot_sort_rows(&sum->by_scope, e);
    for (int64_t i = 0; i < sum->by_scope.rows.n; i++) {
        sheet_cell(&s, e, "%s", sum->by_scope.rows.text[i]);
        overlap_group(&s, &sum->by_scope, sum->by_scope.rows.text[i], e);
    }
    page_sheet(p, &s, e);
}

int section_overlap(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    if (sum->npairs == 0)
        return 0;
    body_say(&p->body, BODY_PARAGRAPH, e,
             "o1 and o2: the intersection as a share of the first and of the second updated set. Uniform "
             "chance (the published\n"
             "null): two sets of these sizes drawn at random from all parameters. Matched chance: drawn at "
             "random among the\n"
             "parameters of the same tensor with the same magnitude before (exponent and two bits). In "
             "percent, over the whole\n"
             "model; \"-\" where an updated set is empty.");
    for (int64_t node = 0; node < sum->overlap_nodes.n && e->code == ERR_OK; node++)
        by_varies(p, sum->overlap_nodes.text[node], e);
    overlap_pairs(p, e);
    int many = has_many(sum);
    if (many && sum->by_base.rows.n > sum->by_varies.rows.n)
        by_base(p, e);
    if (many && sum->algorithms.n > SUMMARY_ALGORITHMS)
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "The study has %lld algorithms: what each two of them share stands in overlap.csv alone.",
                 (long long)sum->algorithms.n);
    else if (many && sum->algorithms.n > 1)
        by_algorithms(p, e);
    if (sum->by_scope.rows.n > 0)
        by_module(p, e);
    return 1;
}

/* ---- consensus ---- */

/* Every so many, and the last. */
static int64_t next_k(int64_t k, int64_t nk, int64_t every)
{
    return k < nk - 1 && k + every > nk - 1 ? nk - 1 : k + every;
}

static int64_t parameters_on(const struct summary *sum, const char *base)
{
    int64_t parameters = 0;
    for (int64_t i = 0; i < sum->cells.nrows && parameters == 0; i++)
        if (strcmp(table_text(&sum->cells, i, "base"), base) == 0)
            parameters = table_int(&sum->cells, i, "parameters");
    return parameters;
}

int section_consensus(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    const struct keys *all_k = &sum->consensus_k.rows, *bases = &sum->consensus_cells.rows;
    int64_t nk = all_k->n, every = nk <= 16 ? 1 : (nk + 15) / 16;
    struct sheet s;
    if (nk == 0)
        return 0;
    sheet_init(&s, sum->a);
    s.rest = "consensus.csv";
    sheet_column(&s, 'l', e, "base");
    sheet_column(&s, 'r', e, "cells");
    pivot_sort_rows(&sum->consensus_k, e);
    for (int64_t k = 0; k < nk; k = next_k(k, nk, every))
        sheet_column(&s, 'r', e, "k = %s", all_k->text[k]);
    for (int64_t b = 0; b < bases->n; b++) {
        const char *base = bases->text[b];
        int64_t parameters = parameters_on(sum, base);
        double scale = parameters > 0 ? 100 / (double)parameters : NAN;
        sheet_cell(&s, e, "%s", summary_base_label(sum, base));
        page_mean(&s, pivot_at(&sum->consensus_cells, base, "cells"), 1, 0, e);
        for (int64_t k = 0; k < nk; k = next_k(k, nk, every))
            page_mean(&s, pivot_at(&sum->consensus, summary_join(sum, base, all_k->text[k], e), "updated"),
                      scale, 2, e);
    }
    body_say(&p->body, BODY_PARAGRAPH, e,
             "Node %s: share of parameters, in percent, updated in at least k of the cells on one base; "
             "consensus.csv has every k,\n"
             "and layers and modules.",
             sum->consensus_nodes.text[0]);
    page_sheet(p, &s, e);
    return 1;
}
