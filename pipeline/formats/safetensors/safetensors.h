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

enum {
    SAFETENSORS_PREFIX_BYTES = 8,            /* the header's length stands before it */
    SAFETENSORS_MAX_HEADER_BYTES = 100000000 /* of the reference implementation */
};

enum safetensors_fault { SAFETENSORS_COUNTED, SAFETENSORS_OVERFLOW, SAFETENSORS_MISALIGNED };

/* Local. Elements and bytes of a tensor from dtype and shape, multiplied from left to right as the reference
 * does: [0, 2^62, 4] is empty, [2^62, 4, 0] overflows. */
enum safetensors_fault safetensors_count(const struct stored_tensor *t, int64_t *elements, int64_t *bytes);

/* Local. Is this the key under which a header keeps its metadata, and which no tensor may have? */
int safetensors_is_metadata(const char *key);

#endif
