/* Results: the masks of one base, what was counted of them, and the tables of it. */
#ifndef SINEW_OVERLAP_RESULTS_H
#define SINEW_OVERLAP_RESULTS_H

#include "compare/maskfile.h"
#include "compare/scopes.h"
#include "study/stage.h"

/* The masks of one base, and what is counted of them. Arrays over pairs and scopes are [pair][scope]. */
struct overlap {
    struct ctx *ctx;
    int k; /* masks */
    const struct input **mask;
    char *apart; /* per mask: its cell knows no weights, and has no matched chance */
    struct maskset *masks;
    struct layout layout;
    struct scopes scopes;
    int64_t nscopes, npairs;
    int64_t *own;                /* [mask][scope] */
    int64_t *both;               /* [pair][scope] */
    int64_t *exactly;            /* [scope][0..k] */
    int64_t pair_from, pair_to;  /* the pairs whose chance overlap this process sums */
    double *expected, *variance; /* [pair - pair_from][scope]; on process 0, after the gathering, all pairs */
};

/* The tables that it writes; NULL-terminated. */
extern const struct schema *const overlap_tables[];

/* Process 0. Writes them. scratch: for rows. */
err_t overlap_write(const struct overlap *o, struct arena *scratch, struct err *e);

#endif
