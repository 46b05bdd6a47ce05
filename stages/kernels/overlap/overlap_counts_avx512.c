/* The AVX-512 loops of overlap_counts.c: the same integers, by vectors of eight words. */
#include "kernels/overlap/overlap_avx512.h"

#if defined(__x86_64__)

/* Masks are compared in tiles of GROUP x GROUP, whose sums stay in registers, over strips of words: so short
 * that the strip of all masks stays in the first-level cache, or at least in the second where there are many
 * masks, and so long that adding up the registers' lanes costs little. */
enum { GROUP = 4, LANES = 8, STRIP_BYTES = 32 << 10, STRIP_LEAST = 192 };

/* Part of the masks: n words of each. While it is counted, the part behind it is fetched, by every tile some
 * masks of it; prefetching beyond the end of memory does no harm. */
struct strip {
    int64_t n, stride;
    const uint64_t *ahead; /* of the first mask */
};

/* Words w.. of a strip of n, beyond the end 0. */
AVX512_INLINE __m512i load(const uint64_t *words, int64_t w, int64_t n)
{
    if (__builtin_expect(n - w >= LANES, 1))
        return _mm512_loadu_si512(words + w);
    return _mm512_maskz_loadu_epi64((__mmask8)((1u << (n - w)) - 1), words + w);
}

AVX512 static int64_t count_own(const uint64_t *words, int64_t n)
{
    __m512i sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    int64_t w = 0;
    for (; w + 2 * LANES <= n; w += 2 * LANES)
        for (int i = 0; i < 2; i++)
            sum[i] = _mm512_add_epi64(sum[i], _mm512_popcnt_epi64(_mm512_loadu_si512(words + w + i * LANES)));
    for (; w < n; w += LANES)
        sum[0] = _mm512_add_epi64(sum[0], _mm512_popcnt_epi64(load(words, w, n)));
    return _mm512_reduce_add_epi64(_mm512_add_epi64(sum[0], sum[1]));
}

/* The sums of the lanes of eight vectors: lane i is the sum of s[i]. */
AVX512_INLINE __m512i lanes(const __m512i *s)
{
    __m512i two[4], four[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        two[i] = _mm512_add_epi64(_mm512_unpacklo_epi64(s[2 * i], s[2 * i + 1]),
                                  _mm512_unpackhi_epi64(s[2 * i], s[2 * i + 1]));
        /* Even lanes of two[i] belong to s[2 i], odd ones to s[2 i + 1]; the lower half of four[i] to two[2
         * i]. */
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        four[i] = _mm512_add_epi64(_mm512_shuffle_i64x2(two[2 * i], two[2 * i + 1], 0x44),
                                   _mm512_shuffle_i64x2(two[2 * i], two[2 * i + 1], 0xee));
    return _mm512_add_epi64(_mm512_shuffle_i64x2(four[0], four[1], 0x88),
                            _mm512_shuffle_i64x2(four[0], four[1], 0xdd));
}

/* Masks a[0..na) with b[0..nb), or where they are the same, each two of them. na and nb are constants of the
 * caller: everything but the loop over words is unrolled. */
AVX512_INLINE void tile_words(const uint64_t *const *a, const int na, const uint64_t *const *b, const int nb,
                              const int same, int64_t w, int64_t n, __m512i *sum)
{
    __m512i x[GROUP];
#pragma GCC unroll 4
    for (int i = 0; i < na; i++)
        x[i] = load(a[i], w, n);
#pragma GCC unroll 4
    for (int j = 0; j < nb; j++) {
        __m512i y = same ? x[j] : load(b[j], w, n);
#pragma GCC unroll 4
        for (int i = 0; i < na; i++)
            if (!same || i < j)
                sum[GROUP * i + j] =
                    _mm512_add_epi64(sum[GROUP * i + j], _mm512_popcnt_epi64(_mm512_and_si512(x[i], y)));
    }
}

AVX512_INLINE void tile(const uint64_t *const *a, const int na, const uint64_t *const *b, const int nb,
                        const int same, const struct strip *s, int from, int to, int64_t *out)
{
    __m512i sum[GROUP * GROUP];
#pragma GCC unroll 16
    for (int i = 0; i < GROUP * GROUP; i++)
        sum[i] = _mm512_setzero_si512();
    const uint64_t *ahead = s->ahead + from * s->stride, *end = s->ahead + to * s->stride;
    /* First the words that fill no vector: the loop then begins with what it ends with, in registers. */
    int64_t whole = s->n - s->n % LANES;
    if (whole < s->n)
        tile_words(a, na, b, nb, same, whole, s->n, sum);
    for (int64_t w = 0; w < whole; w += LANES) {
        for (const uint64_t *p = ahead; p < end; p += s->stride)
            _mm_prefetch((const char *)(p + w), _MM_HINT_T0);
        tile_words(a, na, b, nb, same, w, w + LANES, sum);
    }
    _mm512_storeu_si512(out, lanes(sum));
    _mm512_storeu_si512(out + LANES, lanes(sum + LANES));
}

/* Each way a tile can be, in one function of its own. */
#define SQUARE(nb)                                                                        \
    AVX512 static void square_##nb(const uint64_t *const *a, const uint64_t *const *b,    \
                                   const struct strip *s, int from, int to, int64_t *out) \
    {                                                                                     \
        tile(a, GROUP, b, nb, 0, s, from, to, out);                                       \
    }
