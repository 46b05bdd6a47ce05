#include "report/summary.h"

#include "report/sheet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- cells and groups ---- */

/* A column of the cell's row in table cells; "" for a cell that the table lacks. */
const char *summary_cell_text(struct summary *sum, const char *cell, const char *column)
{
    return table_text(&sum->cells, keys_find(&sum->cell_keys, cell), column);
}

int summary_is_measured(struct summary *sum, int64_t row)
{
    return table_int(&sum->cells, row, "parameters") != 0 ||
           keys_find(&sum->absent, table_text(&sum->cells, row, "cell")) < 0;
}

int64_t summary_absent(struct summary *sum)
{
    int64_t n = 0;
    for (int64_t i = 0; i < sum->cells.nrows; i++)
        n += !summary_is_measured(sum, i);
    return n;
}

int summary_is_detailed(const struct summary *sum)
{
    return sum->cells.nrows <= sum->detail;
}

/* The row of a page table that a cell belongs to. */
const char *summary_row_of(struct summary *sum, const char *cell)
{
    return summary_is_detailed(sum) ? cell : summary_cell_text(sum, cell, "algorithm");
}

enum summary_columns summary_columns(const struct summary *sum)
{
    if (sum->cells.nrows <= SUMMARY_COLUMN_CELLS)
        return COLUMNS_CELLS;
    if (sum->families.n == 1 && sum->algorithms.n <= SUMMARY_COLUMN_NAMES)
        return COLUMNS_ALGORITHMS;
    return sum->families.n <= SUMMARY_COLUMN_NAMES ? COLUMNS_FAMILIES : COLUMNS_ALL;
}

/* The column of a layer or module table that a cell belongs to. */
static const char *column_of(struct summary *sum, const char *cell)
{
    switch (summary_columns(sum)) {
    case COLUMNS_CELLS:
        return cell;
    case COLUMNS_ALGORITHMS:
        return summary_cell_text(sum, cell, "algorithm");
    case COLUMNS_FAMILIES:
        return summary_cell_text(sum, cell, "family");
    default:
        return "all cells";
    }
}

/* Is the node the one whose layers and modules pages show: the first mask, or the first of all where there is
 * no mask? */
static int is_shown(struct summary *sum, const char *node, struct err *e)
{
    int first = summary_first_headline(sum);
    if (first >= 0 && sum->measures[first].alone)
        return strcmp(sum->measures[first].node, node) == 0 && keys_add(&sum->layer_nodes, node, e) == 0;
    return keys_add(&sum->layer_nodes, node, e) == 0;
}

/* Texts joined by tabs are group keys: names hold no tabs. */
const char *summary_join(struct summary *sum, const char *x, const char *y, struct err *e)
{
    const char *key = arena_printf(sum->scratch, e, "%s\t%s", x, y);
    return key ? key : "";
}

/* Piece i of such a key. */
const char *summary_piece(struct summary *sum, const char *key, int i, struct err *e)
{
    while (i-- > 0 && strchr(key, '\t'))
        key = strchr(key, '\t') + 1;
    const char *text = arena_strndup(sum->a, key, strcspn(key, "\t"), e);
    return text ? text : "";
}

/* Bytes of the folders that all bases have in common, which say nothing. */
static size_t shared_folders(const struct summary *sum)
{
    const char *first = sum->bases.text[0];
    size_t same = strlen(first);
    for (int64_t i = 1; i < sum->bases.n; i++) {
        size_t k = 0;
        while (k < same && sum->bases.text[i][k] == first[k])
            k++;
        same = k;
    }
    while (same > 0 && first[same - 1] != '/')
        same--;
    return same;
}

/* Labels of all bases: the base's first family where that has no other base, else its path. */
static err_t label_bases(struct summary *sum, struct err *e)
{
    struct keys *families = &sum->families, *bases = &sum->bases;
    int64_t *base_of, *family_of;
    size_t shared = bases->n > 0 ? shared_folders(sum) : 0;
    TRY(arena_array(sum->a, "summary.labels", bases->n, &family_of, e));
    TRY(arena_array(sum->a, "summary.labels", families->n, &base_of, e));
    TRY(arena_array(sum->a, "summary.labels", bases->n, &sum->base_labels, e));
    for (int64_t i = sum->cells.nrows - 1; i >= 0; i--) { /* in the end each base has its first family */
        int64_t f = keys_find(families, table_text(&sum->cells, i, "family"));
        int64_t b = keys_find(bases, table_text(&sum->cells, i, "base"));
        if (f < 0 || b < 0)
            continue;
        family_of[b] = f;
        base_of[f] = base_of[f] == 0 || base_of[f] == b + 1 ? b + 1 : -1;
    }
    for (int64_t b = 0; b < bases->n; b++)
        sum->base_labels[b] =
            base_of[family_of[b]] > 0 ? families->text[family_of[b]] : bases->text[b] + shared;
    return ERR_OK;
}

