/* Quantized after training: which quantizer wrote a checkpoint, by the names and types of its tensors.
 *
 * Codes of these say what the quantizer made of a model, mostly from data of its own; a comparison of them
 * with weights measures the quantizer, and is refused. What is decoded (FP8, MXFP, NVFP4) is none of them.
 * config.json gives the name where it has one, and is believed alone only where tensors are of integers:
 * weights that were widened again often keep it. Sources: transformers src/transformers/quantizers/ and
 * utils/quantization_config.py, and the file formats of the methods named in quantized.c. */
#ifndef SINEW_QUANTIZED_H
#define SINEW_QUANTIZED_H

#include "formats/decoders/quant_config.h"
#include "formats/stored.h"

/* Zeroed: not quantized. */
struct quantized {
    const char *by; /* "gptq: tensor X.qweight of I32 12x64"; NULL: by nobody */
    int integers;   /* each weight is an I8 tensor of its own shape, X.weight */
};

/* Local. Of a list sorted by name, whose decodings are known. Errors: SYSTEM over budget. */
err_t quantized_find(struct quantized *q, const struct stored_list *list, const struct quant_config *config,
                     struct arena *a, struct err *e);

/* Local, pure. Have both integers by one method, so that their bits can be compared? */
int quantized_same_integers(const struct quantized *x, const struct quantized *y);

/* Local, pure. Is a tensor of that name what a quantizer writes beside weights of integers (scales, zero
 * points, formats), no parameter by itself? */
int quantized_is_beside(const char *name);

/* Local, pure. Is a tensor a scale or a zero point of a quantizer by its name, whatever the weights are by
 * now? They stay behind where weights were widened again, and stand beside FP8 weights for activations and
 * for the cache of keys and values. */
int quantized_is_scale(const struct stored_tensor *t);

#endif
