/* The plain loops of overlap_counts.c: the reference. */
#include "kernels/overlap/overlap_loops.h"

#include <stddef.h>

/* Words of all masks in one tile: 128 KiB, within the second-level cache of every machine of the last fifteen
 * years. In one piece: 512 KiB, about that cache. */
enum { TILE_WORDS = 1 << 14, TILE_LEAST = 64, PIECE_WORDS = 1 << 16, PIECE_LEAST = 512 };

/* Mask a with four others, which share each word of it; apart, so that the registers are for this alone. */
__attribute__((noinline)) static void count_four(const uint64_t *a, const uint64_t *b0, int64_t stride,
                                                 int64_t n, int64_t *pair)
{
    const uint64_t *b1 = b0 + stride, *b2 = b1 + stride, *b3 = b2 + stride;
    int64_t c0 = 0, c1 = 0, c2 = 0, c3 = 0;
    for (int64_t w = 0; w < n; w++) {
        uint64_t x = a[w];
        c0 += __builtin_popcountll(x & b0[w]);
        c1 += __builtin_popcountll(x & b1[w]);
        c2 += __builtin_popcountll(x & b2[w]);
        c3 += __builtin_popcountll(x & b3[w]);
    }
    pair[0] += c0;
    pair[1] += c1;
    pair[2] += c2;
    pair[3] += c3;
}

/* One tile. */
static void count_tile(const uint64_t *masks, int64_t stride, int k, int64_t n, int64_t *own, int64_t *both)
{
    for (int i = 0; i < k; i++) {
        const uint64_t *a = masks + i * stride;
        int64_t set = 0;
        for (int64_t w = 0; w < n; w++)
            set += __builtin_popcountll(a[w]);
        own[i] += set;
        /* Nothing in common with an empty set: tensors that never change are frequent. */
        if (set == 0)
            continue;
        int64_t *pair = both ? both + overlap_pair(k, i, i + 1) : NULL;
        int j = i + 1;
        for (; j + 4 <= k; j += 4, pair += 4)
            count_four(a, masks + j * stride, stride, n, pair);
        for (; j < k; j++, pair++) {
            const uint64_t *b = masks + j * stride;
            int64_t c = 0;
            for (int64_t w = 0; w < n; w++)
                c += __builtin_popcountll(a[w] & b[w]);
            *pair += c;
        }
    }
}

/* The positions of `any` are divided by their counters' bits from the top one down, depth first on a stack;
 * empty parts, most of them, are dropped. */
void overlap_tally_portable(const uint64_t *plane, int planes, uint64_t any, int64_t *exactly)
{
    struct {
        uint64_t positions;
        int bit, value; /* the bit to divide by next, the counter's bits above it */
    } part[OVERLAP_PLANES + 1];
    int n = 0;
    part[n].positions = any;
    part[n].bit = planes - 1;
    part[n++].value = 0;
    while (n > 0) {
        uint64_t positions = part[--n].positions;
        int bit = part[n].bit, value = part[n].value;
        for (; positions != 0 && bit >= 0; bit--) {
            uint64_t zero = positions & ~plane[bit];
            if (zero != 0) {
                part[n].positions = zero;
                part[n].bit = bit - 1;
                part[n++].value = value;
            }
            positions &= plane[bit];
            value |= 1 << bit;
        }
        if (positions != 0)
            exactly[value] += __builtin_popcountll(positions);
    }
}

static void count_consensus(const struct overlap_masks *m, int64_t *exactly)
{
    const uint64_t *words = m->words;
    const int64_t stride = m->stride, n = m->n;
    const int k = m->k, planes = overlap_planes(k);
    for (int64_t w = 0; w < n; w++) {
        /* Adding a mask to 64 counters is adding one bit to each; the carry rarely ripples far. */
        uint64_t plane[OVERLAP_PLANES] = {0}, any = 0;
        for (int i = 0; i < k; i++) {
            uint64_t carry = words[i * stride + w];
            any |= carry;
            for (int b = 0; __builtin_expect(carry != 0, 0) && b < planes; b++) {
                uint64_t sum = plane[b] ^ carry;
                carry &= plane[b];
                plane[b] = sum;
            }
        }
        overlap_tally_portable(plane, planes, any, exactly);
    }
}

static void count_pairs(const struct overlap_masks *m, int64_t *own, int64_t *both)
{
    int64_t tile = TILE_WORDS / m->k > TILE_LEAST ? TILE_WORDS / m->k : TILE_LEAST;
    for (int64_t at = 0; at < m->n; at += tile)
        count_tile(m->words + at, m->stride, m->k, m->n - at < tile ? m->n - at : tile, own, both);
}

void overlap_count_by_pieces(const struct overlap_masks *m,
                             void (*pairs)(const struct overlap_masks *m, int64_t *own, int64_t *both),
                             void (*consensus)(const struct overlap_masks *m, int64_t *exactly), int64_t *own,
                             int64_t *both, int64_t *exactly)
{
    int64_t piece = exactly ? PIECE_WORDS / m->k : m->n;
    piece = piece > PIECE_LEAST ? piece : PIECE_LEAST;
    for (int64_t at = 0; at < m->n; at += piece) {
        struct overlap_masks part = {m->words + at, m->stride, m->n - at < piece ? m->n - at : piece, m->k};
        pairs(&part, own, both);
        if (exactly)
            consensus(&part, exactly);
    }
}

static void count(const struct overlap_masks *m, uint64_t *room, int64_t *own, int64_t *both,
                  int64_t *exactly)
{
    (void)room;
    overlap_count_by_pieces(m, count_pairs, count_consensus, own, both, exactly);
}

const struct overlap_loops overlap_portable = {.count = count, .consensus = count_consensus};
