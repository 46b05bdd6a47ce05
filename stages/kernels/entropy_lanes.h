/* The text of the loops of entropy_loops.h. Included by one file for each instruction set, which first
 * defines ENTROPY_TARGET (the function attribute), ENTROPY_VECTOR (a type of eight float64) and the
 * operations on it; with none defined the operations are plain C, which is the reference.
 *
 * exp(d / temperature) is 2^(u/16), u = d (c + c_lo), computed as 2^q * 2^(k/16) * (1 + f Q(f)) with u = 16 q
 * + k + f, k = 0..15, |f| <= 1/2. Q, of degree 5, interpolates (2^(f/16) - 1) / f at the six Chebyshev nodes
 * of [-1/2, 1/2]; with it 1 + f Q(f) is within 1.5e-17 of 2^(f/16), relatively, before rounding. The table
 * holds 2^(k/16) rounded to nearest, less k << 48 in its bits, so that adding 16 q + k, shifted by 48,
 * multiplies it by 2^q. Adding 1.5 * 2^52 to u leaves 16 q + k in the low bits of the sum. The result is
 * within 1.2 units of the last place of the exponential of what f and n stand for; leaving c_lo out, as the
 * loops for 16-bit logits do, adds at most 1.2e-16 |d / temperature| to the relative error. */
#ifndef SINEW_ENTROPY_LANES_H
#define SINEW_ENTROPY_LANES_H

#include "entropy_loops.h"

#include <string.h>

#ifdef ENTROPY_VECTOR
#define ENTROPY_INLINE ENTROPY_TARGET static inline __attribute__((always_inline))
#else /* as the compiler likes: all of it in one function takes a sanitizer minutes */
#define ENTROPY_INLINE static inline
#endif

#define ENTROPY_MAGIC 0x1.8p52
#define ENTROPY_Q0 0x1.62e42fefa39f3p-5
#define ENTROPY_Q1 0x1.ebfbdff82c590p-11
#define ENTROPY_Q2 0x1.c6b08d6f2a289p-17
#define ENTROPY_Q3 0x1.3b2ab6fb41213p-23
#define ENTROPY_Q4 0x1.5d897e525c216p-30
#define ENTROPY_Q5 0x1.430a1d08ec681p-37

/* ---- the operations in plain C ---- */

#ifndef ENTROPY_VECTOR

#include "tensor.h"

#include <math.h>

#define ENTROPY_TARGET
#define ENTROPY_VECTOR struct entropy_vector
#define ENTROPY_LOOPS entropy_portable

struct entropy_vector {
    double v[8];
};
typedef struct entropy_vector vec;

#define EACH(expression)             \
    do {                             \
        vec out;                     \
        for (int i = 0; i < 8; i++)  \
            out.v[i] = (expression); \
        return out;                  \
    } while (0)

ENTROPY_INLINE vec vec_set(double x)
{
    EACH(x);
}

ENTROPY_INLINE vec vec_add(vec a, vec b)
{
    EACH(a.v[i] + b.v[i]);
}

ENTROPY_INLINE vec vec_sub(vec a, vec b)
{
    EACH(a.v[i] - b.v[i]);
}

ENTROPY_INLINE vec vec_mul(vec a, vec b)
{
    EACH(a.v[i] * b.v[i]);
}

/* a b + c and a b - c, rounded once */
ENTROPY_INLINE vec vec_fma(vec a, vec b, vec c)
{
    EACH(fma(a.v[i], b.v[i], c.v[i]));
}

ENTROPY_INLINE vec vec_fms(vec a, vec b, vec c)
{
    EACH(fma(a.v[i], b.v[i], -c.v[i]));
}

ENTROPY_INLINE vec vec_max(vec a, vec b)
{
    EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}

/* p where d > low, else 0 */
ENTROPY_INLINE vec vec_keep(vec p, vec d, vec low)
{
    EACH(d.v[i] > low.v[i] ? p.v[i] : 0);
}

/* 2^(n/16), n in the low bits of t */
ENTROPY_INLINE vec vec_power(vec t)
{
    vec out;
    for (int i = 0; i < 8; i++) {
        uint64_t bits;
        memcpy(&bits, &t.v[i], sizeof bits);
        bits = entropy_table[bits & 15] + (bits << 48);
        memcpy(&out.v[i], &bits, sizeof bits);
    }
    return out;
}

ENTROPY_INLINE void vec_store(double *out, vec a)
{
    memcpy(out, a.v, sizeof a.v);
}

