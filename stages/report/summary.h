/* Summary: what the pages of a report need of the archive's tables, gathered from ranges of their rows.
 *
 * Order of calls: summary_init, then summary_take with every table in the archive's order (cells first: the
 * others look cells up), then the questions. Tables with a row per cell or per published figure are kept;
 * those with a row per tensor, pair or token only feed groups, so memory grows with cells, layers and modules
 * and not with tensors. Means are taken in the order of the rows. After an error in e nothing more is taken;
 * callers look at e at the end of a section. */
#ifndef SINEW_SUMMARY_H
#define SINEW_SUMMARY_H

#include "base/err.h"
#include "base/mem.h"
#include "report/pivot.h"
#include "hdf5/table.h"

enum {
    SUMMARY_COLUMN_CELLS = 8, /* up to so many cells, layer and module tables have a column each */
    SUMMARY_COLUMN_NAMES =
        12, /* up to so many families (or algorithms of one family), one each; else one for all */
    SUMMARY_REASONS = 60, /* distinct reasons told apart */
    SUMMARY_MEASURES = PIVOT_COLUMNS - 1,
    SUMMARY_OVERLAPS = 9,
    SUMMARY_ALGORITHMS = 64, /* up to so many, each two of them are a group of pairs */
    SUMMARY_PAIRS = 5000     /* pairs of cells that a page can show one by one */
};

/* What the columns of layer and module tables are. */
enum summary_columns { COLUMNS_CELLS, COLUMNS_ALGORITHMS, COLUMNS_FAMILIES, COLUMNS_ALL };

/* The overlap columns that pages show, by their names in the table: o1, o2, Jaccard; measured, uniform,
 * matched. */
extern const char *const summary_overlaps[SUMMARY_OVERLAPS];

/* One criterion and tolerance of one node: a column of sparsity figures. */
struct measure {
    const char *key, *node, *criterion;
    double tolerance;
    int alone; /* the node has no other: a mask, not a curve over tolerances */
};

struct summary {
    struct arena *a;
    struct arena *scratch; /* reset by the caller between ranges and between page tables */
    int64_t detail;        /* up to so many cells (or pairs) a page has a row each */
    const char *study, *simulated, *created, *version; /* root attributes; "" where there is none */
    const char *notes; /* what was taken of checkpoints, a line each; "" where there is nothing to say */
    struct table cells, entropy, published, verdicts;
    struct table failed; /* what a run that kept going could not do; no rows: nothing lacks */
    struct table pairs;  /* the first SUMMARY_PAIRS rows of overlap at scope model, of npairs */
    int64_t npairs;
    struct keys published_cells;          /* cells that table published names */
    int64_t *published_at, cap_published; /* the first row of each */
    int64_t *published_next, cap_next;    /* of each row: the next one of its cell, 0 for none */
    const char **base_labels;             /* of bases; NULL until they are asked for */
    struct keys cell_keys, families, algorithms, seeds, data, steps, bases;
    struct keys absent;     /* cells that table skipped calls "not measured" */
    const char *why_absent; /* their one reason; "" where there is none, or several */
    struct measure measures[SUMMARY_MEASURES];
    int nmeasures;
    struct keys layer_nodes, density_nodes, rank_nodes, overlap_nodes, entropy_nodes, consensus_nodes;
    struct pivot sparsity, updated; /* cell x measure key */
    struct pivot layers, density;   /* layer ("7", or "visual 7" of another stack) x summary_columns */
    struct pivot modules;           /* module x the same */
    struct pivot norms;             /* cell x "relative": of tensors of 1000 elements and more */
    struct pivot module_norms;      /* module x summary_columns: relative norms */
    struct keys norm_nodes;         /* that know these */
    struct pivot rank; /* node, cell x percent full zero ambiguous stable effective; of matrices that changed,
                          of 1000 elements and more: moved top20 */
    struct pivot by_algorithms; /* overlap of the first node: algorithm, algorithm x column or "pairs" */
    struct pivot by_varies, by_base,
        by_scope;                 /* overlap: node, varies; node, base, varies; module x column or "pairs" */
    struct pivot consensus;       /* base, k x "updated" */
    struct pivot consensus_k;     /* k x "seen" */
    struct pivot consensus_cells; /* base x "cells" */
    struct pivot skipped;         /* node, kind of reason x "parameters" */
};

