/* What simulated checkpoints are called, how each of their tensors comes about, and what they say of
 * themselves. */
#ifndef SINEW_DESCRIBE_H
#define SINEW_DESCRIBE_H

#include "base/err.h"
#include "base/text.h"
#include "kernels/simulate/families.h"
#include "kernels/simulate/simulate.h"

/* Names that a message lists, at most. */
enum { SIMULATE_NAMES = 64 };

/* Local. The names of all families (algorithms), at most SIMULATE_NAMES of them; returns how many. */
int simulate_family_names(const char **names);
int simulate_algorithm_names(const char **names);

/* Local. 'synth knows no WHAT "X" (did you mean "Y"?); it knows a, b' into text. */
void simulate_unknown(char *text, int size, const char *what, const char *name, const char *const *known,
                      int n);

/* The course of one checkpoint's training. */
struct simulate_course {
    uint64_t key;                               /* of the family */
    const struct simulate_algorithm *algorithm; /* NULL: none, the checkpoint is a base */
    const char *data;
    int64_t seed, steps;
};

/* Local. How a tensor's numbers come about: its keys, its size by kind, and the parts of its steps. */
struct simulate_tensor simulate_how(const struct simulate_course *s, const char *name, enum family_kind kind);

/* All that a checkpoint's run.json says. */
struct simulate_run {
    const char *family, *data, *dtype_tuned;
    const struct family *full;                  /* the architecture, as large as it is written */
    const struct simulate_algorithm *algorithm; /* NULL: a base */
    int64_t cell_seed, simulated_steps, layers, steps, seed, shards, logits;
    double scale;
    int rule, float32, hollow;
};

/* Local. The sentence that every output of such a checkpoint carries, arena-owned; NULL with e set. */
char *simulate_sentence(const struct simulate_run *r, struct arena *a, struct err *e);

/* Local. The text of run.json, a JSON map over several lines, added to t. */
err_t simulate_run_text(const struct simulate_run *r, struct text *t, struct err *e);

#endif
