#include "hdf5/table.h"

#include <math.h>
#include <string.h>

#define TEXT(name, text)              \
    {                                 \
        name, COLUMN_TEXT, NULL, text \
    }
#define INT(name, text)              \
    {                                \
        name, COLUMN_INT, NULL, text \
    }
#define REAL(name, units, text)        \
    {                                  \
        name, COLUMN_REAL, units, text \
    }
#define CELL TEXT("cell", "FAMILY/ALGORITHM/SEED[+DATA][@STEP]")
#define NODE TEXT("node", "stage of the config that computed the row")
#define TENSOR TEXT("tensor", "name in the checkpoint")
#define LAYER INT("layer", "transformer layer; -1 where there is none")
#define MODULE TEXT("module", "owner of the parameter: q_proj, lm_head, ...")
#define PARAMETERS INT("parameters", "elements")
#define SPARSITY REAL("sparsity", "1", "share of parameters not updated, 0 to 1")

#define SCHEMA(id, table, text, ...)                            \
    static const struct column id##_columns[] = {__VA_ARGS__};  \
    static const struct schema id = {table, text, id##_columns, \
                                     (int)(sizeof id##_columns / sizeof(struct column))}

/* ---- tables of the archive ---- */

SCHEMA(cells, "cells", "The experiment matrix: one row per cell, with totals over its compared tensors.",
       CELL, TEXT("family", "model family"), TEXT("algorithm", "RL algorithm"), INT("seed", "training seed"),
       TEXT("data", "training data; empty where there is none"),
       INT("step", "training step; -1 where there is none"), TEXT("base", "checkpoint before RL"),
       TEXT("tuned", "checkpoint after RL"), INT("tensors", "compared tensors"),
       INT("skipped", "tensors or parts of them left out, see table skipped"),
       INT("skipped_parameters",
           "elements left out; the figures cover parameters / (parameters + skipped_parameters)"),
       PARAMETERS, INT("bit_changed", "elements whose bits differ in the compare type"),
       INT("nonzero", "elements whose difference is not zero (-0 equals +0; NaN is not zero)"));

SCHEMA(sparsity, "sparsity", "Update sparsity of each cell, by criterion and tolerance.", CELL, NODE,
       TEXT("criterion", "absolute, bits or relative"),
       REAL("tolerance", "criterion's own",
            "absolute: weight units, before rounding to the compare type; relative: eta"),
       PARAMETERS, INT("updated", "elements counted as updated"), SPARSITY);

SCHEMA(layers, "layers", "Update sparsity per transformer layer.", CELL, NODE, LAYER, PARAMETERS,
       INT("updated", "elements counted as updated"), SPARSITY,
       REAL("mean_tensor_density", "1",
            "mean over the layer's tensors, each weighing the same, of the share updated"));

SCHEMA(modules, "modules", "Update sparsity per kind of module, over all layers.", CELL, NODE, MODULE,
       PARAMETERS, INT("updated", "elements counted as updated"), SPARSITY);

SCHEMA(tensors, "tensors",
       "The update of each compared tensor, those included that table skipped keeps out of the totals: "
       "layers of multi-token prediction, and integers and bools, which have no difference (NaN).",
       CELL, TENSOR, LAYER, MODULE, TEXT("dtype_base", "element type in the base checkpoint"),
       TEXT("dtype_tuned", "element type in the tuned checkpoint"), TEXT("shape", "rows x columns"),
       PARAMETERS, INT("bit_changed", "elements whose bits differ in the compare type"),
       INT("nonzero", "elements whose difference is not zero"),
       REAL("max_abs", "weight units", "largest finite |difference|"),
       REAL("mean_abs", "weight units",
            "mean of |difference| over all elements, non-finite ones counted as zero"),
       REAL("l2", "weight units", "Euclidean norm of the difference, non-finite ones left out"),
       INT("nan_count", "elements that are NaN on either side"));

SCHEMA(tensor_sparsity, "tensor_sparsity", "Updated elements per tensor, by criterion and tolerance.", CELL,
       NODE, TENSOR, TEXT("criterion", "absolute, bits or relative"),
       REAL("tolerance", "criterion's own",
            "absolute: weight units, before rounding to the compare type; relative: eta"),
       INT("updated", "elements counted as updated"));

SCHEMA(rank, "rank", "Numerical rank of each two-dimensional update, from its singular values.", CELL, NODE,
       TENSOR, LAYER, MODULE, INT("rows", "rows"), INT("cols", "columns"),
       INT("matrix_rank", "singular values above the tolerance"), INT("max_rank", "min(rows, cols)"),
       REAL("rank_percent", "%", "100 * matrix_rank / max_rank"),
       REAL("tolerance", "weight units",
            "absolute; default max(rows, cols) * 2^-23 * sigma_max, as numpy and torch have it"),
       REAL("sigma_max", "weight units", "largest singular value"),
       REAL("sigma_min", "weight units", "smallest singular value; NaN with `spectrum: none`"),
       REAL("stable_rank", "1", "squared Frobenius norm / sigma_max^2; 0 for a zero update"),
       REAL("effective_rank", "1",
            "exp of the entropy of the normalised singular values; 0 for a zero update, NaN with "
            "`spectrum: none`"),
       INT("ambiguous",
           "1 where a singular value is so near the tolerance that float32 arithmetic may count otherwise"),
       INT("spectrum_offset", "where the spectrum begins in /spectra/NODE; -1 where it was not kept"),
       INT("spectrum_length", "singular values in the spectrum, descending"));

SCHEMA(overlap, "overlap",
       "Overlap of the updated sets of every two cells on one base, beside two null models.", NODE,
       TEXT("base", "the base checkpoint"), TEXT("cell_1", "first cell"), TEXT("cell_2", "second cell"),
       TEXT("varies", "what differs between the cells: family, algorithm, seed, data, step, joined by +"),
       TEXT("scope", "model, layer:N or module:NAME"), PARAMETERS,
       INT("updated_1", "elements updated in cell_1"), INT("updated_2", "elements updated in cell_2"),
       INT("intersection", "elements updated in both"),
       REAL("o1", "1", "intersection / updated_1; NaN for an empty set"),
       REAL("o2", "1", "intersection / updated_2; NaN for an empty set"),
       REAL("jaccard", "1", "intersection / union; NaN for an empty union"),
       REAL("random_intersection", "elements",
            "expected by uniform chance: updated_1 * updated_2 / parameters"),
       REAL("random_o1", "1", "random_intersection / updated_1"),
       REAL("random_o2", "1", "random_intersection / updated_2"),
       REAL("random_jaccard", "1", "random_intersection / (updated_1 + updated_2 - random_intersection)"),
       REAL("matched_intersection", "elements",
            "expected by independence given the tensor and the magnitude bin of |w0|"),
       REAL("matched_o1", "1", "matched_intersection / updated_1"),
       REAL("matched_o2", "1", "matched_intersection / updated_2"),
       REAL("matched_jaccard", "1", "matched_intersection / (updated_1 + updated_2 - matched_intersection)"),
       REAL("random_z", "standard deviations",
            "(intersection - random_intersection) / its hypergeometric deviation"),
       REAL("matched_z", "standard deviations",
            "(intersection - matched_intersection) / its hypergeometric deviation"));

SCHEMA(consensus, "consensus", "How many parameters are updated in at least k of the K cells on one base.",
       NODE, TEXT("base", "the base checkpoint"), TEXT("scope", "model, layer:N or module:NAME"),
       INT("cells", "K"), INT("k", "at least so many cells"), INT("updated_in_at_least_k", "elements"));

SCHEMA(
    dynamics, "dynamics",
    "How the update of each run grows: one row per saved step, from the updates of cells that share family, "
    "algorithm, seed and data.",
    NODE, TEXT("base", "the base checkpoint: the run's start"), TEXT("run", "FAMILY/ALGORITHM/SEED[+DATA]"),
    INT("step", "training step; -1 for the run's end, the cell without step"),
    INT("previous_step", "step it is compared with; -1 for the start"), PARAMETERS,
    INT("updated_from_start", "elements that differ from the start by the node's criterion"),
    REAL("sparsity_from_start", "1", "1 - updated_from_start / parameters"),
    INT("updated_from_previous", "elements that differ from the step before"),
    REAL("sparsity_from_previous", "1", "1 - updated_from_previous / parameters"),
    INT("ever_updated",
        "elements that differ from the start or from the step before at this or an earlier step"),
    INT("outside_final", "elements that differ from the step before and are not in the final subnetwork"),
    REAL("outside_final_share", "1",
         "outside_final / what the whole run ever updates; NaN where that is nothing"),
    INT("ever_outside_final", "of ever_updated, those that are not in the final subnetwork"),
    REAL("ever_outside_final_share", "1", "ever_outside_final / ever_updated; NaN where that is nothing"));

SCHEMA(dynamics_totals, "dynamics_totals",
       "What becomes of the parameters over each run: never updated, updated and cancelled back, or in the "
       "final subnetwork.",
       NODE, TEXT("base", "the base checkpoint: the run's start"),
       TEXT("run", "FAMILY/ALGORITHM/SEED[+DATA]"), INT("steps", "checkpoints of the run after its start"),
       PARAMETERS,
       INT("never_updated",
           "elements that differ neither from the start nor from the step before at any step"),
       INT("cancelled", "elements updated at some step that at the last do not differ from the start"),
       INT("final_subnetwork", "elements that at the last step differ from the start"),
       REAL("never_updated_share", "1", "of parameters"), REAL("cancelled_share", "1", "of parameters"),
       REAL("final_subnetwork_share", "1", "of parameters"));

SCHEMA(entropy, "entropy", "Token entropy of each policy, from its logits or as given.", CELL, NODE,
       TEXT("policy", "base or tuned"), INT("tokens", "tokens counted"),
       INT("vocabulary", "logits per token; 0 where entropies were given"),
       REAL("temperature", "1", "logits are divided by it"), REAL("mean", "nats", "mean entropy per token"),
       REAL("median", "nats", "exact, linear interpolation"),
       REAL("p80", "nats", "80th percentile, exact, linear interpolation"),
       REAL("share_below_001", "1", "share of tokens with entropy below 0.01 nats"),
       REAL("threshold", "nats", "entropy from which on a token is a forking token"),
       INT("forking_tokens", "tokens with entropy >= threshold"));

SCHEMA(entropy_quantiles, "entropy_quantiles", "Exact quantiles of token entropy.", CELL, NODE,
       TEXT("policy", "base or tuned"), REAL("quantile", "1", "0 to 1"),
       REAL("value", "nats", "linear interpolation between order statistics"));

SCHEMA(entropy_histogram, "entropy_histogram", "Histogram of token entropy.", CELL, NODE,
       TEXT("policy", "base or tuned"), REAL("lower", "nats", "lower edge, included"),
       REAL("upper", "nats", "upper edge, excluded but for the last bin"), INT("count", "tokens"));

SCHEMA(token_ids, "token_ids", "Mean entropy of the distribution that each token id was sampled from.", CELL,
       NODE, TEXT("policy", "base or tuned"), INT("token_id", "vocabulary index"),
       INT("count", "tokens of this id"), REAL("mean", "nats", "mean entropy of the tokens of this id"));

SCHEMA(histograms, "histograms", "Distributions over all compared elements of a cell.", CELL, NODE,
       TEXT("quantity",
            "abs_delta: |difference|; ulp_distance: steps of the compare type between old and new; "
            "magnitude: |w0|"),
       INT("bin",
           "abs_delta: binary exponent; ulp_distance: floor(log2(steps)); magnitude: top 10 bits of |w0|"),
       REAL("lower", "weight units or steps", "lower edge of the bin"),
       INT("elements", "elements of the base in the bin (magnitude), else of the update"),
       INT("updated", "elements in the bin whose bits differ"));

SCHEMA(skipped, "skipped", "Every tensor (or file) left out of a stage, with the reason.", CELL, NODE, TENSOR,
       INT("parameters", "elements left out; 0 for scales, which are used with their tensor"),
       TEXT("reason", "why it was left out"));

SCHEMA(published, "published", "Published figures given in the config beside the cells.",
       TEXT("source", "where it was published"), TEXT("quantity", "what it measures"),
       TEXT("algorithm", "RL algorithm"), TEXT("model", "model family"),
       REAL("value", "as published", "the figure"), TEXT("cell", "the cell that it stands beside"));

/* ---- tables of artifacts and of /provenance only ---- */

SCHEMA(compared, "compared", "The compared tensors, in the order of the bitmap.", TENSOR, LAYER, MODULE,
       TEXT("shape", "rows x columns"), PARAMETERS, TEXT("dtype_base", "type in the base"),
       TEXT("dtype_tuned", "type in the tuned"));

SCHEMA(files, "files", "Files that were read or written.", TEXT("path", "as opened"),
       INT("size_bytes", "size"), INT("mtime_ns", "modification time since 1970"),
       TEXT("header_hash", "XXH3-64 of the header, hexadecimal"));

SCHEMA(catalogue, "catalogue", "Every tensor of a checkpoint and where its bytes are.", TENSOR,
       TEXT("shape", "rows x columns"), TEXT("dtype", "safetensors type name"), LAYER, MODULE, PARAMETERS,
       TEXT("file", "path of the file"), INT("offset_bytes", "first byte in the file"),
       INT("size_bytes", "bytes"),
       TEXT("strides", "elements to step per axis; empty where the tensor lies row-major"));

SCHEMA(bins, "bins",
       "Elements and updated elements by tensor and magnitude bin of |w0|; empty bins are left out.",
       INT("tensor_index", "row of table compared"), INT("bin", "top 10 bits of |w0| in the compare type"),
       INT("elements", "elements of the tensor in the bin"), INT("updated", "of these, updated"));

SCHEMA(tensor_histograms, "tensor_histograms",
       "Distributions of each tensor's update; empty bins are left out.",
       INT("tensor_index", "row of table compared"), TEXT("quantity", "abs_delta or ulp_distance"),
       INT("bin", "abs_delta: binary exponent; ulp_distance: floor(log2(steps))"),
       INT("count", "changed elements"));

SCHEMA(inf_counts, "inf_counts", "Tensors that hold Inf.", INT("tensor_index", "row of table compared"),
       INT("inf_count", "elements that are Inf on either side"));

SCHEMA(methods, "methods", "How each matrix was decomposed.", TENSOR, TEXT("method", "gram or svd"),
       INT("processes", "team size"), REAL("seconds", "s", "wall time"));

SCHEMA(timings, "timings", "Wall time of each node over the processes, last time it ran.", NODE,
       TEXT("label", "what it worked on"), REAL("min", "s", "fastest process"),
       REAL("mean", "s", "mean over processes"), REAL("max", "s", "slowest process"),
       REAL("bytes", "B", "read and written by the stage"),
       REAL("peak_bytes", "B", "largest counted memory of a process"));

#undef TEXT
#undef INT
#undef REAL

static const struct schema *const archive_schemas[] = {
    &cells,           &sparsity, &layers,    &modules,           &tensors,
    &tensor_sparsity, &rank,     &overlap,   &consensus,         &dynamics,
    &dynamics_totals, &entropy,  &token_ids, &entropy_quantiles, &entropy_histogram,
    &histograms,      &skipped,  &published,
};

static const struct schema *const artifact_schemas[] = {
    &compared, &files, &catalogue, &bins, &tensor_histograms, &inf_counts, &methods, &timings,
};

const struct schema *const *schema_archive(int *n)
{
    *n = (int)(sizeof archive_schemas / sizeof *archive_schemas);
    return archive_schemas;
}

const struct schema *schema_find(const char *name)
{
    for (size_t i = 0; i < sizeof archive_schemas / sizeof *archive_schemas; i++)
        if (strcmp(archive_schemas[i]->name, name) == 0)
            return archive_schemas[i];
    for (size_t i = 0; i < sizeof artifact_schemas / sizeof *artifact_schemas; i++)
        if (strcmp(artifact_schemas[i]->name, name) == 0)
            return artifact_schemas[i];
    return NULL;
}

int schema_column(const struct schema *s, const char *column)
{
    for (int i = 0; i < s->ncolumns; i++)
        if (s->columns[i].name[0] == column[0] && strcmp(s->columns[i].name, column) == 0)
            return i; /* asked for each value of long tables */
    return -1;
}

void table_init(struct table *t, const char *schema, struct arena *a)
{
    *t = (struct table){.schema = schema_find(schema), .arena = a};
}

err_t table_add_n(struct table *t, const union value *row, int n, struct err *e)
{
    if (!t->schema || n != t->schema->ncolumns)
        return err_set(e, ERR_BUG, "a row of %d values for table %s", n,
                       t->schema ? t->schema->name : "(unknown)");
    int64_t cap_values = t->cap * n;
    TRY(arena_grow(t->arena, "table.rows", (t->nrows + 1) * n, &cap_values, &t->values, e));
    t->cap = cap_values / n;
    union value *to = t->values + t->nrows * n;
    for (int i = 0; i < n; i++) {
        to[i] = row[i];
        if (t->schema->columns[i].kind != COLUMN_TEXT)
            continue;
        const char *text = row[i].text ? row[i].text : "";
        /* Rows mostly repeat the texts of the row before: cell, node, base. */
        if (t->nrows > 0 && strcmp((to - n)[i].text, text) == 0)
            to[i].text = (to - n)[i].text;
        else if (!(to[i].text = arena_strdup(t->arena, text, e)))
            return e->code;
    }
    t->nrows++;
    return ERR_OK;
}

static const union value *find_value(const struct table *t, int64_t row, const char *column,
                                     enum column_kind kind)
{
    int c = schema_column(t->schema, column);
    if (c < 0 || t->schema->columns[c].kind != kind || row < 0 || row >= t->nrows)
        return NULL;
    return &t->values[row * t->schema->ncolumns + c];
}

const char *table_text(const struct table *t, int64_t row, const char *column)
{
    const union value *v = find_value(t, row, column, COLUMN_TEXT);
    return v ? v->text : "";
}

int64_t table_int(const struct table *t, int64_t row, const char *column)
{
    const union value *v = find_value(t, row, column, COLUMN_INT);
    return v ? v->i : 0;
}

double table_real(const struct table *t, int64_t row, const char *column)
{
    const union value *v = find_value(t, row, column, COLUMN_REAL);
    return v ? v->x : NAN;
}
