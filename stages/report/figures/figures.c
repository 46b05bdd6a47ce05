#include "report/figures/figures.h"

#include <string.h>

#define FIGURES_KIND(name, section, table) {section, table, figures_##name},
static const struct figure_kind kinds[] = {FIGURES(FIGURES_KIND)};
enum { KINDS = sizeof kinds / sizeof *kinds };

const struct figure_kind *figures_kinds(int *n)
{
    *n = KINDS;
    return kinds;
}

err_t figures_keep(struct gather *g, const struct schema *const *tables, int ntables, struct err *e)
{
    for (int i = 0; i < KINDS && e->code == ERR_OK; i++) {
        int known = !kinds[i].table;
        for (int t = 0; t < ntables && !known; t++)
            known = strcmp(tables[t]->name, kinds[i].table) == 0;
        if (!known)
            return err_set(e, ERR_BUG, "a figure asks for table \"%s\", which no stage adds to the archive",
                           kinds[i].table);
        if (kinds[i].table)
            gather_keep(g, kinds[i].table, e);
    }
    return e->code;
}

err_t figures_build(struct figures *f, struct gather *g, struct err *e)
{
    *f = (struct figures){.g = g, .wanted = 1, .missing = ""};
    for (int i = 0; i < KINDS && e->code == ERR_OK; i++) {
        f->section = kinds[i].section;
        kinds[i].build(f, e);
    }
    return e->code;
}
