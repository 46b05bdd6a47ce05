/* The AVX2 loops of size.c. Each gives the very bits of the portable one: the same sums in the same lanes. */
#include "kernels/size/size_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { WIDTH = 4, VECTORS = SIZE_LANES / WIDTH };

AVX2_INLINE __m256d load_bf16(const uint16_t *bits)
{
    return _mm256_cvtps_pd(
        _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)bits)), 16)));
}

AVX2_INLINE __m256d load_f32(const uint32_t *bits)
{
    return _mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)bits));
}

/* Are all of SIZE_LANES elements finite? */
AVX2_INLINE int finite_bf16(const uint16_t *bits)
{
    const __m256i infinite = _mm256_set1_epi16(0x7f80);
    __m256i x = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)bits), infinite),
            y = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(bits + 16)), infinite);
    x = _mm256_or_si256(_mm256_cmpeq_epi16(x, infinite), _mm256_cmpeq_epi16(y, infinite));
    return _mm256_testz_si256(x, x);
}

AVX2_INLINE int finite_f32(const uint32_t *bits)
{
    const __m256i infinite = _mm256_set1_epi32(0x7f800000);
    __m256i any = _mm256_setzero_si256();
    for (int k = 0; k < SIZE_LANES; k += 8) {
        __m256i x = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(bits + k)), infinite);
        any = _mm256_or_si256(any, _mm256_cmpeq_epi32(x, infinite));
    }
    return _mm256_testz_si256(any, any);
}

AVX2_INLINE void store(double *to, const __m256d *sum)
{
    for (int v = 0; v < VECTORS; v++)
        _mm256_storeu_pd(to + WIDTH * v, sum[v]);
}

/* Elements x that became y. A difference may have more bits than its square has room for: it is rounded
 * before it is added, as in the reference. */
AVX2_INLINE void add_changed(struct size_lanes *lanes, int at, __m256d x, __m256d y)
{
    __m256d d = _mm256_sub_pd(y, x);
    __m256d gain = _mm256_sub_pd(_mm256_mul_pd(y, y), _mm256_mul_pd(x, x));
    _mm256_storeu_pd(lanes->delta + at,
                     _mm256_add_pd(_mm256_loadu_pd(lanes->delta + at), _mm256_mul_pd(d, d)));
    _mm256_storeu_pd(lanes->gain + at, _mm256_add_pd(_mm256_loadu_pd(lanes->gain + at), gain));
}

AVX2 static void base_bf16(struct size_lanes *lanes, const uint16_t *bits, int64_t n)
{
    __m256d sum[VECTORS];
    int64_t i = 0;
    for (int v = 0; v < VECTORS; v++)
        sum[v] = _mm256_loadu_pd(lanes->base + WIDTH * v);
    for (; i + SIZE_LANES <= n; i += SIZE_LANES) {
        if (!finite_bf16(bits + i)) { /* the lanes go through memory, and what is not finite past them */
            store(lanes->base, sum);
            size_base_bf16_portable(lanes, bits + i, SIZE_LANES);
            for (int v = 0; v < VECTORS; v++)
                sum[v] = _mm256_loadu_pd(lanes->base + WIDTH * v);
            continue;
        }
        for (int v = 0; v < VECTORS; v++) {
            __m256d x = load_bf16(bits + i + WIDTH * v);
            sum[v] = _mm256_fmadd_pd(x, x, sum[v]);
        }
    }
    store(lanes->base, sum);
    size_base_bf16_portable(lanes, bits + i, n - i);
}

AVX2 static void base_f32(struct size_lanes *lanes, const uint32_t *bits, int64_t n)
{
    __m256d sum[VECTORS];
    int64_t i = 0;
    for (int v = 0; v < VECTORS; v++)
        sum[v] = _mm256_loadu_pd(lanes->base + WIDTH * v);
    for (; i + SIZE_LANES <= n; i += SIZE_LANES) {
        if (!finite_f32(bits + i)) { /* the lanes go through memory, and what is not finite past them */
            store(lanes->base, sum);
            size_base_f32_portable(lanes, bits + i, SIZE_LANES);
            for (int v = 0; v < VECTORS; v++)
                sum[v] = _mm256_loadu_pd(lanes->base + WIDTH * v);
            continue;
        }
        for (int v = 0; v < VECTORS; v++) {
            __m256d x = load_f32(bits + i + WIDTH * v);
            sum[v] = _mm256_fmadd_pd(x, x, sum[v]);
        }
    }
    store(lanes->base, sum);
    size_base_f32_portable(lanes, bits + i, n - i);
}

AVX2 static void changed_bf16(struct size_lanes *lanes, const uint16_t *old_bits, const uint16_t *new_bits,
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

AVX2 static void changed_f32(struct size_lanes *lanes, const uint32_t *old_bits, const uint32_t *new_bits,
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

const struct size_loops size_avx2 = {
    .base_bf16 = base_bf16,
    .base_f32 = base_f32,
    .changed_bf16 = changed_bf16,
    .changed_f32 = changed_f32,
};

#endif
