/* Selection: what the user picked of a study on the command line. */
#ifndef SINEW_SELECTION_H
#define SINEW_SELECTION_H

#include "base/text.h"
#include "study/dag.h"

struct selection {
    struct text_list stages; /* node names; none: all */
    struct text_list cells;  /* cell names; none: all */
    int force;               /* run what is fresh too */
};

/* Local. Are the picked names in the config? Errors: CONFIG with the nearest valid name. */
err_t selection_check(const struct selection *s, const struct config *c, struct arena *scratch,
                      struct err *e);

/* Local. Picks one of n shares of the config's cells, in its order, as even as can be, those of one base
 * together as far as they stand together: share is "I/N", I from 1. cells is empty before. Errors: CONFIG
 * where share is no such text, where there are fewer cells than shares, or where cells are picked by name. */
err_t selection_share(struct selection *s, const char *share, const struct config *c, struct arena *a,
                      struct err *e);

/* Local. Picks cells by their numbers, from 1 in the config's order, as `check --cells` lists them: "3",
 * "7-9", "1,4,7-9". cells is empty before. Errors: CONFIG where list is no such text, where there is no cell
 * of that number, or where cells are picked otherwise too. */
err_t selection_index(struct selection *s, const char *list, const struct config *c, struct arena *a,
                      struct err *e);

/* Local. Is the cell of this name picked? */
int selection_has_cell(const struct selection *s, const char *name);

/* Local. Is node i picked? picked: out, d->nnodes of 0 or 1. A picked cell brings the nodes of its
 * checkpoints; its base's, and the study's beside picked stages, only where the stage is picked. Errors:
 * SYSTEM (memory). */
err_t selection_pick(const struct selection *s, const struct dag *d, char *picked, struct arena *scratch,
                     struct err *e);

#endif