/* Local. An empty summary; both arenas stay the caller's. */
void summary_init(struct summary *sum, struct arena *a, struct arena *scratch, int64_t detail);

/* Local. Takes a range of rows of any archive table; tables that no page shows are ignored. */
void summary_take(struct summary *sum, const struct table *t, struct err *e);

/* Local. A text column of a cell's row in table cells; "" for a cell that the table lacks. */
const char *summary_cell_text(struct summary *sum, const char *cell, const char *column);

/* Local, pure. Share of a cell's parameters (row of table cells; -1: of all cells) that its figures cover; 1
 * where there are none. */
double summary_covered(const struct summary *sum, int64_t row);

/* Local. Was the cell in a row of table cells measured? Not, where it has no parameters and table skipped
 * says "not measured"; so it is with checkpoints that are not on disk. */
int summary_is_measured(struct summary *sum, int64_t row);

/* Local. How many cells were not. */
int64_t summary_absent(struct summary *sum);

/* Local. Are cells few enough for a row each? */
int summary_is_detailed(const struct summary *sum);

/* Local. The row of a page table that a cell belongs to: itself, or its algorithm. */
const char *summary_row_of(struct summary *sum, const char *cell);

/* Local. What the columns of layer and module tables are. */
enum summary_columns summary_columns(const struct summary *sum);

/* Local. Group keys of several texts, joined by tabs (scratch), and piece i of one (kept). Never NULL. */
const char *summary_join(struct summary *sum, const char *x, const char *y, struct err *e);
const char *summary_piece(struct summary *sum, const char *key, int i, struct err *e);

/* Local. Once table cells is taken: a base by its family where that tells it from the other bases, else by
 * its path without the folders that all bases share. */
const char *summary_base_label(struct summary *sum, const char *base);

/* Local. Is measure m a headline figure: a mask's, or, in a study without masks, what delta counted at 1e-5?
 */
int summary_is_headline(const struct summary *sum, int m);

/* Local. The first such measure; any measure where there is no such; -1 where there is no measure at all. */
int summary_first_headline(const struct summary *sum);

/* Local. "at 1e-5", "bits", "relative 0.001"; preceded by the node where another headline figure is called
 * so too. */
const char *summary_measure_title(struct summary *sum, int m, struct err *e);

/* Local. Published figures are given as shares (0.814) or in percent (81.4): in percent. */
double summary_percent(double published);

/* Local. Is a quantity published for any cell? The figures published for a cell, "86.50 / 76.42" where
 * sources differ; "-" where there is none. */
int summary_has_published(struct summary *sum, const char *quantity);
const char *summary_published_of(struct summary *sum, const char *cell, const char *quantity, struct err *e);

/* Local. The rows of table published of a cell, one after the other; -1 where there is none (more). */
int64_t summary_published_first(struct summary *sum, const char *cell);
int64_t summary_published_next(const struct summary *sum, int64_t row);

/* Local, pure. Is a published quantity a share, shown in percent? Norms and effective ranks are not. */
int summary_is_share(const char *quantity);

/* Local. What the study measured of a published quantity in a cell, shares in percent; NaN where it has no
 * counterpart. sparsity, sparsity_1e-8, sparsity_relative_1e-3: by criterion and tolerance; rank,
 * rank_percent. relative_norm: the mean over tensors; effective_rank, top20_energy: over the matrices that
 * changed; both as nick-yudin/modeldelta has them, of 1000 elements and more. */
double summary_measured(struct summary *sum, const char *quantity, const char *cell, struct err *e);

/* Local. A statistic of a rank node over the matrices of a cell. */
struct tally summary_rank_of(struct summary *sum, const char *node, const char *cell, const char *statistic,
                             struct err *e);

#endif
