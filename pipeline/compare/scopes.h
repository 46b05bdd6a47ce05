/* Scopes: the parts of a model that results are given for: the whole, each layer of each stack, each module.
 */
#ifndef SINEW_SCOPES_H
#define SINEW_SCOPES_H

#include "base/err.h"
#include "base/mem.h"
#include "compare/layout.h"
#include "compare/match.h"
#include "compare/norms.h"
#include "hdf5/table.h"

/* Scopes of a model: the whole, each layer, each module; index 0 is the whole model. Results given "per
 * model, layer and module" are arrays over scopes. */
struct scopes {
    int64_t n;
    int64_t nlayers;
    const char **name;               /* "model", "layer:7", "visual/layer:7" where it is not the main stack's,
                                        "module:q_proj" */
    const struct layout_tensor **of; /* per scope, a tensor in it, which tells stack and layer, or the module;
                                        NULL for the whole */
    int64_t *parameters;
    int64_t *of_tensor; /* 2 per tensor: its layer's scope and its module's scope; -1 where it has no layer */
};

/* Local. The scopes of a layout: model, layers ascending, the main stack's before those of others by name,
 * modules by name. The layout stays borrowed. */
err_t scopes_build(struct scopes *s, const struct layout *l, struct arena *a, struct err *e);

/* Local. Fills (and initialises) the tables "layers" and "modules" of a cell from each tensor's count of
 * updated elements and its sums of squares (NULL: not known, the norms are NaN). The mean tensor density is
 * the unweighted mean over a layer's non-empty tensors, in the order of the layout. */
err_t scopes_tables(const struct layout *l, const int64_t *updated, const struct square_sums *squares,
                    const char *cell, const char *node, struct table *layers, struct table *modules,
                    struct arena *a, struct err *e);

/* Local. Adds rows to the table "layers": of layers that are reported, but in no total. Integers and bools
 * have no share of parameters, and count for nothing. */
err_t scopes_layers_aside(const struct match_set *aside, const int64_t *updated,
                          const struct square_sums *squares, const char *cell, const char *node,
                          struct table *layers, struct arena *a, struct err *e);

#endif
