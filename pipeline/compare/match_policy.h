/* Match policy: what a study says of tensors that do not match one to one, and how an artifact keeps it. */
#ifndef SINEW_MATCH_POLICY_H
#define SINEW_MATCH_POLICY_H

#include "base/text.h"
#include "hdf5/h5.h"

/* What to do with tensors whose shapes differ in the number of rows only. */
enum match_rows { MATCH_ROWS_FAIL, MATCH_ROWS_COMMON, MATCH_ROWS_SKIP };

struct match_policy {
    enum match_rows rows;
    int skip_unmatched;      /* a tensor on one side only is left out, rather than refused */
    double coverage;         /* least share of either side's parameters that is compared; 0: any */
    int include_mtp;         /* layers of multi-token prediction count like all others */
    struct text_list rename; /* "PATTERN -> REPLACEMENT", or a preset, of tuned names; see rename.h */
};

/* Local, pure. Do both say the same? */
int match_policy_same(const struct match_policy *p, const struct match_policy *q);

/* Local, serial file. The policy as attributes of an artifact, and back. */
err_t match_policy_write(const struct match_policy *p, struct h5 *f, struct err *e);
err_t match_policy_read(struct match_policy *p, struct h5 *f, struct arena *a, struct err *e);

#endif
