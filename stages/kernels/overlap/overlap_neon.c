/* The NEON loops of overlap_counts.c: the same integers, by vectors of two words, of which one instruction
 * counts the bits of each byte. */
#include "kernels/overlap/overlap_loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <stddef.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    LANES = 2,
    AT_ONCE = 31 * LANES, /* words of which a byte can count the bits */
    TILE_WORDS = 1 << 14, /* of all masks: 128 KiB, as many as the second-level cache holds */
    TILE_LEAST = AT_ONCE
};

INLINE uint8x16_t bits_of(uint64x2_t x)
{
    return vcntq_u8(vreinterpretq_u8_u64(x));
}

/* ---- pairs ---- */

/* Adds to pair[j] the set bits of a AND b, for `many` masks b, a stride apart; many 0: those of a, to
 * pair[0]. */
INLINE void count_bits(const uint64_t *a, const uint64_t *b, int64_t stride, const int many, int64_t n,
                       int64_t *pair)
{
    const int nb = many > 0 ? many : 1;
    const int64_t m = n - n % LANES;
    for (int64_t from = 0, to; from < m; from = to) {
        uint8x16_t sum[4];
        to = m - from < AT_ONCE ? m : from + AT_ONCE;
#pragma GCC unroll 4
        for (int j = 0; j < nb; j++)
            sum[j] = vdupq_n_u8(0);
        for (int64_t w = from; w < to; w += LANES) {
            const uint64x2_t x = vld1q_u64(a + w);
#pragma GCC unroll 4
            for (int j = 0; j < nb; j++)
                sum[j] =
                    vaddq_u8(sum[j], bits_of(many == 0 ? x : vandq_u64(x, vld1q_u64(b + j * stride + w))));
        }
#pragma GCC unroll 4
        for (int j = 0; j < nb; j++)
            pair[j] += vaddlvq_u8(sum[j]);
    }
    for (int64_t w = m; w < n; w++)
        for (int j = 0; j < nb; j++)
            pair[j] += __builtin_popcountll(many == 0 ? a[w] : a[w] & b[j * stride + w]);
}

__attribute__((noinline)) static int64_t count_own(const uint64_t *a, int64_t n)
{
    int64_t set = 0;
    count_bits(a, NULL, 0, 0, n, &set);
    return set;
}

__attribute__((noinline)) static void count_one(const uint64_t *a, const uint64_t *b, int64_t n,
                                                int64_t *pair)
{
    count_bits(a, b, 0, 1, n, pair);
}

/* Four masks share each vector of a. */
__attribute__((noinline)) static void count_four(const uint64_t *a, const uint64_t *b, int64_t stride,
                                                 int64_t n, int64_t *pair)
{
    count_bits(a, b, stride, 4, n, pair);
}

static void count_tile(const uint64_t *masks, int64_t stride, int k, int64_t n, int64_t *own, int64_t *both)
{
    for (int i = 0; i < k; i++) {
        const uint64_t *a = masks + i * stride;
        const int64_t set = count_own(a, n);
        own[i] += set;
        /* Nothing in common with an empty set: tensors that never change are frequent. */
        if (set == 0)
            continue;
        int64_t *pair = both ? both + overlap_pair(k, i, i + 1) : NULL;
        int j = i + 1;
        for (; j + 4 <= k; j += 4, pair += 4)
            count_four(a, masks + j * stride, stride, n, pair);
        for (; j < k; j++, pair++)
            count_one(a, masks + j * stride, n, pair);
    }
}

static void count_pairs(const struct overlap_masks *m, int64_t *own, int64_t *both)
{
    const int64_t tile = TILE_WORDS / m->k > TILE_LEAST ? TILE_WORDS / m->k / AT_ONCE * AT_ONCE : TILE_LEAST;
    for (int64_t at = 0; at < m->n; at += tile)
        count_tile(m->words + at, m->stride, m->k, m->n - at < tile ? m->n - at : tile, own, both);
}

/* ---- consensus ---- */

#define SLICED_TARGET
#define SLICED_INLINE INLINE
#define SLICED_CONSENSUS consensus_neon
#define OVERLAP_SUMS overlap_sums_neon

typedef uint64x2_t vec;

INLINE vec vec_zero(void)
{
    return vdupq_n_u64(0);
}

INLINE vec vec_all(int set)
{
    return vdupq_n_u64(-(uint64_t)set);
}

INLINE vec vec_xor(vec a, vec b)
{
    return veorq_u64(a, b);
}

INLINE vec vec_and(vec a, vec b)
{
    return vandq_u64(a, b);
}

INLINE vec vec_or(vec a, vec b)
{
    return vorrq_u64(a, b);
}

INLINE vec vec_andnot(vec a, vec b)
{
    return vbicq_u64(b, a);
}

INLINE vec vec_load(const uint64_t *words)
{
    return vld1q_u64(words);
}

INLINE vec vec_load_first(const uint64_t *words, int64_t n)
{
    return vcombine_u64(vcreate_u64(words[0]), vcreate_u64(n > 1 ? words[1] : 0));
}

INLINE void vec_store(uint64_t *words, vec a)
{
    vst1q_u64(words, a);
}

INLINE int vec_any(vec a)
{
    return vmaxvq_u32(vreinterpretq_u32_u64(a)) != 0;
}

INLINE vec vec_adder(vec *digit, vec a, vec b)
{
    const vec half = veorq_u64(a, b), carry = vorrq_u64(vandq_u64(a, b), vandq_u64(half, *digit));
    *digit = veorq_u64(half, *digit);
    return carry;
}

INLINE vec vec_bits(vec a)
{
    return vreinterpretq_u64_u8(bits_of(a));
}

INLINE vec vec_add_bytes(vec a, vec b)
{
    return vreinterpretq_u64_u8(vaddq_u8(vreinterpretq_u8_u64(a), vreinterpretq_u8_u64(b)));
}

INLINE int64_t vec_sum(vec a)
{
    return vaddlvq_u8(vreinterpretq_u8_u64(a));
}

#include "kernels/overlap/overlap_values.h"

static void consensus_neon(const struct overlap_masks *m, int64_t *exactly);

#include "kernels/overlap/overlap_sliced.h"

static void count(const struct overlap_masks *m, uint64_t *room, int64_t *own, int64_t *both,
                  int64_t *exactly)
{
    (void)room;
    overlap_count_by_pieces(m, count_pairs, consensus_neon, own, both, exactly);
}

const struct overlap_loops overlap_neon = {.count = count, .consensus = consensus_neon};

#endif
