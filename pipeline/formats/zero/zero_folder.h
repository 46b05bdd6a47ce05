/* The files of a DeepSpeed checkpoint by their names: which ranks saved what.
 *
 * Source: deepspeed, deepspeed/runtime/engine.py (_get_ckpt_name, _get_rank_zero_ckpt_name,
 * _get_expert_ckpt_name), deepspeed/checkpoint/constants.py. A run's folder holds `latest`, a text that names
 * the step's folder. There stand mp_rank_00_model_states.pt (up to stage 2: one file has the module), or
 * zero_pp_rank_R_mp_rank_00_model_states.pt of each rank (stage 3), and
 * [bf16_]zero_pp_rank_R_mp_rank_00_optim_states.pt of each rank. A universal checkpoint
 * (deepspeed/checkpoint/ds_to_universal.py), which `latest_universal` names, has the model states and a
 * folder `zero`. Names are looked at, no file is opened but `latest`. */
#ifndef SINEW_ZERO_FOLDER_H
#define SINEW_ZERO_FOLDER_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

struct zero_folder {
    const char *dir;     /* of the files */
    const char *run;     /* the folder above where dir was named by its `latest`; else dir */
    const char *whole;   /* path of the one file of model states, stages up to 2; NULL: there is none */
    int64_t nmodels;     /* files of model states of stage 3, by rank, none left out */
    const char **models; /* their paths */
    const char
        *universal;  /* the folder `zero` of a universal checkpoint, NAME/fp32.pt in it; NULL: it is none */
    int partial;     /* of a universal checkpoint: its model states are a part's, or a pipeline's: nothing is
                        taken of them */
    int64_t noptims; /* files of optimiser states, by rank, none left out; 0: all are gone */
    const char **optims;
};

/* Local. The file by which a folder is recognised (struct format): `latest`, or one of the step's files here,
 * or in the only folder global_stepN. 1 and its path from dir on, or 0. */
int zero_folder_find(const char *dir, char *name, int size);

/* Local. The files of the folder that `path` leads to, as zero_folder_find gave it. Errors: DATA: a `latest`
 * that names no folder beside it, no model states, a rank that is missing or there twice, files of stage 3
 * beside those of another stage, and with how to convert them tensor and pipeline parallelism and experts in
 * files of their own. SYSTEM where the folder cannot be listed. */
err_t zero_folder_read(struct zero_folder *f, const char *path, struct arena *a, struct err *e);

/* The line that converts what is not read as it is, for messages: of a folder, twice. */
#define ZERO_CONVERT \
    "python3 -m deepspeed.checkpoint.ds_to_universal --input_folder %s --output_folder %s_universal"

#endif
