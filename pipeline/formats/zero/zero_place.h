/* Where a DeepSpeed checkpoint's parameters lie: flat groups, cut over ranks, as pieces of tensors.
 *
 * Source: deepspeed, deepspeed/utils/zero_to_fp32.py (_zero2_merge_trainable_params,
 * _zero3_merge_trainable_params, GatheredTensor, _zero3_merge_frozen_params), whose results these are. Stages
 * 1 and 2, and BF16_Optimizer: each of the optimiser's groups is one line of elements, its parameters in the
 * order of param_shapes, each perhaps with padding behind it; the ranks' partitions one behind the other make
 * that line. Stage 3: each parameter is cut, rank r has ceil(n / ranks) elements from r times as many on, in
 * the line of its own groups. */
#ifndef SINEW_ZERO_PLACE_H
#define SINEW_ZERO_PLACE_H

#include "formats/stored.h"
#include "formats/zero/zero_model.h"
#include "formats/zero/zero_optim.h"

/* Local. Do the files of `world` ranks belong together, and to the model states? Errors: DATA, under `path`,
 * with the ranks and what differs: number of ranks, stage, groups, sizes, step, version. */
err_t zero_check_ranks(const struct zero_model *m, const struct zero_optim *ranks, int64_t world,
                       const char *path, struct err *e);

/* Local. Completes m's parameters from the ranks' groups: each is a stored tensor then, in one piece or
 * several. Errors: DATA, under `path`, where the groups hold less or more than the shapes say; SYSTEM over
 * budget. */
err_t zero_place_params(struct zero_model *m, const struct zero_optim *ranks, int64_t world,
                        const struct stored_list *list, const char *path, struct arena *a, struct err *e);

/* Local. The same for m's frozen parameters in stage 3. fragments: of rank r and frozen parameter i at
 * r * nfrozen + i. */
err_t zero_place_frozen(struct zero_model *m, const struct zero_run *fragments, int64_t world,
                        const struct stored_list *list, const char *path, struct arena *a, struct err *e);

#endif
