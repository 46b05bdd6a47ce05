#include "report/page/page.h"

#include "report/page/page_part.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- figures ---- */

double page_percent(double share)
{
    return 100 * share;
}

/* "81.38", or "81.38 (80.11-82.02)" where the group spreads; scale 100 for shares. */
static void put_tally(struct sheet *s, struct tally t, double scale, struct err *e)
{
    char mean[32], least[32], greatest[32];
    if (t.n == 0) {
        sheet_cell(s, e, "-");
        return;
    }
    snprintf(mean, sizeof mean, "%.2f", scale * tally_mean(&t));
    snprintf(least, sizeof least, "%.2f", scale * t.least);
    snprintf(greatest, sizeof greatest, "%.2f", scale * t.greatest);
    if (strcmp(least, greatest) == 0)
        sheet_cell(s, e, "%s", mean);
    else
        sheet_cell(s, e, "%s (%s-%s)", mean, least, greatest);
}

void page_mean(struct sheet *s, struct tally t, double scale, int decimals, struct err *e)
{
    sheet_real(s, scale * tally_mean(&t), decimals, e);
}

/* The share of equal bits has a column of its own unless a mask counts it. */
static int shows_bits(const struct summary *sum)
{
    for (int m = 0; m < sum->nmeasures; m++)
        if (summary_is_headline(sum, m) && strcmp(sum->measures[m].criterion, "bits") == 0)
            return 0;
    return 1;
}

/* The row of a cell that was not measured: nothing but what is published of it. */
static void headline_absent(struct summary *sum, struct sheet *s, const char *cell, struct err *e)
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

/* One row per cell: the table that the command line prints too. */
void page_headline(struct summary *sum, struct sheet *s, struct err *e)
{
    int first = summary_first_headline(sum), published = summary_has_published(sum, "sparsity"),
        bits = shows_bits(sum), covered = summary_covered(sum, -1) < 1;
    sheet_init(s, sum->a);
    sheet_column(s, 'l', e, "cell");
    sheet_column(s, 'r', e, "parameters");
    if (covered)
        sheet_column(s, 'r', e, "covered %%");
    sheet_column(s, 'r', e, "updated");
    for (int m = 0; m < sum->nmeasures; m++)
        if (summary_is_headline(sum, m))
            sheet_column(s, 'r', e, "sparsity %% %s", summary_measure_title(sum, m, e));
    if (bits)
        sheet_column(s, 'r', e, "bits equal %%");
    if (published)
        sheet_column(s, 'r', e, "published %%");
    if (sum->rank_nodes.n > 0)
        sheet_column(s, 'r', e, "rank %%");
    for (int64_t i = 0; i < sum->cells.nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(&sum->cells, i, "cell");
        int64_t n = table_int(&sum->cells, i, "parameters");
        if (!summary_is_measured(sum, i)) {
            headline_absent(sum, s, cell, e);
            arena_reset(sum->scratch);
            continue;
        }
        sheet_cell(s, e, "%s", cell);
        sheet_count(s, n, e);
        if (covered)
            sheet_real(s, floor(1e4 * summary_covered(sum, i)) / 100, 2, e); /* 100 means all */
        struct tally updated =
            first >= 0 ? pivot_at(&sum->updated, cell, sum->measures[first].key) : (struct tally){0};
        if (updated.n > 0)
            sheet_count(s, (int64_t)updated.sum, e);
        else
            sheet_cell(s, e, "-");
        for (int m = 0; m < sum->nmeasures; m++)
            if (summary_is_headline(sum, m))
                page_mean(s, pivot_at(&sum->sparsity, cell, sum->measures[m].key), 100, 2, e);
        if (bits)
            sheet_real(s,
                       n > 0 ? page_percent(1 - (double)table_int(&sum->cells, i, "bit_changed") / (double)n)
                             : NAN,
                       2, e);
        if (published)
            sheet_cell(s, e, "%s", summary_published_of(sum, cell, "sparsity", e));
        if (sum->rank_nodes.n > 0)
            page_mean(s, summary_rank_of(sum, sum->rank_nodes.text[0], cell, "percent", e), 1, 2, e);
        arena_reset(sum->scratch);
    }
}

