/* Universal checkpoints: a folder per parameter, with its float32 master whole in NAME/fp32.pt.
 *
 * Source: deepspeed, deepspeed/checkpoint/ds_to_universal.py (merge_tp_slices, merge_zero3_slices): a map
 * with the tensor under "param", or of stage 3 the tensor alone, flat. */
#ifndef SINEW_ZERO_UNIVERSAL_H
#define SINEW_ZERO_UNIVERSAL_H

#include "formats/stored.h"
#include "formats/zero/zero_model.h"

/* Local. The tensors of the folder, sorted by name: place, and shape as the file says it, or where it is flat
 * as m does. m: NULL where the model states say nothing. Errors: DATA for a file that holds no such tensor,
 * is of another shape than m has, or lies under a name that no tensor can have; for a parameter of m that has
 * no folder; SYSTEM where the folder cannot be listed. */
err_t zero_universal_read(struct stored_tensor **out, int64_t *n, const char *folder,
                          const struct zero_model *m, struct stored_list *list, struct arena *a,
                          struct err *e);

#endif
