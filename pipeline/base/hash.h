/* Hashes of bytes, for freshness: XXH3. Not cryptographic: they tell changed from unchanged, not friend from
 * foe. */
#ifndef SINEW_HASH_H
#define SINEW_HASH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { HASH_TEXT = 33 }; /* 32 hexadecimal digits and the end */

/* Local. 64-bit hash of n bytes (XXH3-64). */
uint64_t hash_bytes(const void *bytes, size_t n);

/* Local. The same hash of n parts, as if they stood one after the other. */
struct hash_part {
    const void *bytes;
    size_t n;
};
uint64_t hash_parts(const struct hash_part *parts, int n);

/* Local. The same of all bytes of a file. Errors: as file_open. */
err_t hash_file(const char *path, uint64_t *hash, struct err *e);

/* Local. Of a sample: as many blocks of 4 KiB, 2 to HASH_SAMPLE_MOST, which are the first, the last and one
 * of each of equal stretches between, at a place that the file's size alone decides. They are asked for at
 * once, so that a file system far away is waited for about once. What changes more than two stretches one
 * after the other is found for certain, what changes a share p of all blocks, wherever they are, in 1 - (1 -
 * p)^blocks of all cases: it tells a file that was written anew under its old time, not one in which a bit is
 * wrong. A file of no more blocks is hashed whole. Errors: as file_open, and SYSTEM where it cannot be read.
 */
enum { HASH_SAMPLE_MOST = 64 };
err_t hash_sample(const char *path, int blocks, uint64_t *hash, struct err *e);

/* Local. 128-bit hash of a text (XXH3-128) as 32 hexadecimal digits. */
void hash_text(const char *text, char out[HASH_TEXT]);

#endif