static void simulated_note(struct summary *sum, struct text *out, struct err *e)
{
    if (sum->simulated[0])
        text_add(out, e, "SIMULATED weights: no measurement of a trained model.\n");
}

/* How many cells were not measured, and why; nothing where all were. */
static void absent_note(struct summary *sum, int markdown, struct text *out, struct err *e)
{
    int64_t n = summary_absent(sum);
    if (n == 0)
        return;
    text_add(out, e, markdown ? "> **%lld of %lld cells not measured**" : "%lld of %lld cells NOT MEASURED",
             (long long)n, (long long)sum->cells.nrows);
    text_add(out, e, "%s%s.%s\n\n", sum->why_absent[0] ? ", each because " : "", sum->why_absent,
             sum->published.nrows > 0 ? " What is published of them is shown all the same." : "");
}

/* Ends a table of the page. */
void page_sheet(struct summary *sum, struct text *md, const struct sheet *s, struct err *e)
{
    sheet_markdown(s, md, e);
    text_add(md, e, "\n");
    simulated_note(sum, md, e);
    if (sum->simulated[0])
        text_add(md, e, "\n");
    arena_reset(sum->scratch);
}

/* ---- sections of the page ---- */

static void say_axis(struct text *md, const struct keys *k, const char *one, const char *many, struct err *e)
{
    const char *list = keys_list(k, 12, e);
    if (k->n > 0 && list)
        text_add(md, e, "- %lld %s: %s\n", (long long)k->n, k->n == 1 ? one : many, list);
}

static void section_head(struct summary *sum, struct text *md, struct err *e)
{
    text_add(md, e, "# %s: what fine-tuning changed\n\n", sum->study);
    if (sum->simulated[0])
        text_add(md, e,
                 "> **SIMULATED.** Weights of this study are made up (%s).\n> No figure on this page is a "
                 "measurement of a trained model.\n\n",
                 sum->simulated);
    absent_note(sum, 1, md, e);
    page_brief(sum, md, e);
    text_add(md, e, "## The study\n\n");
    int64_t parameters = 0, tensors = 0;
    for (int64_t i = 0; i < sum->cells.nrows; i++) {
        parameters += table_int(&sum->cells, i, "parameters");
        tensors += table_int(&sum->cells, i, "tensors");
    }
    text_add(md, e,
             "%lld %s: each compares a tuned checkpoint with the base it was tuned from. In all %.4g "
             "parameters in %lld\n",
             (long long)sum->cells.nrows, sum->cells.nrows == 1 ? "cell" : "cells", (double)parameters,
             (long long)tensors);
    text_add(md, e,
             "tensors were compared, %s. What each stage left out stands at the end, with the reason.\n\n",
             page_covered(sum, e));
    say_axis(md, &sum->families, "family", "families", e);
    say_axis(md, &sum->algorithms, "algorithm", "algorithms", e);
    say_axis(md, &sum->seeds, "seed", "seeds", e);
    say_axis(md, &sum->data, "training-data name", "training-data names", e);
    say_axis(md, &sum->steps, "training step", "training steps", e);
    text_add(md, e,
             "\nUpdate sparsity is the share of parameters that were not updated. Figures are percent unless "
             "said otherwise;\n"
             "\"81.38 (80.11-82.02)\" is a mean with the least and the greatest value. Every table of the "
             "archive stands beside this\n"
             "page as CSV, complete.\n\n");
    text_add(md, e, "Archive of %s, sinew %s.\n\n", sum->created, sum->version);
}

