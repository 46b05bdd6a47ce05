/* What a study may say of token-entropy: its parameters and their rules. */
#ifndef SINEW_TOKEN_SETTINGS_H
#define SINEW_TOKEN_SETTINGS_H

#include "study/param.h"

struct entropy_params {
    double temperature, forking_share;
    struct real_list quantiles;
    int64_t histogram_bins, min_count;
};

extern const struct param entropy_params[];

/* Local, pure. As the stage's (study/stage.h). */
int entropy_check(const void *params, char *problem, int size);

#endif
