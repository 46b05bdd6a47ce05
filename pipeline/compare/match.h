/* Match: which tensors of a base and a tuned checkpoint are compared with each other, and how.
 *
 * From two lists of tensors and a policy come two layouts. `main` is the study's: what every figure and every
 * later stage counts. `aside` is compared too, but reported tensor by tensor only: layers of multi-token
 * prediction, and integers and bools, which have bits but no differences. Everything that is not in `main` is
 * added to table skipped with its reason. An output head that one side has and the other ties to its
 * embedding is compared with that, unless it is an equal copy of its own, and no parameter then (head.h).
 * Pure of files: headers and what load found decide all of it. */
#ifndef SINEW_MATCH_H
#define SINEW_MATCH_H

#include "formats/checkpoint.h"
#include "hdf5/h5.h"
#include "compare/coverage.h"
#include "compare/layout.h"
#include "compare/match_policy.h"
#include "hdf5/table.h"

struct match_set {
    struct layout layout;
    const struct stored_tensor **base, **tuned; /* per tensor of the layout */
};

struct match {
    struct match_set main, aside;
    const char *naming;         /* what was done with names, unasked, as a sentence's end; NULL: nothing */
    int64_t skipped_parameters; /* elements in neither set or aside; what serves another tensor has none */
    struct coverage coverage;   /* by main, of each side's parameters */
};

/* Local. Matches two checkpoints by name. Tensors that are not in `main` are added to `skipped` (may be NULL)
 * with cell, node and reason. Everything is owned by the arena or by the checkpoints. Errors: DATA for what
 * the policy does not allow (names on one side only, other shapes, less covered than it asks for), a tensor
 * that cannot be decoded, or nothing left to compare; CONFIG for a rename that matches nothing or makes two
 * names one. */
err_t match_build(struct match *m, const struct checkpoint *base, const struct checkpoint *tuned,
                  const struct match_policy *policy, const char *cell, const char *node,
                  struct table *skipped, struct arena *a, struct err *e);

#endif
