/* LoRA adapters of PEFT: a folder with adapter_config.json and adapter_model.safetensors (or .bin), which is
 * a model on its base; and state dicts of models that carry one unmerged.
 *
 * Source: peft, docs/source/developer_guides/checkpoint.md. The base is the one that the study names: a path
 * in the adapter's own config is another machine's, and not followed. */
#ifndef SINEW_LORA_H
#define SINEW_LORA_H

#include "formats/format.h"

/* Local. Makes of a list that holds the parts of an adapter, and what it changes or not, the model that it
 * stands for: merged, or exact (choice.h). path: of the folder or file that was opened. A list without such
 * parts stays as it is, and so does one with several adapters of names of their own, which are tensors of the
 * model like others; the list's note says what was done. Errors: DATA where an adapter lacks its base, or one
 * that graft.h or adapter.h refuses; SYSTEM over budget. */
err_t lora_complete(struct stored_list *list, const char *path, const struct choice *choice, struct arena *a,
                    struct err *e);

#endif
