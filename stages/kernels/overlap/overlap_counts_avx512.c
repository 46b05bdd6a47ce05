/* The AVX-512 loops of overlap_counts.c: the same integers, by vectors of eight words. */
#include "kernels/overlap/overlap_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX512 __attribute__((target(ISA_AVX512_TARGET)))
#define INLINE AVX512 static inline __attribute__((always_inline))

/* Masks are compared in tiles of GROUP x GROUP, whose sums stay in registers, over strips of words: so short
 * that the strip of all masks stays in the first-level cache, or at least in the second where there are many
 * masks, and so long that adding up the registers' lanes costs little. */
enum { GROUP = 4, LANES = 8, STRIP_BYTES = 32 << 10, STRIP_LEAST = 192 };

/* ---- pairs ---- */

/* Part of the masks: n words of each. While it is counted, the part behind it is fetched, by every tile some
 * masks of it; prefetching beyond the end of memory does no harm. */
struct strip {
    int64_t n, stride;
    const uint64_t *ahead; /* of the first mask */
};

/* Words w.. of a strip of n, beyond the end 0. */
INLINE __m512i load(const uint64_t *words, int64_t w, int64_t n)
{
    if (__builtin_expect(n - w >= LANES, 1))
        return _mm512_loadu_si512(words + w);
    return _mm512_maskz_loadu_epi64((__mmask8)((1u << (n - w)) - 1), words + w);
}

AVX512 static int64_t count(const uint64_t *words, int64_t n)
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
INLINE __m512i lanes(const __m512i *s)
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
INLINE void tile_words(const uint64_t *const *a, const int na, const uint64_t *const *b, const int nb,
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

INLINE void tile(const uint64_t *const *a, const int na, const uint64_t *const *b, const int nb,
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
INLINE void add_row(int64_t *to, const int64_t *sum)
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

AVX512 void overlap_count_avx512(const uint64_t *masks, int64_t stride, int k, int64_t nwords, int64_t *own,
                                 int64_t *both)
{
    uint16_t live[OVERLAP_MAX_CELLS];
    int64_t length = STRIP_BYTES / 8 / k / LANES * LANES;
    length = length < STRIP_LEAST ? STRIP_LEAST : length;
    /* The first strip ends where a cache line does: of the others each vector is then one line, at least in
     * the first mask, and in all where the stride is a multiple of eight words. */
    int64_t off = (int64_t)((uintptr_t)masks / 8 % LANES);
    for (int64_t at = 0, n; at < nwords; at += n) {
        n = at == 0 ? length - off : length;
        n = nwords - at < n ? nwords - at : n;
        int nlive = 0;
        for (int i = 0; i < k; i++) {
            int64_t set = count(masks + i * stride + at, n);
            own[i] += set;
            /* Nothing in common with an empty set: tensors that never change are frequent. */
            if (set > 0)
                live[nlive++] = (uint16_t)i;
        }
        struct strip s = {n, stride, at + n < nwords ? masks + at + n : NULL};
        if (nlive > 1)
            count_strip(masks + at, &s, k, live, nlive, both);
    }
}

/* ---- consensus ---- */

/* The three-input functions of VPTERNLOG, bit 4 a + 2 b + c of the number being their value. */
#define PARITY(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xe8)

/* plane += a + b, bit by bit; returns what is carried. */
INLINE __m512i add_two(__m512i *plane, __m512i a, __m512i b)
{
    __m512i carry = MAJORITY(*plane, a, b);
    *plane = PARITY(*plane, a, b);
    return carry;
}

/* Adds to the counters' bits from..planes-1. */
INLINE void ripple(__m512i *plane, const int from, const int planes, __m512i carry)
{
#pragma GCC unroll 16
    for (int b = from; b < planes; b++) {
        __m512i sum = _mm512_xor_si512(plane[b], carry);
        carry = _mm512_and_si512(plane[b], carry);
        plane[b] = sum;
    }
}

/* Words [w, n) of masks a stride apart, at most a vector of them. */
struct source_avx512 {
    const uint64_t *mask;
    int64_t stride, w, n;
};

/* The next mask; the next two and four with the planes before, of which what is carried is returned. */
INLINE __m512i next_one(struct source_avx512 *s)
{
    __m512i x = load(s->mask, s->w, s->n);
    s->mask += s->stride;
    return x;
}

INLINE __m512i next_two(struct source_avx512 *s, __m512i *plane)
{
    __m512i a = next_one(s);
    return add_two(&plane[0], a, next_one(s));
}

INLINE __m512i next_four(struct source_avx512 *s, __m512i *plane)
{
    __m512i a = next_two(s, plane);
    return add_two(&plane[1], a, next_two(s, plane));
}

/* Adds k masks to counters of their positions: bit b of each in plane[b], for b < planes. A tree of full
 * adders (Harley and Seal) by eight masks: carries ripple up once for every eight. */
INLINE void add_masks(struct source_avx512 s, int k, const int planes, __m512i *plane)
{
    for (; planes > 3 && k >= 8; k -= 8) {
        __m512i a = next_four(&s, plane);
        ripple(plane, 3, planes, add_two(&plane[2], a, next_four(&s, plane)));
    }
    if (planes > 2 && k >= 4)
        ripple(plane, 2, planes, next_four(&s, plane));
    if (planes > 1 && (k & 2))
        ripple(plane, 1, planes, next_two(&s, plane));
    if (k & 1)
        ripple(plane, 0, planes, next_one(&s));
}

/* sum[c] += positions whose counter is c, for every c that so many planes can hold up to k and some beyond.
 * The three lowest planes are decided by one instruction, for eight values. */
INLINE void add_values(const __m512i *plane, const int planes, int k, __m512i *sum)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i p0 = plane[0], p1 = planes > 1 ? plane[1] : zero, p2 = planes > 2 ? plane[2] : zero;
    __m512i low[8] = {_mm512_ternarylogic_epi64(p2, p1, p0, 1),  _mm512_ternarylogic_epi64(p2, p1, p0, 2),
                      _mm512_ternarylogic_epi64(p2, p1, p0, 4),  _mm512_ternarylogic_epi64(p2, p1, p0, 8),
                      _mm512_ternarylogic_epi64(p2, p1, p0, 16), _mm512_ternarylogic_epi64(p2, p1, p0, 32),
                      _mm512_ternarylogic_epi64(p2, p1, p0, 64), _mm512_ternarylogic_epi64(p2, p1, p0, 128)};
    for (int high = 0; high <= k >> 3; high++) {
        __m512i where = _mm512_set1_epi64(-1);
#pragma GCC unroll 5
        for (int b = 3; b < planes; b++)
            where = _mm512_and_si512(
                where, _mm512_xor_si512(plane[b], _mm512_set1_epi64(((high >> (b - 3)) & 1) - 1)));
        if (!_mm512_test_epi64_mask(where, where))
            continue;
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++)
            sum[8 * high + c] =
                _mm512_add_epi64(sum[8 * high + c], _mm512_popcnt_epi64(_mm512_and_si512(where, low[c])));
    }
}

