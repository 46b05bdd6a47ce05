/* Bitmaps of elements: least significant bit first, row major, in 64-bit words; the inner loops that make and
 * use them. Pure: no MPI, no files, no allocation. Elements are uint16 (bf16) or uint32 (f32) bit patterns,
 * `bytes` 2 or 4 wide. Every instruction set gives the same bits. */
#ifndef SINEW_BITS_H
#define SINEW_BITS_H

#include "base/isa.h"

#include <stdint.h>

/* Packed values are written in whole vectors: an output needs room for so many elements more than it
 * receives. */
enum { BITS_SLACK = 64 };

/* Words that n bits take. */
static inline int64_t bits_words(int64_t n)
{
    return (n + 63) / 64;
}

/* Eight bytes of 0 or 1, the first lowest, as eight bits: the multiplication gathers them. */
static inline uint64_t bits_of_bytes(uint64_t eight)
{
    return eight * 0x0102040810204080u >> 56;
}

/* Local. Sets bits at, at + 1, ... of words where the n flags are 1 (others are 0); flag has room for 7 more,
 * which are overwritten, words for one more than the bits need. */
void bits_add_flags(uint64_t *words, int64_t at, uint8_t *flag, int64_t n);

/* What bits_compare found. */
struct bits_found {
    int64_t differ; /* elements that differ */
    int nonfinite;  /* some element of a has all exponent bits set (NaN or Inf) */
};

/* Local. One pass over n elements of a and b: words[i/64] bit i%64 = (a[i] != b[i]), the rest of the last
 * word 0; the differing elements of a and b are packed in order into old_bits and new_bits (room for all of
 * them and BITS_SLACK, none of it in a or b). bins, where not NULL: all n elements of a are added to its
 * MAGNITUDE_BINS magnitudes (magnitude.h), in the same pass. */
struct bits_found bits_compare(enum isa isa, int bytes, const void *a, const void *b, int64_t n,
                               uint64_t *words, void *old_bits, void *new_bits, int64_t *bins);

/* Local. The reverse: v[i] = the next of packed, where bit i is set; other elements of v stay. Returns how
 * many were used. */
int64_t bits_unpack(int bytes, const uint64_t *words, int64_t n, const void *packed, void *v);

/* Local. Narrows a bitmap in place: of its set bits, in order, keeps those whose bit in `keep` is set (bit i
 * of keep speaks of set bit i of words, least significant first). keep has room for one bit per set bit and
 * one word more. */
void bits_narrow(enum isa isa, uint64_t *words, int64_t nwords, const uint64_t *keep);

/* Local. Set bits of words; of a that are not set in b. */
int64_t bits_count(const uint64_t *words, int64_t nwords);
int64_t bits_count_without(const uint64_t *a, const uint64_t *b, int64_t nwords);

#endif
