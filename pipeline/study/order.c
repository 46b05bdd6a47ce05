#include "study/order.h"
#include "base/text.h"

/* The first of i's needs that is not placed yet; -1 if i may come next. */
static int waits_for(int i, const int *nneeds, int *const *needs, const int *placed)
{
    for (int k = 0; k < nneeds[i]; k++)
        if (!placed[needs[i][k]])
            return needs[i][k];
    return -1;
}

/* A circle among those not placed, each of which waits for another one: whoever follows the waiting comes
 * round. */
static err_t find_cycle(int start, int n, const int *nneeds, int *const *needs, const int *placed,
                        struct order_cycle *out, struct arena *a, struct err *e)
{
    int *step, *path;
    TRY(arena_array(a, "order", n, &step, e)); /* 1 + place in path; 0: not met yet */
    TRY(arena_array(a, "order", n, &path, e));
    int length = 0, i = start;
    while (step[i] == 0) {
        step[i] = length + 1;
        path[length++] = i;
        i = waits_for(i, nneeds, needs, placed);
    }
    int first = step[i] - 1;
    out->n = length - first;
    TRY(arena_array(a, "order", out->n, &out->members, e));
    int smallest = first;
    for (int k = first; k < length; k++)
        if (path[k] < path[smallest])
            smallest = k;
    for (int k = 0; k < out->n; k++)
        out->members[k] = path[first + (smallest - first + k) % out->n];
    arena_drop(a, step);
    arena_drop(a, path);
    return ERR_OK;
}

err_t order_sort(int n, const int *nneeds, int *const *needs, int *order, struct order_cycle **cycles,
                 int *ncycles, struct arena *a, struct err *e)
{
    int *placed;
    int64_t cap = 0;
    *cycles = NULL;
    *ncycles = 0;
    TRY(arena_array(a, "order", n, &placed, e));
    for (int done = 0; done < n;) {
        int next = -1, waiting = -1;
        for (int i = 0; i < n && next < 0; i++) {
            if (placed[i])
                continue;
            waiting = waiting < 0 ? i : waiting;
            next = waits_for(i, nneeds, needs, placed) < 0 ? i : -1;
        }
        if (next >= 0) {
            placed[next] = 1;
            order[done++] = next;
            continue;
        }
        /* placing the members of a circle shows those that have nothing to do with it */
        TRY(arena_grow(a, "order", *ncycles + 1, &cap, cycles, e));
        struct order_cycle *c = &(*cycles)[*ncycles];
        TRY(find_cycle(waiting, n, nneeds, needs, placed, c, a, e));
        ++*ncycles;
        for (int k = 0; k < c->n; k++) {
            placed[c->members[k]] = 1;
            order[done++] = c->members[k];
        }
    }
    arena_drop(a, placed);
    return ERR_OK;
}

char *order_cycle_text(const struct order_cycle *c, const char *const *names, struct arena *a, struct err *e)
{
    struct text t = {.arena = a};
    for (int k = 0; k < c->n; k++)
        if (text_add(&t, e, "%s -> ", names[c->members[k]]) != ERR_OK)
            return NULL;
    return text_add(&t, e, "%s", names[c->members[0]]) == ERR_OK ? t.text : NULL;
}
