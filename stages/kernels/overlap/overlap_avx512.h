/* Between the AVX-512 loops of overlap_counts.c; nobody else includes it. */
#ifndef SINEW_OVERLAP_AVX512_H
#define SINEW_OVERLAP_AVX512_H

#include "kernels/overlap/overlap_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Local. overlap_consensus. */
void overlap_consensus_avx512(const struct overlap_masks *m, int64_t *exactly);

#endif
#endif