const char *summary_base_label(struct summary *sum, const char *base)
{
    struct err full;
    err_clear(&full);
    if (!sum->base_labels && label_bases(sum, &full) != ERR_OK)
        return base;
    int64_t b = keys_find(&sum->bases, base);
    return b >= 0 ? sum->base_labels[b] : base;
}

/* ---- what each table contributes, range by range ---- */

static void take_cells(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows; i++) {
        char number[24];
        keys_add(&sum->cell_keys, table_text(t, i, "cell"), e);
        keys_add(&sum->families, table_text(t, i, "family"), e);
        keys_add(&sum->algorithms, table_text(t, i, "algorithm"), e);
        keys_add(&sum->bases, table_text(t, i, "base"), e);
        snprintf(number, sizeof number, "%lld", (long long)table_int(t, i, "seed"));
        keys_add(&sum->seeds, number, e);
        if (table_text(t, i, "data")[0])
            keys_add(&sum->data, table_text(t, i, "data"), e);
        snprintf(number, sizeof number, "%lld", (long long)table_int(t, i, "step"));
        if (table_int(t, i, "step") >= 0)
            keys_add(&sum->steps, number, e);
    }
}

static void take_sparsity(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(t, i, "cell");
        struct measure m = {.node = table_text(t, i, "node"),
                            .criterion = table_text(t, i, "criterion"),
                            .tolerance = table_real(t, i, "tolerance"),
                            .alone = 1};
        m.key = arena_printf(sum->scratch, e, "%s\t%s\t%.17g", m.node, m.criterion, m.tolerance);
        if (!m.key)
            return;
        int known = 0;
        while (known < sum->nmeasures && strcmp(sum->measures[known].key, m.key) != 0)
            known++;
        if (known == SUMMARY_MEASURES)
            continue; /* stands in the CSV file */
        if (known == sum->nmeasures) {
            m.key = arena_strdup(sum->a, m.key, e);
            m.node = m.key ? arena_strdup(sum->a, m.node, e) : NULL;
            m.criterion = m.node ? arena_strdup(sum->a, m.criterion, e) : NULL;
            if (!m.criterion)
                return;
            for (int k = 0; k < sum->nmeasures; k++)
                if (strcmp(sum->measures[k].node, m.node) == 0)
                    sum->measures[k].alone = m.alone = 0;
            sum->measures[sum->nmeasures++] = m;
        }
        pivot_add(&sum->sparsity, cell, m.key, table_real(t, i, "sparsity"), e);
        pivot_add(&sum->updated, cell, m.key, (double)table_int(t, i, "updated"), e);
    }
}

static void take_layers(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows; i++) {
        const char *node = table_text(t, i, "node"), *stack = table_text(t, i, "stack");
        const char *layer = arena_printf(sum->scratch, e, "%s%s%lld", stack, stack[0] ? " " : "",
                                         (long long)table_int(t, i, "layer"));
        if (!layer)
            return;
        const char *column = column_of(sum, table_text(t, i, "cell"));
        if (is_shown(sum, node, e))
            pivot_add(&sum->layers, layer, column, table_real(t, i, "sparsity"), e);
        int curve = 0; /* delta: its layers count what is not zero */
        for (int m = 0; m < sum->nmeasures; m++)
            curve |= !sum->measures[m].alone && strcmp(sum->measures[m].node, node) == 0;
        if (curve && keys_add(&sum->density_nodes, node, e) == 0)
            pivot_add(&sum->density, layer, column, table_real(t, i, "mean_tensor_density"), e);
    }
}

