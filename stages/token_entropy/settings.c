#include "token_entropy/settings.h"

#include <math.h>
#include <stdio.h>

#define AT(field) offsetof(struct entropy_params, field)
const struct param entropy_params[] = {
    {"temperature", PARAM_REAL, AT(temperature), NULL, "1", 0, 1e6, NULL,
     "logits are divided by it; above 0; 1 where entropies are given"},
    {"quantiles", PARAM_REALS, AT(quantiles), NULL, "[0.05, 0.25, 0.5, 0.8, 0.95]", 0, 1, NULL,
     "of the token entropies, exact with linear interpolation"},
    {"forking_share", PARAM_REAL, AT(forking_share), NULL, "0.2", 0, 1, NULL,
     "share of the tokens, those of highest entropy, that are called forking tokens"},
    {"histogram_bins", PARAM_INT, AT(histogram_bins), NULL, "50", 1, 100000, NULL,
     "equal bins from 0 to ln(vocabulary), to the largest where entropies are given"},
    {"min_count", PARAM_INT, AT(min_count), NULL, "1", 1, 1e15, NULL,
     "token ids seen less often get no row in table token_ids"},
    {0}};
#undef AT

int entropy_check(const void *params, char *problem, int size)
{
    const struct entropy_params *p = params;
    if (p->temperature > 0 && isfinite(p->temperature))
        return 0;
    snprintf(problem, (size_t)size, "temperature must be above 0, found %g", p->temperature);
    return -1;
}
