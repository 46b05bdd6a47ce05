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

/* The tensors of two lists, those of one name together. Zero-initialise. */
struct named_walk {
    int64_t at[2];
    const struct named_tensor *base, *tuned; /* NULL: not on this side */
};

/* Local, pure. The next tensor of either side or both, in the order of names; 0 at the end. */
int named_next(const struct named_list *base, const struct named_list *tuned, struct named_walk *w);

/* Local, pure. One of a name; NULL if there is none. Binary search. */
const struct named_tensor *named_find(const struct named_list *list, const char *name);

/* Local. The checkpoint's tensors under their own names, in an array of the arena. */
err_t named_list_of(struct named_list *list, const struct stored_tensor *tensors, int64_t n, struct arena *a,
                    struct err *e);

#endif
