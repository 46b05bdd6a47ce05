#include "compare/named.h"

#include <string.h>

int named_next(const struct named_list *base, const struct named_list *tuned, struct named_walk *w)
{
    int more_base = w->at[0] < base->n, more_tuned = w->at[1] < tuned->n;
    if (!more_base && !more_tuned)
        return 0;
    const struct named_tensor *x = &base->v[w->at[0]], *y = &tuned->v[w->at[1]];
    int order = !more_base ? 1 : !more_tuned ? -1 : strcmp(x->name, y->name);
    w->base = order <= 0 ? x : NULL;
    w->tuned = order >= 0 ? y : NULL;
    w->at[0] += order <= 0;
    w->at[1] += order >= 0;
    return 1;
}

const struct named_tensor *named_find(const struct named_list *list, const char *name)
{
    int64_t low = 0, high = list->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(list->v[middle].name, name);
        if (order == 0)
            return &list->v[middle];
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

err_t named_list_of(struct named_list *list, const struct stored_tensor *tensors, int64_t n, struct arena *a,
                    struct err *e)
{
    *list = (struct named_list){.n = n};
    TRY(arena_array(a, "match.names", n, &list->v, e));
    for (int64_t i = 0; i < n; i++)
        list->v[i] = (struct named_tensor){tensors[i].name, &tensors[i]};
    return ERR_OK;
}
