/* Packed weights: tensors of bytes that stand for others, with other names and shapes.
 *
 * Weights of four bits lie two in a byte under the name of what holds them, X.weight_packed, or under their
 * own. In a list of tensors the bytes give way to the weights, which are derived from them (scaled.h, and
 * turned.h for those that are stored transposed). Sources: compressed-tensors src/compressed_tensors/
 * compressors/nvfp4, mxfp4 (X.weight_packed beside X.weight_scale, X.weight_global_scale); openai/gpt-oss
 * gpt_oss/torch/weights.py and transformers src/transformers/integrations/mxfp4.py (X_blocks beside
 * X_scales); TensorRT-Model-Optimizer modelopt/torch/export (X.weight beside X.weight_scale,
 * X.weight_scale_2). */
#ifndef SINEW_PACKED_H
#define SINEW_PACKED_H

#include "formats/decoder.h"

/* Local. Replaces in a list, sorted by name, the bytes of each packed weight by the weight; the list is
 * sorted again. Bytes whose scales are not there, or not of a kind that is packed so, stay what they are.
 * Errors: DATA where the list has the weight too; SYSTEM over budget. */
err_t packed_derive(struct stored_list *list, const struct model_config *config, struct arena *a,
                    struct err *e);

/* Local. Of a list whose decodings are known: what a quantizer wrote beside a weight that is decoded, and
 * that is no parameter (scales of inputs and outputs, zero points), helps it, so that it is one no longer.
 * Errors: SYSTEM over budget. */
err_t packed_complete(struct stored_list *list, struct arena *a, struct err *e);

#endif
