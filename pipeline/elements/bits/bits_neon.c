/* The NEON loops of bits.c. There is no instruction that makes a mask of a vector or packs its chosen
 * elements: bits are weights that are added up, and a table of places by the bits of a mask packs eight
 * elements of 16 bits, or four of 32, at a time. */
#include "elements/bits/bits_loops.h"

#include "elements/magnitude/magnitude_loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))

/* One bit of each of 64 bytes, which are 0 or 255. */
INLINE uint64_t word_of(const uint8x16_t flag[4])
{
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t weight = vld1q_u8(weights);
    uint8x16_t low = vpaddq_u8(vandq_u8(flag[0], weight), vandq_u8(flag[1], weight));
    uint8x16_t high = vpaddq_u8(vandq_u8(flag[2], weight), vandq_u8(flag[3], weight));
    low = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(low, low)), 0);
}

/* The bytes of eight elements of 16 bits that a mask has, in order; behind them 0. */
INLINE uint8x16_t bytes_of_16(unsigned mask)
{
    uint8x8_t first = vshl_n_u8(vld1_u8(bits_places[mask]), 1);
    uint8x8_t second = vadd_u8(first, vdup_n_u8(1));
    return vcombine_u8(vzip1_u8(first, second), vzip2_u8(first, second));
}

/* The same of four elements of 32 bits. A mask of fewer has 8 for the others, which no table of 16 bytes has.
 */
