/* Scale grids: which element of a tensor of scales is for which element of a weight.
 *
 * A weight is a row of matrices (experts), mostly one; each is cut into blocks, the last of a row or column
 * smaller, and each block has one scale. The whole tensor, a row (a channel), a group of a row and a square
 * block are all such blocks. Sources: compressed-tensors src/compressed_tensors/quantization/lifecycle/
 * forward.py (strategies tensor, channel, group, block); DeepSeek-V3 inference/fp8_cast_bf16.py. */
#ifndef SINEW_SCALE_GRID_H
#define SINEW_SCALE_GRID_H

#include "formats/decoders/quant_config.h"
#include "formats/stored.h"

struct scale_grid {
    int64_t rows, cols;             /* of one matrix */
    int64_t block_rows, block_cols; /* at least 1 */
    int64_t down, across;           /* scales of one matrix */
    int64_t step;                   /* scales from one matrix to the next: down * across, or 0 */
};

/* Local. The blocks that the scales' shape and type, and what config.json says of blocks, leave no doubt
 * about. t: shape of the weight's numbers. q: NULL where nothing is said; then blocks are 128 x 128, a byte's
 * powers of two are for 32 of a row, and F8_E4M3 scales for 16. Returns 0, or -1 with what was expected and
 * found in problem. */
int scale_grid_fit(struct scale_grid *g, const struct stored_tensor *t, const struct stored_tensor *scale,
                   const struct quant_config *q, char *problem, int size);

/* Local, pure. Is this a grid of t over `scale`, every index within it? For what a catalogue gives back. */
int scale_grid_valid(const struct scale_grid *g, const struct stored_tensor *t,
                     const struct stored_tensor *scale);

/* Local, pure. The scale of an element of the flattened weight. */
int64_t scale_grid_at(const struct scale_grid *g, int64_t element);

/* Local. "blocks of 128x128", "rows", "the whole tensor", "32 of a row". */
const char *scale_grid_text(const struct scale_grid *g, char *text, int size);

#endif
