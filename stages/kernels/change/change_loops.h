/* Between change.c and its loops; nobody else includes it. */
#ifndef SINEW_CHANGE_LOOPS_H
#define SINEW_CHANGE_LOOPS_H

#include "kernels/change/change.h"

enum { CHANGE_WAYS_BF16 = CHANGE_SIZES >> 15, CHANGE_WAYS_F32 = CHANGE_SIZES >> 16 };

struct change_loops {
    /* change_add. limit: the tolerances. Where the elements are counted by |delta|, what follows from these
     * counts is not counted: in bf16 what is finite by tolerance and exponent, in f32 what is finite and
     * normal by exponent. */
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

/* What a run of differences spans, as bits of the compare type without the sign. */
struct change_span {
    uint32_t least, most;
};

/* Local. The span from the lanes of a loop. Returns 0 where all differences are normal, else -1. They are not
 * where an element is not finite: the difference of different elements is infinite then, or NaN. Inline for
 * the instructions of its caller. normal, infinite: the least bits of either. */
#define CHANGE_SPAN_OF(name, type, normal, infinite)                                                      \
    static inline __attribute__((always_inline)) int name(const type *most, const type *least, int lanes, \
                                                          struct change_span *span)                       \
    {                                                                                                     \
        struct change_span s = {least[0], most[0]};                                                       \
        for (int k = 1; k < lanes; k++) {                                                                 \
            s.most = most[k] > s.most ? most[k] : s.most;                                                 \
            s.least = least[k] < s.least ? least[k] : s.least;                                            \
        }                                                                                                 \
        *span = s;                                                                                        \
        return s.most < (infinite) && s.least >= (normal) ? 0 : -1;                                       \
    }
CHANGE_SPAN_OF(change_span_of_16, uint16_t, 0x80, 0x7f80)
CHANGE_SPAN_OF(change_span_of_32, uint32_t, 0x800000, 0x7f800000)

/* Local. Counts n (a multiple of `ways`, those of the compare type) differences by their bins, of which these
 * are the least and the greatest. Inline for the instructions of its caller. */
static inline __attribute__((always_inline)) void change_count_sizes(struct change_sizes *s,
                                                                     const uint16_t *bin, int64_t n, int ways,
                                                                     uint32_t least, uint32_t most)
{
    s->least = (int)least < s->least ? (int)least : s->least;
    s->most = (int)most > s->most ? (int)most : s->most;
    for (int64_t i = 0; i < n; i += ways)
        for (int k = 0; k < ways; k++)
            s->count[bin[i + k] * ways + k]++;
}

/* Elements that go through one vector loop after the other, in the nearest cache; and what is known of those
 * of float32: |new - old|, in order; and in none, the bins of these sizes, their exponents, and log2 of the
 * steps. */
enum { CHANGE_STRIP = 2048 };
struct change_strip {
    uint32_t size[CHANGE_STRIP];
    uint16_t bin[CHANGE_STRIP];
    uint8_t exponent[CHANGE_STRIP], steps[CHANGE_STRIP];
};

/* The last of 16 classes of log2 of float32 steps that few elements of a strip lie outside of, where `most`
 * is the greatest class: for the more steps there are the smaller an element is, so that the greatest is far
 * above the others, of which each class further up or down has half as many. */
static inline int change_steps_end(int most)
{
    return most > 18 ? most - 3 : 15;
}

/* Tolerances that lie within a span, which elements have to be asked about one by one: as bits of the compare
 * type, and whose they are. */
struct change_within {
    int n, which[CHANGE_TOLERANCES];
    uint32_t at[CHANGE_TOLERANCES];
};

/* Local. Adds to c what the span of n normal differences tells of them: that they are not zero, the largest,
 * and that all are above the tolerances below the span. Returns those within it. */
struct change_within change_add_span(struct change *c, enum arithmetic arithmetic, struct change_span span,
                                     int64_t n, const float *limit, int ntolerances);

#endif
