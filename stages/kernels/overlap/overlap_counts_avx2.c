/* The AVX2 loops of overlap_counts.c: the same integers, by vectors of four words.
 *
 * Masks are counted strip by strip. Where training changes little, most positions are set in no mask at all:
 * these are left out of all masks at once, before each meets each other, and the words that are left then
 * hold several of the masks'. */
#include "kernels/overlap/overlap_loops.h"

#if defined(__x86_64__)

#include "elements/adder_avx2.h"

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#define AVX2 __attribute__((target(ISA_AVX2_TARGET)))
#define INLINE AVX2 static inline __attribute__((always_inline))

enum {
    LANES = 4,
    BLOCK = 8 * LANES,       /* words of a mask for one turn of the adders */
    MOST_WORDS = 24 * BLOCK, /* of a mask at once: bytes have room for the sums of 31 blocks */
    LEAST_WORDS = 8 * BLOCK, /* what is done once for each pair takes as long as one block */
    ROWS = 4,                /* masks that meet two others while the nearest cache holds these */
    STRIP_BYTES = 160 << 10, /* of all masks, as many as the next-nearest cache holds twice */
    PACK_FROM = 12,          /* masks: for fewer, leaving out positions takes as long as counting them */
    PACK_TO = OVERLAP_ROOM / LEAST_WORDS,
    PACK_WORDS = 1024, /* of a mask, before positions are left out */
    NOT_PACKED = 7,    /* strips after one that had most of its positions set */
};

INLINE __m256i load(const uint64_t *words)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)words);
}

/* The first n words, the others 0. */
INLINE __m256i load_first(const uint64_t *words, int64_t n)
{
    __m256i is = _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
    return _mm256_maskload_epi64((const long long *)(const void *)words, is);
}

INLINE void store(uint64_t *words, __m256i x)
{
    _mm256_storeu_si256((__m256i *)(void *)words, x);
}

/* Set bits of each byte. A nibble's come from a table that fits a register (Mula). */
INLINE __m256i bytes(__m256i x)
{
    const __m256i nibble = _mm256_set1_epi8(15),
                  table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2,
                                           2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(x, 4), nibble)));
}

INLINE __m256i sum_bytes(__m256i x)
{
    return _mm256_sad_epu8(x, _mm256_setzero_si256());
}

INLINE int64_t lanes(__m256i x)
{
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return _mm_extract_epi64(two, 0) + _mm_extract_epi64(two, 1);
}

/* ---- pairs ---- */

/* Set bits of a AND b of `many` masks b, a stride apart, or where many is 0 of a, as sums of lanes; n <=
 * MOST_WORDS. Eight vectors are added up by full adders before anything is counted (Harley and Seal), and
 * what they leave is counted at the end. */
INLINE void count_bits(const uint64_t *a, const uint64_t *b, int64_t stride, const int many, int64_t n,
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
            __m256i x = load(a + 2 * i * LANES), y = load(a + (2 * i + 1) * LANES);
            /* Else the compiler loads them again for the second mask. */
            if (many > 1)
                __asm__("" : "+x"(x), "+x"(y));
#pragma GCC unroll 2
            for (int j = 0; j < nb; j++) {
                const uint64_t *with = b + j * stride + 2 * i * LANES;
                __m256i carry = many == 0 ? adder_two(&ones[j], x, y)
                                          : adder_two(&ones[j], _mm256_and_si256(x, load(with)),
                                                      _mm256_and_si256(y, load(with + LANES)));
                if (i % 2 == 0) {
                    two[j] = carry;
                    continue;
                }
                carry = adder_two(&twos[j], two[j], carry);
                if (i == 1)
                    four[j] = carry;
                else
                    eights[j] = _mm256_add_epi8(eights[j], bytes(adder_two(&fours[j], four[j], carry)));
            }
        }
    }
    for (; n > 0; n -= LANES, a += LANES, b += LANES) {
        __m256i x = n < LANES ? load_first(a, n) : load(a);
#pragma GCC unroll 2
        for (int j = 0; j < nb; j++) {
            const uint64_t *with = b + j * stride;
            __m256i y = many == 0 ? x : n < LANES ? load_first(with, n) : load(with);
            rest[j] = _mm256_add_epi8(rest[j], bytes(_mm256_and_si256(x, y)));
        }
    }
