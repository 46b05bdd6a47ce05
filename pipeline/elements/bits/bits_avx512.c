/* The AVX-512 loops of bits.c. They compress in registers: the form that stores to memory is slow on some
 * processors. */
#include "elements/bits/bits_avx2.h"

#include "elements/magnitude/magnitude_avx512.h"

#if defined(__x86_64__)

enum { LANES_16 = 32, VECTORS_16 = 64 / LANES_16, LANES_32 = 16, VECTORS_32 = 64 / LANES_32 };

/* One word's elements, all loaded before the first store; those beyond n are zeros on both sides, which are
 * equal. */
struct word {
    __m512i x[VECTORS_32], y[VECTORS_32];
};

AVX512_INLINE void load_16(struct word *w, const uint16_t *a, const uint16_t *b, int64_t n)
{
    uint64_t in = n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    for (int v = 0; v < VECTORS_16; v++) {
        __mmask32 some = (__mmask32)(in >> (LANES_16 * v));
        w->x[v] =
            n >= 64 ? _mm512_loadu_si512(a + LANES_16 * v) : _mm512_maskz_loadu_epi16(some, a + LANES_16 * v);
        w->y[v] =
            n >= 64 ? _mm512_loadu_si512(b + LANES_16 * v) : _mm512_maskz_loadu_epi16(some, b + LANES_16 * v);
    }
}

AVX512_INLINE void load_32(struct word *w, const uint32_t *a, const uint32_t *b, int64_t n)
{
    uint64_t in = n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    for (int v = 0; v < VECTORS_32; v++) {
        __mmask16 some = (__mmask16)(in >> (LANES_32 * v));
        w->x[v] =
            n >= 64 ? _mm512_loadu_si512(a + LANES_32 * v) : _mm512_maskz_loadu_epi32(some, a + LANES_32 * v);
        w->y[v] =
            n >= 64 ? _mm512_loadu_si512(b + LANES_32 * v) : _mm512_maskz_loadu_epi32(some, b + LANES_32 * v);
    }
}

/* Packs what differs behind the *differ values that are there, and asks for where the next will go: elements
 * that stream by drive it out of the nearest cache. Returns the word. */
AVX512_INLINE uint64_t pack_16(const struct word *w, uint16_t *old_bits, uint16_t *new_bits, int64_t *differ)
{
    uint64_t word = 0;
    for (int v = 0; v < VECTORS_16; v++) {
        __mmask32 k = _mm512_cmpneq_epi16_mask(w->x[v], w->y[v]);
        _mm512_storeu_si512(old_bits + *differ, _mm512_maskz_compress_epi16(k, w->x[v]));
        _mm512_storeu_si512(new_bits + *differ, _mm512_maskz_compress_epi16(k, w->y[v]));
        uint32_t set = _cvtmask32_u32(k);
        __asm__("" : "+r"(set)); /* not moved out of its register twice */
        *differ += __builtin_popcount(set);
        word |= (uint64_t)set << (LANES_16 * v);
    }
    __builtin_prefetch(old_bits + *differ + 64, 1);
    __builtin_prefetch(new_bits + *differ + 64, 1);
    return word;
}

/* Where all differ, as nearly all of float32 do after training, nothing has to be compressed. */
AVX512_INLINE uint64_t pack_32(const struct word *w, uint32_t *old_bits, uint32_t *new_bits, int64_t *differ)
{
    uint64_t word = 0;
    for (int v = 0; v < VECTORS_32; v++)
        word |= (uint64_t)_mm512_cmpneq_epi32_mask(w->x[v], w->y[v]) << (LANES_32 * v);
    if (word == ~(uint64_t)0) {
        for (int v = 0; v < VECTORS_32; v++) {
            _mm512_storeu_si512(old_bits + *differ + LANES_32 * v, w->x[v]);
            _mm512_storeu_si512(new_bits + *differ + LANES_32 * v, w->y[v]);
        }
        *differ += 64;
        return word;
    }
    for (int v = 0; v < VECTORS_32; v++) {
        const __mmask16 k = (__mmask16)(word >> (LANES_32 * v));
        _mm512_storeu_si512(old_bits + *differ, _mm512_maskz_compress_epi32(k, w->x[v]));
        _mm512_storeu_si512(new_bits + *differ, _mm512_maskz_compress_epi32(k, w->y[v]));
        *differ += __builtin_popcount(k);
    }
    return word;
}

/* The largest magnitude tells whether anything is not finite. */
AVX512_INLINE __m512i larger_16(__m512i top, const struct word *w)
{
    for (int v = 0; v < VECTORS_16; v++)
        top = _mm512_max_epu16(top, _mm512_and_si512(w->x[v], _mm512_set1_epi16(0x7fff)));
    return top;
}

AVX512_INLINE int nonfinite_16(__m512i top)
{
    return _mm512_cmpge_epu16_mask(top, _mm512_set1_epi16(0x7f80)) != 0;
}

