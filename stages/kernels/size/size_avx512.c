/* The AVX-512 loops of size.c. Each gives the very bits of the portable one: the same sums in the same lanes.
 */
#include "kernels/size/size_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { WIDTH = 8, VECTORS = SIZE_LANES / WIDTH };

AVX512_INLINE __m512d load_bf16(const uint16_t *bits)
{
    return _mm512_cvtps_pd(_mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)bits)), 16)));
}

AVX512_INLINE __m512d load_f32(const uint32_t *bits)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps((const float *)(const void *)bits));
}

/* Are all of SIZE_LANES elements finite? */
AVX512_INLINE int finite_bf16(const uint16_t *bits)
{
    const __m512i infinite = _mm512_set1_epi16(0x7f80);
    __m512i x = _mm512_and_si512(_mm512_loadu_si512(bits), infinite);
    return _mm512_cmpeq_epi16_mask(x, infinite) == 0;
}

AVX512_INLINE int finite_f32(const uint32_t *bits)
{
    const __m512i infinite = _mm512_set1_epi32(0x7f800000);
    __m512i x = _mm512_and_si512(_mm512_loadu_si512(bits), infinite),
            y = _mm512_and_si512(_mm512_loadu_si512(bits + 16), infinite);
    return (_mm512_cmpeq_epi32_mask(x, infinite) | _mm512_cmpeq_epi32_mask(y, infinite)) == 0;
}

AVX512_INLINE void store(double *to, const __m512d *sum)
{
    for (int v = 0; v < VECTORS; v++)
        _mm512_storeu_pd(to + WIDTH * v, sum[v]);
}

/* Elements x that became y. A difference may have more bits than its square has room for: it is rounded
 * before it is added, as in the reference. */
AVX512_INLINE void add_changed(struct size_lanes *lanes, int at, __m512d x, __m512d y)
{
    __m512d d = _mm512_sub_pd(y, x);
    __m512d gain = _mm512_sub_pd(_mm512_mul_pd(y, y), _mm512_mul_pd(x, x));
    _mm512_storeu_pd(lanes->delta + at,
                     _mm512_add_pd(_mm512_loadu_pd(lanes->delta + at), _mm512_mul_pd(d, d)));
    _mm512_storeu_pd(lanes->gain + at, _mm512_add_pd(_mm512_loadu_pd(lanes->gain + at), gain));
}

AVX512 static void base_bf16(struct size_lanes *lanes, const uint16_t *bits, int64_t n)
{
    __m512d sum[VECTORS];
    int64_t i = 0;
    for (int v = 0; v < VECTORS; v++)
        sum[v] = _mm512_loadu_pd(lanes->base + WIDTH * v);
    for (; i + SIZE_LANES <= n; i += SIZE_LANES) {
        if (!finite_bf16(bits + i)) { /* the lanes go through memory, and what is not finite past them */
            store(lanes->base, sum);
            size_base_bf16_portable(lanes, bits + i, SIZE_LANES);
            for (int v = 0; v < VECTORS; v++)
                sum[v] = _mm512_loadu_pd(lanes->base + WIDTH * v);
            continue;
        }
        for (int v = 0; v < VECTORS; v++) {
            __m512d x = load_bf16(bits + i + WIDTH * v);
            sum[v] = _mm512_fmadd_pd(x, x, sum[v]);
        }
    }
    store(lanes->base, sum);
    size_base_bf16_portable(lanes, bits + i, n - i);
}

AVX512 static void base_f32(struct size_lanes *lanes, const uint32_t *bits, int64_t n)
{
    __m512d sum[VECTORS];
    int64_t i = 0;
    for (int v = 0; v < VECTORS; v++)
        sum[v] = _mm512_loadu_pd(lanes->base + WIDTH * v);
    for (; i + SIZE_LANES <= n; i += SIZE_LANES) {
        if (!finite_f32(bits + i)) { /* the lanes go through memory, and what is not finite past them */
            store(lanes->base, sum);
            size_base_f32_portable(lanes, bits + i, SIZE_LANES);
            for (int v = 0; v < VECTORS; v++)
                sum[v] = _mm512_loadu_pd(lanes->base + WIDTH * v);
            continue;
        }
        for (int v = 0; v < VECTORS; v++) {
            __m512d x = load_f32(bits + i + WIDTH * v);
            sum[v] = _mm512_fmadd_pd(x, x, sum[v]);
        }
    }
    store(lanes->base, sum);
    size_base_f32_portable(lanes, bits + i, n - i);
}

AVX512 static void changed_bf16(struct size_lanes *lanes, const uint16_t *old_bits, const uint16_t *new_bits,
                                int64_t n)
{
    int64_t i = 0;
    for (; i + SIZE_LANES <= n; i += SIZE_LANES) {
        if (!finite_bf16(old_bits + i) || !finite_bf16(new_bits + i)) {
            size_changed_bf16_portable(lanes, old_bits + i, new_bits + i, SIZE_LANES);
            continue;
        }
        for (int v = 0; v < VECTORS; v++)
            add_changed(lanes, WIDTH * v, load_bf16(old_bits + i + WIDTH * v),
                        load_bf16(new_bits + i + WIDTH * v));
    }
    size_changed_bf16_portable(lanes, old_bits + i, new_bits + i, n - i);
}

AVX512 static void changed_f32(struct size_lanes *lanes, const uint32_t *old_bits, const uint32_t *new_bits,
                               int64_t n)
{
    int64_t i = 0;
    for (; i + SIZE_LANES <= n; i += SIZE_LANES) {
        if (!finite_f32(old_bits + i) || !finite_f32(new_bits + i)) {
            size_changed_f32_portable(lanes, old_bits + i, new_bits + i, SIZE_LANES);
            continue;
        }
        for (int v = 0; v < VECTORS; v++)
            add_changed(lanes, WIDTH * v, load_f32(old_bits + i + WIDTH * v),
                        load_f32(new_bits + i + WIDTH * v));
    }
    size_changed_f32_portable(lanes, old_bits + i, new_bits + i, n - i);
}

const struct size_loops size_avx512 = {
    .base_bf16 = base_bf16,
    .base_f32 = base_f32,
    .changed_bf16 = changed_bf16,
    .changed_f32 = changed_f32,
};

#endif
