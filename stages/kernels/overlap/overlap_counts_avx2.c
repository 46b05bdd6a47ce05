/* The AVX2 loops of overlap_counts.c: the same integers, by vectors of four words. Masks are counted strip by
 * strip, and where most positions are set in no mask at all, without these (overlap_pack_avx2.h). */
#include "kernels/overlap/overlap_avx2.h"
#include "kernels/overlap/overlap_pack_avx2.h"

#if defined(__x86_64__)

#include "elements/adder_avx2.h"

#include <stddef.h>
#include <string.h>

enum {
    LANES = OVERLAP_AVX2_LANES,
    BLOCK = 8 * LANES,       /* words of a mask for one turn of the adders */
    MOST_WORDS = 24 * BLOCK, /* of a mask at once: bytes have room for the sums of 31 blocks */
    LEAST_WORDS = 8 * BLOCK, /* what is done once for each pair takes as long as one block */
    ROWS = 4,                /* masks that meet two others while the nearest cache holds these */
    STRIP_BYTES = 160 << 10, /* of all masks, as many as the next-nearest cache holds twice */
    PACK_FROM = 12,          /* masks: for fewer, leaving out positions takes as long as counting them */
    PACK_TO = OVERLAP_ROOM / LEAST_WORDS,
    NOT_PACKED = 7, /* strips after one that had most of its positions set */
};

/* Set bits of a AND b of `many` masks b, a stride apart, or where many is 0 of a, as sums of lanes; n <=
 * MOST_WORDS. Eight vectors are added up by full adders before anything is counted (Harley and Seal), and
 * what they leave is counted at the end. */
AVX2_INLINE void count_bits(const uint64_t *a, const uint64_t *b, int64_t stride, const int many, int64_t n,
                            __m256i *sum)
{
    const int nb = many > 0 ? many : 1;
    __m256i ones[2], twos[2], fours[2], eights[2], rest[2];
#pragma GCC unroll 2
    for (int j = 0; j < nb; j++)
        ones[j] = twos[j] = fours[j] = eights[j] = rest[j] = _mm256_setzero_si256();
    for (; n >= BLOCK; n -= BLOCK, a += BLOCK, b += BLOCK) {
        __m256i two[2], four[2];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256i x = words_load(a + 2 * i * LANES), y = words_load(a + (2 * i + 1) * LANES);
            /* Else the compiler loads them again for the second mask. */
            if (many > 1)
                __asm__("" : "+x"(x), "+x"(y));
#pragma GCC unroll 2
            for (int j = 0; j < nb; j++) {
                const uint64_t *with = b + j * stride + 2 * i * LANES;
                __m256i carry = many == 0 ? adder_two(&ones[j], x, y)
                                          : adder_two(&ones[j], _mm256_and_si256(x, words_load(with)),
                                                      _mm256_and_si256(y, words_load(with + LANES)));
                if (i % 2 == 0) {
                    two[j] = carry;
                    continue;
                }
                carry = adder_two(&twos[j], two[j], carry);
                if (i == 1)
                    four[j] = carry;
                else
                    eights[j] = _mm256_add_epi8(eights[j], words_bytes(adder_two(&fours[j], four[j], carry)));
            }
        }
    }
    for (; n > 0; n -= LANES, a += LANES, b += LANES) {
        __m256i x = n < LANES ? words_load_first(a, n) : words_load(a);
#pragma GCC unroll 2
        for (int j = 0; j < nb; j++) {
            const uint64_t *with = b + j * stride;
            __m256i y = many == 0 ? x : n < LANES ? words_load_first(with, n) : words_load(with);
            rest[j] = _mm256_add_epi8(rest[j], words_bytes(_mm256_and_si256(x, y)));
        }
    }
#pragma GCC unroll 2
    for (int j = 0; j < nb; j++) {
        __m256i less = words_bytes(fours[j]);
        less = _mm256_add_epi8(_mm256_add_epi8(less, less), words_bytes(twos[j]));
        less = _mm256_add_epi8(_mm256_add_epi8(less, less), words_bytes(ones[j]));
        sum[j] = _mm256_add_epi64(_mm256_slli_epi64(words_sum_bytes(eights[j]), 3),
                                  words_sum_bytes(_mm256_add_epi8(less, rest[j])));
    }
}

AVX2 static int64_t count_own(const uint64_t *a, int64_t n)
{
    __m256i sum[1];
    count_bits(a, a, 0, 0, n, sum);
    return words_lanes(sum[0]);
}

AVX2 static int64_t count_one(const uint64_t *a, const uint64_t *b, int64_t n)
{
    __m256i sum[1];
    count_bits(a, b, 0, 1, n, sum);
    return words_lanes(sum[0]);
}

AVX2 static void count_two(const uint64_t *a, const uint64_t *b, int64_t stride, int64_t n, int64_t *both)
{
    __m256i sum[2];
    count_bits(a, b, stride, 2, n, sum);
    both[0] = words_lanes(sum[0]);
    both[1] = words_lanes(sum[1]);
}

/* What follows the strip that is counted, fetched meanwhile: mask by mask, a few cache lines for each pair.
 * Prefetching beyond the end of memory does no harm. */
struct ahead {
    const uint64_t *mask;
    int64_t stride, words, at; /* at: of these words, the next to fetch */
    int masks, lines;          /* left to fetch, at a time */
};

