#include "base/hash.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

void hash_text(const char *text, char out[HASH_TEXT])
{
    XXH128_hash_t h = XXH3_128bits(text, strlen(text));
    snprintf(out, HASH_TEXT, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}