static void take_modules(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows; i++) {
        const char *node = table_text(t, i, "node"), *module = table_text(t, i, "module"),
                   *column = column_of(sum, table_text(t, i, "cell"));
        double norm = table_real(t, i, "relative_norm");
        if (is_shown(sum, node, e))
            pivot_add(&sum->modules, module, column, table_real(t, i, "sparsity"), e);
        if (!isnan(norm) && keys_add(&sum->norm_nodes, node, e) == 0) /* a mask has none */
            pivot_add(&sum->module_norms, module, column, norm, e);
    }
}

enum { LEAST_ELEMENTS = 1000 }; /* of a tensor that counts in published means */

static void take_tensors(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows; i++)
        if (table_int(t, i, "parameters") >= LEAST_ELEMENTS)
            pivot_add(&sum->norms, table_text(t, i, "cell"), "relative", table_real(t, i, "relative_norm"),
                      e);
}

static void take_rank(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        keys_add(&sum->rank_nodes, table_text(t, i, "node"), e);
        const char *row = summary_join(sum, table_text(t, i, "node"), table_text(t, i, "cell"), e);
        int64_t matrix_rank = table_int(t, i, "matrix_rank");
        pivot_add(&sum->rank, row, "percent", table_real(t, i, "rank_percent"), e);
        pivot_add(&sum->rank, row, "full", matrix_rank == table_int(t, i, "max_rank"), e);
        pivot_add(&sum->rank, row, "zero", table_real(t, i, "sigma_max") == 0, e);
        pivot_add(&sum->rank, row, "ambiguous", table_int(t, i, "ambiguous") != 0, e);
        pivot_add(&sum->rank, row, "stable", table_real(t, i, "stable_rank"), e);
        pivot_add(&sum->rank, row, "effective", table_real(t, i, "effective_rank"), e);
        if (table_int(t, i, "rows") * table_int(t, i, "cols") >= LEAST_ELEMENTS &&
            table_real(t, i, "sigma_max") > 0) {
            pivot_add(&sum->rank, row, "moved", table_real(t, i, "effective_rank"), e);
            pivot_add(&sum->rank, row, "top20", table_real(t, i, "top20_energy"), e);
        }
    }
}

const char *const summary_overlaps[SUMMARY_OVERLAPS] = {"o1",         "o2",         "jaccard",
                                                        "random_o1",  "random_o2",  "random_jaccard",
                                                        "matched_o1", "matched_o2", "matched_jaccard"};

/* swap: the pair the other way round, o1 for o2 in each of the three groups of columns. */
static void add_overlap(struct pivot *p, const char *row, const struct table *t, int64_t i, int swap,
                        struct err *e)
{
    for (int c = 0; c < SUMMARY_OVERLAPS; c++) {
        int from = !swap || c % 3 == 2 ? c : c % 3 == 0 ? c + 1 : c - 1;
        pivot_add(p, row, summary_overlaps[c], table_real(t, i, summary_overlaps[from]), e);
    }
    pivot_add(p, row, "pairs", 1, e);
}

static void take_overlap(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        const char *node = table_text(t, i, "node"), *scope = table_text(t, i, "scope");
        int64_t nth = keys_add(&sum->overlap_nodes, node, e);
        if (strncmp(scope, "module:", 7) == 0 && nth == 0)
            add_overlap(&sum->by_scope, scope + 7, t, i, 0, e);
        if (strcmp(scope, "model") != 0)
            continue;
        const char *varies = table_text(t, i, "varies"), *key = summary_join(sum, node, varies, e);
        add_overlap(&sum->by_varies, key, t, i, 0, e);
        key = summary_join(
            sum, node, summary_join(sum, summary_base_label(sum, table_text(t, i, "base")), varies, e), e);
        add_overlap(&sum->by_base, key, t, i, 0, e);
        if (nth == 0 && sum->algorithms.n <= SUMMARY_ALGORITHMS) {
            const char *one = summary_cell_text(sum, table_text(t, i, "cell_1"), "algorithm");
            const char *two = summary_cell_text(sum, table_text(t, i, "cell_2"), "algorithm");
            int swap = keys_find(&sum->algorithms, one) > keys_find(&sum->algorithms, two);
            add_overlap(&sum->by_algorithms, summary_join(sum, swap ? two : one, swap ? one : two, e), t, i,
                        swap, e);
        }
        if (sum->npairs++ < SUMMARY_PAIRS)
            table_add_row(&sum->pairs, t, i, e);
    }
}