AVX2_INLINE void fetch(struct ahead *f)
{
    for (int i = 0; i < f->lines && f->masks > 0; i++) {
        _mm_prefetch((const char *)(f->mask + f->at), _MM_HINT_T1);
        f->at += 8;
        if (f->at >= f->words) {
            f->at = 0;
            f->mask += f->stride;
            f->masks--;
        }
    }
}

/* Masks that are not empty in a strip, one bit each. */
struct live {
    uint64_t bits[(OVERLAP_MAX_CELLS + 63) / 64];
};

/* The first from `i` on; k where there is none. */
AVX2_INLINE int next_live(const struct live *live, int i, int k)
{
    if (i >= k)
        return k;
    uint64_t bits = live->bits[i / 64] >> i % 64;
    if (bits != 0)
        return i + __builtin_ctzll(bits);
    for (int w = i / 64 + 1; w <= (k - 1) / 64; w++)
        if (live->bits[w] != 0)
            return w * 64 + __builtin_ctzll(live->bits[w]);
    return k;
}

/* Every two of the k masks of n words. */
AVX2 static void count_pairs(const uint64_t *masks, int64_t stride, int k, int64_t n, const struct live *live,
                             struct ahead *ahead, int64_t *both)
{
    for (int i = next_live(live, 0, k), j, next; i < k; i = next_live(live, i, k)) {
        int row[ROWS], rows = 0;
        int64_t pair[ROWS]; /* of each row, where mask 0 would be */
        for (j = i; rows < ROWS && i < k; i = next_live(live, i + 1, k)) {
            row[rows] = i;
            pair[rows++] = overlap_pair(k, i, 0);
        }
        for (j = next_live(live, j + 1, k); j < k; j = next_live(live, next + 1, k)) {
            next = next_live(live, j + 1, k);
            for (int r = 0; r < rows && row[r] < next; r++) {
                const uint64_t *a = masks + row[r] * stride, *b = masks + j * stride;
                int64_t count[2];
                fetch(ahead);
                if (row[r] < j && next < k) {
                    count_two(a, b, (next - j) * stride, n, count);
                    both[pair[r] + j] += count[0];
                    both[pair[r] + next] += count[1];
                } else if (row[r] < j)
                    both[pair[r] + j] += count_one(a, b, n);
                else if (next < k)
                    both[pair[r] + next] += count_one(a, masks + next * stride, n);
            }
        }
    }
}

AVX2 static void count_strip(const struct overlap_masks *m, struct ahead *ahead, int64_t *own, int64_t *both,
                             int64_t *exactly)
{
    struct live live;
    memset(live.bits, 0, (size_t)(m->k + 63) / 64 * sizeof *live.bits);
    for (int i = 0; i < m->k; i++) {
        int64_t set = count_own(m->words + i * m->stride, m->n);
        own[i] += set;
        /* Nothing in common with an empty set: tensors that never change are frequent. */
        live.bits[i / 64] |= (uint64_t)(set > 0) << i % 64;
    }
    count_pairs(m->words, m->stride, m->k, m->n, &live, ahead, both);
    if (exactly)
        overlap_consensus_avx2(m, exactly);
}

/* What is fetched while a strip is counted: as much of what is left behind it. */
static struct ahead ahead_of(const struct overlap_masks *strip, int64_t left)
{
    const int64_t calls = overlap_pairs(strip->k) / 2 + 1;
    struct ahead a = {.mask = strip->words + strip->n, .stride = strip->stride};
    a.words = left < strip->n ? left : strip->n;
    a.masks = left > 0 ? strip->k : 0;
    a.lines = (int)(((a.words + 7) / 8 * strip->k + calls - 1) / calls);
    return a;
}

AVX2 static void count(const struct overlap_masks *m, uint64_t *room, int64_t *own, int64_t *both,
                       int64_t *exactly)
{
    struct overlap_packing p;
    const int k = m->k;
    /* Vectors in the room are not to lie across cache lines. */
    uint64_t *packed = room + (-((uintptr_t)room / 8) & (LANES - 1));
    int64_t most = STRIP_BYTES / 8 / k / BLOCK * BLOCK, fit = (OVERLAP_ROOM - LANES) / k / BLOCK * BLOCK;
    most = most < LEAST_WORDS ? LEAST_WORDS : most < MOST_WORDS ? most : MOST_WORDS;
    fit = fit < MOST_WORDS ? fit : MOST_WORDS;
    int can_pack = k >= PACK_FROM && k < PACK_TO && overlap_pack_fast(), wait = 0;
    struct overlap_masks strip = *m;
    for (int64_t left = m->n; left > 0; strip.words += strip.n) {
        strip.n = left;
        int try = can_pack && wait == 0, is_packed = try && overlap_pack_plan(&p, &strip, fit);
        wait = try && !is_packed ? NOT_PACKED : wait > 0 ? wait - 1 : 0;
        strip.n = is_packed ? p.n : left < most ? left : most;
        left -= strip.n;
        struct ahead ahead = ahead_of(&strip, left);
        if (is_packed) {
            int64_t words = (p.shared + p.nalone + BLOCK - 1) / BLOCK * BLOCK;
            overlap_pack(&p, &strip, packed, words);
            count_strip(&(struct overlap_masks){packed, words, words, k}, &ahead, own, both, exactly);
        } else
            count_strip(&strip, &ahead, own, both, exactly);
    }
}

const struct overlap_loops overlap_avx2 = {.count = count, .consensus = overlap_consensus_avx2};

#endif
