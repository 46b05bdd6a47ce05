/* The text of the loops of entropy_loops.h. Included by one file for each instruction set, which first
 * defines
 * - ENTROPY_TARGET, ENTROPY_INLINE: what functions begin with (isa.h)
 * - ENTROPY_LOOPS: the name of the table made here
 * - vec, a type of eight float64, and the operations on it (entropy_portable.c says what each does)
 * - ENTROPY_RANGE16: its own function for that, and what this is made of: the type codes_seen, codes_all,
 *   codes_look and codes_range
 *
 * It may define
 * - ENTROPY_BY_HALVES: there are few registers
 * - ENTROPY_LOAD_APART: a load from a table and the addition are two instructions
 * - ENTROPY_DEPOSIT: the lowest bits to where a mask has ones, where that is one quick instruction
 *
 * With none defined it is empty.
 *
 * exp(d / temperature) is 2^(u/8), u = d (c + c_lo), computed as 2^q * 2^(k/8) * (1 + f Q(f)) with u = 8 q
 * + k + f, k = 0..7, |f| <= 1/2. Q interpolates (2^(f/8) - 1) / f at the Chebyshev nodes of [-1/2, 1/2], of
 * degree 6, with which 1 + f Q(f) is within 6.1e-18 of 2^(f/8), relatively, before rounding. The table of
 * roots holds 2^(k/8) rounded to nearest, less k << 49 in its bits, so that adding 8 q + k, shifted by 49,
 * multiplies it by 2^q. Adding 1.5 * 2^52 to u leaves 8 q + k in the low bits of the sum. The result is
 * within 1.2 units of the last place of the exponential of what f and n stand for. There are eight roots
 * because that is what one shuffle of AVX2 selects from. */
#ifndef SINEW_ENTROPY_LANES_H
#define SINEW_ENTROPY_LANES_H

#include "kernels/entropy/entropy_loops.h"

#ifdef ENTROPY_LOOPS

#include <string.h>

#define ENTROPY_MAGIC 0x1.8p52

/* Q, from the constant on */
static const double entropy_polynomial[7] = {
    0x1.62e42fefa39efp-4,  0x1.ebfbdff82c6c5p-9,  0x1.c6b08d704a11fp-14, 0x1.3b2ab6f1f1910p-19,
    0x1.5d87fe72ac65ep-25, 0x1.430deca12d584p-31, 0x1.ffd1f6633bd3ap-38,
};

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
        return (struct entropy_range){least, most};                                        \
    }

ENTROPY_RANGE(entropy_range32, uint32_t, int32_t, 31, 0x7fffffff)
ENTROPY_RANGE(entropy_range64, uint64_t, int64_t, 63, 0x7fffffffffffffff)

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

ENTROPY_INLINE struct entropy_second entropy_second(struct entropy_first r, const struct entropy_scale *w)
{
    struct entropy_second h;
    h.d = r.d;
    h.f = vec_fms(r.d, vec_set(w->c), vec_sub(r.t, vec_set(ENTROPY_MAGIC)));
    h.f = vec_fma(r.d, vec_set(w->c_lo), h.f);
    h.k = vec_power(r.t);
    return h;
}

