/* Graft: the tensors of a base with an adapter's on them, as one list.
 *
 * What the adapter changes is derived (decoders/lora.h, decoders/merge.h), what it brings whole takes the
 * place of the base's, all else is the base's as it is. Source: peft, src/peft/tuners/lora/layer.py (merge of
 * Linear, Embedding, ParamWrapper), src/peft/tuners/trainable_tokens/layer.py. */
#ifndef SINEW_LORA_GRAFT_H
#define SINEW_LORA_GRAFT_H

#include "formats/choice.h"
#include "formats/lora/adapter.h"
#include "formats/lora/keys.h"
#include "formats/model_config.h"
#include "formats/stored.h"

/* A part of an adapter: a tensor, and what its name stands for. */
struct graft_part {
    const struct stored_tensor *t;
    struct lora_key key;
};

struct graft {
    const char *path; /* of the adapter, for messages */
    const struct adapter *adapter;
    const struct choice *choice;
    int64_t nparts;
    const struct graft_part *parts;
    struct stored_list *list;   /* the base's, sorted by name, with room for as many tensors more as there are
                                   parts;   becomes the result */
    char *replaced;             /* of each tensor that the base had: is it another's now? */
    int64_t nmerged, nreplaced; /* out: weights that are derived, tensors that were replaced or are new */
};

/* Local. Puts the parts on the list, and resolves its decodings. config: the base's. Errors: DATA, naming
 * tensor, expected and found: a part without its counterpart, or of a module that the base lacks, shapes that
 * do not fit each other, a kind of part that is not known; SYSTEM over budget. */
err_t graft_apply(struct graft *g, const struct model_config *config, struct arena *a, struct err *e);

#endif
