/* DeepSpeed checkpoints read in place, as their library leaves them: the float32 masters that ZeRO has cut
 * over its ranks, or the weights of the model.
 *
 * Source: deepspeed, deepspeed/utils/zero_to_fp32.py, whose results the masters are. choice.weights: masters
 * are the optimiser's parameters, with frozen ones, buffers and shared names as the model states have them.
 * model, and by default: up to stage 2 the module as it is, in stage 3 the masters rounded once to the
 * module's type, as the engine makes its weights. Both are there for stages 1, 2, 3 and BF16_Optimizer. */
#ifndef SINEW_ZERO_H
#define SINEW_ZERO_H

#include "formats/format.h"

/* The row of the table of formats. Errors of its `open`: DATA, naming the file, for what zero_folder.h,
 * zero_model.h, zero_optim.h and zero_place.h refuse, a parameter of which nothing is there, and masters that
 * are asked for where no optimiser states are. */
extern const struct format format_zero;

#endif
