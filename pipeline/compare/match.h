/* Match: which tensors of a base and a tuned checkpoint are compared with each other, and how.
 *
 * From two lists of tensors and a policy come two layouts. `main` is the study's: what every figure and every
 * later stage counts. `aside` is compared too, but reported tensor by tensor only: layers of multi-token
 * prediction, and integers and bools, which have bits but no differences. Everything that is not in `main` is
 * added to table skipped with its reason. Pure of files: headers decide all of it. */
#ifndef SINEW_MATCH_H
#define SINEW_MATCH_H

#include "formats/checkpoint.h"
#include "hdf5/h5.h"
#include "compare/layout.h"
#include "base/text.h"
#include "hdf5/table.h"

/* What to do with tensors whose shapes differ in the number of rows only. */
enum match_rows { MATCH_ROWS_FAIL, MATCH_ROWS_COMMON, MATCH_ROWS_SKIP };

struct match_policy {
    enum match_rows rows;
    int skip_unmatched;      /* a tensor on one side only is left out, rather than refused */
    int include_mtp;         /* layers of multi-token prediction count like all others */
    struct text_list rename; /* "PATTERN -> REPLACEMENT", or a preset, of tuned names; see match_rule_check */
};

struct match_set {
    struct layout layout;
    const struct stored_tensor **base, **tuned; /* per tensor of the layout */
};

struct match {
    struct match_set main, aside;
    const char *preset;         /* by which tuned names became the base's, unasked; NULL: none was needed */
    int64_t skipped_parameters; /* elements in neither set or aside; what serves another tensor has none */
};

/* Local. Matches two checkpoints by name. Tensors that are not in `main` are added to `skipped` (may be NULL)
 * with cell, node and reason. Everything is owned by the arena or by the checkpoints. Errors: DATA for what
 * the policy does not allow (names on one side only, other shapes), a tensor that cannot be decoded, or
 * nothing left to compare; CONFIG for a rename that matches nothing or makes two names one. */
err_t match_build(struct match *m, const struct checkpoint *base, const struct checkpoint *tuned,
                  const struct match_policy *policy, const char *cell, const char *node,
                  struct table *skipped, struct arena *a, struct err *e);

/* Local, pure. Is the text a rename? A preset (preset.h), or "PATTERN -> REPLACEMENT": with one * on both
 * sides, a whole name, where * stands for any text; with none, the beginning of a name. Each rule is applied
 * to what the ones before it have made of a name. Returns 0, or -1 with what is wrong in problem. */
int match_rule_check(const char *rule, char *problem, int size);

/* Local, pure. Do both say the same? */
int match_policy_same(const struct match_policy *p, const struct match_policy *q);

/* Local, serial file. The policy as attributes of an artifact, and back. */
err_t match_policy_write(const struct match_policy *p, struct h5 *f, struct err *e);
err_t match_policy_read(struct match_policy *p, struct h5 *f, struct arena *a, struct err *e);

#endif
