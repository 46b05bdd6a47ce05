/* The update of a low-rank adapter, s B A, as a tensor that is derived from its two factors.
 *
 * A and B as PEFT stores them (src/peft/tuners/lora/layer.py, get_delta_weight): A is [r, in], B [out, r].
 * Where the weight is stored [in, out], as an embedding or Conv1D is, its update is the transposed product. A
 * weight of E experts has both factors in one: A is [E r, in], expert after expert, B [out, r E], where a
 * column is that of rank k and expert e at k E + e. Factors are widened to float32, the product is summed and
 * scaled as elements/lowrank.h says, which is bit for bit what the library computes on a processor. */
#ifndef SINEW_DECODER_LORA_H
#define SINEW_DECODER_LORA_H

#include "formats/decoder.h"

/* Which part of s B A a tensor is. */
struct lora_product {
    int64_t r, experts;       /* r and E of the factors */
    int64_t expert, nexperts; /* the tensor holds nexperts of them from `expert` on, along its first axis
                                 where there are several */
    int64_t rows, cols;       /* of each */
    int64_t out_start;        /* where its outputs begin among B's rows */
    int transposed;           /* rows are inputs, columns outputs */
    double scale;
};

extern const struct decoder decoder_lora;

/* Local. Makes t, derived, whose name and shape are filled in, that part of the product of two factors: F32.
 * Errors: DATA, naming t, where factors and part do not fit each other; SYSTEM over budget. */
err_t lora_make(struct stored_tensor *t, const struct stored_tensor *a_factor,
                const struct stored_tensor *b_factor, const struct lora_product *part, struct arena *a,
                struct err *e);

#endif
