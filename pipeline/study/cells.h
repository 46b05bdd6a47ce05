/* Matrix: the cells of a study: the product of the axes of `matrix:`, and the explicit list `cells:`. */
#ifndef SINEW_MATRIX_H
#define SINEW_MATRIX_H

#include "study/item.h"
#include "study/stage.h"

/* Cells collected so far, and where each was named. */
struct cells {
    int n;
    int64_t cap, cap_marks;
    struct cell *list;
    struct mark *marks;
};

enum {
    MATRIX_CELLS = 10000
}; /* of `matrix` and of `cells`, at most each; also values of an axis, entries of exclude */

/* Local. Expands `matrix:`; families slowest, then algorithms, seeds, data, steps. Complaints go to
 * r->problems; a matrix with any of them adds no cell. Errors: SYSTEM (memory) in r->e. */
void matrix_expand(const struct asker *r, const struct item *matrix, struct mark at, struct cells *out);

/* Local. Reads `cells:`. Cells with a complaint are left out. */
void matrix_cells(const struct asker *r, const struct item *list, struct cells *out);

/* Local. Complains of cells named twice, at the second one. */
void matrix_check_names(const struct asker *r, const struct cells *cells);

/* Local. Appends the cells as `cells:` in YAML, which read back are the same. */
err_t matrix_text(const struct cell *cells, int n, struct text *out, struct err *e);

#endif