static void take_consensus(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows; i++) {
        const char *base = table_text(t, i, "base");
        char k[24];
        if (strcmp(table_text(t, i, "scope"), "model") != 0 ||
            keys_add(&sum->consensus_nodes, table_text(t, i, "node"), e) != 0)
            continue;
        snprintf(k, sizeof k, "%lld", (long long)table_int(t, i, "k"));
        pivot_add(&sum->consensus_k, k, "seen", 1, e);
        pivot_add(&sum->consensus, summary_join(sum, base, k, e), "updated",
                  (double)table_int(t, i, "updated_in_at_least_k"), e);
        pivot_add(&sum->consensus_cells, base, "cells", (double)table_int(t, i, "cells"), e);
    }
}

static void take_entropy(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows; i++)
        keys_add(&sum->entropy_nodes, table_text(t, i, "node"), e);
}

/* Rows of a cell are linked: there may be one for every cell. first: number of t's first row. */
static void take_published(struct summary *sum, const struct table *t, struct err *e)
{
    int64_t first = sum->published.nrows - t->nrows;
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        int64_t known = sum->published_cells.n,
                c = keys_add(&sum->published_cells, table_text(t, i, "cell"), e);
        if (c < 0 ||
            arena_grow(sum->a, "summary.published", c + 1, &sum->cap_published, &sum->published_at, e) !=
                ERR_OK ||
            arena_grow(sum->a, "summary.published", first + i + 1, &sum->cap_next, &sum->published_next, e) !=
                ERR_OK)
            return;
        if (c == known) {
            sum->published_at[c] = first + i;
            continue;
        }
        int64_t last = sum->published_at[c];
        while (sum->published_next[last] > 0)
            last = sum->published_next[last];
        sum->published_next[last] = first + i;
    }
}

int64_t summary_published_first(struct summary *sum, const char *cell)
{
    int64_t c = keys_find(&sum->published_cells, cell);
    return c >= 0 ? sum->published_at[c] : -1;
}

int64_t summary_published_next(const struct summary *sum, int64_t row)
{
    return sum->published_next[row] > 0 ? sum->published_next[row] : -1;
}

double summary_covered(const struct summary *sum, int64_t row)
{
    double have = 0, lack = 0;
    for (int64_t i = row < 0 ? 0 : row; i < (row < 0 ? sum->cells.nrows : row + 1); i++) {
        have += (double)table_int(&sum->cells, i, "parameters");
        lack += (double)table_int(&sum->cells, i, "skipped_parameters");
    }
    return lack > 0 ? have / (have + lack) : 1;
}

/* Reasons that name a tensor, or sizes: how they begin, and the kind they are. A model has them by thousands.
 */
static const struct {
    const char *begins, *kind;
} reason_kinds[] = {
    {"scale of ", "scales of FP8 tensors, used with them"},
    {"packed: ", "packed in other ways on the two sides, and compared"},
    {"tied to ", "tied to an embedding on the other side"},
    {"only in the base checkpoint, renamed", "only in the base checkpoint, renamed"},
    {"only in the tuned checkpoint, renamed", "only in the tuned checkpoint, renamed"},
    {"shape ", "another shape in the tuned checkpoint"},
};

/* A reason without what differs from tensor to tensor. "rows 5..9 only in tuned" is of the rows' side. */
static const char *reason_kind(const char *reason)
{
    for (size_t i = 0; i < sizeof reason_kinds / sizeof *reason_kinds; i++)
        if (strncmp(reason, reason_kinds[i].begins, strlen(reason_kinds[i].begins)) == 0)
            return reason_kinds[i].kind;
    const char *only = strncmp(reason, "rows ", 5) == 0 ? strstr(reason, " only in ") : NULL;
    if (only)
        return strcmp(only, " only in base") == 0 ? "rows only in the base checkpoint"
                                                  : "rows only in the tuned checkpoint";
    return reason;
}

static void take_skipped(struct summary *sum, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        static const char absent[] = "not measured";
        const char *reason = table_text(t, i, "reason"),
                   *row = summary_join(sum, table_text(t, i, "node"), reason_kind(reason), e);
        if (strncmp(reason, absent, sizeof absent - 1) == 0) { /* a whole cell, "not measured: why" */
            const char *why = reason + sizeof absent - 1;
            why += strspn(why, ": ");
            if (sum->absent.n > 0 && strcmp(sum->why_absent, why) != 0)
                sum->why_absent = "";
            else if (sum->absent.n == 0 && !(sum->why_absent = arena_strdup(sum->a, why, e)))
                sum->why_absent = "";
            keys_add(&sum->absent, table_text(t, i, "cell"), e);
        }
        if (keys_find(&sum->skipped.rows, row) < 0 && sum->skipped.rows.n >= SUMMARY_REASONS)
            row = "several\tother reasons, see skipped.csv";
        pivot_add(&sum->skipped, row, "parameters", (double)table_int(t, i, "parameters"), e);
    }
}

