/* The model states of a DeepSpeed checkpoint: the module, the shapes of what the optimiser has, what is
 * frozen, shared, a buffer.
 *
 * Source: deepspeed, deepspeed/utils/zero_to_fp32.py (parse_model_states), deepspeed/runtime/engine.py
 * (_common_checkpoint_state, _get_zero_param_shapes, _get_shared_params). A file is what torch.save writes;
 * of all that it holds only the keys named here are looked at. */
#ifndef SINEW_ZERO_MODEL_H
#define SINEW_ZERO_MODEL_H

#include "formats/zero/zero_run.h"

/* A parameter that the optimiser has, or a frozen one: of t name, layer, module, shape and elements. */
struct zero_param {
    struct stored_tensor t;
    int64_t group;   /* of the optimiser's groups, -1 of a frozen one */
    int64_t padding; /* elements behind it in its group (stages up to 2): parameter_alignment */
};

/* A name that stands for the tensor of another. */
struct zero_alias {
    struct stored_tensor as; /* name, layer, module */
    const char *source;
};

struct zero_model {
    int64_t world; /* ranks of data parallelism; 0: it does not say */
    int64_t step;  /* -1: it does not say */
    int64_t ngroups, nparams, nfrozen, nmodule, nbuffers, naliases;
    struct zero_param *params; /* in the order of the groups */
    struct zero_param *frozen;
    struct zero_run *fragments;   /* of each frozen one, what this rank has; n is 0 in stage 1 */
    struct stored_tensor *module; /* in the file's order; of stage 3 all are of shape 0 but the buffers */
    const char **buffers;
    struct zero_alias *aliases;
};

/* Local. Reads a file of model states, adds it to the list's files, and fills in m, owned by the arena.
 * Errors: DATA for what is no such file or breaks the format (file, tensor, byte), and tensor parallelism,
 * AutoEP and a module without tensors with how to convert them; SYSTEM over budget. */
err_t zero_model_read(struct zero_model *m, const char *path, struct stored_list *list, struct arena *a,
                      struct err *e);

/* Local. Of another rank's file of stage 3 only the fragments, for the nfrozen parameters of m, into out.
 * Errors: DATA where it lacks one, or is of another step; as above. */
err_t zero_model_fragments(const struct zero_model *m, struct zero_run *out, const char *path,
                           struct stored_list *list, struct arena *a, struct err *e);

#endif
