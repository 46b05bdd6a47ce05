#include "kernels/change/change.h"

#include "kernels/change/change_loops.h"

#include <math.h>
#include <string.h>

/* floor(log2(x)) of a finite, positive float. */
static inline int exponent_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    int biased = (int)(bits >> 23);
    return biased > 0 ? biased - 127 : 31 - __builtin_clz(bits) - 149;
}

/* Steps of the compare type between two values: bit patterns as sign and magnitude on one line, both zeros at
 * 0. */
static inline int64_t steps_between(int64_t mag0, int negative0, int64_t mag1, int negative1)
{
    int64_t a = negative0 ? -mag0 : mag0, b = negative1 ? -mag1 : mag1;
    return a > b ? a - b : b - a;
}

/* One changed element, all but its sums. Returns |delta|, 0 where it is not finite. */
static inline float add_element(struct change *c, uint32_t mag0, int negative0, uint32_t mag1, int negative1,
                                uint32_t infinity, float delta, const float *limit, int ntolerances)
{
    struct change_counts *k = &c->counts;
    float size = fabsf(delta);
    k->nonzero += !(size == 0);
    for (int t = 0; t < ntolerances; t++)
        k->updated[t] += !(size <= limit[t]); /* NaN and Inf are never close */
    if (mag0 > infinity || mag1 > infinity) {
        k->nan_count++;
    } else {
        int64_t steps = steps_between(mag0, negative0, mag1, negative1);
        k->steps[steps == 0 ? 0 : 64 - __builtin_clzll((unsigned long long)steps)]++;
    }
    k->inf_count += mag0 == infinity || mag1 == infinity;
    if (!(size <= 3.402823466e38f))
        return 0;
    if (size > 0)
        k->exponents[exponent_of(size) - CHANGE_EXPONENT_0]++;
    if (size > c->max_abs)
        c->max_abs = size;
    return size;
}

void change_add_lanes(struct change *c, const struct change_lanes *lanes)
{
    for (int i = 0; i < CHANGE_LANES; i++) {
        xsum_add(&c->counts.sum_abs, lanes->abs[i]);
        xsum_add(&c->counts.sum_squares, lanes->squares[i]);
    }
}

struct change_within change_within_of(struct change_span span, const float *limit, int ntolerances, int64_t n,
                                      int64_t *updated)
{
    struct change_within w = {.n = 0};
    for (int t = 0; t < ntolerances; t++) {
        uint16_t at = bf16_from_float(limit[t]);
        if (at < span.least) {
            updated[t] += n;
        } else if (at < span.most) {
            w.at[w.n] = at;
            w.which[w.n++] = t;
        }
    }
    return w;
}

void change_add_range(struct change *c, struct change_lanes *lanes, enum arithmetic arithmetic,
                      const void *old_bits, const void *new_bits, int64_t from, int64_t to,
                      const float *limit, int ntolerances)
{
    for (int64_t i = from; i < to; i++) {
        float size;
        if (arithmetic == ARITHMETIC_BF16) {
            uint16_t a = ((const uint16_t *)old_bits)[i], b = ((const uint16_t *)new_bits)[i];
            float delta = bf16_to_float(bf16_from_float(bf16_to_float(b) - bf16_to_float(a)));
            size =
                add_element(c, a & 0x7fff, a >> 15, b & 0x7fff, b >> 15, 0x7f80, delta, limit, ntolerances);
        } else {
            uint32_t a = ((const uint32_t *)old_bits)[i], b = ((const uint32_t *)new_bits)[i];
            float delta = ((const float *)new_bits)[i] - ((const float *)old_bits)[i];
            size = add_element(c, a & 0x7fffffff, a >> 31, b & 0x7fffffff, b >> 31, 0x7f800000, delta, limit,
                               ntolerances);
        }
        lanes->abs[i % CHANGE_LANES] += (double)size;
        lanes->squares[i % CHANGE_LANES] += (double)size * (double)size;
    }
}

void change_add(struct change *c, enum isa isa, enum arithmetic arithmetic, const void *old_bits,
                const void *new_bits, int64_t n, const double *tolerance, int ntolerances)
{
    struct change_lanes lanes = {{0}, {0}};
    float limit[CHANGE_TOLERANCES];
    for (int t = 0; t < ntolerances; t++)
        limit[t] = (float)tolerance[t]; /* exact: it was rounded to the compare type */
    c->counts.bit_changed += n;
    magnitude_count(isa, arithmetic, old_bits, n, c->counts.bin_updated);
    int64_t done = 0;
#if defined(__x86_64__)
    if (isa == ISA_AVX512 && arithmetic == ARITHMETIC_BF16)
        done = change_add_bf16_avx512(c, &lanes, old_bits, new_bits, n, limit, ntolerances);
    if (isa == ISA_AVX2 && arithmetic == ARITHMETIC_BF16)
        done = change_add_bf16_avx2(c, &lanes, old_bits, new_bits, n, limit, ntolerances);
#endif
    change_add_range(c, &lanes, arithmetic, old_bits, new_bits, done, n, limit, ntolerances);
    change_add_lanes(c, &lanes);
}

void change_add_nonfinite(struct change *c, enum arithmetic arithmetic, const void *bits, int64_t n,
                          int ntolerances)
{
    int64_t nan_count = 0;
    for (int64_t i = 0; i < n; i++)
        nan_count += arithmetic == ARITHMETIC_BF16 ? (((const uint16_t *)bits)[i] & 0x7fff) > 0x7f80
                                                   : (((const uint32_t *)bits)[i] & 0x7fffffff) > 0x7f800000;
    c->counts.nonzero += n;
    c->counts.nan_count += nan_count;
    c->counts.inf_count += n - nan_count;
    for (int t = 0; t < ntolerances; t++)
        c->counts.updated[t] += n;
}

void change_merge(struct change *dst, const struct change *src)
{
    int64_t *to = (int64_t *)&dst->counts;
    const int64_t *from = (const int64_t *)&src->counts;
    for (int i = 0; i < CHANGE_WORDS; i++)
        to[i] += from[i];
    if (src->max_abs > dst->max_abs)
        dst->max_abs = src->max_abs;
}
