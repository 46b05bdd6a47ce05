/* Target: a module that an adapter changes, and the tensors of the base that are its weights.
 *
 * Mostly that is one, MODULE.weight. It may also be a parameter of a module of experts, which the base has as
 * one tensor of three axes, or expert by expert: gate_up_proj [E, 2I, H] is what experts.N.gate_proj and
 * up_proj hold, one above the other. */
#ifndef SINEW_LORA_TARGET_H
#define SINEW_LORA_TARGET_H

#include "formats/decoders/lora.h"
#include "formats/lora/adapter.h"

/* The parts of one adapter at one module. */
struct target {
    const char *module;
    int depth; /* of wrappers within wrappers */
    const struct stored_tensor *a, *b, *bias, *magnitude;
    int is_embedding;
    const char *parameter; /* NULL: its weight; else the name of a parameter of the module */
};

/* A tensor of the base, by its place in the base's list, and which part of s B A is its. */
struct target_weight {
    int64_t at;
    struct lora_product product;
};

/* What names of the base are looked up in: its tensors, sorted by name. */
struct target_base {
    const struct stored_tensor *tensors;
    int64_t n;
};

/* Local, pure. A tensor of the base by the name that the adapter's model has for it: as it is, or where
 * checkpoints have other beginnings of names than the library's modules. -1: there is none. */
int64_t target_find(const struct target_base *base, const char *name);

/* Local, pure. The weight of a module; -1: the base has none. */
int64_t target_find_weight(const struct target_base *base, const char *module);

/* Local, pure. The embedding that a head is, by the head's name, in a base that has no such tensor; -1: none.
 */
int64_t target_find_tied(const struct target_base *base, const char *name);

/* Local, pure. Is the target a parameter that the adapter names (target_parameters), rather than a weight? */
int target_is_parameter(const struct target *t, const struct adapter *x, const struct target_base *base);

/* Local. Which parameter of its module a target is: the wrappers' order is the module's, the innermost the
 * first. ntargets: how many there are at the module. Errors: DATA where the adapter's config does not tell.
 */
err_t target_name_parameter(struct target *t, int ntargets, const struct adapter *x,
                            const struct target_base *base, const char *path, struct arena *a, struct err *e);

/* Local. The weights of a target, one or one for each expert and half, owned by the arena. conv1d: a square
 * weight is stored as inputs x outputs. Errors: DATA where the base has none, or the shapes do not fit. */
err_t target_weights(struct target_weight **out, int64_t *n, const struct target *t,
                     const struct target_base *base, const struct adapter *x, int conv1d, const char *path,
                     struct arena *a, struct err *e);

/* Local, pure. How a weight of one matrix is stored, as far as its shape tells. */
enum target_side { TARGET_UNFIT, TARGET_STRAIGHT, TARGET_ACROSS, TARGET_EITHER };
enum target_side target_side(const struct target *t, const struct stored_tensor *weight);

#endif