#pragma GCC unroll 2
    for (int j = 0; j < nb; j++) {
        __m256i less = bytes(fours[j]);
        less = _mm256_add_epi8(_mm256_add_epi8(less, less), bytes(twos[j]));
        less = _mm256_add_epi8(_mm256_add_epi8(less, less), bytes(ones[j]));
        sum[j] = _mm256_add_epi64(_mm256_slli_epi64(sum_bytes(eights[j]), 3),
                                  sum_bytes(_mm256_add_epi8(less, rest[j])));
    }
}

AVX2 static int64_t count_own(const uint64_t *a, int64_t n)
{
    __m256i sum[1];
    count_bits(a, a, 0, 0, n, sum);
    return lanes(sum[0]);
}

AVX2 static int64_t count_one(const uint64_t *a, const uint64_t *b, int64_t n)
{
    __m256i sum[1];
    count_bits(a, b, 0, 1, n, sum);
    return lanes(sum[0]);
}

AVX2 static void count_two(const uint64_t *a, const uint64_t *b, int64_t stride, int64_t n, int64_t *both)
{
    __m256i sum[2];
    count_bits(a, b, stride, 2, n, sum);
    both[0] = lanes(sum[0]);
    both[1] = lanes(sum[1]);
}

/* What follows the strip that is counted, fetched meanwhile: mask by mask, a few cache lines for each pair.
 * Prefetching beyond the end of memory does no harm. */
struct ahead {
    const uint64_t *mask;
    int64_t stride, words, at; /* at: of these words, the next to fetch */
    int masks, lines;          /* left to fetch, at a time */
};

INLINE void fetch(struct ahead *f)
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
INLINE int next_live(const struct live *live, int i, int k)
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

/* ---- consensus ---- */

/* The next n words of masks a stride apart. */
struct source_avx2 {
    const uint64_t *words;
    int64_t stride, n;
};

/* The next mask's vector, or with `last` what is left to fill one. */
INLINE __m256i next_one(struct source_avx2 *s, const int last)
{
    __m256i x = last ? load_first(s->words, s->n) : load(s->words);
    s->words += s->stride;
    return x;
}

/* The next two and four masks, with the planes before; what is carried is returned. */
INLINE __m256i next_two(struct source_avx2 *s, const int last, __m256i *plane)
{
    __m256i a = next_one(s, last);
    return adder_two(&plane[0], a, next_one(s, last));
}

INLINE __m256i next_four(struct source_avx2 *s, const int last, __m256i *plane)
{
    __m256i a = next_two(s, last, plane);
    return adder_two(&plane[1], a, next_two(s, last, plane));
}

/* Adds to the counters' bits from..planes-1. */
INLINE void ripple(__m256i *plane, const int from, const int planes, __m256i carry)
{
#pragma GCC unroll 16
    for (int b = from; b < planes; b++) {
        __m256i sum = _mm256_xor_si256(plane[b], carry);
        carry = _mm256_and_si256(plane[b], carry);
        plane[b] = sum;
    }
}

/* Adds k masks to counters of their positions: bit b of each in plane[b], for b < planes. A tree of full
 * adders by eight masks: carries ripple up once for every eight. */
INLINE void add_masks(struct source_avx2 s, const int last, int k, const int planes, __m256i *plane)
{
    for (; planes > 3 && k >= 8; k -= 8) {
        __m256i a = next_four(&s, last, plane);
        ripple(plane, 3, planes, adder_two(&plane[2], a, next_four(&s, last, plane)));
    }
    if (planes > 2 && k >= 4)
        ripple(plane, 2, planes, next_four(&s, last, plane));
    if (planes > 1 && (k & 2))
        ripple(plane, 1, planes, next_two(&s, last, plane));
    if (k & 1)
        ripple(plane, 0, planes, next_one(&s, last));
}

/* Adds to the bytes of four sums the positions `where`, by the lowest two bits of their counters: low[c]
 * those where the bits are c, but low[0] all others. Often there are none. */
INLINE void add_four(__m256i where, const __m256i *low, __m256i *sum)
{
    if (_mm256_testz_si256(where, where))
        return;
    sum[0] = _mm256_add_epi8(sum[0], bytes(_mm256_andnot_si256(low[0], where)));
#pragma GCC unroll 3
    for (int c = 1; c < 4; c++)
        sum[c] = _mm256_add_epi8(sum[c], bytes(_mm256_and_si256(low[c], where)));
}