/* Sixteen logits as two vectors: of BF16 the even ones and the odd ones. */
ENTROPY_INLINE void vec_load_bf16(const uint16_t *x, vec *a, vec *b)
{
    for (int i = 0; i < 8; i++) {
        uint32_t even = (uint32_t)x[2 * i] << 16, odd = (uint32_t)x[2 * i + 1] << 16;
        float f;
        memcpy(&f, &even, sizeof f);
        a->v[i] = f;
        memcpy(&f, &odd, sizeof f);
        b->v[i] = f;
    }
}

ENTROPY_INLINE void vec_load_f16(const uint16_t *x, vec *a, vec *b)
{
    for (int i = 0; i < 8; i++) {
        a->v[i] = f16_to_float(x[i]);
        b->v[i] = f16_to_float(x[8 + i]);
    }
}

ENTROPY_INLINE void vec_load_f32(const float *x, vec *a, vec *b)
{
    for (int i = 0; i < 8; i++) {
        a->v[i] = x[i];
        b->v[i] = x[8 + i];
    }
}

ENTROPY_INLINE void vec_load_f64(const double *x, vec *a, vec *b)
{
    memcpy(a->v, x, sizeof a->v);
    memcpy(b->v, x + 8, sizeof b->v);
}

/* Is one of 16 counters, in either table, not 0? */
ENTROPY_INLINE int vec_any(const uint32_t *p, const uint32_t *q)
{
    uint32_t any = 0;
    for (int i = 0; i < 16; i++)
        any |= p[i] | q[i];
    return any != 0;
}

/* Eight counters of both tables added, each below 2^31 */
ENTROPY_INLINE vec vec_counts(const uint32_t *p, const uint32_t *q)
{
    EACH((double)(p[i] + q[i]));
}

#undef EACH
#endif

/* ---- ranges ---- */

#define ENTROPY_RANGE(name, unsigned_type, signed_type, shift, magnitude)                              \
    ENTROPY_INLINE void name##_over(const unsigned_type *x, int64_t n, signed_type *least,             \
                                    signed_type *most, signed_type *smallest)                          \
    {                                                                                                  \
        signed_type l = *least, m = *most, s = *smallest;                                              \
        for (int64_t i = 0; i < n; i++) {                                                              \
            signed_type bits = (signed_type)x[i], size = (signed_type)(bits & (magnitude));            \
            signed_type key = (signed_type)(bits ^ ((bits >> (shift)) & (magnitude)));                 \
            l = key < l ? key : l;                                                                     \
            m = key > m ? key : m;                                                                     \
            s = size < s ? size : s;                                                                   \
        }                                                                                              \
        *least = l;                                                                                    \
        *most = m;                                                                                     \
        *smallest = s;                                                                                 \
    }                                                                                                  \
    ENTROPY_TARGET static struct entropy_range name(const unsigned_type *x, int64_t n)                 \
    {                                                                                                  \
        signed_type least = (magnitude), most = (signed_type)(-(magnitude)-1), smallest = (magnitude); \
        int64_t i = 0;                                                                                 \
        for (; n - i >= 256; i += 256) /* of a length that the compiler knows */                       \
            name##_over(x + i, 256, &least, &most, &smallest);                                         \
        name##_over(x + i, n - i, &least, &most, &smallest);                                           \
        return (struct entropy_range){least, most, smallest};                                          \
    }

#ifndef ENTROPY_RANGE16
#define ENTROPY_RANGE16 entropy_range16
ENTROPY_RANGE(entropy_range16, uint16_t, int16_t, 15, 0x7fff)
#endif
ENTROPY_RANGE(entropy_range32, uint32_t, int32_t, 31, 0x7fffffff)
ENTROPY_RANGE(entropy_range64, uint64_t, int64_t, 63, 0x7fffffffffffffff)

/* ---- sums ---- */

/* The exponential in three steps, so that three groups of logits can be on their way at once: more work
 * between an operation and the one that waits for it. */
struct entropy_first {
    vec d, t;
};

struct entropy_second {
    vec d, f, g, k;
};

ENTROPY_INLINE struct entropy_first entropy_first(vec x, const struct entropy_scale *w, int clamp)
{
    struct entropy_first r;
    r.d = vec_sub(x, vec_set(w->top));
    if (clamp)
        r.d = vec_max(r.d, vec_set(w->low));
    r.t = vec_fma(r.d, vec_set(w->c), vec_set(ENTROPY_MAGIC));
    return r;
}

ENTROPY_INLINE struct entropy_second entropy_second(struct entropy_first r, const struct entropy_scale *w,
                                                    int fine)
{
    struct entropy_second h;
    h.d = r.d;
    h.f = vec_fms(r.d, vec_set(w->c), vec_sub(r.t, vec_set(ENTROPY_MAGIC)));
    if (fine)
        h.f = vec_fma(r.d, vec_set(w->c_lo), h.f);
    h.g = vec_mul(h.f, h.f);
    h.k = vec_power(r.t);
    return h;
}

