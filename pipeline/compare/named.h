/* Named tensors: a checkpoint's tensors under the names by which they are matched. */
#ifndef SINEW_NAMED_H
#define SINEW_NAMED_H

#include "formats/stored.h"

/* A tensor under the name it is matched by. */
struct named_tensor {
    const char *name;
    const struct stored_tensor *tensor;
};

struct named_list {
    int64_t n;
    struct named_tensor *v; /* sorted by name, bytewise */
};

#endif