/* Adds to the bytes of sum[c] the positions whose counter is c, for c <= k and some beyond. */
INLINE void add_values(const __m256i *plane, const int planes, int k, __m256i *sum)
{
    const __m256i zero = _mm256_setzero_si256(), p0 = plane[0], p1 = planes > 1 ? plane[1] : zero;
    const __m256i low[4] = {_mm256_or_si256(p0, p1), _mm256_andnot_si256(p1, p0), _mm256_andnot_si256(p0, p1),
                            _mm256_and_si256(p0, p1)};
    for (int top = 0; top <= k >> 5; top++) {
        __m256i where = _mm256_set1_epi64x(-1);
#pragma GCC unroll 3
        for (int b = 5; b < planes; b++) {
            __m256i want = _mm256_set1_epi64x(-(int64_t)((top >> (b - 5)) & 1));
            where = _mm256_andnot_si256(_mm256_xor_si256(plane[b], want), where);
        }
        if (planes > 5 && _mm256_testz_si256(where, where))
            continue;
#pragma GCC unroll 8
        for (int high = 0; high < 8; high++) {
            if (high > 0 && (planes <= 2 || high >> (planes - 2) != 0))
                continue;
            __m256i here = where;
#pragma GCC unroll 3
            for (int b = (planes < 5 ? planes : 5) - 1; b >= 2; b--)
                here = (high >> (b - 2)) & 1 ? _mm256_and_si256(here, plane[b])
                                             : _mm256_andnot_si256(plane[b], here);
            if (32 * top + 4 * high > k)
                return;
            add_four(here, low, sum + 32 * top + 4 * high);
        }
    }
}

/* Vectors whose bits a byte can count. */
enum { FULL = 31 };

INLINE void add_words(struct source_avx2 s, const int last, int k, const int planes, __m256i *sum, int *added,
                      int64_t *exactly)
{
    __m256i plane[OVERLAP_SLICED_PLANES], any = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int b = 0; b < planes; b++)
        plane[b] = _mm256_setzero_si256();
    add_masks(s, last, k, planes, plane);
#pragma GCC unroll 8
    for (int b = 0; b < planes; b++)
        any = _mm256_or_si256(any, plane[b]);
    if (_mm256_testz_si256(any, any))
        return;
    add_values(plane, planes, k, sum);
    if (++*added < FULL)
        return;
    *added = 0;
    for (int c = 1; c <= k; c++) {
        exactly[c] += lanes(sum_bytes(sum[c]));
        sum[c] = _mm256_setzero_si256();
    }
}

INLINE void consensus(struct source_avx2 s, int k, const int planes, int64_t *exactly)
{
    __m256i sum[OVERLAP_SLICED_CELLS + 1];
    int added = 0;
    for (int c = 0; c < 4 * (k / 4 + 1); c++)
        sum[c] = _mm256_setzero_si256();
    for (; s.n >= LANES; s.n -= LANES, s.words += LANES)
        add_words(s, 0, k, planes, sum, &added, exactly);
    if (s.n > 0)
        add_words(s, 1, k, planes, sum, &added, exactly);
    for (int c = 1; c <= k; c++)
        exactly[c] += lanes(sum_bytes(sum[c]));
}

