/* Histograms of an update: their rows. */
#ifndef SINEW_DELTA_HISTOGRAMS_H
#define SINEW_DELTA_HISTOGRAMS_H

#include "kernels/change/change.h"
#include "hdf5/table.h"

/* Local. The rows of one tensor, which is row t of table compared, into a table
 * tensor_histograms. */
err_t histograms_add_tensor(struct table *to, int64_t t, const struct change_counts *k, struct err *e);

/* Local. The rows of a cell, into a table histograms. */
err_t histograms_add_cell(struct table *to, const char *cell, const char *node, const struct change_counts *k,
                          struct err *e);

#endif
