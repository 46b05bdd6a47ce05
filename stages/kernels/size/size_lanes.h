/* The text of the loops of size_loops.h. Included by one file for each instruction set, which first defines
 * - SIZE_TARGET, SIZE_INLINE: what functions begin with (isa.h)
 * - SIZE_TABLE: the name of the table made here
 * - VEC_WIDTH: elements of a vector; SIZE_AT_ONCE: vectors of which two sums each fit the registers
 * - vec, a type of VEC_WIDTH float64; vec_load, vec_store, vec_add, vec_sub, vec_mul, vec_fma (a b + c) and
 *   vec_fms (a b - c), each rounding once
 * - vec_f32: VEC_WIDTH floats; vec_even, vec_odd: those at even and odd places of 2 VEC_WIDTH bf16, which
 *   are floats where they stand, but for a shift and what stands below
 * - finite_bf16, finite_f32: are all of SIZE_LANES elements finite?
 * With none defined it is empty.
 *
 * Each loop gives the very bits of the portable one: the same sums in the same lanes. Vectors of bf16
 * elements have every other lane, so lanes are dealt out to them before and put back behind. */
#ifndef SINEW_SIZE_LANES_H
#define SINEW_SIZE_LANES_H

#include "kernels/size/size_loops.h"

#ifdef SIZE_TABLE

enum { VECTORS = SIZE_LANES / VEC_WIDTH, STRIP = 16 * SIZE_LANES };

/* Element j of vector v is of this lane. */
SIZE_INLINE int lane_bf16(int v, int j)
{
    return v / 2 * 2 * VEC_WIDTH + 2 * j + v % 2;
}

SIZE_INLINE int lane_f32(int v, int j)
{
    return v * VEC_WIDTH + j;
}

/* Vector v of SIZE_LANES elements. */
SIZE_INLINE vec nth_bf16(const uint16_t *bits, int v)
{
    const uint16_t *at = bits + v / 2 * 2 * VEC_WIDTH;
    return v % 2 ? vec_odd(at) : vec_even(at);
}

SIZE_INLINE vec nth_f32(const uint32_t *bits, int v)
{
    return vec_f32(bits + v * VEC_WIDTH);
}

