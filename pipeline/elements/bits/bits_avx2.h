/* AVX2 loops of bits.c that the AVX-512 table has too; nobody else includes it. */
#ifndef SINEW_BITS_AVX2_H
#define SINEW_BITS_AVX2_H

#include "elements/bits/bits_loops.h"

#if defined(__x86_64__)
/* Local. bits_narrow, by BMI2; set bits of a AND NOT b, or where that is NULL of a, by POPCNT. */
void bits_narrow_avx2(uint64_t *words, int64_t nwords, const uint64_t *keep);
int64_t bits_count_avx2(const uint64_t *a, const uint64_t *b, int64_t nwords);
#endif

#endif