/* Masks are nodes with one criterion and tolerance; a study without a mask shows what delta counted at 1e-5.
 */
int summary_is_headline(const struct summary *sum, int m)
{
    for (int i = 0; i < sum->nmeasures; i++)
        if (sum->measures[i].alone)
            return sum->measures[m].alone;
    return fabs(sum->measures[m].tolerance - 1e-5) < 1e-9;
}

int summary_first_headline(const struct summary *sum)
{
    for (int m = 0; m < sum->nmeasures; m++)
        if (summary_is_headline(sum, m))
            return m;
    return sum->nmeasures > 0 ? 0 : -1;
}

/* "at 1e-05", "bits", "relative 0.001"; the node too where several have figures. */
const char *summary_measure_title(struct summary *sum, int m, struct err *e)
{
    const struct measure *x = &sum->measures[m];
    int several = 0;
    for (int i = 0; i < sum->nmeasures; i++)
        several += i != m && summary_is_headline(sum, i) && sum->measures[i].tolerance == x->tolerance &&
                   strcmp(sum->measures[i].criterion, x->criterion) == 0;
    const char *node = several ? x->node : "", *gap = several ? ": " : "";
    char tolerance[32];
    real_short(x->tolerance, tolerance, sizeof tolerance);
    const char *title = strcmp(x->criterion, "bits") == 0 ? arena_printf(sum->a, e, "%s%sbits", node, gap)
                        : strcmp(x->criterion, "absolute") == 0
                            ? arena_printf(sum->a, e, "%s%sat %s", node, gap, tolerance)
                            : arena_printf(sum->a, e, "%s%s%s %s", node, gap, x->criterion, tolerance);
    return title ? title : "";
}

/* Counts a published figure among the percents: shares are given as 0.814 or as 81.4. */
double summary_percent(double x)
{
    return fabs(x) <= 1 ? 100 * x : x;
}

/* The published figures of a cell, "86.50 / 76.42" where sources differ; "-" where there is none. */
const char *summary_published_of(struct summary *sum, const char *cell, const char *quantity, struct err *e)
{
    const char *all = "";
    for (int64_t i = summary_published_first(sum, cell); i >= 0 && all; i = summary_published_next(sum, i)) {
        char figure[32];
        if (strcmp(table_text(&sum->published, i, "quantity"), quantity) != 0)
            continue;
        double value = table_real(&sum->published, i, "value");
        if (summary_is_share(quantity))
            snprintf(figure, sizeof figure, "%.2f", summary_percent(value));
        else
            snprintf(figure, sizeof figure, "%.5g", value);
        if (!strstr(all, figure)) /* sources may agree */
            all = arena_printf(sum->a, e, "%s%s%s", all, *all ? " / " : "", figure);
    }
    return all && *all ? all : "-";
}

int summary_has_published(struct summary *sum, const char *quantity)
{
    for (int64_t i = 0; i < sum->published.nrows; i++)
        if (strcmp(table_text(&sum->published, i, "quantity"), quantity) == 0)
            return 1;
    return 0;
}

struct tally summary_rank_of(struct summary *sum, const char *node, const char *cell, const char *statistic,
                             struct err *e)
{
    return pivot_at(&sum->rank, summary_join(sum, node, cell, e), statistic);
}

int summary_is_share(const char *quantity)
{
    return strcmp(quantity, "relative_norm") != 0 && strcmp(quantity, "effective_rank") != 0;
}

/* The measure that a published sparsity is of; -1 where there is none. "sparsity": what the study's own
 * headline is; "sparsity_1e-8", "sparsity_relative_1e-3": of a criterion and its tolerance. */
