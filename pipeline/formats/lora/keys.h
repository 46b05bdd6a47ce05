/* Keys: what a name in an adapter's file, or in the state dict of a model that carries one, stands for.
 *
 * Source: peft, docs/source/developer_guides/checkpoint.md and src/peft/utils/save_and_load.py. In an
 * adapter's file `base_model.model.MODULE.lora_A.weight`; in a state dict the adapter's name stands in it,
 * `MODULE.lora_A.default.weight`, and what is adapted is `MODULE.base_layer.weight`. */
#ifndef SINEW_LORA_KEYS_H
#define SINEW_LORA_KEYS_H

#include "base/err.h"
#include "base/mem.h"

enum lora_kind {
    LORA_A,           /* [r, in] */
    LORA_B,           /* [out, r] */
    LORA_B_BIAS,      /* [out] */
    LORA_EMBEDDING_A, /* [r, rows] */
    LORA_EMBEDDING_B, /* [columns, r] */
    LORA_MAGNITUDE,   /* [out] */
    LORA_TOKENS,      /* rows that replace others */
    LORA_WHOLE,   /* a tensor of the model by its own name, in an adapter's file in the place of the base's */
    LORA_SAVED,   /* the same, trained as a whole beside the adapter: modules_to_save */
    LORA_NOTHING, /* what stands there again: original_module */
    LORA_UNKNOWN  /* a part of an adapter of another kind */
};

struct lora_key {
    enum lora_kind kind;
    int depth; /* how many base_layer stand behind the module: experts' weights are wrapped one in another */
    const char *module;  /* of parts of an adapter: the module's name; else the tensor's */
    int wrapped;         /* of a tensor: base_layer stood in its name, so that it is a copy of the base's */
    const char *adapter; /* its name; "" where it is not said */
};

/* Local. What a name stands for; texts are the arena's. Errors: SYSTEM over budget. */
err_t lora_key_read(struct lora_key *k, const char *name, struct arena *a, struct err *e);

/* Local, pure. Is the name that of a factor or a magnitude? Cheap: asked of each tensor of a model. */
int lora_key_is_factor(const char *name);

#endif
