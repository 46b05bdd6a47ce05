/* Choice: what is taken of a checkpoint that holds more than one thing which could be meant.
 *
 * A trainer's folder may hold float32 masters beside the weights that are deployed, an adapter is a model
 * only on its base and in two senses. A format looks at what concerns it and ignores the rest. */
#ifndef SINEW_CHOICE_H
#define SINEW_CHOICE_H

#include "base/err.h"
#include "base/mem.h"

/* Zeroed: what is deployed. */
enum choice_weights {
    CHOICE_WEIGHTS_DEFAULT, /* the weights a user would deploy */
    CHOICE_WEIGHTS_MASTERS, /* the optimiser's own, mostly float32 */
    CHOICE_WEIGHTS_MODEL    /* the model's, as they are deployed */
};

enum choice_adapter {
    CHOICE_ADAPTER_DEFAULT, /* merged */
    CHOICE_ADAPTER_MERGED,  /* the base's weights with the adapter in them, rounded as they are deployed */
    CHOICE_ADAPTER_EXACT    /* the adapter's own update, not rounded */
};

/* In which order a merge rounds. */
enum choice_merge {
    CHOICE_MERGE_DEFAULT, /* base and update are added in float32 and rounded once */
    CHOICE_MERGE_SAFE     /* the update is rounded to the weights' type before it is added */
};

struct choice {
    enum choice_weights weights;
    enum choice_adapter adapter;
    enum choice_merge merge;
    const char *base; /* path of the base checkpoint of what needs one; NULL: not known */
};

/* What a format does not look at (struct format): two checkpoints that differ in it alone are one. */
enum {
    CHOICE_OF_WEIGHTS = 1,
    CHOICE_OF_ADAPTER = 2, /* and of merge */
    CHOICE_OF_BASE = 4,
    CHOICE_OF_ALL = CHOICE_OF_WEIGHTS | CHOICE_OF_ADAPTER | CHOICE_OF_BASE
};

/* The words of each, by number, NULL behind the last. */
extern const char *const choice_weights_words[], *const choice_adapter_words[], *const choice_merge_words[];

/* Local, pure. Do they choose alike? */
int choice_same(const struct choice *a, const struct choice *b);

/* Local, pure. The choice without the parts that are ignored. */
struct choice choice_without(struct choice c, int ignored);

/* Local. The one name of a checkpoint under a choice: its path, and in brackets what was chosen:
 * "PATH (weights: masters, base: BASE)". c NULL or all default: path itself. Else owned by the arena; NULL
 * when e is set. */
const char *choice_name(const char *path, const struct choice *c, struct arena *a, struct err *e);

#endif
