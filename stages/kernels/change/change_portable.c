/* The plain loops of change.c: the reference. */
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
static inline int64_t steps_between(int64_t mag0, uint32_t negative0, int64_t mag1, uint32_t negative1)
{
    int64_t a = negative0 ? -mag0 : mag0, b = negative1 ? -mag1 : mag1;
    return a > b ? a - b : b - a;
}

/* What of a finite size is counted when the sizes are taken, and not with its element. */
enum later { LATER_NOTHING, LATER_NORMAL_EXPONENTS, LATER_ALL };

/* One changed element, all but its sums. Returns |delta|, 0 where it is not finite. */
static inline float add_element(struct change *c, uint32_t mag0, uint32_t negative0, uint32_t mag1,
                                uint32_t negative1, uint32_t infinity, float delta, const float *limit,
                                int ntolerances, enum later later)
{
    struct change_counts *k = &c->counts;
    float size = fabsf(delta);
    const int finite = size <= 3.402823466e38f;
    k->nonzero += !(size == 0);
    for (int t = 0; t < ntolerances && !(later == LATER_ALL && finite); t++)
        k->updated[t] += !(size <= limit[t]); /* NaN and Inf are never close */
    if (mag0 > infinity || mag1 > infinity) {
        k->nan_count++;
    } else {
        int64_t steps = steps_between(mag0, negative0, mag1, negative1);
        k->steps[steps == 0 ? 0 : 64 - __builtin_clzll((unsigned long long)steps)]++;
    }
    k->inf_count += mag0 == infinity || mag1 == infinity;
    if (!finite)
        return 0;
    if (size > 0 && later != LATER_ALL && !(later == LATER_NORMAL_EXPONENTS && size >= 0x1p-126F))
        k->exponents[exponent_of(size) - CHANGE_EXPONENT_0]++;
    if (size > c->max_abs)
        c->max_abs = size;
    return size;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void add_size(struct change_lanes *lanes, int64_t i, float size)
{
    lanes->abs[i % CHANGE_LANES] += (double)size;
    lanes->squares[i % CHANGE_LANES] += (double)size * (double)size;
}

/* Counts a size, of whose bits without the sign the bin has the upper ones, in one of `ways` counters. */
static inline void count_size(struct change_sizes *s, float size, int rest, int64_t way, int ways)
{
    uint32_t bits;
    if (!s)
        return;
    memcpy(&bits, &size, sizeof bits);
    int bin = (int)(bits >> rest);
    s->least = bin < s->least ? bin : s->least;
    s->most = bin > s->most ? bin : s->most;
    s->count[bin * ways + way % ways]++;
}

void change_add_bf16_portable(struct change *c, struct change_lanes *lanes, const uint16_t *old_bits,
                              const uint16_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t a = old_bits[i], b = new_bits[i];
        float delta = bf16_to_float(bf16_from_float(bf16_to_float(b) - bf16_to_float(a)));
        float size = add_element(c, a & 0x7fff, a >> 15, b & 0x7fff, b >> 15, 0x7f80, delta, limit,
                                 ntolerances, lanes->sizes ? LATER_ALL : LATER_NOTHING);
        add_size(lanes, i, size);
        count_size(lanes->sizes, size, 16, i, CHANGE_WAYS_BF16);
    }
}

void change_add_f32_portable(struct change *c, struct change_lanes *lanes, const uint32_t *old_bits,
                             const uint32_t *new_bits, int64_t n, const float *limit, int ntolerances)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t a = old_bits[i], b = new_bits[i];
        float delta = float_of(b) - float_of(a);
        float size = add_element(c, a & 0x7fffffff, a >> 31, b & 0x7fffffff, b >> 31, 0x7f800000, delta,
                                 limit, ntolerances, lanes->sizes ? LATER_NORMAL_EXPONENTS : LATER_NOTHING);
        add_size(lanes, i, size);
        count_size(lanes->sizes, size, CHANGE_SIZE_REST, i, CHANGE_WAYS_F32);
    }
}

const struct change_loops change_portable = {
    .add_bf16 = change_add_bf16_portable,
    .add_f32 = change_add_f32_portable,
};

void change_add_sizes(struct change *c, uint16_t size, int64_t n, const float *limit, int ntolerances)
{
    const float x = bf16_to_float(size);
    for (int t = 0; t < ntolerances; t++)
        c->counts.updated[t] += x > limit[t] ? n : 0;
    if (x > 0)
        c->counts.exponents[exponent_of(x) - CHANGE_EXPONENT_0] += n;
}

/* ---- what the vector loops have in common ---- */

struct change_within change_add_span(struct change *c, enum arithmetic arithmetic, struct change_span span,
                                     int64_t n, const float *limit, int ntolerances)
{
    const int bf16 = arithmetic == ARITHMETIC_BF16;
    const float most = bf16 ? bf16_to_float((uint16_t)span.most) : float_of(span.most);
    c->counts.nonzero += n;
    if (most > c->max_abs)
        c->max_abs = most;
    struct change_within w = {.n = 0};
    for (int t = 0; t < ntolerances; t++) {
        uint32_t at;
        memcpy(&at, &limit[t], sizeof at);
        at = bf16 ? at >> 16 : at; /* it was rounded to the compare type */
        if (at < span.least) {
            c->counts.updated[t] += n;
        } else if (at < span.most) {
            w.at[w.n] = at;
            w.which[w.n++] = t;
        }
    }
    return w;
}