#define SIZE_LANES_OF(type, word)                                                                        \
    SIZE_INLINE vec deal_##type(const double *lanes, int v)                                              \
    {                                                                                                    \
        double mine[VEC_WIDTH];                                                                          \
        for (int j = 0; j < VEC_WIDTH; j++)                                                              \
            mine[j] = lanes[lane_##type(v, j)];                                                          \
        return vec_load(mine);                                                                           \
    }                                                                                                    \
                                                                                                         \
    SIZE_INLINE void put_##type(double *lanes, int v, vec sum)                                           \
    {                                                                                                    \
        double mine[VEC_WIDTH];                                                                          \
        vec_store(mine, sum);                                                                            \
        for (int j = 0; j < VEC_WIDTH; j++)                                                              \
            lanes[lane_##type(v, j)] = mine[j];                                                          \
    }                                                                                                    \
                                                                                                         \
    /* Adds n elements, a multiple of SIZE_LANES, all of them finite. */                                 \
    SIZE_INLINE void add_base_##type(struct size_lanes *lanes, const word *bits, int64_t n)              \
    {                                                                                                    \
        vec sum[VECTORS];                                                                                \
        for (int v = 0; v < VECTORS; v++)                                                                \
            sum[v] = deal_##type(lanes->base, v);                                                        \
        for (int64_t i = 0; i < n; i += SIZE_LANES)                                                      \
            for (int v = 0; v < VECTORS; v++) {                                                          \
                const vec x = nth_##type(bits + i, v);                                                   \
                sum[v] = vec_fma(x, x, sum[v]);                                                          \
            }                                                                                            \
        for (int v = 0; v < VECTORS; v++)                                                                \
            put_##type(lanes->base, v, sum[v]);                                                          \
    }                                                                                                    \
                                                                                                         \
    /* The same of elements that became others. A difference may have more bits than its square has room \
     * for: it is rounded before it is added, as in the reference. The square of an element is exact. */ \
    SIZE_INLINE void add_changed_##type(struct size_lanes *lanes, const word *old_bits,                  \
                                        const word *new_bits, int64_t n)                                 \
    {                                                                                                    \
        for (int from = 0; from < VECTORS; from += SIZE_AT_ONCE) {                                       \
            vec delta[SIZE_AT_ONCE], gain[SIZE_AT_ONCE];                                                 \
            for (int v = 0; v < SIZE_AT_ONCE; v++) {                                                     \
                delta[v] = deal_##type(lanes->delta, from + v);                                          \
                gain[v] = deal_##type(lanes->gain, from + v);                                            \
            }                                                                                            \
            for (int64_t i = 0; i < n; i += SIZE_LANES)                                                  \
                for (int v = 0; v < SIZE_AT_ONCE; v++) {                                                 \
                    const vec x = nth_##type(old_bits + i, from + v),                                    \
                              y = nth_##type(new_bits + i, from + v), d = vec_sub(y, x);                 \
                    delta[v] = vec_add(delta[v], vec_mul(d, d));                                         \
                    gain[v] = vec_add(gain[v], vec_fms(y, y, vec_mul(x, x)));                            \
                }                                                                                        \
            for (int v = 0; v < SIZE_AT_ONCE; v++) {                                                     \
                put_##type(lanes->delta, from + v, delta[v]);                                            \
                put_##type(lanes->gain, from + v, gain[v]);                                              \
            }                                                                                            \
        }                                                                                                \
    }                                                                                                    \
                                                                                                         \
    /* How many of n elements, in SIZE_LANES, stand before one that is not finite. */                    \
    SIZE_INLINE int64_t finite_run_##type(const word *bits, int64_t n)                                   \
    {                                                                                                    \
        int64_t i = 0;                                                                                   \
        while (i + SIZE_LANES <= n && finite_##type(bits + i))                                           \
            i += SIZE_LANES;                                                                             \
        return i;                                                                                        \
    }                                                                                                    \
                                                                                                         \
    SIZE_TARGET static void base_##type(struct size_lanes *lanes, const word *bits, int64_t n)           \
    {                                                                                                    \
        for (int64_t i = 0; i < n;) {                                                                    \
            const int64_t run = finite_run_##type(bits + i, n - i < STRIP ? n - i : STRIP);              \
            if (run > 0)                                                                                 \
                add_base_##type(lanes, bits + i, run);                                                   \
            i += run;                                                                                    \
            const int64_t odd = run == STRIP ? 0 : n - i < SIZE_LANES ? n - i : SIZE_LANES;              \
            size_base_##type##_portable(lanes, bits + i, odd);                                           \
            i += odd;                                                                                    \
        }                                                                                                \
    }                                                                                                    \
                                                                                                         \
    SIZE_TARGET static void changed_##type(struct size_lanes *lanes, const word *old_bits,               \
                                           const word *new_bits, int64_t n)                              \
    {                                                                                                    \
        for (int64_t i = 0; i < n;) {                                                                    \
            int64_t run = finite_run_##type(old_bits + i, n - i < STRIP ? n - i : STRIP);                \
            run = finite_run_##type(new_bits + i, run);                                                  \
            if (run > 0)                                                                                 \
                add_changed_##type(lanes, old_bits + i, new_bits + i, run);                              \
            i += run;                                                                                    \
            const int64_t odd = run == STRIP ? 0 : n - i < SIZE_LANES ? n - i : SIZE_LANES;              \
            size_changed_##type##_portable(lanes, old_bits + i, new_bits + i, odd);                      \
            i += odd;                                                                                    \
        }                                                                                                \
    }
SIZE_LANES_OF(bf16, uint16_t)
SIZE_LANES_OF(f32, uint32_t)

const struct size_loops SIZE_TABLE = {
    .base_bf16 = base_bf16,
    .base_f32 = base_f32,
    .changed_bf16 = changed_bf16,
    .changed_f32 = changed_f32,
};

#endif
#endif
