/* The text of the loops of entropy_loops.h. Included by one file for each instruction set, which first
 * defines ENTROPY_TARGET (the function attribute), ENTROPY_VECTOR (a type of eight float64) and the
 * operations on it; with none defined the operations are plain C, which is the reference. It may define
 * ENTROPY_RANGE16 (its own function for that), ENTROPY_BY_HALVES (there are few registers) and
 * ENTROPY_ADD_TABULATED (its function for that).
 *
 * exp(d / temperature) is 2^(u/8), u = d (c + c_lo), computed as 2^q * 2^(k/8) * (1 + f Q(f)) with u = 8 q
 * + k + f, k = 0..7, |f| <= 1/2. Q interpolates (2^(f/8) - 1) / f at the Chebyshev nodes of [-1/2, 1/2]: of
 * degree 6, with which 1 + f Q(f) is within 6.1e-18 of 2^(f/8), relatively, before rounding; or of degree 5,
 * within 1.9e-15. The table holds 2^(k/8) rounded to nearest, less k << 49 in its bits, so that adding 8 q +
 * k, shifted by 49, multiplies it by 2^q. Adding 1.5 * 2^52 to u leaves 8 q + k in the low bits of the sum.
 * The fine result, with c_lo and degree 6, is within 1.2 units of the last place of the exponential of what f
 * and n stand for; the coarse one, of the logits of 16 bits, is off by another 1.9e-15 + 1.2e-16 |d /
 * temperature| at most, relatively. The table has eight entries because that is what one shuffle of AVX2
 * selects from. */
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

/* Q, from the constant on */
static const double entropy_fine[7] = {
    0x1.62e42fefa39efp-4,  0x1.ebfbdff82c6c5p-9,  0x1.c6b08d704a11fp-14, 0x1.3b2ab6f1f1910p-19,
    0x1.5d87fe72ac65ep-25, 0x1.430deca12d584p-31, 0x1.ffd1f6633bd3ap-38,
};
static const double entropy_coarse[6] = {
    0x1.62e42fefa3aefp-4,  0x1.ebfbdff82c5e7p-9,  0x1.c6b08d5e4bb3bp-14,
    0x1.3b2ab6f5687a9p-19, 0x1.5d8dfde822453p-25, 0x1.430d3b3f37695p-31,
};

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

/* 2^(n/8), n in the low bits of t */
ENTROPY_INLINE vec vec_power(vec t)
{
    vec out;
    for (int i = 0; i < 8; i++) {
        uint64_t bits;
        memcpy(&bits, &t.v[i], sizeof bits);
        bits = entropy_table[bits & 7] + (bits << 49);
        memcpy(&out.v[i], &bits, sizeof bits);
    }
    return out;
}

ENTROPY_INLINE void vec_store(double *out, vec a)
{
    memcpy(out, a.v, sizeof a.v);
}

/* Half of sixteen logits: 0 the first eight, 1 the others; but of BF16 the even ones and the odd ones. */
ENTROPY_INLINE vec vec_half_bf16(const uint16_t *x, int half)
{
    vec out;
    for (int i = 0; i < 8; i++) {
        uint32_t bits = (uint32_t)x[2 * i + half] << 16;
        float f;
        memcpy(&f, &bits, sizeof f);
        out.v[i] = f;
    }
    return out;
}

ENTROPY_INLINE vec vec_half_f16(const uint16_t *x, int half)
{
    EACH(f16_to_float(x[8 * half + i]));
}

/* What eight codes in ascending order stand for, the first a multiple of 8. */
ENTROPY_INLINE vec vec_codes_bf16(int64_t code)
{
    EACH(bf16_to_float((uint16_t)(code + i)));
}

ENTROPY_INLINE vec vec_codes_f16(int64_t code)
{
    EACH(f16_to_float((uint16_t)(code + i)));
}

ENTROPY_INLINE vec vec_half_f32(const float *x, int half)
{
    EACH(x[8 * half + i]);
}