/* What each sparsity column counts as updated. */
static void say_measures(struct summary *sum, struct text *out, struct err *e)
{
    for (int m = 0; m < sum->nmeasures; m++) {
        const struct measure *x = &sum->measures[m];
        char tolerance[32];
        real_short(x->tolerance, tolerance, sizeof tolerance);
        if (!summary_is_headline(sum, m))
            continue;
        if (strcmp(x->criterion, "bits") == 0)
            text_add(out, e, "- sparsity %% %s (node %s): updated where the bits differ\n",
                     summary_measure_title(sum, m, e), x->node);
        else if (strcmp(x->criterion, "absolute") == 0)
            text_add(
                out, e,
                "- sparsity %% %s (node %s): updated where |difference| > %s, both in the compare type\n",
                summary_measure_title(sum, m, e), x->node, tolerance);
        else
            text_add(out, e,
                     "- sparsity %% %s (node %s): updated where |difference| > %s * max(|before|, |after|)\n",
                     summary_measure_title(sum, m, e), x->node, tolerance);
    }
    if (shows_bits(sum))
        text_add(out, e, "- bits equal: share of parameters whose bits did not change in the compare type\n");
    if (summary_has_published(sum, "sparsity"))
        text_add(out, e, "- published: as the config gives it; several sources are parted by /\n");
    if (sum->rank_nodes.n > 0)
        text_add(out, e,
                 "- rank: mean over matrices of the numerical rank as a share of min(rows, columns)\n");
    text_add(out, e, "\n");
}

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

static void section_sparsity(struct summary *sum, struct text *md, const struct sheet *cells, struct err *e)
{
    page_section(sum, md, "Sparsity",
                 "An update is what fine-tuning changed in a checkpoint. It is sparse where most parameters "
                 "(the numbers a model is made of) stayed as they were.",
                 e);
    if (summary_first_headline(sum) < 0) {
        text_add(md, e, "Not measured: the study has no delta or mask.\n\n");
        return;
    }
    if (summary_is_detailed(sum))
        page_sheet(sum, md, cells, e);
    else
        text_add(md, e, "The row of each of the %lld cells stands in sparsity.md and sparsity.txt.\n\n",
                 (long long)sum->cells.nrows);
    say_measures(sum, md, e);
    int64_t product = sum->families.n * sum->algorithms.n;
    if (sum->families.n < 2 || sum->algorithms.n < 2 || sum->algorithms.n > PIVOT_COLUMNS ||
        2 * sum->cells.nrows < product)
        return; /* a list of cells, no matrix */
    for (int m = 0; m < sum->nmeasures && e->code == ERR_OK; m++) {
        struct pivot p;
        struct sheet s;
        if (!summary_is_headline(sum, m))
            continue;
        pivot_init(&p, sum->a);
        for (int64_t i = 0; i < sum->cells.nrows; i++) {
            struct tally t =
                pivot_at(&sum->sparsity, table_text(&sum->cells, i, "cell"), sum->measures[m].key);
            const char *algorithm = table_text(&sum->cells, i, "algorithm");
            pivot_add(&p, table_text(&sum->cells, i, "family"), algorithm, tally_mean(&t), e);
            pivot_add(&p, "all families", algorithm, tally_mean(&t), e);
        }
        sheet_init(&s, sum->a);
        sheet_column(&s, 'l', e, "sparsity %% %s", summary_measure_title(sum, m, e));
        for (int64_t c = 0; c < p.cols.n; c++)
            sheet_column(&s, 'r', e, "%s", p.cols.text[c]);
        for (int64_t f = 0; f <= sum->families.n; f++) {
            const char *family = f < sum->families.n ? sum->families.text[f] : "all families";
            sheet_cell(&s, e, "%s", family);
            for (int64_t c = 0; c < p.cols.n; c++) {
                struct tally t = pivot_at(&p, family, p.cols.text[c]);
                if (t.n == 0 && has_absent(sum, f < sum->families.n ? family : NULL, p.cols.text[c]))
                    sheet_cell(&s, e, "not measured");
                else
                    put_tally(&s, t, 100, e);
            }
        }
        page_sheet(sum, md, &s, e);
    }
}

