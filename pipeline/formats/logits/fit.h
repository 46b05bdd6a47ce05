/* Fit: are the logits of a cell over the vocabulary of its models, and both over the same? Told from headers.
 *
 * The largest k of a token's logits, entropies of batch x tokens that were taken for logits, and logits of
 * another model all have a vocabulary, and would give figures that mean something else than their words. */
#ifndef SINEW_FIT_H
#define SINEW_FIT_H

#include "formats/checkpoint.h"
#include "base/err.h"
#include "base/mem.h"

/* One policy of a cell. */
struct fit_side {
    const char *path;               /* its logits as the config names them; NULL: none */
    const struct checkpoint *model; /* its model, or */
    const char *catalogue;          /* the artifact that has it (catalogue.h); both NULL: not known */
    int64_t vocabulary;             /* found: 0 for entropies and where there is no path */
    int64_t rows;                   /* found: of the model's head or embedding; 0 where none is known */
    int strange;                    /* found: the vocabulary is not the model's */
};

/* Local. Rows of the model's head or embedding, the larger, which may be some more than the vocabulary; the
 * tensor's name in *name. 0 where neither is found. */
int64_t fit_rows(const struct checkpoint *model, const char **name);

/* Local. Looks at both sides, base and tuned. A vocabulary is the model's within a factor of two of its rows:
 * rows pad, a vocabulary is resized. One that is not is strange, which is for the caller to say; an array
 * without a name, of .npy, could be anything then, and is refused. So are two sides that differ by more than
 * a factor of two, and where one is such an array whose model is not known, by anything. Errors: DATA; what
 * logits_open says; SYSTEM. */
err_t fit_check(struct fit_side side[2], struct arena *a, struct err *e);

#endif
