/* Scaled codes: weights stored as numbers of eight or four bits, and scales beside them.
 *
 * FP8 of every kind with a scale for the tensor, for each row, each group of a row or each block (X.weight
 * beside X.weight_scale_inv, X.weight_scale or X.scale), MXFP8, and the four-bit kinds that packed.h derives.
 * An element is its code's number times its scale, one product in float, rounded once to bf16: what the
 * libraries write when they decode, bit for bit. Both names of scales are factors: the inverse that one
 * speaks of is of what the quantizer multiplied with. Sources: DeepSeek-V3 inference/fp8_cast_bf16.py;
 * transformers src/transformers/integrations/finegrained_fp8.py; compressed-tensors
 * src/compressed_tensors/compressors/; TensorRT-Model-Optimizer
 * modelopt/torch/quantization/qtensor/nvfp4_tensor.py. */
#ifndef SINEW_SCALED_H
#define SINEW_SCALED_H

#include "elements/codes/codes.h"
#include "formats/decoder.h"
#include "formats/decoders/scale_grid.h"

/* One scale for all that stands above the others. */
enum scaled_global {
    SCALED_NO_GLOBAL,
    SCALED_DIVIDES,   /* a scale is divided by it before it is used (compressed-tensors) */
    SCALED_MULTIPLIES /* or multiplied with it (ModelOpt) */
};

/* What a decoding of this kind says. */
struct scaled {
    enum codes kind;
    enum scaled_global uses_global;
    struct scale_grid grid;
    const struct stored_tensor *codes, *scale,
        *global; /* codes: the tensor's own, or two in a byte of this */
};

/* Local. Fills a decoding in from what is known, helpers and note included. kind and codes as above; scale
 * and global stand in the list. What does not fit becomes d->problem. Errors: SYSTEM over budget. */
err_t scaled_fill(struct decoding *d, const struct scaled *s, const struct quant_config *q, struct arena *a,
                  struct err *e);

/* Local, pure. The reverse of what scaled_fill wrote; 0: it is none that can be used. */
int scaled_of(const struct decoding *d, struct scaled *s);

/* Local. The scales of a tensor by the names that they have: X.weight_scale_inv, X.weight_scale, X.scale of
 * X.weight. NULL: there are none, or e is set (memory). */
const struct stored_tensor *scaled_find_scale(const struct stored_list *list, const char *name,
                                              struct arena *a, struct err *e);

/* The row of the table of decoders: takes FP8 tensors. E4M3 without scales is refused, since codes mean
 * nothing without them; of the other kinds, that has been said to be of no comparable type, and is. */
extern const struct decoder decoder_scaled;

/* Local. Elements [first, first+n) by scales that are read as they are needed; a decoder's read. */
err_t scaled_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                  struct decoder_scratch *scratch, void *out, struct err *e);
int64_t scaled_scratch(const struct decoding *d, int64_t n);

#endif
