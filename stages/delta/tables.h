/* The tables that delta writes. */
#ifndef SINEW_DELTA_TABLES_H
#define SINEW_DELTA_TABLES_H

#include "compare/scopes.h"
#include "compare/verdict.h"
#include "hdf5/schema.h"

SCHEMA(tensors_table, "tensors", KEPT_IN_ARCHIVE,
       "The update of each compared tensor, those included that table skipped keeps out of the totals: "
       "layers of multi-token prediction, and integers and bools, which have no difference (NaN).",
       C_CELL, C_TENSOR, C_LAYER, C_MODULE, C_TEXT("dtype_base", "element type in the base checkpoint"),
       C_TEXT("dtype_tuned", "element type in the tuned checkpoint"), C_TEXT("shape", "rows x columns"),
       C_PARAMETERS, C_INT("bit_changed", "elements whose bits differ in the compare type"),
       C_INT("nonzero", "elements whose difference is not zero"),
       C_REAL("max_abs", "weight units", "largest finite |difference|"),
       C_REAL("mean_abs", "weight units",
              "mean of |difference| over all elements, non-finite ones counted as zero"),
       C_REAL("l2", "weight units", "Euclidean norm of the difference, non-finite ones left out"),
       C_INT("nan_count", "elements that are NaN on either side"), C_NORMS, C_CONCENTRATION);

SCHEMA(histograms_table, "histograms", KEPT_AT_END, "Distributions over all compared elements of a cell.",
       C_CELL, C_NODE,
       C_TEXT("quantity",
              "abs_delta: |difference|; ulp_distance: steps of the compare type between old and new; "
              "magnitude: |w0|"),
       C_INT("bin",
             "abs_delta: binary exponent; ulp_distance: floor(log2(steps)); magnitude: top 10 bits of |w0|"),
       C_REAL("lower", "weight units or steps", "lower edge of the bin"),
       C_INT("elements", "elements of the base in the bin (magnitude), else of the update"),
       C_INT("updated", "elements in the bin whose bits differ"));

SCHEMA(tensor_histograms_table, "tensor_histograms", KEPT_IN_ARTIFACT,
       "Distributions of each tensor's update; empty bins are left out.",
       C_INT("tensor_index", "row of table compared"), C_TEXT("quantity", "abs_delta or ulp_distance"),
       C_INT("bin", "abs_delta: binary exponent; ulp_distance: floor(log2(steps))"),
       C_INT("count", "changed elements"));

SCHEMA(inf_counts_table, "inf_counts", KEPT_IN_ARTIFACT, "Tensors that hold Inf.",
       C_INT("tensor_index", "row of table compared"),
       C_INT("inf_count", "elements that are Inf on either side"));

static const struct schema *const delta_tables[] = {&schema_cells,     &schema_sparsity,
                                                    &schema_layers,    &schema_modules,
                                                    &tensors_table,    &schema_tensor_sparsity,
                                                    &histograms_table, &schema_verdicts,
                                                    &schema_skipped,   &schema_compared,
                                                    &schema_bins,      &tensor_histograms_table,
                                                    &inf_counts_table, NULL};

#endif
