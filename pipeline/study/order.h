/* Order: who comes first when each of n things needs others, and the circles that make it impossible. Pure
 * index arrays. */
#ifndef SINEW_ORDER_H
#define SINEW_ORDER_H

#include "base/err.h"
#include "base/mem.h"

/* One circle: members[0] needs members[1] needs ... needs members[0]; members[0] is the smallest of them. */
struct order_cycle {
    int n;
    int *members;
};

/* Local. Topological order: order[n] lists 0..n-1 so that the nneeds[i] things in needs[i] stand before i; of
 * those that may come next, the smallest first. Circles go to *cycles (arena-owned, *ncycles of them, no
 * member in two; order is then of no use). Cost: O(n * needs). Errors: SYSTEM (memory). */
err_t order_sort(int n, const int *nneeds, int *const *needs, int *order, struct order_cycle **cycles,
                 int *ncycles, struct arena *a, struct err *e);

/* Local. "a -> b -> a" (a needs b needs a). Arena-owned; NULL when e is set. */
char *order_cycle_text(const struct order_cycle *c, const char *const *names, struct arena *a, struct err *e);

#endif
