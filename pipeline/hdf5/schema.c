#include "hdf5/schema.h"

#include <stddef.h>
#include <string.h>

/* As SCHEMA, for all to see: declares schema_ID. */
#define SHARED(id, where, text, ...)                                                        \
    static const struct column id##_columns[] = {__VA_ARGS__};                              \
    _Static_assert(sizeof id##_columns / sizeof(struct column) <= SCHEMA_MAX_COLUMNS, #id); \
    const struct schema schema_##id = {#id, text, id##_columns,                             \
                                       (int)(sizeof id##_columns / sizeof(struct column)), where}

/* ---- tables of the archive ---- */

SHARED(cells, KEPT_IN_ARCHIVE,
       "The experiment matrix: one row per cell, with totals over its compared tensors.", C_CELL,
       C_TEXT("family", "model family"), C_TEXT("algorithm", "RL algorithm"), C_INT("seed", "training seed"),
       C_TEXT("data", "training data; empty where there is none"),
       C_INT("step", "training step; -1 where there is none"), C_TEXT("base", "checkpoint before RL"),
       C_TEXT("tuned", "checkpoint after RL"), C_INT("tensors", "compared tensors"),
       C_INT("skipped", "tensors or parts of them left out, see table skipped"),
       C_INT("skipped_parameters",
             "elements left out; the figures cover parameters / (parameters + skipped_parameters)"),
       C_REAL("covered_base", "1", "share of the base's parameters that is compared, 0 to 1"),
       C_REAL("covered_tuned", "1", "share of the tuned side's parameters that is compared, 0 to 1"),
       C_PARAMETERS, C_INT("bit_changed", "elements whose bits differ in the compare type"),
       C_INT("nonzero", "elements whose difference is not zero (-0 equals +0; NaN is not zero)"), C_NORMS,
       C_CONCENTRATION);

SHARED(sparsity, KEPT_IN_ARCHIVE, "Update sparsity of each cell, by criterion and tolerance.", C_CELL, C_NODE,
       C_TEXT("criterion", "absolute, bits or relative"),
       C_REAL("tolerance", "criterion's own",
              "absolute: weight units, before rounding to the compare type; relative: eta"),
       C_PARAMETERS, C_INT("updated", "elements counted as updated"), C_SPARSITY);

SHARED(
    layers, KEPT_IN_ARCHIVE,
    "Update sparsity and size per transformer layer of each stack; the norms stand in the rows of delta, and "
    "are NaN in those of a mask.",
    C_CELL, C_NODE, C_LAYER, C_PARAMETERS, C_INT("updated", "elements counted as updated"), C_SPARSITY,
    C_REAL("mean_tensor_density", "1",
           "mean over the layer's tensors, each weighing the same, of the share updated"),
    C_NORMS);

SHARED(
    modules, KEPT_IN_ARCHIVE,
    "Update sparsity and size per kind of module, over all layers of all stacks; norms as in table layers.",
    C_CELL, C_NODE, C_MODULE, C_PARAMETERS, C_INT("updated", "elements counted as updated"), C_SPARSITY,
    C_NORMS);

SHARED(tensor_sparsity, KEPT_IN_ARCHIVE, "Updated elements per tensor, by criterion and tolerance.", C_CELL,
       C_NODE, C_TENSOR, C_TEXT("criterion", "absolute, bits or relative"),
       C_REAL("tolerance", "criterion's own",
              "absolute: weight units, before rounding to the compare type; relative: eta"),
       C_INT("updated", "elements counted as updated"));

SHARED(
    verdicts, KEPT_IN_ARCHIVE,
    "What the figures of a cell say, in sentences; each stands beside the figure that it is about.", C_CELL,
    C_NODE,
    C_TEXT("about", "unchanged, rounding, size, nonfinite, concentration, coverage, full_rank or entropy"),
    C_REAL(
        "value", "share; full_rank: percent",
        "unchanged: of the compared parameters; rounding: what rounding alone would leave unchanged, an "
        "estimate; size: relative norm; concentration: top_1_percent_energy; coverage: compared parameters; "
        "full_rank: median of the measured matrices; entropy: nats, mean of the tuned policy less that of the base, "
        "NaN where a caveat keeps them apart"),
    C_TEXT("sentence", "the same in words"));

SHARED(skipped, KEPT_AT_END, "Every tensor (or file) left out of a stage, with the reason.", C_CELL, C_NODE,
       C_TENSOR, C_INT("parameters", "elements left out; 0 for scales, which are used with their tensor"),
       C_TEXT("reason", "why it was left out"));

SHARED(published, KEPT_AT_END, "Published figures given in the config beside the cells.",
       C_TEXT("source", "where it was published"), C_TEXT("quantity", "what it measures"),
       C_TEXT("algorithm", "RL algorithm"), C_TEXT("model", "model family"),
       C_REAL("value", "as published", "the figure"), C_TEXT("cell", "the cell that it stands beside"));

SHARED(
    failed, KEPT_IN_ARCHIVE,
    "What a run that kept going (--keep-going) could not do: its nodes that failed, those that need them, and "
    "those made of a part of the cells. Empty where nothing lacks.",
    C_TEXT("cell", "FAMILY/ALGORITHM/SEED[+DATA][@STEP]; empty for what is not of one cell"), C_NODE,
    C_TEXT("kind", "the stage's kind: delta, rank, ..."),
    C_TEXT("label", "what the node works on: a cell, a checkpoint or a base"),
    C_TEXT("state", "failed, not run or in part"), C_TEXT("reason", "why, in words"));

/* ---- tables of artifacts and of /provenance only ---- */

SHARED(compared, KEPT_IN_ARTIFACT, "The compared tensors, in the order of the bitmap.", C_TENSOR, C_LAYER,
       C_MODULE, C_TEXT("shape", "rows x columns"), C_PARAMETERS, C_TEXT("dtype_base", "type in the base"),
       C_TEXT("dtype_tuned", "type in the tuned"));

SHARED(files, KEPT_IN_ARTIFACT, "Files that were read or written.", C_TEXT("path", "as opened"),
       C_INT("size_bytes", "size"), C_INT("mtime_ns", "modification time since 1970"),
       C_TEXT("header_hash", "XXH3-64 of the header, of the report's files of all bytes, hexadecimal"));

#define PLACE_COLUMNS                                                                                  \
    C_TENSOR, C_TEXT("shape", "rows x columns"), C_TEXT("dtype", "safetensors type name"), C_LAYER,    \
        C_MODULE, C_PARAMETERS,                                                                        \
        C_TEXT("file", "path of the file; empty where the tensor follows from others, see decodings"), \
        C_INT("offset_bytes", "first byte in the file"), C_INT("size_bytes", "bytes"),                 \
        C_TEXT("strides", "elements to step per axis; empty where the tensor lies row-major")
#define PIECE_COLUMNS                                                                                  \
    C_TENSOR, C_TEXT("start", "first index along each axis"), C_TEXT("shape", "size along each axis"), \
        C_INT("flat", "1: start and shape count along the row-major order of all elements"),           \
        C_TEXT("file", "path of the file"), C_INT("offset_bytes", "first byte in the file"),           \
        C_INT("size_bytes", "bytes from the first element to behind the last"),                        \
        C_TEXT("strides", "elements to step per axis; empty where the piece lies row-major")

SHARED(catalogue, KEPT_IN_ARTIFACT, "Every tensor of a checkpoint and where its bytes are.", PLACE_COLUMNS);

SHARED(sources, KEPT_IN_ARTIFACT,
       "Tensors that are none of the model's own, but from which some of its tensors follow.", PLACE_COLUMNS);

SHARED(decodings, KEPT_IN_ARTIFACT,
       "Of each tensor whose elements are not numbers as they are stored, or that follows from others: how "
       "it comes to its numbers.",
       C_TENSOR, C_INT("row", "row of the tensor, counted through table catalogue, then sources"),
       C_TEXT("decoder", "what makes the numbers"), C_TEXT("dtype", "safetensors type name of the numbers"),
       C_TEXT("note", "what was done"), C_TEXT("problem", "why it cannot be done; empty where it can"),
       C_TEXT("numbers", "the decoder's own integers"), C_TEXT("reals", "the decoder's own real numbers"));

SHARED(helpers, KEPT_IN_ARTIFACT, "The tensors from which a decoded one follows, in the decoder's order.",
       C_INT("decoding", "row of table decodings"),
       C_INT("row", "row of the helping tensor, counted through table catalogue, then sources"));

SHARED(pieces, KEPT_IN_ARTIFACT,
       "Of each tensor that lies in several pieces where these are: each element is in one of them.",
       PIECE_COLUMNS);

SHARED(source_pieces, KEPT_IN_ARTIFACT,
       "As table pieces, for the tensors of table sources, which are named by their row.", PIECE_COLUMNS);

SHARED(bins, KEPT_IN_ARTIFACT,
       "Elements and updated elements by tensor and magnitude bin of |w0|; empty bins are left out.",
       C_INT("tensor_index", "row of table compared"),
       C_INT("bin", "top 10 bits of |w0| in the compare type"),
       C_INT("elements", "elements of the tensor in the bin"), C_INT("updated", "of these, updated"));

SHARED(timings, KEPT_IN_ARTIFACT, "Wall time of each node over the processes, last time it ran.", C_NODE,
       C_TEXT("label", "what it worked on"), C_REAL("min", "s", "fastest process"),
       C_REAL("mean", "s", "mean over processes"), C_REAL("max", "s", "slowest process"),
       C_REAL("bytes", "B", "read and written by the stage"),
       C_REAL("peak_bytes", "B", "largest counted memory of a process"));

static const struct schema *const shared[] = {
    &schema_cells,           &schema_sparsity, &schema_verdicts,  &schema_layers,        &schema_modules,
    &schema_tensor_sparsity, &schema_skipped,  &schema_published, &schema_compared,      &schema_files,
    &schema_catalogue,       &schema_pieces,   &schema_sources,   &schema_source_pieces, &schema_decodings,
    &schema_helpers,         &schema_bins,     &schema_timings,   &schema_failed,
};

const struct schema *const *schema_shared(int *n)
{
    *n = (int)(sizeof shared / sizeof *shared);
    return shared;
}

const struct schema *schema_find(const char *name)
{
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (strcmp(shared[i]->name, name) == 0)
            return shared[i];
    return NULL;
}

int schema_column(const struct schema *s, const char *column)
{
    for (int i = 0; i < s->ncolumns; i++)
        if (s->columns[i].name[0] == column[0] && strcmp(s->columns[i].name, column) == 0)
            return i; /* asked for each value of long tables */
    return -1;
}