ENTROPY_INLINE vec vec_half_f64(const double *x, int half)
{
    EACH(x[8 * half + i]);
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

#define ENTROPY_RANGE(name, unsigned_type, signed_type, shift, magnitude)                  \
    ENTROPY_INLINE void name##_over(const unsigned_type *x, int64_t n, signed_type *least, \
                                    signed_type *most)                                     \
    {                                                                                      \
        signed_type l = *least, m = *most;                                                 \
        for (int64_t i = 0; i < n; i++) {                                                  \
            signed_type bits = (signed_type)x[i];                                          \
            signed_type key = (signed_type)(bits ^ ((bits >> (shift)) & (magnitude)));     \
            l = key < l ? key : l;                                                         \
            m = key > m ? key : m;                                                         \
        }                                                                                  \
        *least = l;                                                                        \
        *most = m;                                                                         \
    }                                                                                      \
    ENTROPY_TARGET static struct entropy_range name(const unsigned_type *x, int64_t n)     \
    {                                                                                      \
        signed_type least = (magnitude), most = (signed_type)(-(magnitude)-1);             \
        int64_t i = 0;                                                                     \
        for (; n - i >= 256; i += 256) /* of a length that the compiler knows */           \
            name##_over(x + i, 256, &least, &most);                                        \
        name##_over(x + i, n - i, &least, &most);                                          \
        return (struct entropy_range){least, most, 0};                                     \
    }

ENTROPY_RANGE(entropy_range32, uint32_t, int32_t, 31, 0x7fffffff)
ENTROPY_RANGE(entropy_range64, uint64_t, int64_t, 63, 0x7fffffffffffffff)

#ifndef ENTROPY_RANGE16
#define ENTROPY_RANGE16 entropy_range16

ENTROPY_INLINE void entropy_range16_over(const uint16_t *x, int64_t n, struct entropy_codes *codes)
{
    struct entropy_codes c = *codes;
    for (int64_t i = 0; i < n; i++) {
        uint16_t u = x[i];
        int16_t s = (int16_t)u;
        c.u_least = u < c.u_least ? u : c.u_least;
        c.u_most = u > c.u_most ? u : c.u_most;
        c.s_least = s < c.s_least ? s : c.s_least;
        c.s_most = s > c.s_most ? s : c.s_most;
    }
    *codes = c;
}

ENTROPY_TARGET static struct entropy_range entropy_range16(const uint16_t *x, int64_t n)
{
    struct entropy_codes c = {UINT16_MAX, 0, INT16_MAX, INT16_MIN};
    int64_t i = 0;
    for (; n - i >= 256; i += 256) /* of a length that the compiler knows */
        entropy_range16_over(x + i, 256, &c);
    entropy_range16_over(x + i, n - i, &c);
    return entropy_range_of(c);
}
#endif

/* ---- sums ---- */

/* The exponential in three steps, so that several groups of logits can be on their way at once: more work
 * between an operation and the one that waits for it. */
struct entropy_first {
    vec d, t;
};

struct entropy_second {
    vec d, f, k;
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
    h.k = vec_power(r.t);
    return h;
}