#define CONSENSUS(planes)                                                              \
    AVX2 static void consensus_##planes(struct source_avx2 s, int k, int64_t *exactly) \
    {                                                                                  \
        consensus(s, k, planes, exactly);                                              \
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
AVX2 static void consensus_many(struct source_avx2 s, int k, int64_t *exactly)
{
    int planes = overlap_planes(k);
    for (; s.n > 0; s.n -= LANES, s.words += LANES) {
        __m256i plane[OVERLAP_PLANES];
        uint64_t bits[OVERLAP_PLANES][LANES];
        for (int b = 0; b < OVERLAP_PLANES; b++)
            plane[b] = _mm256_setzero_si256();
        if (s.n >= LANES)
            add_masks(s, 0, k, OVERLAP_PLANES, plane);
        else
            add_masks(s, 1, k, OVERLAP_PLANES, plane);
        for (int b = 0; b < planes; b++)
            store(bits[b], plane[b]);
        for (int lane = 0; lane < LANES; lane++) {
            uint64_t one[OVERLAP_PLANES], any = 0;
            for (int b = 0; b < planes; b++)
                any |= one[b] = bits[b][lane];
            if (any != 0)
                overlap_tally(one, planes, any, exactly);
        }
    }
}

AVX2 void overlap_consensus_avx2(const uint64_t *masks, int64_t stride, int k, int64_t nwords,
                                 int64_t *exactly)
{
    static void (*const sliced[])(struct source_avx2, int, int64_t *) = {
        NULL,        consensus_1, consensus_2, consensus_3, consensus_4,
        consensus_5, consensus_6, consensus_7, consensus_8};
    (k > OVERLAP_SLICED_CELLS ? consensus_many : sliced[overlap_planes(k)])(
        (struct source_avx2){masks, stride, nwords}, k, exactly);
}

/* ---- leaving out positions ---- */

/* How the words of a strip are packed: so many of them in one, each with the positions any[] left, from bit
 * shift[] on. Words of which too many are left to share one follow behind the others. */
struct packing {
    int together;
    int64_t n, shared, nalone; /* words, those that hold several, and those that hold one */
    uint64_t any[PACK_WORDS];
    uint8_t shift[PACK_WORDS];
    uint16_t alone[PACK_WORDS];
};

/* any[] = positions set in any of the masks; returns how many. */
AVX2 static int64_t find_any(const uint64_t *masks, int64_t stride, int k, int64_t n, uint64_t *any)
{
    int64_t w = 0, set = 0;
    for (; w + 2 * LANES <= n; w += 2 * LANES) {
        __m256i a = _mm256_setzero_si256(), b = a;
        const uint64_t *m = masks + w;
        for (int i = 0; i < k; i++, m += stride) {
            a = _mm256_or_si256(a, load(m));
            b = _mm256_or_si256(b, load(m + LANES));
        }
        store(any + w, a);
        store(any + w + LANES, b);
    }
    for (; w < n; w++) {
        any[w] = 0;
        for (int i = 0; i < k; i++)
            any[w] |= masks[i * stride + w];
    }
    for (w = 0; w < n; w++)
        set += __builtin_popcountll(any[w]);
    return set;
}

/* Words that share one, where `set` positions of n words are left: so that they rarely are too many. */
static int choose_together(int64_t set, int64_t n)
{
    static const int choice[] = {8, 6, 5, 4, 3, 2};
    for (size_t i = 0; i < sizeof choice / sizeof *choice; i++)
        if (choice[i] * set <= 52 * n)
            return choice[i];
    return 1;
}

/* How the first words of the k masks are packed, at most n, so that most words are left of a mask. Returns 0
 * where that is hardly less. */
AVX2 static int plan(struct packing *p, const uint64_t *masks, int64_t stride, int k, int64_t n, int64_t most)
{
    p->n = n < PACK_WORDS ? n : PACK_WORDS;
    p->together = choose_together(find_any(masks, stride, k, p->n, p->any), p->n);
    if (p->together == 1)
        return 0;
    int64_t fit = (most - most / 16) * p->together; /* and so many alone */
    p->n = p->n < fit ? p->n : fit;
    p->shared = p->n / p->together;
    p->nalone = 0;
    int64_t w = 0;
    for (int64_t to = 0; to < p->shared; to++) {
        int used = 0;
        for (int i = 0; i < p->together; i++, w++) {
            int left = __builtin_popcountll(p->any[w]);
            if (__builtin_expect(used + left > 64, 0)) {
                p->alone[p->nalone++] = (uint16_t)w;
                p->any[w] = 0;
                left = 0;
            }
            p->shift[w] = (uint8_t)(used & 63);
            used += left;
        }
    }
    for (; w < p->n; w++)
        p->alone[p->nalone++] = (uint16_t)w;
    return p->shared + p->nalone <= most && 4 * (p->shared + p->nalone) <= 3 * p->n;
}

INLINE void pack_shared(const uint64_t *any, const uint8_t *shift, int64_t shared, const uint64_t *m0,
                        const uint64_t *m1, const int together, uint64_t *to0, uint64_t *to1)
{
#pragma GCC unroll 4
    for (; shared > 0; shared--, m0 += together, m1 += together, any += together, shift += together) {
        uint64_t a = _pext_u64(m0[0], any[0]), b = _pext_u64(m1[0], any[0]);
#pragma GCC unroll 8
        for (int i = 1; i < together; i++) {
            a |= _pext_u64(m0[i], any[i]) << shift[i];
            b |= _pext_u64(m1[i], any[i]) << shift[i];
        }
        *to0++ = a;
        *to1++ = b;
    }
}

/* Two masks at a time: what is known of a word serves both. */
AVX2 static void pack_two(const struct packing *p, const uint64_t *m0, const uint64_t *m1, uint64_t *to0,
                          uint64_t *to1)
{
    switch (p->together) {
#define SHARED(n)                                                      \
    case n:                                                            \
        pack_shared(p->any, p->shift, p->shared, m0, m1, n, to0, to1); \
        break
        SHARED(2);
        SHARED(3);
        SHARED(4);
        SHARED(5);
        SHARED(6);
        SHARED(8);
#undef SHARED
    }
    for (int64_t i = 0; i < p->nalone; i++) {
        to0[p->shared + i] = m0[p->alone[i]];
        to1[p->shared + i] = m1[p->alone[i]];
    }
}

/* The k masks without the positions left out, a room_stride apart, and zeros to the end of a block. */
static void pack(const struct packing *p, const uint64_t *masks, int64_t stride, int k, uint64_t *room,
                 int64_t room_stride)
{
    int64_t n = p->shared + p->nalone, zeros = -n & (BLOCK - 1);
    for (int i = 0; i < k; i += 2) {
        int j = i + 1 < k ? i + 1 : i;
        uint64_t *a = room + i * room_stride, *b = room + j * room_stride;
        pack_two(p, masks + i * stride, masks + j * stride, a, b);
        memset(a + n, 0, (size_t)zeros * sizeof *a);
        memset(b + n, 0, (size_t)zeros * sizeof *b);
    }
}

/* ---- everything ---- */

/* AMD's processors before Zen 3 take a hundred cycles for PEXT; of other makers' nothing is known. */
static int fast_pext(void)
{
    return __builtin_cpu_is("intel") ||
           (__builtin_cpu_is("amd") && !__builtin_cpu_is("amdfam15h") && !__builtin_cpu_is("amdfam17h"));
}

AVX2 static void count_strip(const uint64_t *masks, int64_t stride, int k, int64_t n, struct ahead *ahead,
                             int64_t *own, int64_t *both, int64_t *exactly)
{
    struct live live;
    memset(live.bits, 0, (size_t)(k + 63) / 64 * sizeof *live.bits);
    for (int i = 0; i < k; i++) {
        int64_t set = count_own(masks + i * stride, n);
        own[i] += set;
        /* Nothing in common with an empty set: tensors that never change are frequent. */
        live.bits[i / 64] |= (uint64_t)(set > 0) << i % 64;
    }
    count_pairs(masks, stride, k, n, &live, ahead, both);
    if (exactly)
        overlap_consensus_avx2(masks, stride, k, n, exactly);
}

AVX2 void overlap_count_avx2(const uint64_t *masks, int64_t stride, int k, int64_t nwords, uint64_t *room,
                             int64_t *own, int64_t *both, int64_t *exactly)
{
    struct packing p;
    /* Vectors in the room are not to lie across cache lines. */
    uint64_t *packed = room + (-((uintptr_t)room / 8) & (LANES - 1));
    int64_t most = STRIP_BYTES / 8 / k / BLOCK * BLOCK, fit = (OVERLAP_ROOM - LANES) / k / BLOCK * BLOCK;
    most = most < LEAST_WORDS ? LEAST_WORDS : most < MOST_WORDS ? most : MOST_WORDS;
    fit = fit < MOST_WORDS ? fit : MOST_WORDS;
    int64_t calls = overlap_pairs(k) / 2 + 1;
    int can_pack = k >= PACK_FROM && k < PACK_TO && fast_pext(), wait = 0;
    for (int64_t at = 0, n; at < nwords; at += n) {
        const uint64_t *from = masks + at;
        int64_t left = nwords - at;
        int try = can_pack && wait == 0;
        int is_packed = try && plan(&p, from, stride, k, left, fit);
        wait = try && !is_packed ? NOT_PACKED : wait > 0 ? wait - 1 : 0;
        n = is_packed ? p.n : left < most ? left : most;
        left -= n;
        struct ahead ahead = {.mask = from + n, .stride = stride, .words = left < n ? left : n};
        ahead.masks = left > 0 ? k : 0;
        ahead.lines = (int)(((ahead.words + 7) / 8 * k + calls - 1) / calls);
        if (is_packed) {
            int64_t words = (p.shared + p.nalone + BLOCK - 1) / BLOCK * BLOCK;
            pack(&p, from, stride, k, packed, words);
            count_strip(packed, words, k, words, &ahead, own, both, exactly);
        } else
            count_strip(from, stride, k, n, &ahead, own, both, exactly);
    }
}

#endif
