/* Schema: what a table or a dataset holds, declared beside whoever writes it.
 *
 * A table that several parts of the machine or several stages write stands here (schema.c); one that a single
 * stage writes stands in that stage's file, and a stage lists all it writes in its `tables`. The declarations
 * are the contract of design.md: from them come the archive, its attributes and the page TABLES.md, which
 * also says when the archive's schema version rises. */
#ifndef SINEW_SCHEMA_H
#define SINEW_SCHEMA_H

enum column_kind { COLUMN_TEXT, COLUMN_INT, COLUMN_REAL };

struct column {
    const char *name;
    enum column_kind kind;
    const char *units;       /* NULL where there are none */
    const char *description; /* a few words */
};

/* Where the rows end up. The archive's tables stand in the order in which the stages declare them, those at
 * its end after all others. */
enum schema_kept { KEPT_IN_ARTIFACT, KEPT_IN_ARCHIVE, KEPT_AT_END };

struct schema {
    const char *name;        /* "cells" */
    const char *description; /* one sentence, for h5dump -H */
    const struct column *columns;
    int ncolumns;
    enum schema_kept kept;
};

enum { SCHEMA_MAX_COLUMNS = 32 }; /* every declaration is held to it by the compiler */

/* Declares `id`, a schema of the columns that follow. */
#define SCHEMA(id, table, where, text, ...)                                                   \
    static const struct column id##_columns[] = {__VA_ARGS__};                                \
    _Static_assert(sizeof id##_columns / sizeof(struct column) <= SCHEMA_MAX_COLUMNS, table); \
    static const struct schema id = {table, text, id##_columns,                               \
                                     (int)(sizeof id##_columns / sizeof(struct column)), where}

/* Columns. clang-format would give each of these braces a line of its own. */
/* clang-format off */
#define C_TEXT(name, text) {name, COLUMN_TEXT, NULL, text}
#define C_INT(name, text) {name, COLUMN_INT, NULL, text}
#define C_REAL(name, units, text) {name, COLUMN_REAL, units, text}
/* clang-format on */

/* Columns that mean the same in every table. */
#define C_CELL C_TEXT("cell", "FAMILY/ALGORITHM/SEED[+DATA][@STEP]")
#define C_NODE C_TEXT("node", "stage of the config that computed the row")
#define C_TENSOR C_TEXT("tensor", "name in the checkpoint")
#define C_LAYER                                                                                           \
    C_INT("layer", "layer of its stack; -1 where there is none"),                                         \
        C_TEXT("stack", "the stack of layers: visual, vision_tower, audio_tower, encoder, decoder, mtp, " \
                        "...; empty for the language model's own")
#define C_SCOPE                                                                                         \
    C_TEXT("scope",                                                                                     \
           "model, layer:N, STACK/layer:N where the layer is not of the main stack (table layers), or " \
           "module:NAME")
#define C_MODULE C_TEXT("module", "owner of the parameter: q_proj, lm_head, ...")
#define C_PARAMETERS C_INT("parameters", "elements")
#define C_NORMS                                                                                              \
    C_REAL("norm_base", "weight units",                                                                      \
           "Euclidean norm of the base's elements, those left out that are not finite on either side"),      \
        C_REAL("norm_tuned", "weight units", "the same of the tuned"),                                       \
        C_REAL("norm_delta", "weight units", "the same of the difference, not rounded to the compare type"), \
        C_REAL("relative_norm", "1", "norm_delta / norm_base; NaN where that is 0"),                         \
        C_REAL("cosine", "1", "cosine of the angle between base and tuned"),                                 \
        C_REAL("one_minus_cosine", "1", "1 - cosine, computed without cancellation")
#define C_CONCENTRATION                                                                                    \
    C_REAL(                                                                                                \
        "top_0_1_percent_energy", "1",                                                                     \
        "share of l2^2 in the ceil(n / 1000) elements of largest |difference|, n all compared; NaN where " \
        "nothing differs"),                                                                                \
        C_REAL("top_1_percent_energy", "1", "the same of the largest ceil(n / 100)"),                      \
        C_REAL("top_5_percent_energy", "1", "the same of the largest ceil(n / 20)")
#define C_SPARSITY C_REAL("sparsity", "1", "share of parameters not updated, 0 to 1")

/* ---- datasets ---- */

enum h5_type {
    H5_BITS8,
    H5_BITS16,
    H5_BITS32,
    H5_BITS64,
    H5_INT64,
    H5_REAL64,
    H5_REAL32,
    H5_BF16,
    H5_REAL16
};

/* A large 1-D dataset of an artifact. One with `archived` goes into the archive as well: NAME/NODE there is
 * what all artifacts of the node hold of it, one after the other, and the rows of `table` say in their column
 * `offset` where each one's part begins (-1: nowhere), in the artifact as in the archive. */
struct dataset {
    const char *name; /* in the artifact: "/spectra"; NULL ends a list */
    enum h5_type type;
    const char *units; /* NULL where there are none */
    const char *description;
    const struct schema *table;
    const char *offset;
    const char *archived, *group; /* descriptions in the archive: of NAME/NODE, and of NAME */
};

/* ---- what several write ---- */

/* Tables of the archive that several write, or the machine by itself. */
extern const struct schema schema_cells, schema_sparsity, schema_layers, schema_modules,
    schema_tensor_sparsity, schema_skipped, schema_published, schema_failed;

/* Tables of artifacts and of /provenance that several write or read. */
extern const struct schema schema_compared, schema_files, schema_catalogue, schema_pieces, schema_verdicts,
    schema_sources, schema_source_pieces, schema_decodings, schema_helpers, schema_bins, schema_timings;

/* Local. All of these, *n of them. */
const struct schema *const *schema_shared(int *n);

/* Local. One of these by name; NULL if it is none of them. */
const struct schema *schema_find(const char *name);

/* Local. Index of a column; -1 if there is none. */
int schema_column(const struct schema *s, const char *column);

#endif