#define CORNER(na)                                                                        \
    AVX512 static void corner_##na(const uint64_t *const *a, const uint64_t *const *b,    \
                                   const struct strip *s, int from, int to, int64_t *out) \
    {                                                                                     \
        tile(a, na, b, na, 1, s, from, to, out);                                          \
    }
SQUARE(1)
SQUARE(2)
SQUARE(3)
SQUARE(4)
CORNER(1)
CORNER(2)
CORNER(3)
CORNER(4)

typedef void tile_loop(const uint64_t *const *a, const uint64_t *const *b, const struct strip *s, int from,
                       int to, int64_t *out);

/* Four sums that follow each other. */
AVX512_INLINE void add_row(int64_t *to, const int64_t *sum)
{
    __m256i *at = (__m256i *)(void *)to;
    _mm256_storeu_si256(
        at, _mm256_add_epi64(_mm256_loadu_si256(at), _mm256_loadu_si256((const __m256i *)(const void *)sum)));
}

/* The pairs of masks live[0..n), n > 0, numbers of the k masks, ascending. The sets of all others are empty
 * here. */
AVX512 static void count_strip(const uint64_t *masks, const struct strip *s, int k, const uint16_t *live,
                               int n, int64_t *both)
{
    static tile_loop *const square[] = {NULL, square_1, square_2, square_3, square_4};
    static tile_loop *const corner[] = {NULL, corner_1, corner_2, corner_3, corner_4};
    int groups = (n + GROUP - 1) / GROUP;
    /* Every tile fetches as many masks of the next strip, until all are. */
    int64_t tiles = (int64_t)groups * (groups + 1) / 2;
    int each = (int)((k + tiles - 1) / tiles), fetched = 0;
    for (int i = 0; i < n; i += GROUP) {
        const uint64_t *a[GROUP] = {0}, *b[GROUP];
        int64_t row[GROUP] = {0}, sum[GROUP * GROUP];
        int na = n - i < GROUP ? n - i : GROUP, nb;
        for (int p = 0; p < na; p++) {
            a[p] = masks + live[i + p] * s->stride;
            row[p] = overlap_pair(k, live[i + p], 0); /* of mask 0, for the sake of adding the others */
        }
        for (int j = i; j < n; j += nb) {
            nb = n - j < GROUP ? n - j : GROUP;
            for (int q = 0; q < nb; q++)
                b[q] = masks + live[j + q] * s->stride;
            int next = !s->ahead ? fetched : k - fetched < each ? k : fetched + each;
            (i == j ? corner[nb] : square[nb])(a, b, s, fetched, next, sum);
            fetched = next;
            if (i < j && nb == GROUP && live[j + GROUP - 1] - live[j] == GROUP - 1)
                for (int p = 0; p < GROUP; p++)
                    add_row(both + row[p] + live[j], sum + GROUP * p);
            else
                for (int p = 0; p < na; p++)
                    for (int q = i == j ? p + 1 : 0; q < nb; q++)
                        both[row[p] + live[j + q]] += sum[GROUP * p + q];
        }
    }
}

AVX512 static void count_pairs(const struct overlap_masks *m, int64_t *own, int64_t *both)
{
    const uint64_t *masks = m->words;
    const int k = m->k;
    uint16_t live[OVERLAP_MAX_CELLS];
    int64_t length = STRIP_BYTES / 8 / k / LANES * LANES;
    length = length < STRIP_LEAST ? STRIP_LEAST : length;
    /* The first strip ends where a cache line does: of the others each vector is then one line, at least in
     * the first mask, and in all where the stride is a multiple of eight words. */
    int64_t off = (int64_t)((uintptr_t)masks / 8 % LANES);
    for (int64_t at = 0, n; at < m->n; at += n) {
        n = at == 0 ? length - off : length;
        n = m->n - at < n ? m->n - at : n;
        int nlive = 0;
        for (int i = 0; i < k; i++) {
            int64_t set = count_own(masks + i * m->stride + at, n);
            own[i] += set;
            /* Nothing in common with an empty set: tensors that never change are frequent. */
            if (set > 0)
                live[nlive++] = (uint16_t)i;
        }
        struct strip s = {n, m->stride, at + n < m->n ? masks + at + n : NULL};
        if (nlive > 1)
            count_strip(masks + at, &s, k, live, nlive, both);
    }
}

AVX512 static void count(const struct overlap_masks *m, uint64_t *room, int64_t *own, int64_t *both,
                         int64_t *exactly)
{
    (void)room;
    overlap_count_by_pieces(m, count_pairs, overlap_consensus_avx512, own, both, exactly);
}

const struct overlap_loops overlap_avx512 = {.count = count, .consensus = overlap_consensus_avx512};

#endif
