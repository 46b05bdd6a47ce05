/* Dict: numbers found by text, by hash. What a study names may be many thousands; looking each up in a list
 * takes their square. */
#ifndef SINEW_DICT_H
#define SINEW_DICT_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

struct dict_slot {
    const char *key; /* NULL: free */
    uint64_t hash;
    int64_t value;
};

/* Zero-initialise, set arena, put. */
struct dict {
    struct arena *arena;
    int64_t n, cap; /* cap: a power of two, or 0 */
    struct dict_slot *slots;
};

/* Local. Sets the number of a text, whether it has one or not. key: borrowed as long as the dict is used.
 * value: not negative. Errors: SYSTEM (memory). */
err_t dict_put(struct dict *d, const char *key, int64_t value, struct err *e);

/* Local. The number of a text; -1 where it has none. */
int64_t dict_find(const struct dict *d, const char *key);

#endif
