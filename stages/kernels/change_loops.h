/* Between change.c and its vector loops; nobody else includes it. */
#ifndef SINEW_CHANGE_LOOPS_H
#define SINEW_CHANGE_LOOPS_H

#include "change.h"

enum {
    CHANGE_LANES = 8,
    CHANGE_WINDOW = 128,  /* bins the pairs table covers: 32 octaves ... */
    CHANGE_WINDOW_0 = 400 /* ... from 2^-27 on */
};

/* Partial sums of one block: element i of its packed values goes to lane i % 8. */
struct change_lanes {
    double abs[CHANGE_LANES], squares[CHANGE_LANES];
};

/* Local. The reference: elements [from, to) of the packed values. */
void change_add_range(struct change *c, struct change_lanes *lanes, enum arithmetic arithmetic,
                      const void *old_bits, const void *new_bits, int64_t from, int64_t to,
                      const float *limit, int ntolerances);

/* Local. The lanes' sums into c. */
void change_add_lanes(struct change *c, const struct change_lanes *lanes);

#if defined(__x86_64__)
/* Local. AVX-512: adds elements [0, m) and returns m, a multiple of 8 not above n. */
int64_t change_add_bf16_avx512(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                               const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances);

/* Local. AVX-512: counts elements [0, m) of the base, in the pairs table or, where they lie outside its
 * window, in bins; returns m. */
int64_t change_pairs_bf16_avx512(int64_t *bins, struct change_pairs *pairs, const uint16_t *w, int64_t n);
int64_t change_pairs_f32_avx512(int64_t *bins, struct change_pairs *pairs, const uint32_t *w, int64_t n);
#endif

#endif