ENTROPY_INLINE vec entropy_third(struct entropy_second h, const struct entropy_scale *w, int clamp)
{
    vec q = vec_fma(vec_set(ENTROPY_Q5), h.f, vec_set(ENTROPY_Q4));
    q = vec_fma(q, h.g, vec_fma(vec_set(ENTROPY_Q3), h.f, vec_set(ENTROPY_Q2)));
    q = vec_fma(q, h.g, vec_fma(vec_set(ENTROPY_Q1), h.f, vec_set(ENTROPY_Q0)));
    q = vec_fma(vec_mul(h.f, h.k), q, h.k);
    return clamp ? vec_keep(q, h.d, vec_set(w->low)) : q;
}

/* The sums of sixteen lanes: halves are added until one is left. */
ENTROPY_INLINE double entropy_fold(vec a, vec b)
{
    double lane[ENTROPY_LANES];
    vec_store(lane, a);
    vec_store(lane + 8, b);
    for (int half = ENTROPY_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

#define ENTROPY_TAKE(name, i)                 \
    do {                                      \
        vec x0, x1;                           \
        vec_load_##name(x + (i), &x0, &x1);   \
        first0 = entropy_first(x0, w, clamp); \
        first1 = entropy_first(x1, w, clamp); \
    } while (0)

#define ENTROPY_TURN(fine)                         \
    do {                                           \
        second0 = entropy_second(first0, w, fine); \
        second1 = entropy_second(first1, w, fine); \
    } while (0)

#define ENTROPY_ADD                                                                       \
    do {                                                                                  \
        vec q0 = entropy_third(second0, w, clamp), q1 = entropy_third(second1, w, clamp); \
        p0 = vec_add(p0, q0);                                                             \
        p1 = vec_add(p1, q1);                                                             \
        dp0 = vec_fma(second0.d, q0, dp0);                                                \
        dp1 = vec_fma(second1.d, q1, dp1);                                                \
    } while (0)

#define ENTROPY_LOOP(name, fine, also)                               \
    vec p0 = vec_set(0), p1 = p0, dp0 = p0, dp1 = p0;                \
    struct entropy_first first0, first1;                             \
    struct entropy_second second0, second1;                          \
    ENTROPY_TAKE(name, 0);                                           \
    ENTROPY_TURN(fine);                                              \
    ENTROPY_TAKE(name, ENTROPY_LANES);                               \
    for (int64_t i = 2 * ENTROPY_LANES; i < n; i += ENTROPY_LANES) { \
        ENTROPY_ADD;                                                 \
        ENTROPY_TURN(fine);                                          \
        ENTROPY_TAKE(name, i);                                       \
        also;                                                        \
    }                                                                \
    ENTROPY_ADD;                                                     \
    ENTROPY_TURN(fine);                                              \
    ENTROPY_ADD;                                                     \
    sums->p += entropy_fold(p0, p1);                                 \
    sums->dp += entropy_fold(dp0, dp1)

/* Counting needs the units for addresses and integers, the exponential those for floating point: in one loop
 * neither waits for the other. Two tables, so that equal neighbours do not wait for each other either. */
ENTROPY_INLINE void entropy_count(const uint16_t *x, uint32_t *counters)
{
    uint32_t *other = counters + ENTROPY_CODES;
    for (int i = 0; i < ENTROPY_LANES; i += 4) {
        uint64_t four;
        memcpy(&four, x + i, sizeof four);
        counters[four & 0xffff]++;
        other[four >> 16 & 0xffff]++;
        counters[four >> 32 & 0xffff]++;
        other[four >> 48]++;
    }
}

#define ENTROPY_ADD_16(name)                                                                             \
    ENTROPY_INLINE void entropy_sum_##name(const uint16_t *x, const uint16_t *counted, int64_t n,        \
                                           const struct entropy_scale *w, int clamp, const void *ahead,  \
                                           uint32_t *counters, struct entropy_sums *sums)                \
    {                                                                                                    \
        entropy_count(counted, counters);                                                                \
        entropy_count(counted + ENTROPY_LANES, counters);                                                \
        ENTROPY_LOOP(name, 0, entropy_count(counted + i, counters);                                      \
                     __builtin_prefetch((const char *)ahead + 4 * i));                                   \
    }                                                                                                    \
    ENTROPY_TARGET static void entropy_add_##name(                                                       \
        const uint16_t *x, const uint16_t *counted, int64_t n, const struct entropy_scale *w, int clamp, \
        const void *ahead, uint32_t *counters, struct entropy_sums *sums)                                \
    {                                                                                                    \
        if (clamp)                                                                                       \
            entropy_sum_##name(x, counted, n, w, 1, ahead, counters, sums);                              \
        else                                                                                             \
            entropy_sum_##name(x, counted, n, w, 0, ahead, counters, sums);                              \
    }                                                                                                    \
    ENTROPY_TARGET static void entropy_drain_##name(uint32_t *counters, int64_t from, int64_t to,        \
                                                    const struct entropy_scale *w,                       \
                                                    struct entropy_sums *sums)                           \
    {                                                                                                    \
        vec p0 = vec_set(0), p1 = p0, dp0 = p0, dp1 = p0;                                                \
        for (int64_t code = from; code < to; code += ENTROPY_LANES) {                                    \
            uint32_t *p = counters + code, *q = p + ENTROPY_CODES;                                       \
            if (!vec_any(p, q))                                                                          \
                continue;                                                                                \
            uint16_t codes[ENTROPY_LANES];                                                               \
            for (int i = 0; i < ENTROPY_LANES; i++)                                                      \
                codes[i] = (uint16_t)(code + entropy_order_##name[i]);                                   \
            vec x0, x1, n0 = vec_counts(p, q), n1 = vec_counts(p + 8, q + 8);                            \
            vec_load_##name(codes, &x0, &x1);                                                            \
            struct entropy_second h0 = entropy_second(entropy_first(x0, w, 1), w, 1),                    \
                                  h1 = entropy_second(entropy_first(x1, w, 1), w, 1);                    \
            /* a code that does not occur may lie far above the largest, and be infinite */              \
            vec none = vec_set(0), q0 = vec_mul(n0, entropy_third(h0, w, 1)),                            \
                q1 = vec_mul(n1, entropy_third(h1, w, 1));                                               \
            q0 = vec_keep(q0, n0, none);                                                                 \
            q1 = vec_keep(q1, n1, none);                                                                 \
            p0 = vec_add(p0, q0);                                                                        \
            p1 = vec_add(p1, q1);                                                                        \
            dp0 = vec_fma(h0.d, q0, dp0);                                                                \
            dp1 = vec_fma(h1.d, q1, dp1);                                                                \
            memset(p, 0, ENTROPY_LANES * sizeof *p);                                                     \
            memset(q, 0, ENTROPY_LANES * sizeof *q);                                                     \
        }                                                                                                \
        sums->p += entropy_fold(p0, p1);                                                                 \
        sums->dp += entropy_fold(dp0, dp1);                                                              \
    }

#define ENTROPY_ADD_WIDE(name, type)                                                                       \
    ENTROPY_INLINE void entropy_sum_##name(const type *x, int64_t n, const struct entropy_scale *w,        \
                                           int clamp, const void *ahead, struct entropy_sums *sums)        \
    {                                                                                                      \
        ENTROPY_LOOP(name, 1,                                                                              \
                     for (int64_t k = 0; k < ENTROPY_LANES * (int64_t)sizeof *x; k += 64)                  \
                         __builtin_prefetch((const char *)ahead + i * (int64_t)sizeof *x + k));            \
    }                                                                                                      \
    ENTROPY_TARGET static void entropy_add_##name(const type *x, int64_t n, const struct entropy_scale *w, \
                                                  int clamp, const void *ahead, struct entropy_sums *sums) \
    {                                                                                                      \
        if (clamp)                                                                                         \
            entropy_sum_##name(x, n, w, 1, ahead, sums);                                                   \
        else                                                                                               \
            entropy_sum_##name(x, n, w, 0, ahead, sums);                                                   \
    }

/* Where vec_load puts sixteen codes in ascending order. */
static const uint16_t entropy_order_bf16[ENTROPY_LANES] = {0, 8,  1, 9,  2, 10, 3, 11,
                                                           4, 12, 5, 13, 6, 14, 7, 15};
static const uint16_t entropy_order_f16[ENTROPY_LANES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                          8, 9, 10, 11, 12, 13, 14, 15};

ENTROPY_ADD_16(bf16)
ENTROPY_ADD_16(f16)
ENTROPY_ADD_WIDE(f32, float)
ENTROPY_ADD_WIDE(f64, double)

const struct entropy_loops ENTROPY_LOOPS = {
    .range16 = ENTROPY_RANGE16,
    .range32 = entropy_range32,
    .range64 = entropy_range64,
    .add_bf16 = entropy_add_bf16,
    .add_f16 = entropy_add_f16,
    .add_f32 = entropy_add_f32,
    .add_f64 = entropy_add_f64,
    .drain_bf16 = entropy_drain_bf16,
    .drain_f16 = entropy_drain_f16,
};

#endif
