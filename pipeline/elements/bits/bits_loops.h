/* Between bits.c and its loops; nobody else includes it. */
#ifndef SINEW_BITS_LOOPS_H
#define SINEW_BITS_LOOPS_H

#include "elements/bits/bits.h"

struct bits_loops {
    /* bits_compare of 16- and 32-bit elements. */
    struct bits_found (*compare16)(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                                   uint16_t *old_bits, uint16_t *new_bits, int64_t *bins);
    struct bits_found (*compare32)(const uint32_t *a, const uint32_t *b, int64_t n, uint64_t *words,
                                   uint32_t *old_bits, uint32_t *new_bits, int64_t *bins);
    /* bits_narrow. */
    void (*narrow)(uint64_t *words, int64_t nwords, const uint64_t *keep);
    /* Set bits of a AND NOT b; b NULL: of a. */
    int64_t (*count)(const uint64_t *a, const uint64_t *b, int64_t nwords);
};

ISA_TABLES(struct bits_loops, bits);

/* The bits that a mask of eight has, in order; behind them 8. By it the chosen elements of a vector are
 * brought together, in largest_avx2.c too. */
extern const uint8_t bits_places[256][8];

/* Local. The reference. */
struct bits_found bits_compare16_portable(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                                          uint16_t *old_bits, uint16_t *new_bits, int64_t *bins);
struct bits_found bits_compare32_portable(const uint32_t *a, const uint32_t *b, int64_t n, uint64_t *words,
                                          uint32_t *old_bits, uint32_t *new_bits, int64_t *bins);

/* Local. What was found in a head and in what follows it. */
static inline struct bits_found bits_found_both(struct bits_found head, struct bits_found tail)
{
    return (struct bits_found){head.differ + tail.differ, head.nonfinite || tail.nonfinite};
}

/* Local. The next n bits (1..64) of a bit stream, from bit `at` on, above which are others. */
static inline uint64_t bits_next(const uint64_t *stream, int64_t at)
{
    uint64_t low = stream[at / 64] >> (at % 64);
    return at % 64 ? low | stream[at / 64 + 1] << (64 - at % 64) : low;
}

/* bits_loops.count in plain C, to be compiled for a set that has an instruction for it (without one a count
 * is a function call): kind is static, or the set's attribute. */
#define BITS_COUNT(kind, name)                                              \
    kind int64_t name(const uint64_t *a, const uint64_t *b, int64_t nwords) \
    {                                                                       \
        int64_t set = 0;                                                    \
        for (int64_t i = 0; b && i < nwords; i++)                           \
            set += __builtin_popcountll(a[i] & ~b[i]);                      \
        for (int64_t i = 0; !b && i < nwords; i++)                          \
            set += __builtin_popcountll(a[i]);                              \
        return set;                                                         \
    }

#endif
