/* Between bits.c and its AVX-512 loops; nobody else includes it. */
#ifndef SINEW_BITS_AVX512_H
#define SINEW_BITS_AVX512_H

#include "elements/bits.h"

#if defined(__x86_64__)
/* Local. bits_compare of 16- and 32-bit elements. */
struct bits_found bits_compare16_avx512(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                                        uint16_t *old_bits, uint16_t *new_bits, int64_t *bins);
struct bits_found bits_compare32_avx512(const uint32_t *a, const uint32_t *b, int64_t n, uint64_t *words,
                                        uint32_t *old_bits, uint32_t *new_bits, int64_t *bins);
#endif

#endif