ENTROPY_INLINE vec entropy_third(struct entropy_second h, const struct entropy_scale *w, int clamp, int fine)
{
    const double *c = fine ? entropy_fine : entropy_coarse;
    int degree = fine ? 6 : 5;
    vec q = vec_fma(vec_set(c[degree]), h.f, vec_set(c[degree - 1]));
    if (fine)
        q = vec_fma(q, h.f, vec_set(c[4]));
    q = vec_fma(q, h.f, vec_set(c[3]));
    q = vec_fma(q, h.f, vec_set(c[2]));
    q = vec_fma(q, h.f, vec_set(c[1]));
    q = vec_fma(q, h.f, vec_set(c[0]));
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

#define ENTROPY_ADD(p, dp, second, fine)               \
    do {                                               \
        vec q = entropy_third(second, w, clamp, fine); \
        p = vec_add(p, q);                             \
        dp = vec_fma((second).d, q, dp);               \
    } while (0)

/* In either form of the loop also(i, half) is done once for each i < n, a multiple of 16, and each half, 0
 * and 1. */
#ifdef ENTROPY_BY_HALVES

/* The block is gone over twice, once for each half of the lanes, so that what one turn needs fits into few
 * registers. Eight exponentials are begun before the eight before them are ended. */
#define ENTROPY_BEGIN(name, fine, at, half) \
    entropy_second(entropy_first(vec_half_##name(x + (at), half), w, clamp), w, fine)

#define ENTROPY_HALF(name, fine, half, p, dp, also)                      \
    do {                                                                 \
        struct entropy_second a = ENTROPY_BEGIN(name, fine, 0, half), b; \
        int64_t i = ENTROPY_LANES;                                       \
        for (; i < n - ENTROPY_LANES; i += 2 * ENTROPY_LANES) {          \
            b = ENTROPY_BEGIN(name, fine, i, half);                      \
            also(i - ENTROPY_LANES, half);                               \
            ENTROPY_ADD(p, dp, a, fine);                                 \
            a = ENTROPY_BEGIN(name, fine, i + ENTROPY_LANES, half);      \
            also(i, half);                                               \
            ENTROPY_ADD(p, dp, b, fine);                                 \
        }                                                                \
        ENTROPY_ADD(p, dp, a, fine);                                     \
        also(i - ENTROPY_LANES, half);                                   \
        if (i < n) {                                                     \
            a = ENTROPY_BEGIN(name, fine, i, half);                      \
            ENTROPY_ADD(p, dp, a, fine);                                 \
            also(i, half);                                               \
        }                                                                \
    } while (0)

#define ENTROPY_LOOP(name, fine, also)                \
    vec p0 = vec_set(0), p1 = p0, dp0 = p0, dp1 = p0; \
    ENTROPY_HALF(name, fine, 0, p0, dp0, also);       \
    ENTROPY_HALF(name, fine, 1, p1, dp1, also);       \
    sums->p += entropy_fold(p0, p1);                  \
    sums->dp += entropy_fold(dp0, dp1)

#else

#define ENTROPY_TAKE(name, i)                                          \
    do {                                                               \
        first0 = entropy_first(vec_half_##name(x + (i), 0), w, clamp); \
        first1 = entropy_first(vec_half_##name(x + (i), 1), w, clamp); \
    } while (0)

#define ENTROPY_TURN(fine)                         \
    do {                                           \
        second0 = entropy_second(first0, w, fine); \
        second1 = entropy_second(first1, w, fine); \
    } while (0)

#define ENTROPY_ADD_BOTH(fine)               \
    do {                                     \
        ENTROPY_ADD(p0, dp0, second0, fine); \
        ENTROPY_ADD(p1, dp1, second1, fine); \
    } while (0)

#define ENTROPY_LOOP(name, fine, also)                               \
    vec p0 = vec_set(0), p1 = p0, dp0 = p0, dp1 = p0;                \
    struct entropy_first first0, first1;                             \
    struct entropy_second second0, second1;                          \
    ENTROPY_TAKE(name, 0);                                           \
    ENTROPY_TURN(fine);                                              \
    ENTROPY_TAKE(name, ENTROPY_LANES);                               \
    also(0, 0);                                                      \
    also(0, 1);                                                      \
    also(ENTROPY_LANES, 0);                                          \
    also(ENTROPY_LANES, 1);                                          \
    for (int64_t i = 2 * ENTROPY_LANES; i < n; i += ENTROPY_LANES) { \
        ENTROPY_ADD_BOTH(fine);                                      \
        ENTROPY_TURN(fine);                                          \
        ENTROPY_TAKE(name, i);                                       \
        also(i, 0);                                                  \
        also(i, 1);                                                  \
    }                                                                \
    ENTROPY_ADD_BOTH(fine);                                          \
    ENTROPY_TURN(fine);                                              \
    ENTROPY_ADD_BOTH(fine);                                          \
    sums->p += entropy_fold(p0, p1);                                 \
    sums->dp += entropy_fold(dp0, dp1)

#endif

/* Two codes: each load of 32 bits is two codes with one shift, which takes the fewest operations. */
ENTROPY_INLINE uint32_t entropy_two(const uint16_t *x)
{
    uint32_t two;
    memcpy(&two, x, sizeof two);
    return two;
}

/* Two tables, so that equal neighbours do not wait for each other. */
ENTROPY_INLINE void entropy_count(const uint16_t *x, uint32_t *counters)
{
    uint32_t *other = counters + ENTROPY_CODES, a = entropy_two(x), b = entropy_two(x + 2);
    counters[a & 0xffff]++;
    other[a >> 16]++;
    counters[b & 0xffff]++;
    other[b >> 16]++;
}

/* Counting needs the units for addresses and integers, the exponential those for floating point: in one loop
 * neither waits for the other. */
#define ENTROPY_COUNT(i, half)                                   \
    do {                                                         \
        entropy_count(counted + (i) + 8 * (half), counters);     \
        entropy_count(counted + (i) + 8 * (half) + 4, counters); \
        if ((half) == 1)                                         \
            __builtin_prefetch((const char *)ahead + 4 * (i));   \
    } while (0)

#define ENTROPY_PREFETCH(i, half)                                                      \
    do {                                                                               \
        if ((half) == 1)                                                               \
            for (size_t k = 0; k < ENTROPY_LANES * sizeof *x; k += 64)                 \
                __builtin_prefetch((const char *)ahead + (size_t)(i) * sizeof *x + k); \
    } while (0)

#define ENTROPY_ADD_16(name)                                                                              \
    ENTROPY_INLINE void entropy_sum_##name(const uint16_t *x, const uint16_t *counted, int64_t n,         \
                                           const struct entropy_scale *w, int clamp, const void *ahead,   \
                                           uint32_t *counters, struct entropy_sums *sums)                 \
    {                                                                                                     \
        ENTROPY_LOOP(name, 0, ENTROPY_COUNT);                                                             \
    }                                                                                                     \
    ENTROPY_TARGET static void entropy_add_##name(                                                        \
        const uint16_t *x, const uint16_t *counted, int64_t n, const struct entropy_scale *w, int clamp,  \
        const void *ahead, uint32_t *counters, struct entropy_sums *sums)                                 \
    {                                                                                                     \
        if (clamp)                                                                                        \
            entropy_sum_##name(x, counted, n, w, 1, ahead, counters, sums);                               \
        else                                                                                              \
            entropy_sum_##name(x, counted, n, w, 0, ahead, counters, sums);                               \
    }                                                                                                     \
    ENTROPY_TARGET static void entropy_drain_##name(uint32_t *counters, int64_t from, int64_t to,         \
                                                    const struct entropy_scale *w,                        \
                                                    struct entropy_sums *sums)                            \
    {                                                                                                     \
        vec p0 = vec_set(0), p1 = p0, dp0 = p0, dp1 = p0;                                                 \
        for (int64_t code = from; code < to; code += ENTROPY_LANES) {                                     \
            uint32_t *p = counters + code, *q = p + ENTROPY_CODES;                                        \
            if (!vec_any(p, q))                                                                           \
                continue;                                                                                 \
            vec n0 = vec_counts(p, q), n1 = vec_counts(p + 8, q + 8);                                     \
            struct entropy_second h0 = entropy_second(entropy_first(vec_codes_##name(code), w, 1), w, 1); \
            struct entropy_second h1 =                                                                    \
                entropy_second(entropy_first(vec_codes_##name(code + 8), w, 1), w, 1);                    \
            /* a code that does not occur may lie far above the largest, and be infinite */               \
            vec none = vec_set(0), q0 = vec_mul(n0, entropy_third(h0, w, 1, 1)),                          \
                q1 = vec_mul(n1, entropy_third(h1, w, 1, 1));                                             \
            q0 = vec_keep(q0, n0, none);                                                                  \
            q1 = vec_keep(q1, n1, none);                                                                  \
            p0 = vec_add(p0, q0);                                                                         \
            p1 = vec_add(p1, q1);                                                                         \
            dp0 = vec_fma(h0.d, q0, dp0);                                                                 \
            dp1 = vec_fma(h1.d, q1, dp1);                                                                 \
            memset(p, 0, ENTROPY_LANES * sizeof *p);                                                      \
            memset(q, 0, ENTROPY_LANES * sizeof *q);                                                      \
        }                                                                                                 \
        sums->p += entropy_fold(p0, p1);                                                                  \
        sums->dp += entropy_fold(dp0, dp1);                                                               \
    }

#define ENTROPY_ADD_WIDE(name, type)                                                                       \
    ENTROPY_INLINE void entropy_sum_##name(const type *x, int64_t n, const struct entropy_scale *w,        \
                                           int clamp, const void *ahead, struct entropy_sums *sums)        \
    {                                                                                                      \
        ENTROPY_LOOP(name, 1, ENTROPY_PREFETCH);                                                           \
    }                                                                                                      \
    ENTROPY_TARGET static void entropy_add_##name(const type *x, int64_t n, const struct entropy_scale *w, \
                                                  int clamp, const void *ahead, struct entropy_sums *sums) \
    {                                                                                                      \
        if (clamp)                                                                                         \
            entropy_sum_##name(x, n, w, 1, ahead, sums);                                                   \
        else                                                                                               \
            entropy_sum_##name(x, n, w, 0, ahead, sums);                                                   \
    }

#ifdef ENTROPY_ADD_TABULATED
ENTROPY_TARGET static void entropy_tabulate(double *table, int64_t from, int64_t to,
                                            const struct entropy_scale *w)
{
    for (int64_t code = from; code < to; code += 8) {
        struct entropy_first first = entropy_first(vec_codes_bf16(code), w, 1);
        vec_store(table + code, entropy_third(entropy_second(first, w, 0), w, 1, 0));
    }
}
#endif

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
#ifdef ENTROPY_ADD_TABULATED
    .tabulate_bf16 = entropy_tabulate,
    .add_tabulated_bf16 = ENTROPY_ADD_TABULATED,
#endif
    .drain_bf16 = entropy_drain_bf16,
    .drain_f16 = entropy_drain_f16,
};

#endif
