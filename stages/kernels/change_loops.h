/* Between change.c and its vector loops; nobody else includes it. */
#ifndef SINEW_CHANGE_LOOPS_H
#define SINEW_CHANGE_LOOPS_H

#include "change.h"

enum { CHANGE_LANES = 32 };

/* Partial sums of one block: element i of its packed values goes to lane i % CHANGE_LANES. */
struct change_lanes {
    double abs[CHANGE_LANES], squares[CHANGE_LANES];
};

/* Local. The reference: elements [from, to) of the packed values. */
void change_add_range(struct change *c, struct change_lanes *lanes, enum arithmetic arithmetic,
                      const void *old_bits, const void *new_bits, int64_t from, int64_t to,
                      const float *limit, int ntolerances);

/* Local. The lanes' sums into c. */
void change_add_lanes(struct change *c, const struct change_lanes *lanes);

/* What a run of differences spans, as bf16 bits without the sign. */
struct change_span {
    uint16_t least, most;
};

/* Local. The span from the lanes of a loop: top, the greatest magnitude of anything met; most, least: of the
 * differences. Returns 0 where all is finite and all differences are normal, else -1. */
int change_span_of(const uint16_t *top, const uint16_t *most, const uint16_t *least, int lanes,
                   struct change_span *span);

#if defined(__x86_64__)
/* Local. Each adds elements [0, m) and returns m, a multiple of CHANGE_LANES not above n. */
int64_t change_add_bf16_avx2(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                             const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances);
int64_t change_add_bf16_avx512(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                               const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances);
#endif

#endif