ENTROPY_INLINE vec entropy_third(struct entropy_second h, const struct entropy_scale *w, int clamp)
{
    vec q = vec_fma(vec_set(entropy_polynomial[6]), h.f, vec_set(entropy_polynomial[5]));
    q = vec_fma(q, h.f, vec_set(entropy_polynomial[4]));
    q = vec_fma(q, h.f, vec_set(entropy_polynomial[3]));
    q = vec_fma(q, h.f, vec_set(entropy_polynomial[2]));
    q = vec_fma(q, h.f, vec_set(entropy_polynomial[1]));
    q = vec_fma(q, h.f, vec_set(entropy_polynomial[0]));
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

#define ENTROPY_ADD(p, dp, second)               \
    do {                                         \
        vec q = entropy_third(second, w, clamp); \
        p = vec_add(p, q);                       \
        dp = vec_fma((second).d, q, dp);         \
    } while (0)

/* Asks for what is read next in the place of lanes i. */
#define ENTROPY_PREFETCH(i)                                                        \
    do {                                                                           \
        for (size_t k = 0; k < ENTROPY_LANES * sizeof *x; k += 64)                 \
            __builtin_prefetch((const char *)ahead + (size_t)(i) * sizeof *x + k); \
    } while (0)

#ifdef ENTROPY_BY_HALVES

/* The block is gone over twice, once for each half of the lanes, so that what one turn needs fits into few
 * registers. Eight exponentials are begun before the eight before them are ended. */
#define ENTROPY_BEGIN(name, at, half) \
    entropy_second(entropy_first(vec_half_##name(x + (at), half), w, clamp), w)

#define ENTROPY_HALF(name, half, p, dp)                            \
    do {                                                           \
        struct entropy_second a = ENTROPY_BEGIN(name, 0, half), b; \
        int64_t i = ENTROPY_LANES;                                 \
        for (; i < n - ENTROPY_LANES; i += 2 * ENTROPY_LANES) {    \
            b = ENTROPY_BEGIN(name, i, half);                      \
            ENTROPY_ADD(p, dp, a);                                 \
            a = ENTROPY_BEGIN(name, i + ENTROPY_LANES, half);      \
            ENTROPY_ADD(p, dp, b);                                 \
            if ((half) == 1) {                                     \
                ENTROPY_PREFETCH(i - ENTROPY_LANES);               \
                ENTROPY_PREFETCH(i);                               \
            }                                                      \
        }                                                          \
        b = ENTROPY_BEGIN(name, i, half);                          \
        ENTROPY_ADD(p, dp, a);                                     \
        ENTROPY_ADD(p, dp, b);                                     \
    } while (0)

#define ENTROPY_LOOP(name)                            \
    vec p0 = vec_set(0), p1 = p0, dp0 = p0, dp1 = p0; \
    ENTROPY_HALF(name, 0, p0, dp0);                   \
    ENTROPY_HALF(name, 1, p1, dp1);                   \
    sums->p += entropy_fold(p0, p1);                  \
    sums->dp += entropy_fold(dp0, dp1)

#else

#define ENTROPY_TAKE(name, i)                                          \
    do {                                                               \
        first0 = entropy_first(vec_half_##name(x + (i), 0), w, clamp); \
        first1 = entropy_first(vec_half_##name(x + (i), 1), w, clamp); \
    } while (0)

#define ENTROPY_TURN()                       \
    do {                                     \
        second0 = entropy_second(first0, w); \
        second1 = entropy_second(first1, w); \
    } while (0)

#define ENTROPY_ADD_BOTH()             \
    do {                               \
        ENTROPY_ADD(p0, dp0, second0); \
        ENTROPY_ADD(p1, dp1, second1); \
    } while (0)

#define ENTROPY_LOOP(name)                                           \
    vec p0 = vec_set(0), p1 = p0, dp0 = p0, dp1 = p0;                \
    struct entropy_first first0, first1;                             \
    struct entropy_second second0, second1;                          \
    ENTROPY_TAKE(name, 0);                                           \
    ENTROPY_TURN();                                                  \
    ENTROPY_TAKE(name, ENTROPY_LANES);                               \
    ENTROPY_PREFETCH(0);                                             \
    ENTROPY_PREFETCH(ENTROPY_LANES);                                 \
    for (int64_t i = 2 * ENTROPY_LANES; i < n; i += ENTROPY_LANES) { \
        ENTROPY_ADD_BOTH();                                          \
        ENTROPY_TURN();                                              \
        ENTROPY_TAKE(name, i);                                       \
        ENTROPY_PREFETCH(i);                                         \
    }                                                                \
    ENTROPY_ADD_BOTH();                                              \
    ENTROPY_TURN();                                                  \
    ENTROPY_ADD_BOTH();                                              \
    sums->p += entropy_fold(p0, p1);                                 \
    sums->dp += entropy_fold(dp0, dp1)

#endif

#define ENTROPY_ADD_WIDE(name, type)                                                                       \
    ENTROPY_INLINE void entropy_sum_##name(const type *x, int64_t n, const struct entropy_scale *w,        \
                                           int clamp, const void *ahead, struct entropy_sums *sums)        \
    {                                                                                                      \
        ENTROPY_LOOP(name);                                                                                \
    }                                                                                                      \
    ENTROPY_TARGET static void entropy_add_##name(const type *x, int64_t n, const struct entropy_scale *w, \
                                                  int clamp, const void *ahead, struct entropy_sums *sums) \
    {                                                                                                      \
        if (clamp)                                                                                         \
            entropy_sum_##name(x, n, w, 1, ahead, sums);                                                   \
        else                                                                                               \
            entropy_sum_##name(x, n, w, 0, ahead, sums);                                                   \
    }

ENTROPY_ADD_WIDE(f32, float)
ENTROPY_ADD_WIDE(f64, double)

/* ---- 16 bits, by table ---- */

#define ENTROPY_TABULATE(name)                                                        \
    ENTROPY_TARGET static void entropy_tabulate_##name(struct entropy_sums *table,    \
                                                       const struct entropy_scale *w) \
    {                                                                                 \
        for (int64_t code = 0; code < ENTROPY_CODES; code += 8) {                     \
            double p[8], dp[8];                                                       \
            struct entropy_first first = entropy_first(vec_codes_##name(code), w, 1); \
            struct entropy_second second = entropy_second(first, w);                  \
            second.k = vec_power(vec_add(first.t, vec_set(8 * ENTROPY_SCALED)));      \
            vec q = entropy_third(second, w, 1);                                      \
            vec_store(p, q);                                                          \
            vec_store(dp, vec_mul(second.d, q));                                      \
            for (int i = 0; i < 8; i++)                                               \
                table[code + i] = (struct entropy_sums){p[i], dp[i]};                 \
        }                                                                             \
    }

ENTROPY_TABULATE(bf16)
ENTROPY_TABULATE(f16)

/* Both sums in one register. */
typedef double entropy_pair __attribute__((vector_size(16)));

/* Code k of the four in a word. Its offset in bytes costs a rotation and an AND, each one instruction without
 * a copy where there is BMI2. */
ENTROPY_INLINE entropy_pair entropy_of(const struct entropy_sums *table, uint64_t four, int k)
{
    const uint64_t mask = (ENTROPY_CODES - 1) * sizeof *table;
    const int by = (60 + 16 * k) % 64;
    entropy_pair v;
    uint64_t at;
#ifdef ENTROPY_DEPOSIT
    if (k == 0)
        at = ENTROPY_DEPOSIT(four, mask);
    else
#endif
        at = (four >> by | four << (64 - by)) & mask;
    memcpy(&v, (const char *)table + at, sizeof v);
#ifdef ENTROPY_LOAD_APART
    __asm__("" : "+x"(v)); /* not an operand of the addition */
#endif
    return v;
}

ENTROPY_TARGET static struct entropy_range entropy_add_codes(const uint16_t *x, int64_t n,
                                                             const struct entropy_sums *table,
                                                             const uint16_t *ahead, const void *far,
                                                             struct entropy_sums *sums)
{
    codes_seen next = codes_all(ahead[0]);
    entropy_pair a0 = {0}, a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    for (int64_t i = 0; i < n; i += 2 * ENTROPY_LANES) {
        __builtin_prefetch((const char *)far + i * (int64_t)sizeof *x, 0, 2); /* no nearer than level 2 */
        next = codes_look(ahead + i, next);
#pragma GCC unroll 4
        for (int64_t k = i; k < i + 2 * ENTROPY_LANES; k += 8) {
            uint64_t low, high;
            memcpy(&low, x + k, sizeof low);
            memcpy(&high, x + k + 4, sizeof high);
            a0 += entropy_of(table, low, 0);
            a1 += entropy_of(table, low, 1);
            a2 += entropy_of(table, low, 2);
            a3 += entropy_of(table, low, 3);
            a4 += entropy_of(table, high, 0);
            a5 += entropy_of(table, high, 1);
            a6 += entropy_of(table, high, 2);
            a7 += entropy_of(table, high, 3);
        }
    }
    a0 = ((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7));
    sums->p += a0[0];
    sums->dp += a0[1];
    return codes_range(next);
}

const struct entropy_loops ENTROPY_LOOPS = {
    .range16 = ENTROPY_RANGE16,
    .range32 = entropy_range32,
    .range64 = entropy_range64,
    .add_codes = entropy_add_codes,
    .add_f32 = entropy_add_f32,
    .add_f64 = entropy_add_f64,
    .tabulate_bf16 = entropy_tabulate_bf16,
    .tabulate_f16 = entropy_tabulate_f16,
};

#endif
#endif
