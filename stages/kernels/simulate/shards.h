/* Shards: where a model's list of tensors is cut into files. Pure. */
#ifndef SINEW_SIMULATE_SHARDS_H
#define SINEW_SIMULATE_SHARDS_H

#include <stdint.h>

/* Bytes of a file at most, as transformers' save_pretrained has it (max_shard_size), unless one tensor alone
 * is larger. */
#define SHARDS_FILE_BYTES INT64_C(5000000000)

/* Local. Cuts n tensors, of bytes[i] each, into files: ends[k] is the first tensor behind file k. files > 0:
 * into so many, at most n, of about equal bytes, none of them empty; 0: as transformers does, in order, a
 * new file where the present one would become larger than SHARDS_FILE_BYTES. ends: at least
 * n of them. Returns how many files; 0 of no tensors. */
int64_t shards_cut(const int64_t *bytes, int64_t n, int64_t files, int64_t *ends);

#endif
