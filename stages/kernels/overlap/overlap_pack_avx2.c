#include "kernels/overlap/overlap_pack_avx2.h"

#include "kernels/overlap/overlap_avx2.h"

#if defined(__x86_64__)

#include <string.h>

/* any[] = positions set in any of the masks; returns how many. */
AVX2 static int64_t find_any(const uint64_t *masks, int64_t stride, int k, int64_t n, uint64_t *any)
{
    int64_t w = 0, set = 0;
    for (; w + 2 * OVERLAP_AVX2_LANES <= n; w += 2 * OVERLAP_AVX2_LANES) {
        __m256i a = _mm256_setzero_si256(), b = a;
        const uint64_t *m = masks + w;
        for (int i = 0; i < k; i++, m += stride) {
            a = _mm256_or_si256(a, words_load(m));
            b = _mm256_or_si256(b, words_load(m + OVERLAP_AVX2_LANES));
        }
        words_store(any + w, a);
        words_store(any + w + OVERLAP_AVX2_LANES, b);
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

AVX2 int overlap_pack_plan(struct overlap_packing *p, const struct overlap_masks *m, int64_t most)
{
    p->n = m->n < OVERLAP_PACK_WORDS ? m->n : OVERLAP_PACK_WORDS;
    p->together = choose_together(find_any(m->words, m->stride, m->k, p->n, p->any), p->n);
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

AVX2_INLINE void pack_shared(const uint64_t *any, const uint8_t *shift, int64_t shared, const uint64_t *m0,
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
AVX2 static void pack_two(const struct overlap_packing *p, const uint64_t *m0, const uint64_t *m1,
                          uint64_t *to0, uint64_t *to1)
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

void overlap_pack(const struct overlap_packing *p, const struct overlap_masks *m, uint64_t *room,
                  int64_t room_stride)
{
    int64_t n = p->shared + p->nalone, zeros = room_stride - n;
    for (int i = 0; i < m->k; i += 2) {
        int j = i + 1 < m->k ? i + 1 : i;
        uint64_t *a = room + i * room_stride, *b = room + j * room_stride;
        pack_two(p, m->words + i * m->stride, m->words + j * m->stride, a, b);
        memset(a + n, 0, (size_t)zeros * sizeof *a);
        memset(b + n, 0, (size_t)zeros * sizeof *b);
    }
}

/* AMD's processors before Zen 3 take a hundred cycles for PEXT; of other makers' nothing is known. */
int overlap_pack_fast(void)
{
    return __builtin_cpu_is("intel") ||
           (__builtin_cpu_is("amd") && !__builtin_cpu_is("amdfam15h") && !__builtin_cpu_is("amdfam17h"));
}

#endif
