/* Simulated: the places where simulated weights are written, and that nothing else which stands there is
 * touched. */
#ifndef SINEW_SIMULATED_H
#define SINEW_SIMULATED_H

#include "base/err.h"
#include "base/mem.h"

/* Where a simulated checkpoint is to be written. */
struct simulated_place {
    const char *folder;        /* of the checkpoint */
    const char *logits;        /* path of its logits; NULL: none */
    const char *const *shards; /* names of the files of weights to come, without the folder */
    int nshards;
};

/* Local. Makes sure that whatever stands there was written as simulated weights, before anything is changed:
 * each safetensors file says so itself, and run.json of the folder says it of the JSON beside it. Then
 * removes what an earlier run left in other shards. Nothing there is fine. Errors: DATA naming what is of
 * another origin, CONFIG where the folder is called as a file is; SYSTEM. */
err_t simulated_clear(const struct simulated_place *p, struct arena *a, struct err *e);

#endif