static void section_tolerance(struct summary *sum, struct text *md, struct err *e)
{
    page_section(
        sum, md, "Sparsity by tolerance",
        "How small a change may be and still count as none is a choice; this section shows what it decides.",
        e);
    int said = 0;
    for (int m = 0; m < sum->nmeasures && e->code == ERR_OK; m++) {
        const char *node = sum->measures[m].node;
        int earlier = 0;
        for (int k = 0; k < m; k++)
            earlier += strcmp(sum->measures[k].node, node) == 0;
        if (sum->measures[m].alone || earlier)
            continue;
        struct pivot p;
        struct sheet s;
        pivot_init(&p, sum->a);
        sheet_init(&s, sum->a);
        sheet_column(&s, 'l', e, summary_is_detailed(sum) ? "cell" : "algorithm");
        for (int k = m; k < sum->nmeasures; k++) {
            const struct measure *x = &sum->measures[k];
            char tolerance[32];
            if (strcmp(x->node, node) != 0)
                continue;
            if (strcmp(x->criterion, "bits") == 0)
                sheet_column(&s, 'r', e, "bits");
            else
                sheet_column(&s, 'r', e, "%s%s", strcmp(x->criterion, "relative") == 0 ? "relative " : "",
                             real_short(x->tolerance, tolerance, sizeof tolerance));
            for (int64_t i = 0; i < sum->cells.nrows; i++) {
                const char *cell = table_text(&sum->cells, i, "cell");
                struct tally t = pivot_at(&sum->sparsity, cell, x->key);
                if (summary_is_measured(sum, i))
                    pivot_add(&p, summary_row_of(sum, cell), x->key, tally_mean(&t), e);
            }
        }
        for (int64_t row = 0; row < p.rows.n; row++) {
            sheet_cell(&s, e, "%s", p.rows.text[row]);
            for (int64_t c = 0; c < p.cols.n; c++)
                put_tally(&s, pivot_at(&p, p.rows.text[row], p.cols.text[c]), 100, e);
        }
        text_add(md, e,
                 "Counted by %s, in percent; a parameter is updated where |difference| is above the "
                 "tolerance.\n\n",
                 node);
        page_sheet(sum, md, &s, e);
        said = 1;
    }
    if (!said)
        text_add(md, e, "Not measured: no node of the study counts at several tolerances.\n\n");
}

/* A pivot as it is: row keys by column keys, means in percent. */
static void put_pivot(struct summary *sum, struct text *md, struct pivot *p, const char *title, struct err *e)
{
    struct sheet s;
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "%s", title);
    for (int64_t c = 0; c < p->cols.n; c++)
        sheet_column(&s, 'r', e, "%s", p->cols.text[c]);
    for (int64_t row = 0; row < p->rows.n; row++) {
        sheet_cell(&s, e, "%s", p->rows.text[row]);
        for (int64_t c = 0; c < p->cols.n; c++)
            page_mean(&s, pivot_at(p, p->rows.text[row], p->cols.text[c]), 100, 2, e);
    }
    page_sheet(sum, md, &s, e);
}

static void section_layers(struct summary *sum, struct text *md, struct err *e)
{
    static const char *const columns[] = {"per cell", "mean over the cells of each algorithm",
                                          "mean over the cells of each family", "mean over all cells"};
    const char *what = columns[summary_columns(sum)];
    page_section(sum, md, "Sparsity by layer",
                 "A model is a stack of layers, each with the same kinds of weight matrices (modules). Is "
                 "the change in some of them only?",
                 e);
    if (sum->layers.rows.n == 0) {
        text_add(md, e, "Not measured: the study has no mask.\n\n");
    } else {
        text_add(md, e, "Node %s, %s, in percent. Embeddings, final norm and head have no layer.\n\n",
                 sum->layer_nodes.text[0], what);
        pivot_sort_rows(&sum->layers);
        put_pivot(sum, md, &sum->layers, "layer", e);
    }
    if (sum->density.rows.n > 0) {
        struct tally all = {0};
        for (int64_t row = 0; row < sum->density.rows.n; row++)
            for (int64_t c = 0; c < sum->density.cols.n; c++) {
                struct tally t =
                    pivot_at(&sum->density, sum->density.rows.text[row], sum->density.cols.text[c]);
                tally_add(&all, tally_mean(&t));
            }
        text_add(md, e,
                 "The published script's layer figure, the share of non-zero differences with each tensor of "
                 "a layer weighing\n"
                 "the same, is %.2f %% in the mean layer (%.2f to %.2f %% by layer and column); layers.csv "
                 "has it as\n"
                 "mean_tensor_density of node %s.\n\n",
                 page_percent(tally_mean(&all)), page_percent(all.least), page_percent(all.greatest),
                 sum->density_nodes.text[0]);
    }
    page_section(sum, md, "Sparsity by module", "", e);
    if (sum->modules.rows.n == 0) {
        text_add(md, e, "Not measured: the study has no mask.\n\n");
        return;
    }
    text_add(md, e, "Node %s, over all layers, %s, in percent.\n\n", sum->layer_nodes.text[0], what);
    pivot_sort_rows(&sum->modules);
    put_pivot(sum, md, &sum->modules, "module", e);
}

