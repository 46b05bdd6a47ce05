/* Registry: the one place that names the stages. */
#ifndef SINEW_REGISTRY_H
#define SINEW_REGISTRY_H

#include "study/stage.h"

/* Local. All stages, in the order of the study; *n of them. */
const struct stage *const *registry_stages(int *n);

/* Local. By kind; NULL where there is none. */
const struct stage *registry_find(const char *kind);

#endif
