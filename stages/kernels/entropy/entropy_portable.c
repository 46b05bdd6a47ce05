/* The loops of entropy_lanes.h in plain C: the reference. */
#include "kernels/entropy/entropy_loops.h"

#include <math.h>
#include <string.h>

#define ENTROPY_TARGET
/* As the compiler likes: all of it in one function takes a sanitizer minutes. */
#define ENTROPY_INLINE static inline
#define ENTROPY_LOOPS entropy_portable
#define ENTROPY_RANGE16 entropy_range16

struct entropy_vector_portable {
    double v[8];
};
typedef struct entropy_vector_portable vec;

#define EACH(expression)             \
    do {                             \
        vec out;                     \
        for (int i = 0; i < 8; i++)  \
            out.v[i] = (expression); \
        return out;                  \
    } while (0)

static inline vec vec_set(double x)
{
    EACH(x);
}

static inline vec vec_add(vec a, vec b)
{
    EACH(a.v[i] + b.v[i]);
}

static inline vec vec_sub(vec a, vec b)
{
    EACH(a.v[i] - b.v[i]);
}

static inline vec vec_mul(vec a, vec b)
{
    EACH(a.v[i] * b.v[i]);
}

/* a b + c and a b - c, rounded once */
static inline vec vec_fma(vec a, vec b, vec c)
{
    EACH(fma(a.v[i], b.v[i], c.v[i]));
}

static inline vec vec_fms(vec a, vec b, vec c)
{
    EACH(fma(a.v[i], b.v[i], -c.v[i]));
}

static inline vec vec_max(vec a, vec b)
{
    EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}

/* p where d > low, else 0 */
static inline vec vec_keep(vec p, vec d, vec low)
{
    EACH(d.v[i] > low.v[i] ? p.v[i] : 0);
}

/* 2^(n/8), n in the low bits of t */
static inline vec vec_power(vec t)
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

static inline void vec_store(double *out, vec a)
{
    memcpy(out, a.v, sizeof a.v);
}

/* What eight codes in ascending order stand for, the first a multiple of 8. */
static inline vec vec_codes_bf16(int64_t code)
{
    EACH(bf16_to_float((uint16_t)(code + i)));
}

static inline vec vec_codes_f16(int64_t code)
{
    EACH(f16_to_float((uint16_t)(code + i)));
}

/* Half of sixteen logits. */
static inline vec vec_half_f32(const float *x, int half)
{
    EACH(x[8 * half + i]);
}

static inline vec vec_half_f64(const double *x, int half)
{
    EACH(x[8 * half + i]);
}

#undef EACH

/* ---- ranges of 16 bits, in steps of 32 codes ---- */

typedef struct codes_seen_portable {
    struct entropy_codes of;
} codes_seen;

static inline codes_seen codes_all(uint16_t code)
{
    return (codes_seen){{code, code, (int16_t)code}};
}

static inline codes_seen codes_over(const uint16_t *x, int64_t n, codes_seen c)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t u = x[i];
        int16_t s = (int16_t)u;
        c.of.u_least = u < c.of.u_least ? u : c.of.u_least;
        c.of.u_most = u > c.of.u_most ? u : c.of.u_most;
        c.of.s_most = s > c.of.s_most ? s : c.of.s_most;
    }
    return c;
}

static inline codes_seen codes_look(const uint16_t *x, codes_seen c)
{
    return codes_over(x, 32, c);
}

static inline struct entropy_range codes_range(codes_seen c)
{
    return entropy_range_of(c.of);
}

static struct entropy_range entropy_range16(const uint16_t *x, int64_t n)
{
    codes_seen c = codes_all(x[0]);
    int64_t i = 0;
    for (; n - i >= 256; i += 256) /* of a length that the compiler knows */
        c = codes_over(x + i, 256, c);
    return codes_range(codes_over(x + i, n - i, c));
}

#include "kernels/entropy/entropy_lanes.h"