INLINE uint8x16_t bytes_of_32(unsigned mask)
{
    static const uint8_t each[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3},
                         byte[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
    uint8x8_t places = vld1_u8(bits_places[mask]);
    uint8x16_t four = vqtbl1q_u8(vcombine_u8(places, places), vld1q_u8(each));
    return vaddq_u8(vshlq_n_u8(four, 2), vld1q_u8(byte));
}

/* Packs those of 64 elements that differ, as the word says; writes up to a vector from where it ends, but not
 * beyond 64. Returns how many. */
INLINE int64_t pack_16(const uint16_t *a, const uint16_t *b, uint64_t word, uint16_t *old_bits,
                       uint16_t *new_bits)
{
    int64_t differ = 0;
    for (int k = 0; word; k += 8, word >>= 8) {
        const unsigned mask = word & 0xff;
        if (mask == 0)
            continue;
        const uint8x16_t bytes = bytes_of_16(mask);
        vst1q_u8((uint8_t *)(old_bits + differ), vqtbl1q_u8(vreinterpretq_u8_u16(vld1q_u16(a + k)), bytes));
        vst1q_u8((uint8_t *)(new_bits + differ), vqtbl1q_u8(vreinterpretq_u8_u16(vld1q_u16(b + k)), bytes));
        differ += __builtin_popcount(mask);
    }
    return differ;
}

INLINE int64_t pack_32(const uint32_t *a, const uint32_t *b, uint64_t word, uint32_t *old_bits,
                       uint32_t *new_bits)
{
    int64_t differ = 0;
    for (int k = 0; word; k += 4, word >>= 4) {
        const unsigned mask = word & 0xf;
        if (mask == 0)
            continue;
        const uint8x16_t bytes = bytes_of_32(mask);
        vst1q_u8((uint8_t *)(old_bits + differ), vqtbl1q_u8(vreinterpretq_u8_u32(vld1q_u32(a + k)), bytes));
        vst1q_u8((uint8_t *)(new_bits + differ), vqtbl1q_u8(vreinterpretq_u8_u32(vld1q_u32(b + k)), bytes));
        differ += __builtin_popcount(mask);
    }
    return differ;
}

static struct bits_found compare16(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                                   uint16_t *old_bits, uint16_t *new_bits, int64_t *bins)
{
    const uint16x8_t magnitude = vdupq_n_u16(0x7fff);
    uint16x8_t top = vdupq_n_u16(0);
    int64_t m = n - n % 64, differ = 0;
    for (int64_t i = 0; i < m; i += 64) {
        uint8x16_t flag[4];
        for (int v = 0; v < 4; v++) {
            uint16x8_t x0 = vld1q_u16(a + i + 16 * v), x1 = vld1q_u16(a + i + 16 * v + 8);
            uint16x8_t same0 = vceqq_u16(x0, vld1q_u16(b + i + 16 * v)),
                       same1 = vceqq_u16(x1, vld1q_u16(b + i + 16 * v + 8));
            flag[v] = vmvnq_u8(vuzp1q_u8(vreinterpretq_u8_u16(same0), vreinterpretq_u8_u16(same1)));
            top = vmaxq_u16(top, vmaxq_u16(vandq_u16(x0, magnitude), vandq_u16(x1, magnitude)));
        }
        const uint64_t word = words[i / 64] = word_of(flag);
        differ += pack_16(a + i, b + i, word, old_bits + differ, new_bits + differ);
    }
    if (bins)
        magnitude_count_portable(ARITHMETIC_BF16, a, m, bins);
    return bits_found_both((struct bits_found){differ, vmaxvq_u16(top) >= 0x7f80},
                           bits_compare16_portable(a + m, b + m, n - m, words + m / 64, old_bits + differ,
                                                   new_bits + differ, bins));
}

static struct bits_found compare32(const uint32_t *a, const uint32_t *b, int64_t n, uint64_t *words,
                                   uint32_t *old_bits, uint32_t *new_bits, int64_t *bins)
{
    const uint32x4_t magnitude = vdupq_n_u32(0x7fffffff);
    uint32x4_t top = vdupq_n_u32(0);
    int64_t m = n - n % 64, differ = 0;
    for (int64_t i = 0; i < m; i += 64) {
        uint8x16_t flag[4];
        for (int v = 0; v < 4; v++) {
            uint16x8_t half[2];
            for (int h = 0; h < 2; h++) {
                const int64_t at = i + 16 * v + 8 * h;
                uint32x4_t x0 = vld1q_u32(a + at), x1 = vld1q_u32(a + at + 4);
                uint32x4_t same0 = vceqq_u32(x0, vld1q_u32(b + at)),
                           same1 = vceqq_u32(x1, vld1q_u32(b + at + 4));
                half[h] = vuzp1q_u16(vreinterpretq_u16_u32(same0), vreinterpretq_u16_u32(same1));
                top = vmaxq_u32(top, vmaxq_u32(vandq_u32(x0, magnitude), vandq_u32(x1, magnitude)));
            }
            flag[v] = vmvnq_u8(vuzp1q_u8(vreinterpretq_u8_u16(half[0]), vreinterpretq_u8_u16(half[1])));
        }
        const uint64_t word = words[i / 64] = word_of(flag);
        differ += pack_32(a + i, b + i, word, old_bits + differ, new_bits + differ);
    }
    if (bins)
        magnitude_count_portable(ARITHMETIC_F32, a, m, bins);
    return bits_found_both((struct bits_found){differ, vmaxvq_u32(top) >= 0x7f800000},
                           bits_compare32_portable(a + m, b + m, n - m, words + m / 64, old_bits + differ,
                                                   new_bits + differ, bins));
}

static void narrow(uint64_t *words, int64_t nwords, const uint64_t *keep)
{
    bits_portable.narrow(words, nwords, keep); /* there is no instruction for it */
}

/* Set bits of 31 vectors at a time are added up in bytes. */
static int64_t count(const uint64_t *a, const uint64_t *b, int64_t nwords)
{
    enum { AT_ONCE = 2 * 31 };
    int64_t m = nwords - nwords % 2, to, set = 0;
    for (int64_t from = 0; from < m; from = to) {
        uint8x16_t bytes = vdupq_n_u8(0);
        to = m - from < AT_ONCE ? m : from + AT_ONCE;
        for (int64_t i = from; i < to; i += 2) {
            uint64x2_t x = vld1q_u64(a + i);
            x = b ? vbicq_u64(x, vld1q_u64(b + i)) : x;
            bytes = vaddq_u8(bytes, vcntq_u8(vreinterpretq_u8_u64(x)));
        }
        set += vaddlvq_u8(bytes);
    }
    for (; m < nwords; m++)
        set += __builtin_popcountll(b ? a[m] & ~b[m] : a[m]);
    return set;
}

const struct bits_loops bits_neon = {
    .compare16 = compare16,
    .compare32 = compare32,
    .narrow = narrow,
    .count = count,
};

#endif