static int measure_of(const struct summary *sum, const char *quantity)
{
    static const char relative[] = "_relative_";
    const char *of = quantity + strlen("sparsity");
    const int is_relative = strncmp(of, relative, sizeof relative - 1) == 0;
    const char *criterion = is_relative ? "relative" : "absolute";
    const char *digit = strpbrk(of, "0123456789");
    if (!digit)
        return summary_first_headline(sum);
    const double tolerance = strtod(digit, NULL);
    for (int m = 0; m < sum->nmeasures; m++)
        if (strcmp(sum->measures[m].criterion, criterion) == 0 &&
            fabs(sum->measures[m].tolerance - tolerance) <= 1e-9 * tolerance)
            return m;
    return -1;
}

double summary_measured(struct summary *sum, const char *quantity, const char *cell, struct err *e)
{
    struct tally t = {0};
    double scale = 1;
    const char *node = sum->rank_nodes.n > 0 ? sum->rank_nodes.text[0] : NULL;
    if (strncmp(quantity, "sparsity", 8) == 0) {
        const int measure = measure_of(sum, quantity);
        scale = 100;
        if (measure >= 0)
            t = pivot_at(&sum->sparsity, cell, sum->measures[measure].key);
    } else if (strcmp(quantity, "relative_norm") == 0)
        t = pivot_at(&sum->norms, cell, "relative");
    else if (node && strncmp(quantity, "rank", 4) == 0)
        t = summary_rank_of(sum, node, cell, "percent", e);
    else if (node && strcmp(quantity, "effective_rank") == 0)
        t = summary_rank_of(sum, node, cell, "moved", e);
    else if (node && strcmp(quantity, "top20_energy") == 0) {
        scale = 100;
        t = summary_rank_of(sum, node, cell, "top20", e);
    }
    return scale * tally_mean(&t);
}

void summary_init(struct summary *sum, struct arena *a, struct arena *scratch, int64_t detail)
{
    *sum = (struct summary){.a = a,
                            .scratch = scratch,
                            .why_absent = "",
                            .detail = detail,
                            .study = "",
                            .simulated = "",
                            .notes = "",
                            .created = "",
                            .version = ""};
    struct keys *const keys[] = {&sum->cell_keys,       &sum->families,      &sum->algorithms,
                                 &sum->seeds,           &sum->data,          &sum->steps,
                                 &sum->bases,           &sum->layer_nodes,   &sum->density_nodes,
                                 &sum->rank_nodes,      &sum->overlap_nodes, &sum->entropy_nodes,
                                 &sum->consensus_nodes, &sum->absent,        &sum->published_cells,
                                 &sum->norm_nodes};
    struct pivot *const pivots[] = {
        &sum->sparsity,        &sum->updated,       &sum->layers,    &sum->density,
        &sum->modules,         &sum->rank,          &sum->by_varies, &sum->by_base,
        &sum->by_scope,        &sum->by_algorithms, &sum->consensus, &sum->consensus_k,
        &sum->consensus_cells, &sum->skipped,       &sum->norms,     &sum->module_norms};
    struct table *const kept[] = {&sum->cells, &sum->entropy,  &sum->published,
                                  &sum->pairs, &sum->verdicts, &sum->failed};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        table_start(kept[i], NULL, a); /* what columns they have the archive's tables say */
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        *keys[i] = (struct keys){.arena = a};
    for (size_t i = 0; i < sizeof pivots / sizeof *pivots; i++)
        pivot_init(pivots[i], a);
}

void summary_take(struct summary *sum, const struct table *t, struct err *e)
{
    static const struct {
        const char *table;
        void (*take)(struct summary *, const struct table *, struct err *);
    } takers[] = {{"cells", take_cells},         {"sparsity", take_sparsity}, {"layers", take_layers},
                  {"modules", take_modules},     {"rank", take_rank},         {"overlap", take_overlap},
                  {"consensus", take_consensus}, {"entropy", take_entropy},   {"skipped", take_skipped},
                  {"published", take_published}, {"tensors", take_tensors}};
    const struct {
        const char *table;
        struct table *kept;
    } kept[] = {{"cells", &sum->cells},
                {"entropy", &sum->entropy},
                {"published", &sum->published},
                {"verdicts", &sum->verdicts},
                {"failed", &sum->failed}};
    for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
        if (strcmp(kept[k].table, t->schema->name) == 0)
            table_add_all(kept[k].kept, t, e);
    for (size_t k = 0; k < sizeof takers / sizeof *takers; k++)
        if (strcmp(takers[k].table, t->schema->name) == 0)
            takers[k].take(sum, t, e);
}
