/* Proposal: the study that the checkpoints of a survey seem to be: which is tuned, from which base, and what
 * each cell is called.
 *
 * A base is what an adapter or config.json names, else the nearest folder called as bases are, else the first
 * folder given, else the run's own first step. Every pair is matched from headers as the study will match it,
 * so that what is proposed passes `sinew check`; what cannot be matched is noted. */
#ifndef SINEW_PROPOSAL_H
#define SINEW_PROPOSAL_H

#include "command/survey.h"

/* A cell. Texts are names as a config has them. */
struct proposed {
    const struct sighting *tuned, *base;
    const char *family, *algorithm;
    int64_t seed, step; /* step: -1: none */
    const char *base_pattern,
        *tuned_pattern;  /* the paths with {family}, {algorithm}, {seed} and {step} where these
                            words stand in them; NULL: a pattern cannot say the path */
    const char *guessed; /* what was guessed of its base or its name, a sentence; NULL */
    int seed_guessed, algorithm_guessed; /* no folder's name says one */
    int unmatched;                       /* some tensors are on one side only, or differ in rows: */
    const char *unmatched_why;
    int masters; /* it holds weights to choose among (key weights) */
    int f32;     /* its tuned weights are float32, its base's are not */
};

struct proposal {
    struct survey *survey;
    struct arena *arena;
    int64_t n, cap;
    struct proposed *cells;
    const char *unmatched; /* why tensors without a partner must be left out, of the first such cell; NULL */
};

/* Local. Zero-initialise, set survey and arena. Opens the headers of all checkpoints. Errors: DATA
 * where nothing can be compared, with the reason; SYSTEM (memory). */
err_t proposal_make(struct proposal *p, struct err *e);

#endif
