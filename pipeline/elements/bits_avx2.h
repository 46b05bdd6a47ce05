/* The AVX2 loops of bits.c; nobody else includes it. Arguments as of bits_compare. */
#ifndef SINEW_BITS_AVX2_H
#define SINEW_BITS_AVX2_H

#include "elements/bits.h"

#if defined(__x86_64__)
/* Local. Elements [0, m) alone; returns m, a multiple of 64 not above n. */
int64_t bits_compare16_avx2(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                            uint16_t *old_bits, uint16_t *new_bits, int64_t *bins, struct bits_found *found);
int64_t bits_compare32_avx2(const uint32_t *a, const uint32_t *b, int64_t n, uint64_t *words,
                            uint32_t *old_bits, uint32_t *new_bits, int64_t *bins, struct bits_found *found);
#endif

#endif
