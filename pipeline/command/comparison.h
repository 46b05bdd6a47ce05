/* Comparison: what a study of one pair found, as a page for a terminal or as one JSON object. */
#ifndef SINEW_COMPARISON_H
#define SINEW_COMPARISON_H

#include "base/text.h"
#include "engine/runner.h"

/* What the user asked, in the user's words. */
struct comparison_asked {
    const char *base, *tuned;
    int json;
    int bf16; /* both sides are cast to bf16 */
};

/* Local (process 0's work). The pair that the runner's study has, from its archive, added to out: what was
 * taken of each side, the verdicts, sparsity by criterion, modules, rank, what was left out. Errors: DATA
 * where the archive lacks the cell; SYSTEM. */
err_t comparison_write(struct text *out, const struct runner *r, const struct comparison_asked *asked,
                       struct arena *a, struct err *e);

#endif