/* Statistics of a rank node over the matrices of one cell, or means of those over the cells of an algorithm.
 */
static void section_rank(struct summary *sum, struct text *md, struct err *e)
{
    static const char *const columns[] = {"percent", "full", "zero", "ambiguous", "stable", "effective"};
    int published = summary_is_detailed(sum) &&
                    (summary_has_published(sum, "rank") || summary_has_published(sum, "rank_percent"));
    page_section(sum, md, "Rank of the updates",
                 "An update may touch few parameters and still change a matrix in every independent "
                 "direction: its rank tells.",
                 e);
    if (sum->rank_nodes.n == 0)
        text_add(md, e, "Not measured: the study has no rank.\n\n");
    for (int64_t node = 0; node < sum->rank_nodes.n && e->code == ERR_OK; node++) {
        const char *name = sum->rank_nodes.text[node];
        struct pivot p;
        struct sheet s;
        pivot_init(&p, sum->a);
        for (int64_t i = 0; i < sum->cells.nrows; i++) {
            const char *cell = table_text(&sum->cells, i, "cell"), *row = summary_row_of(sum, cell);
            struct tally first = summary_rank_of(sum, name, cell, columns[0], e);
            if (first.n == 0)
                continue;
            pivot_add(&p, row, "matrices", (double)first.n, e);
            for (int c = 0; c < 6; c++) {
                struct tally t = summary_rank_of(sum, name, cell, columns[c], e);
                int counted = c >= 1 && c <= 3;
                pivot_add(&p, row, columns[c], counted ? t.sum : tally_mean(&t), e);
            }
            pivot_add(&p, row, "least", first.least, e);
        }
        sheet_init(&s, sum->a);
        sheet_column(&s, 'l', e, summary_is_detailed(sum) ? "cell" : "algorithm");
        sheet_column(&s, 'r', e, "matrices");
        sheet_column(&s, 'r', e, "rank %%");
        sheet_column(&s, 'r', e, "least rank %%");
        sheet_column(&s, 'r', e, "full rank");
        sheet_column(&s, 'r', e, "zero updates");
        sheet_column(&s, 'r', e, "ambiguous");
        sheet_column(&s, 'r', e, "stable rank");
        sheet_column(&s, 'r', e, "effective rank");
        if (published)
            sheet_column(&s, 'r', e, "published %%");
        for (int64_t row = 0; row < p.rows.n; row++) {
            const char *key = p.rows.text[row];
            sheet_cell(&s, e, "%s", key);
            sheet_count(&s, (int64_t)pivot_at(&p, key, "matrices").sum, e);
            put_tally(&s, pivot_at(&p, key, "percent"), 1, e);
            sheet_real(&s, pivot_at(&p, key, "least").least, 2, e);
            sheet_count(&s, (int64_t)pivot_at(&p, key, "full").sum, e);
            sheet_count(&s, (int64_t)pivot_at(&p, key, "zero").sum, e);
            sheet_count(&s, (int64_t)pivot_at(&p, key, "ambiguous").sum, e);
            page_mean(&s, pivot_at(&p, key, "stable"), 1, 2, e);
            page_mean(&s, pivot_at(&p, key, "effective"), 1, 2, e);
            if (published)
                sheet_cell(&s, e, "%s",
                           summary_published_of(
                               sum, key, summary_has_published(sum, "rank") ? "rank" : "rank_percent", e));
        }
        text_add(md, e,
                 "Node %s. Rank is the mean over matrices of the numerical rank as a share of min(rows, "
                 "columns); zero updates have\n"
                 "rank 0 and count. Ambiguous: a singular value is so near the tolerance that float32 may "
                 "count it otherwise.\n\n",
                 name);
        page_sheet(sum, md, &s, e);
    }
}

