/* The plain loops of bits.c: the reference. */
#include "elements/bits/bits_loops.h"

#include "elements/magnitude/magnitude_loops.h"

#include <string.h>

/* One 64-bit word from 64 comparisons. The byte array in between lets the compiler compare and narrow with
 * vector instructions. */
static inline __attribute__((always_inline)) uint64_t gather(const uint8_t *flag)
{
    uint64_t word = 0;
    for (int k = 0; k < 8; k++) {
        uint64_t eight;
        memcpy(&eight, flag + 8 * k, 8);
        word |= bits_of_bytes(eight) << (8 * k);
    }
    return word;
}

/* exponent: mask of the exponent bits of the type, which is that of the arithmetic. */
#define COMPARE(name, type, exponent, arithmetic)                                                    \
    struct bits_found name(const type *a, const type *b, int64_t n, uint64_t *words, type *old_bits, \
                           type *new_bits, int64_t *bins)                                            \
    {                                                                                                \
        struct bits_found found = {0, 0};                                                            \
        for (int64_t i = 0; i < n; i += 64) {                                                        \
            uint8_t flag[64] = {0}, odd = 0;                                                         \
            const type *x = a + i, *y = b + i;                                                       \
            if (n - i >= 64)                                                                         \
                for (int k = 0; k < 64; k++) {                                                       \
                    flag[k] = x[k] != y[k];                                                          \
                    odd |= (x[k] & (exponent)) == (exponent);                                        \
                }                                                                                    \
            else                                                                                     \
                for (int k = 0; k < n - i; k++) {                                                    \
                    flag[k] = x[k] != y[k];                                                          \
                    odd |= (x[k] & (exponent)) == (exponent);                                        \
                }                                                                                    \
            found.nonfinite |= odd;                                                                  \
            uint64_t word = words[i / 64] = gather(flag);                                            \
            for (; word; word &= word - 1) {                                                         \
                int k = __builtin_ctzll(word);                                                       \
                old_bits[found.differ] = x[k];                                                       \
                new_bits[found.differ++] = y[k];                                                     \
            }                                                                                        \
        }                                                                                            \
        if (bins)                                                                                    \
            magnitude_count_portable(arithmetic, a, n, bins);                                        \
        return found;                                                                                \
    }
COMPARE(bits_compare16_portable, uint16_t, 0x7f80, ARITHMETIC_BF16)
COMPARE(bits_compare32_portable, uint32_t, 0x7f800000, ARITHMETIC_F32)

static void narrow(uint64_t *words, int64_t nwords, const uint64_t *keep)
{
    int64_t at = 0;
    for (int64_t w = 0; w < nwords; w++) {
        uint64_t kept = 0, bits = words[w] ? bits_next(keep, at) : 0;
        at += __builtin_popcountll(words[w]);
        for (uint64_t left = words[w]; left; left &= left - 1, bits >>= 1)
            kept |= bits & 1 ? left & -left : 0;
        words[w] = kept;
    }
}

BITS_COUNT(static, count)

const struct bits_loops bits_portable = {
    .compare16 = bits_compare16_portable,
    .compare32 = bits_compare32_portable,
    .narrow = narrow,
    .count = count,
};
