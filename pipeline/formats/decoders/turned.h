/* Turned blocks: MXFP4 weights of experts that are stored transposed.
 *
 * X_blocks [E, out, G, 16] and X_scales [E, out, G] are for a tensor X [E, 32 G, out]: a block runs along its
 * middle axis. It is read row by row of that tensor, which touches every block of an expert; so an expert's
 * bytes are kept while its rows are read, or as many columns of blocks as TURNED_BYTES hold, and 32 rows at a
 * time are decoded. Numbers and rounding as in scaled.h. Source: transformers src/transformers/integrations/
 * mxfp4.py convert_moe_packed_tensors. */
#ifndef SINEW_TURNED_H
#define SINEW_TURNED_H

#include "formats/decoder.h"

enum { TURNED_BLOCK = 32, TURNED_BYTES = 32 << 20 };

extern const struct decoder decoder_turned;

/* Local. Makes d, the decoding of a derived [E, 32 G, out], one of these. What does not fit becomes
 * d->problem. Errors: SYSTEM over budget. */
err_t turned_fill(struct decoding *d, const struct stored_tensor *blocks, const struct stored_tensor *scales,
                  struct arena *a, struct err *e);

#endif
