/* Packing: parameters that one checkpoint holds in one tensor and the other in several, brought together.
 *
 * Experts are packed, experts.gate_up_proj [E, 2I, H] and experts.down_proj [E, H, I] (of some models
 * transposed, of gpt-oss gate and up interleaved besides), or each has its own experts.N.gate_proj.weight,
 * up_proj, down_proj; Mixtral's own names are block_sparse_moe, w1, w3, w2. Attention's three projections and
 * a gate with what it gates are fused, qkv_proj and gate_up_proj, or not. Which of two checkpoints does what
 * depends on the version and the setting of the library that wrote it. The tuned side is presented as the
 * base has it, by views and joins of its numbers, where names and shapes leave no doubt; what they do leave
 * in doubt stays as it is. Sources: transformers src/transformers/conversion_mapping.py, and of models
 * mixtral, qwen3_moe, gpt_oss, llama4, phi3 the modeling files. */
#ifndef SINEW_PACKING_H
#define SINEW_PACKING_H

#include "compare/named.h"

/* What was done, tensor by tensor, for table skipped. */
struct packing_note {
    const char *tensor, *reason;
};

struct packing {
    int64_t nnotes, notes_cap;
    struct packing_note *notes;
    const char *hint; /* of what looks packed and does not fit; NULL: nothing does */
};

/* Local. Replaces tensors of `tuned` that hold what unmatched tensors of `base` hold, so that these are
 * matched; each element of either side stays in exactly one tensor. Owned by the arena. Errors: DATA where
 * parts of one tensor have several types; SYSTEM over budget. */
err_t packing_align(struct packing *p, const struct named_list *base, struct named_list *tuned,
                    struct arena *a, struct err *e);

#endif
