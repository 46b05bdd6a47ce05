#include "study/registry.h"

#include <string.h>

extern const struct stage stage_synth, stage_load, stage_delta, stage_mask, stage_rank, stage_overlap,
    stage_dynamics, stage_token_entropy, stage_report;

static const struct stage *const stages[] = {
    &stage_synth,   &stage_load,     &stage_delta,         &stage_mask,   &stage_rank,
    &stage_overlap, &stage_dynamics, &stage_token_entropy, &stage_report,
};

const struct stage *const *registry_stages(int *n)
{
    *n = (int)(sizeof stages / sizeof *stages);
    return stages;
}

const struct stage *registry_find(const char *kind)
{
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (strcmp(stages[i]->kind, kind) == 0)
            return stages[i];
    return NULL;
}
