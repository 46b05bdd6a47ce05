#include "base/hash.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY /* for a state on the stack */
#include <xxhash.h>

uint64_t hash_bytes(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

uint64_t hash_parts(const struct hash_part *parts, int n)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (int i = 0; i < n; i++)
        XXH3_64bits_update(&state, parts[i].bytes, parts[i].n);
    return XXH3_64bits_digest(&state);
}

err_t hash_file(const char *path, uint64_t *hash, struct err *e)
{
    char some[1 << 16];
    struct file_stamp stamp;
    int fd;
    *hash = 0;
    TRY(file_open(path, &fd, &stamp, e));
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (ssize_t n = 1; n != 0 && e->code == ERR_OK;) {
        n = read(fd, some, sizeof some);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err_set(e, ERR_SYSTEM, "%s: cannot be read: %s", path, strerror(errno));
        else
            XXH3_64bits_update(&state, some, (size_t)n);
    }
    *hash = XXH3_64bits_digest(&state);
    close(fd);
    return e->code;
}

void hash_text(const char *text, char out[HASH_TEXT])
{
    XXH128_hash_t h = XXH3_128bits(text, strlen(text));
    snprintf(out, HASH_TEXT, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}
