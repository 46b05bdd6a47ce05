/* Between change.c and its vector loops; nobody else includes it. */
#ifndef SINEW_CHANGE_LOOPS_H
#define SINEW_CHANGE_LOOPS_H

#include "kernels/change/change.h"

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

/* Local. The span from the lanes of a loop. Returns 0 where all differences are normal, else -1. They are not
 * where an element is not finite: the difference of different elements is infinite then, or NaN. Inline for
 * the instructions of its caller. */
static inline __attribute__((always_inline)) int change_span_of(const uint16_t *most, const uint16_t *least,
                                                                int lanes, struct change_span *span)
{
    struct change_span s = {least[0], most[0]};
    for (int k = 1; k < lanes; k++) {
        s.most = most[k] > s.most ? most[k] : s.most;
        s.least = least[k] < s.least ? least[k] : s.least;
    }
    *span = s;
    return s.most < 0x7f80 && s.least >= 0x80 ? 0 : -1;
}

/* Tolerances that lie within a span, which elements have to be asked about one by one: as bf16 bits, and
 * whose they are. */
struct change_within {
    int n, which[CHANGE_TOLERANCES];
    uint16_t at[CHANGE_TOLERANCES];
};

/* Local. Those of the tolerances; to updated[] of one below the span all n elements are added. */
struct change_within change_within_of(struct change_span span, const float *limit, int ntolerances, int64_t n,
                                      int64_t *updated);

#if defined(__x86_64__)
/* Local. Each adds elements [0, m) and returns m, a multiple of CHANGE_LANES not above n. */
int64_t change_add_bf16_avx2(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                             const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances);
int64_t change_add_bf16_avx512(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                               const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances);
#endif

#endif
