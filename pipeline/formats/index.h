/* Index: a JSON file beside the shards of a model that says which tensor lies in which, as transformers
 * writes it for safetensors and torch files alike. */
#ifndef SINEW_INDEX_H
#define SINEW_INDEX_H

#include "formats/format.h"

/* Local. Opens all shards that the format's index in folder dir names: each one file of that format. Owned by
 * the arena; tensors sorted by name, files by theirs. Errors: those of the format's open; DATA for an index
 * that is none or leaves the folder, a missing shard, a tensor that it names and no shard has (but a head
 * that config.json ties to the embedding). Tensors that it omits or has in another shard are read as
 * transformers reads them, and list.note says so. */
err_t index_open(struct stored_list *out, const struct format *format, const char *dir,
                 const struct choice *choice, struct arena *a, struct err *e);

#endif