static const struct {
    const char *column, *title;
    double scale;
    int decimals;
} entropy_columns[] = {
    {"mean", "mean", 1, 4},
    {"median", "median", 1, 4},
    {"p80", "p80", 1, 4},
    {"share_below_001", "below 0.01 %", 100, 2},
    {"threshold", "forking from", 1, 4},
    {"forking", "forking %", 100, 2},
};
enum { ENTROPY_COLUMNS = sizeof entropy_columns / sizeof *entropy_columns };

static void section_entropy(struct summary *sum, struct text *md, struct err *e)
{
    page_section(sum, md, "Token entropy",
                 "Where a model writes text, its entropy at each token says how open the choice was: 0 nats "
                 "is certainty.",
                 e);
    if (sum->entropy.nrows == 0)
        text_add(md, e, "Not measured: the study has no token-entropy, or its cells name no logits.\n\n");
    for (int64_t node = 0; node < sum->entropy_nodes.n && e->code == ERR_OK; node++) {
        struct pivot p;
        struct sheet s;
        double temperature = NAN;
        pivot_init(&p, sum->a);
        for (int64_t i = 0; i < sum->entropy.nrows; i++) {
            if (strcmp(table_text(&sum->entropy, i, "node"), sum->entropy_nodes.text[node]) != 0)
                continue;
            int64_t tokens = table_int(&sum->entropy, i, "tokens");
            const char *key = summary_join(sum, summary_row_of(sum, table_text(&sum->entropy, i, "cell")),
                                           table_text(&sum->entropy, i, "policy"), e);
            temperature = table_real(&sum->entropy, i, "temperature");
            pivot_add(&p, key, "tokens", (double)tokens, e);
            for (int c = 0; c < ENTROPY_COLUMNS - 1; c++)
                pivot_add(&p, key, entropy_columns[c].column,
                          table_real(&sum->entropy, i, entropy_columns[c].column), e);
            pivot_add(
                &p, key, "forking",
                tokens > 0 ? (double)table_int(&sum->entropy, i, "forking_tokens") / (double)tokens : NAN, e);
        }
        sheet_init(&s, sum->a);
        sheet_column(&s, 'l', e, summary_is_detailed(sum) ? "cell" : "algorithm");
        sheet_column(&s, 'l', e, "policy");
        sheet_column(&s, 'r', e, "tokens");
        for (int c = 0; c < ENTROPY_COLUMNS; c++)
            sheet_column(&s, 'r', e, "%s", entropy_columns[c].title);
        for (int64_t row = 0; row < p.rows.n; row++) {
            const char *key = p.rows.text[row];
            sheet_cell(&s, e, "%s", summary_piece(sum, key, 0, e));
            sheet_cell(&s, e, "%s", summary_piece(sum, key, 1, e));
            sheet_count(&s, (int64_t)pivot_at(&p, key, "tokens").sum, e);
            for (int c = 0; c < ENTROPY_COLUMNS; c++)
                page_mean(&s, pivot_at(&p, key, entropy_columns[c].column), entropy_columns[c].scale,
                          entropy_columns[c].decimals, e);
        }
        text_add(md, e,
                 "Node %s, in nats at temperature %g%s. Forking tokens are those of highest entropy; "
                 "token_ids.csv has the mean per\n"
                 "token id, entropy_quantiles.csv the quantiles.\n\n",
                 sum->entropy_nodes.text[node], temperature,
                 summary_is_detailed(sum) ? "" : ", mean over cells");
        page_sheet(sum, md, &s, e);
    }
}

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

