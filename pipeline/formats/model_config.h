/* What a checkpoint's config.json says of the model, as far as comparing two checkpoints needs it: how many
 * layers the model proper has, whether its head is its embedding, how its weights are quantized, and what the
 * order of its rows hangs on.
 *
 * The file is a published one beside the weights, as untrusted as they are, and nothing depends on it where
 * it is not asked: one that cannot be used is a problem kept as text, which is told when the answer is
 * needed. */
#ifndef SINEW_MODEL_CONFIG_H
#define SINEW_MODEL_CONFIG_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/decoders/quant_config.h"

#include <stdint.h>

enum model_tied { MODEL_TIED_UNKNOWN, MODEL_TIED_NO, MODEL_TIED_YES };

/* Zeroed: nothing is known. */
struct model_config {
    const char *path;          /* of the file; NULL where there is none */
    const char *problem;       /* why it cannot be used, path included; NULL where it can */
    int64_t layers;            /* num_hidden_layers; 0 where it is not said */
    enum model_tied tied;      /* tie_word_embeddings */
    struct quant_config quant; /* known while a checkpoint is opened; a catalogue does not keep it */
    const char *type;          /* model_type; NULL where it is not said */
    int64_t heads, kv_heads;   /* num_attention_heads, num_key_value_heads; 0 where they are not said */
    int is_bf16;               /* its weights are deployed so: dtype, or torch_dtype, is bfloat16 */
};

/* Local. Reads config.json of the checkpoint at `path`, a folder or a file in one. The keys are looked for
 * at the top, then in text_config, where models of several parts have them. Errors: SYSTEM: memory, and what
 * keeps the file from being read at this moment (an input error, too many open files), which is no finding.
 */
err_t model_config_read(struct model_config *m, const char *path, struct arena *a, struct err *e);

#endif
