/* The optimiser states of a DeepSpeed checkpoint: one rank's flat groups of masters.
 *
 * Source: deepspeed, deepspeed/utils/zero_to_fp32.py (parse_optim_states), deepspeed/runtime/zero/
 * stage_1_and_2.py, stage3.py and deepspeed/runtime/bf16_optimizer.py (state_dict). The moments are not
 * looked at. */
#ifndef SINEW_ZERO_OPTIM_H
#define SINEW_ZERO_OPTIM_H

#include "formats/zero/zero_run.h"

struct zero_optim {
    int sharded; /* fp32_flat_groups: each parameter is cut over the ranks (stage 3); else
                    single_partition_of_fp32_groups: each group is */
    int64_t ngroups;
    struct zero_run *groups;
    int64_t *cut;                        /* elements cut off the end of each group; NULL: it does not say */
    int64_t partitions, most_partitions; /* ranks over which the groups are cut: the least and the most; 0: it
                                            does not say */
    uint64_t hash;                       /* of its file's directory: of equal files equal */
    double step;                         /* of the optimiser; NaN: it does not say */
    const char *version;                 /* of DeepSpeed; "" where it does not say */
    int64_t nalignments, *alignments; /* parameter_alignment's padding behind each parameter, group by group;
                                         NULL: none. */
    int64_t *naligned;                /* how many of them are of each group */
};

/* Local. Reads a file of optimiser states, adds it to the list's files, and fills in o, owned by the arena.
 * Errors: as zero_model_read. */
err_t zero_optim_read(struct zero_optim *o, const char *path, struct stored_list *list, struct arena *a,
                      struct err *e);

#endif