AVX512 static int any_nonfinite(const uint16_t *a, int64_t n)
{
    struct word w;
    __m512i top = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += 64) {
        load_16(&w, a + i, a + i, 64);
        top = larger_16(top, &w);
    }
    return nonfinite_16(top);
}

/* One run of chunks, compared and counted in the same pass over registers: one is bound by stores, the other
 * by arithmetic. n is a multiple of 64. */
AVX512 static struct bits_found compare_run(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                                            uint16_t *old_bits, uint16_t *new_bits,
                                            struct magnitude_counts *counts, int64_t *bins)
{
    struct magnitude_counts c = *counts;
    struct magnitude_aside aside;
    struct word w;
    struct bits_found found = {0, 0};
    int64_t differ = 0, naside = 0, i = 0;
    for (int k = 0; i < n; k++) {
        int64_t end = n - i < MAGNITUDE_CHUNK ? n : i + MAGNITUDE_CHUNK;
        for (; i < end; i += 64) {
            load_16(&w, a + i, b + i, 64);
            words[i / 64] = pack_16(&w, old_bits, new_bits, &differ);
            naside = magnitude_step(&c, &aside, naside, w.x[0], w.x[1]);
        }
        aside.upto[k] = naside;
    }
    *counts = c;
    found.differ = differ;
    uint32_t far = magnitude_end_run(counts, &aside, ARITHMETIC_BF16, a, n, bins);
    if (c.first + MAGNITUDE_FAR > MAGNITUDE_INFINITE)
        far = ~(uint32_t)0; /* what is not finite need not be far away */
    for (int k = 0; far && k * MAGNITUDE_CHUNK < n; k++, far >>= 1) {
        int64_t from = k * MAGNITUDE_CHUNK;
        if (far & 1)
            found.nonfinite |=
                any_nonfinite(a + from, n - from < MAGNITUDE_CHUNK ? n - from : MAGNITUDE_CHUNK);
    }
    return found;
}

AVX512 static struct bits_found compare16(const uint16_t *a, const uint16_t *b, int64_t n, uint64_t *words,
                                          uint16_t *old_bits, uint16_t *new_bits, int64_t *bins)
{
    enum { RUN = MAGNITUDE_RUN * MAGNITUDE_CHUNK };
    struct bits_found all = {0, 0};
    int64_t i = 0, m = n - n % 64;
    if (bins && m >= MAGNITUDE_LEAST) {
        struct magnitude_counts counts;
        magnitude_begin(&counts, ARITHMETIC_BF16, a, m);
        for (int64_t to; i < m; i = to) {
            to = m - i < RUN ? m : i + RUN;
            struct bits_found f = compare_run(a + i, b + i, to - i, words + i / 64, old_bits + all.differ,
                                              new_bits + all.differ, &counts, bins);
            all.differ += f.differ;
            all.nonfinite |= f.nonfinite;
        }
        magnitude_end(&counts, bins);
    }
    if (bins)
        magnitude_count_portable(ARITHMETIC_BF16, a + i, n - i, bins);
    __m512i top = _mm512_setzero_si512();
    struct word w;
    for (; i + 64 <= n; i += 64) {
        load_16(&w, a + i, b + i, 64);
        top = larger_16(top, &w);
        words[i / 64] = pack_16(&w, old_bits, new_bits, &all.differ);
    }
    if (i < n) {
        load_16(&w, a + i, b + i, n - i);
        top = larger_16(top, &w);
        words[i / 64] = pack_16(&w, old_bits, new_bits, &all.differ);
    }
    all.nonfinite |= nonfinite_16(top);
    return all;
}

AVX512 static struct bits_found compare32(const uint32_t *a, const uint32_t *b, int64_t n, uint64_t *words,
                                          uint32_t *old_bits, uint32_t *new_bits, int64_t *bins)
{
    __m512i top = _mm512_setzero_si512();
    struct word w;
    int64_t differ = 0;
    for (int64_t i = 0; i < n; i += 64) {
        if (n - i >= 64)
            load_32(&w, a + i, b + i, 64);
        else
            load_32(&w, a + i, b + i, n - i);
        for (int v = 0; v < VECTORS_32; v++)
            top = _mm512_max_epu32(top, _mm512_and_si512(w.x[v], _mm512_set1_epi32(0x7fffffff)));
        words[i / 64] = pack_32(&w, old_bits, new_bits, &differ);
    }
    if (bins)
        magnitude_count_avx512(ARITHMETIC_F32, a, n, bins);
    return (struct bits_found){differ, _mm512_cmpge_epu32_mask(top, _mm512_set1_epi32(0x7f800000)) != 0};
}

const struct bits_loops bits_avx512 = {
    .compare16 = compare16,
    .compare32 = compare32,
    .narrow = bits_narrow_avx2,
    .count = bits_count_avx2,
};

#endif
