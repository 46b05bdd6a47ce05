/* The safetensors format: one file's header, checked in full before any size is used.
 *
 * Source: huggingface/safetensors, safetensors/src/tensor.rs and README.md (format reference). As there: 8
 * bytes little-endian header length N <= 100,000,000, N bytes of UTF-8 JSON (JSON white space allowed around
 * it), then the data; offsets are relative to 8+N, without holes or overlaps, and end exactly at the end of
 * the file. Stricter than there: duplicate keys are an error. */
#ifndef SINEW_SAFETENSORS_H
#define SINEW_SAFETENSORS_H

#include "base/mem.h"
#include "formats/stored.h"

struct safetensors {
    const char *path;
    int64_t size_bytes, mtime_ns, data_start;
    uint64_t header_hash;
    int64_t ntensors;
    struct stored_tensor
        *tensors; /* in file order by offset; .file is 0; offsets from the start of the file */
    int64_t nmetadata;
    const char **metadata_keys, **metadata_values; /* of __metadata__ */
};

/* Local. Reads and checks the header of path. Everything is owned by the arena.
 * Errors: DATA for a file that breaks the format (which rule, expected, found), SYSTEM where it cannot be
 * read. */
err_t safetensors_open(struct safetensors *s, const char *path, struct arena *a, struct err *e);

/* Local. Value of a __metadata__ key, or NULL. */
const char *safetensors_metadata(const struct safetensors *s, const char *key);

/* Local. Begins the text of a header to write: tensors are laid out in the order given, without gaps, and
 * offsets and sizes are filled into t. metadata: pairs key, value, key, value ... (n pairs). *header holds
 * 8+N bytes, padded to a multiple of 8 with spaces as the reference writer does. Names must be unique. */
err_t safetensors_header(struct stored_tensor *t, int64_t ntensors, const char *const *metadata, int n,
                         struct arena *a, char **header, int64_t *header_bytes, struct err *e);

#endif