INLINE void add_words(struct source_avx512 s, int k, const int planes, __m512i *sum)
{
    __m512i plane[OVERLAP_SLICED_PLANES], any = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int b = 0; b < planes; b++)
        plane[b] = _mm512_setzero_si512();
    add_masks(s, k, planes, plane);
#pragma GCC unroll 8
    for (int b = 0; b < planes; b++)
        any = _mm512_or_si512(any, plane[b]);
    if (_mm512_test_epi64_mask(any, any))
        add_values(plane, planes, k, sum);
}

INLINE void consensus(const uint64_t *masks, int64_t stride, int k, int64_t nwords, const int planes,
                      int64_t *exactly)
{
    __m512i sum[OVERLAP_SLICED_CELLS + 1];
    for (int c = 0; c < 8 * (k / 8 + 1); c++)
        sum[c] = _mm512_setzero_si512();
    int64_t w = 0;
    for (; w + LANES <= nwords; w += LANES)
        add_words((struct source_avx512){masks, stride, w, w + LANES}, k, planes, sum);
    if (w < nwords)
        add_words((struct source_avx512){masks, stride, w, nwords}, k, planes, sum);
    for (int c = 1; c <= k; c++)
        exactly[c] += _mm512_reduce_add_epi64(sum[c]);
}

#define CONSENSUS(planes)                                                                               \
    AVX512 static void consensus_##planes(const uint64_t *masks, int64_t stride, int k, int64_t nwords, \
                                          int64_t *exactly)                                             \
    {                                                                                                   \
        consensus(masks, stride, k, nwords, planes, exactly);                                           \
    }
CONSENSUS(1)
CONSENSUS(2)
CONSENSUS(3)
CONSENSUS(4)
CONSENSUS(5)
CONSENSUS(6)
CONSENSUS(7)
CONSENSUS(8)

/* More cells than there are sums for: the counters are made by vectors and divided by words. */
AVX512 static void consensus_many(const uint64_t *masks, int64_t stride, int k, int64_t nwords,
                                  int64_t *exactly)
{
    int planes = overlap_planes(k);
    for (int64_t w = 0; w < nwords; w += LANES) {
        __m512i plane[OVERLAP_PLANES], any = _mm512_setzero_si512();
        uint64_t bits[OVERLAP_PLANES][LANES], some[LANES];
        for (int b = 0; b < OVERLAP_PLANES; b++)
            plane[b] = _mm512_setzero_si512();
        add_masks((struct source_avx512){masks, stride, w, nwords}, k, OVERLAP_PLANES, plane);
        for (int b = 0; b < planes; b++) {
            _mm512_storeu_si512(bits[b], plane[b]);
            any = _mm512_or_si512(any, plane[b]);
        }
        _mm512_storeu_si512(some, any);
        for (int lane = 0; lane < LANES; lane++) {
            uint64_t one[OVERLAP_PLANES];
            for (int b = 0; b < planes; b++)
                one[b] = bits[b][lane];
            if (some[lane] != 0)
                overlap_tally(one, planes, some[lane], exactly);
        }
    }
}

AVX512 void overlap_consensus_avx512(const uint64_t *masks, int64_t stride, int k, int64_t nwords,
                                     int64_t *exactly)
{
    static void (*const sliced[])(const uint64_t *, int64_t, int, int64_t, int64_t *) = {
        NULL,        consensus_1, consensus_2, consensus_3, consensus_4,
        consensus_5, consensus_6, consensus_7, consensus_8};
    (k > OVERLAP_SLICED_CELLS ? consensus_many : sliced[overlap_planes(k)])(masks, stride, k, nwords,
                                                                            exactly);
}

#endif