/* A figure that the config gives beside several seeds is shown once, beside their mean. */
static void section_published(struct summary *sum, struct text *md, struct err *e)
{
    struct sheet s;
    page_section(sum, md, "Published figures", "", e);
    const struct table *t = &sum->published;
    if (t->nrows == 0) {
        text_add(md, e, "The config gives none.\n\n");
        return;
    }
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "cell");
    sheet_column(&s, 'l', e, "quantity");
    sheet_column(&s, 'r', e, "published %%");
    sheet_column(&s, 'r', e, "measured %%");
    sheet_column(&s, 'l', e, "source");
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        const char *quantity = table_text(t, i, "quantity"), *cell = table_text(t, i, "cell");
        struct tally measured = {0};
        int64_t earlier = 0, more = 0, absent = 1;
        for (int64_t k = 0; k < i && !earlier; k++)
            earlier = is_repeated(sum, i, k);
        if (earlier)
            continue;
        for (int64_t k = i; k < t->nrows; k++) {
            if (k > i && !is_repeated(sum, i, k))
                continue;
            const char *other = table_text(t, k, "cell");
            int64_t row = keys_find(&sum->cell_keys, other);
            more += strcmp(other, cell) != 0;
            absent &= row >= 0 && !summary_is_measured(sum, row);
            tally_add(&measured, summary_measured(sum, quantity, other, e));
        }
        if (more > 0)
            sheet_cell(&s, e, "%s and %lld more %s", cell, (long long)more, more == 1 ? "seed" : "seeds");
        else
            sheet_cell(&s, e, "%s", cell);
        sheet_cell(&s, e, "%s", quantity);
        sheet_real(&s, summary_percent(table_real(t, i, "value")), 2, e);
        if (absent)
            sheet_cell(&s, e, "not measured");
        else
            sheet_real(&s, tally_mean(&measured), 2, e);
        sheet_cell(&s, e, "%s", table_text(t, i, "source"));
        arena_reset(sum->scratch);
    }
    page_sheet(sum, md, &s, e);
}

static void section_skipped(struct summary *sum, struct text *md, struct err *e)
{
    struct sheet s;
    page_section(sum, md, "Left out", "", e);
    if (sum->skipped.rows.n == 0) {
        text_add(md, e, "Nothing: every stage took every tensor.\n\n");
        return;
    }
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
    text_add(
        md, e,
        "Each row of skipped.csv is one tensor of one cell that a stage did not take, or a whole cell that "
        "was not measured,\n"
        "with the reason; here reasons that differ only in a tensor's name or in sizes are one.\n\n");
    page_sheet(sum, md, &s, e);
}

/* ---- pages ---- */

err_t page_sparsity(struct summary *sum, const struct sheet *cells, int markdown, struct text *out,
                    struct err *e)
{
    text_add(out, e, "%sUpdate sparsity of study %s\n\n", markdown ? "# " : "", sum->study);
    if (sum->simulated[0])
        text_add(out, e,
                 markdown ? "> **SIMULATED.** Weights of this study are made up (%s).\n\n"
                          : "SIMULATED: weights of this study are made up (%s).\n\n",
                 sum->simulated);
    absent_note(sum, markdown, out, e);
    if (markdown)
        sheet_markdown(cells, out, e);
    else
        sheet_plain(cells, out, e);
    text_add(out, e, "\n");
    say_measures(sum, out, e);
    simulated_note(sum, out, e);
    return e->code;
}

err_t page_report(struct summary *sum, const struct sheet *cells, struct text *md, struct err *e)
{
    section_head(sum, md, e);
    section_sparsity(sum, md, cells, e);
    section_tolerance(sum, md, e);
    section_layers(sum, md, e);
    page_weights(sum, md, e);
    section_rank(sum, md, e);
    page_overlap(sum, md, e);
    page_consensus(sum, md, e);
    page_dynamics(sum, md, e);
    section_entropy(sum, md, e);
    section_published(sum, md, e);
    section_skipped(sum, md, e);
    return e->code;
}
