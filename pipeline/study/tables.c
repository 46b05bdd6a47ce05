#include "study/tables.h"

#include "study/registry.h"

#include <string.h>

struct table_list {
    const struct schema **list;
    int n;
};

/* Adds a table of this kind unless it stands in the list already. */
static err_t add(struct table_list *l, const struct schema *s, enum schema_kept kept, struct err *e)
{
    if (s->kept != kept)
        return ERR_OK;
    for (int i = 0; i < l->n; i++) {
        if (l->list[i] == s)
            return ERR_OK;
        if (strcmp(l->list[i]->name, s->name) == 0)
            return err_set(e, ERR_BUG, "two different tables are called %s", s->name);
    }
    l->list[l->n++] = s;
    return ERR_OK;
}

static err_t add_all(struct table_list *l, enum schema_kept kept, struct err *e)
{
    int nstages, nshared;
    const struct stage *const *stages = registry_stages(&nstages);
    const struct schema *const *shared = schema_shared(&nshared);
    for (int i = 0; i < nstages; i++)
        for (const struct schema *const *s = stages[i]->tables; s && *s; s++)
            TRY(add(l, *s, kept, e));
    for (int i = 0; i < nshared; i++)
        TRY(add(l, shared[i], kept, e));
    return ERR_OK;
}

err_t tables_of_archive(struct arena *a, const struct schema *const **list, int *n, struct err *e)
{
    struct table_list l = {0};
    int nstages, most;
    const struct stage *const *stages = registry_stages(&nstages);
    schema_shared(&most);
    for (int i = 0; i < nstages; i++)
        for (const struct schema *const *s = stages[i]->tables; s && *s; s++)
            most++;
    TRY(arena_array(a, "tables", most, &l.list, e));
    TRY(add_all(&l, KEPT_IN_ARCHIVE, e));
    TRY(add_all(&l, KEPT_AT_END, e));
    *list = l.list;
    *n = l.n;
    return ERR_OK;
}

const struct schema *tables_find(const char *name)
{
    int nstages;
    const struct stage *const *stages = registry_stages(&nstages);
    for (int i = 0; i < nstages; i++)
        for (const struct schema *const *s = stages[i]->tables; s && *s; s++)
            if (strcmp((*s)->name, name) == 0)
                return *s;
    return schema_find(name);
}
