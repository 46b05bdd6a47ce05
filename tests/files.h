/* Files of a test's own: a temporary folder, removed with all that is in it, and small models with planted
 * content. */
#ifndef SINEW_TEST_FILES_H
#define SINEW_TEST_FILES_H

#include "formats/safetensors/safetensors.h"
#include "formats/safetensors/safetensors_writer.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Local. Makes a new folder in TMPDIR (or /tmp), its name into path[size]. 0, or -1. */
static inline int folder_make(char *path, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(path, size, "%s/sinew-test-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    return n > 0 && (size_t)n < size && mkdtemp(path) ? 0 : -1;
}

static inline int folder_remove_one(const char *path, const struct stat *s, int type, struct FTW *at)
{
    (void)s, (void)type, (void)at;
    return remove(path);
}

/* Local. Removes a folder and all in it. 0, or -1. */
static inline int folder_remove(const char *path)
{
    return nftw(path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Local. Writes n tensors as one safetensors file; offsets and sizes are filled into t. bytes[i] is the
 * content of t[i] (NULL where it has none). metadata: npairs pairs of key and value. 0, or -1 with e set or
 * errno. */
static inline int model_write(const char *path, struct stored_tensor *t, int64_t n, const void *const *bytes,
                              const char *const *metadata, int npairs, struct arena *a, struct err *e)
{
    char *header;
    int64_t header_bytes;
    if (safetensors_header(t, n, metadata, npairs, a, &header, &header_bytes, e) != ERR_OK)
        return -1;
    unlink(path); /* anew: cutting a file short first is slow on some file systems */
    FILE *f = fopen(path, "wb");
    if (!f)
        return -1;
    int fine = fwrite(header, 1, (size_t)header_bytes, f) == (size_t)header_bytes;
    for (int64_t i = 0; i < n; i++)
        if (t[i].size_bytes > 0)
            fine &= fwrite(bytes[i], 1, (size_t)t[i].size_bytes, f) == (size_t)t[i].size_bytes;
    fine &= fclose(f) == 0;
    arena_drop(a, header);
    return fine ? 0 : -1;
}

#endif
