/* Between change.c and its loops; nobody else includes it. */
#ifndef SINEW_CHANGE_LOOPS_H
#define SINEW_CHANGE_LOOPS_H

#include "kernels/change/change.h"

enum { CHANGE_LANES = 32, CHANGE_WAYS_BF16 = CHANGE_SIZES >> 15, CHANGE_WAYS_F32 = CHANGE_SIZES >> 16 };

/* Partial sums of one block: element i of its packed values goes to lane i % CHANGE_LANES. sizes: where the
 * elements are counted by |delta|; in bf16 what is finite is then not counted by tolerance and exponent,
 * which follow from these counts. NULL: nowhere. */
struct change_lanes {
    double abs[CHANGE_LANES], squares[CHANGE_LANES];
    struct change_sizes *sizes;
};

struct change_loops {
    /* Adds n changed elements of a block to c, but what they add to its sums to the lanes. limit: the
     * tolerances. */
    void (*add_bf16)(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                     const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances);
    void (*add_f32)(struct change *c, struct change_lanes *lanes, const uint32_t *old_bits,
                    const uint32_t *new_bits, int64_t n, const float *limit, int ntolerances);
};

ISA_TABLES(struct change_loops, change);

/* Local. The reference. */
void change_add_bf16_portable(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                              const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances);
void change_add_f32_portable(struct change *c, struct change_lanes *lanes, const uint32_t *old_bits,
                             const uint32_t *new_bits, int64_t n, const float *limit, int ntolerances);

/* Local. Adds n finite differences of one size, as bf16 bits without the sign, by tolerance and exponent. */
void change_add_sizes(struct change *c, uint16_t size, int64_t n, const float *limit, int ntolerances);

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

/* Local. Counts n (a multiple of CHANGE_WAYS_BF16) differences, as bf16 bits without the sign. Inline for the
 * instructions of its caller. */
static inline __attribute__((always_inline)) void
change_count_sizes(struct change_sizes *s, const uint16_t *size, int64_t n, struct change_span span)
{
    s->least = span.least < s->least ? span.least : s->least;
    s->most = span.most > s->most ? span.most : s->most;
    for (int64_t i = 0; i < n; i += CHANGE_WAYS_BF16)
        for (int k = 0; k < CHANGE_WAYS_BF16; k++)
            s->count[size[i + k] * CHANGE_WAYS_BF16 + k]++;
}

/* Tolerances that lie within a span, which elements have to be asked about one by one: as bf16 bits, and
 * whose they are. */
struct change_within {
    int n, which[CHANGE_TOLERANCES];
    uint16_t at[CHANGE_TOLERANCES];
};

/* Local. Adds to c what the span of n normal differences tells of them: that they are not zero, the largest,
 * and that all are above the tolerances below the span. Returns those within it. */
struct change_within change_add_span(struct change *c, struct change_span span, int64_t n, const float *limit,
                                     int ntolerances);

#endif
