/* FSDP's shards: the files in which each rank of a training run saved its own part of the model,
 * model_world_size_W_rank_R.pt.
 *
 * Source: verl, verl/utils/checkpoint/fsdp_checkpoint_manager.py and verl/model_merger/fsdp_model_merger.py.
 * A run's folder holds latest_checkpointed_iteration.txt and folders global_step_N, these actor/ (and critic/
 * where there is one), that the files of all ranks: the model's, and optim_* and extra_state_* beside them,
 * which are never opened. Each is a torch file (torchfile.h) of the same names, with a part of each tensor
 * (shard.h). Taken: the folder of the files, one of step, or of the run, whose latest step then counts. The
 * ranks' files must be all there and of one run: names, shapes and types agree, each element lies on one
 * rank, or the same on several. They are opened one after the other; kept are the places. The weights are
 * mostly the trainer's float32 masters; deployed is what rounding them once to bf16 gives. */
#ifndef SINEW_FSDP_H
#define SINEW_FSDP_H

#include "formats/format.h"

extern const struct format format_fsdp;

#endif
