/* Placeholders: parameters without elements, as DeepSpeed's ZeRO 3 leaves them in a state dict that was saved
 * without gathering the ranks' parts; buffers are whole there. Source: deepspeed, deepspeed/runtime/engine.py
 * (save_16bit_model, stage3_gather_16bit_weights_on_model_save); transformers and accelerate save them. */
#ifndef SINEW_PLACEHOLDERS_H
#define SINEW_PLACEHOLDERS_H

#include "formats/stored.h"

/* Local, pure. How many of a list's tensors are placeholders; 0 where they are fewer than half, as no such
 * state dict has it. */
int64_t placeholders_count(const struct stored_list *list);

/* Local. DATA where there are some: path, a tensor, the cause and the cure. */
err_t placeholders_refuse(const struct stored_list *list, const char *path, struct err *e);

#endif
