#include "base/hash.h"

#include <stdio.h>
#include <string.h>
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

void hash_text(const char *text, char out[HASH_TEXT])
{
    XXH128_hash_t h = XXH3_128bits(text, strlen(text));
    snprintf(out, HASH_TEXT, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}
