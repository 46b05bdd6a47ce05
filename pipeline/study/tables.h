/* Tables of a study: what the registered stages and the machine write, put in order. */
#ifndef SINEW_TABLES_H
#define SINEW_TABLES_H

#include "base/err.h"
#include "base/mem.h"
#include "hdf5/schema.h"

/* Local. The tables of the archive, *n of them, in its order: as the stages declare them, one stage after the
 * other, then those of the machine that no stage names; the ones that are kept at the end come after all
 * these. The list is the arena's. Errors: BUG where two tables have one name. */
err_t tables_of_archive(struct arena *a, const struct schema *const **list, int *n, struct err *e);

/* Local. A table that a stage or the machine writes, by name; NULL where there is none. */
const struct schema *tables_find(const char *name);

#endif
