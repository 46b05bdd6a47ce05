/* Bitmaps of elements: least significant bit first, row major, in 64-bit words; the inner loops that make and
 * use them. Pure: no MPI, no files, no allocation. Elements are uint16 (bf16) or uint32 (f32) bit patterns,
 * `bytes` 2 or 4 wide. */
#ifndef SINEW_BITS_H
#define SINEW_BITS_H

#include <stdint.h>

/* Words that n bits take. */
static inline int64_t bits_words(int64_t n)
{
    return (n + 63) / 64;
}

/* Local. words[i/64] bit i%64 = (a[i] != b[i]) for i < n; the rest of the last word is 0. Returns how many
 * bits are set. */
int64_t bits_differ(int bytes, const void *a, const void *b, int64_t n, uint64_t *words);

/* Local. Packs the elements of v whose bit is set, in order, into out (room for all of them). Returns how
 * many. */
int64_t bits_pack(int bytes, const uint64_t *words, int64_t n, const void *v, void *out);

/* Local. The reverse: v[i] = the next of packed, where bit i is set; other elements of v stay. Returns how
 * many were used. */
int64_t bits_unpack(int bytes, const uint64_t *words, int64_t n, const void *packed, void *v);

/* Local. Set bits of words; of a AND b. */
int64_t bits_count(const uint64_t *words, int64_t nwords);
int64_t bits_count_and(const uint64_t *a, const uint64_t *b, int64_t nwords);

#endif
