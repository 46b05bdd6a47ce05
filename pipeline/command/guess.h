/* Guess: what the name of a folder says of a checkpoint: the step, the seed, the algorithm, that it is a
 * base.
 *
 * Trainers and people name folders in a few ways: global_step_100, checkpoint-100, iter_0000100, epoch_3,
 * seed-0, s1, "Qwen2.5-7B-GRPO". Nothing here looks at a file. */
#ifndef SINEW_GUESS_H
#define SINEW_GUESS_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

/* A stretch of a name; n is 0 where there is none. */
struct span {
    int at, n;
};

/* What one name between two slashes says. */
struct guess {
    int64_t step, seed;           /* -1: it says none */
    struct span step_at, seed_at; /* their digits, zeros in front included */
    struct span algorithm_at;     /* the word, as it is written */
    int base;     /* it is called as models before training are: base, sft, ref, ...; the first of them is 1,
                     those     that are less likely meant more; 0: it is not */
    int ordinary; /* such names say nothing of what is in the folder: checkpoints, trainer, actor, ... */
};

/* Local, pure. Of n bytes of name. */
struct guess guess_name(const char *name, int n);

/* Local, pure. Does the name say that the folder is a part of something else (an optimiser, logs, the
 * original files of a converted model)? */
int guess_is_part(const char *name);

/* Local, pure. Does the name of a file say that it holds no model (optimizer.pt, training_args.bin, ...)? */
int guess_is_beside(const char *name);

/* Local. The text as a name for a study, a family or an algorithm: what a name may not hold becomes '-'.
 * Owned by the arena; NULL when e is set. */
char *guess_word(struct arena *a, const char *text, int n, struct err *e);

#endif
