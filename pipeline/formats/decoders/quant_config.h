/* What a model's config.json says of how its weights are quantized: by which method, and which blocks of them
 * share a scale.
 *
 * Key quantization_config, of older compressed-tensors compression_config, at the top or in text_config.
 * Sources: transformers src/transformers/utils/quantization_config.py; compressed-tensors
 * src/compressed_tensors/quantization/quant_args.py. */
#ifndef SINEW_QUANT_CONFIG_H
#define SINEW_QUANT_CONFIG_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/json.h"

#include <stdint.h>

enum { QUANT_BLOCKS = 8 };

/* Rows and columns of a weight that one scale is for. */
struct quant_block {
    int64_t rows, cols;
};

/* Zeroed: nothing is said. */
struct quant_config {
    const char *method;  /* quant_method, as it is written; NULL where there is none */
    const char *problem; /* what is wrong with the blocks; NULL: nothing */
    int nblocks;         /* each once */
    struct quant_block blocks[QUANT_BLOCKS];
};

/* Local. root: of config.json, a map. Takes weight_block_size, and of each of config_groups'
 * weights block_structure and group_size (a block of one row). Errors: SYSTEM (memory) only. */
err_t quant_config_take(struct quant_config *q, const struct json_item *root, struct arena *a, struct err *e);

#endif
