/* Gather: what the figures need of the archive's tables beyond the summary, from ranges of their rows.
 *
 * Order of calls: gather_init, gather_keep (figures_keep), then gather_take with every table after the
 * summary has taken it, then gather_spectrum_set for the spectra, then figures_build (figures.h). Memory
 * grows with cells squared (pairs), bins, layers and modules, and not with tensors. Sums are taken in the
 * order of the rows. After an error in e nothing more is taken. */
#ifndef SINEW_GATHER_H
#define SINEW_GATHER_H

#include "report/summary.h"

enum {
    GATHER_CURVES = 12,  /* a figure has at most so many curves of cells */
    GATHER_CELLS = 8,    /* up to so many cells, each is a curve of its own */
    GATHER_MATRIX = 10,  /* up to so many cells on a base, each is a row of its overlap matrix */
    GATHER_PAIRS = 2000, /* up to so many pairs are kept one by one; of further ones, those alone that a
                            picture can tell from them */
    GATHER_PLACES = 401, /* places on either axis of that picture, 0 to 100 % */
    GATHER_SPECTRA = 160,
    GATHER_SAMPLES = 129 /* points kept of a spectrum */
};

/* Distributions over all compared elements: of what, and the tables' name for it. */
enum gather_histogram { GATHER_ABS_DELTA, GATHER_ULP_DISTANCE, GATHER_MAGNITUDE, GATHER_HISTOGRAMS };

struct gather_pair {
    double jaccard, random, matched;
    int64_t varies; /* number of the key */
};

/* A spectrum to be read from the archive. */
struct gather_spectrum {
    const char *cell, *label, *tensor, *module;
    int64_t rows, cols, offset, length;
    double share[GATHER_SAMPLES], value[GATHER_SAMPLES]; /* index as a share of length; sigma / sigma_max */
    int64_t n;
};

/* An archive table kept whole, as gather_keep asked. */
struct gather_kept {
    const char *name;
    struct table rows;
};

struct gather {
    struct summary *sum;
    struct arena *a;
    struct keys classes;     /* of cells, see gather_class */
    struct keys groups;      /* of layer x module maps: "FAMILY", "FAMILY, sft", each with a tab and the stack
                                where      that is not the main one */
    struct keys main_stacks; /* cell, stack by name: which is the main one all the same */
    struct pivot map_updated, map_elements; /* group, layer x module */
    struct keys histogram_nodes;
    struct pivot elements[GATHER_HISTOGRAMS], updated[GATHER_HISTOGRAMS]; /* bin x "lower" or curve */
    struct pivot entropy;                                                 /* family, bin x curve or edges */
    struct keys varies;
    struct gather_pair *pairs; /* of the first overlap node, see GATHER_PAIRS */
    int64_t npairs, cap_pairs;
    int64_t all_pairs, counted, above; /* pairs; that have both figures; with more in common than matched
                                          chance has it */
    char *taken; /* places of the picture, of uniform chance and then of each key of varies */
    int64_t cap_taken;
    struct pivot measured, matched, uniform; /* base, row cell or class x column: o of the row */
    int64_t *on_base; /* cells on each base of sum->bases; NULL until they are asked for */
    int64_t middle;   /* of the first family: the layer whose spectra are shown; -1 where it has none */
    const char *middle_stack; /* its stack */
    struct gather_spectrum *spectra;
    int64_t nspectra, cap_spectra;
    struct gather_kept *kept;
    int64_t cap_kept;
    int nkept;
};

/* Local. Nothing gathered yet. sum: complete for the tables that come before. */
void gather_init(struct gather *g, struct summary *sum);

/* Local. Asks for all rows of an archive table, before the first gather_take. Only for tables of a few rows
 * per cell or run. table: borrowed. */
void gather_keep(struct gather *g, const char *table, struct err *e);

/* Local. Those rows; an empty table where none were asked for, or none came. */
const struct table *gather_table(const struct gather *g, const char *table);

/* Local. Takes a range of rows of any archive table, after summary_take has. */
void gather_take(struct gather *g, const struct table *t, struct err *e);

/* Local. Keeps samples of a spectrum: length values, descending. */
void gather_spectrum_set(struct gather_spectrum *s, const double *values);

/* Local. What a cell is one of: its algorithm, "+data" where it has data, "by step" where it has a step; the
 * algorithm alone where there are more classes than curves. */
const char *gather_class(struct gather *g, const char *cell, struct err *e);

/* Local. The curve that a cell belongs to: itself where cells are few, else its class, or all cells. */
const char *gather_curve(struct gather *g, const char *cell, struct err *e);

/* Local. In words, for captions: "each cell", "mean over the cells of each algorithm". */
const char *gather_curve_words(struct gather *g);

/* Local. Is the algorithm a control without reinforcement learning (its name begins with "sft")? */
int gather_is_control(const char *algorithm);

/* Local, pure. Is the row of a map one of the group's, and not of another stack? Its layer then, -1: those in
 * none. */
int gather_map_layer(const char *row, const char *group, int64_t *layer);

/* Local. Cells on a base, once table cells is taken. */
int64_t gather_cells_on(struct gather *g, const char *base);

#endif
