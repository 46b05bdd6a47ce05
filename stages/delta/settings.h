/* What a study may say of delta: its parameters and their rules. */
#ifndef SINEW_DELTA_SETTINGS_H
#define SINEW_DELTA_SETTINGS_H

#include "compare/match_policy.h"
#include "study/param.h"

enum { DELTA_STORES_UPDATE = 0 /* of `store` */ };

struct delta_params {
    int arithmetic, store, rows, unmatched, mtp;
    struct real_list tolerances, relative;
    struct text_list rename;
    const char *coverage;
};

extern const struct param delta_params[];

/* Local, pure. As the stage's (study/stage.h). */
void delta_matches(const void *params, struct match_policy *out);
int delta_check(const void *params, char *problem, int size);

#endif
