/* Choice: what is taken of a checkpoint that holds more than one thing which could be meant.
 *
 * A trainer's folder may hold float32 masters beside the weights that are deployed, an adapter is a model
 * only on its base and in two senses. A format looks at what concerns it and ignores the rest. */
#ifndef SINEW_CHOICE_H
#define SINEW_CHOICE_H

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

#endif
