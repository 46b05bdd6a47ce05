#include "change.h"

#include <math.h>
#include <string.h>

double change_bin_lower(int bin)
{
    uint32_t bits = (uint32_t)bin << 21;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

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

static inline void add_steps(struct change_counts *k, int64_t steps)
{
    k->steps[steps == 0 ? 0 : 64 - __builtin_clzll((unsigned long long)steps)]++;
}

static void add_bf16(struct change_counts *k, const uint16_t *a, const uint16_t *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t ma = a[i] & 0x7fff, mb = b[i] & 0x7fff;
        k->bin_updated[change_bin(ARITHMETIC_BF16, a, i)]++;
        if (ma > 0x7f80 || mb > 0x7f80)
            k->nan_count++;
        else
            add_steps(k, steps_between(ma, a[i] >> 15, mb, b[i] >> 15));
        k->inf_count += ma == 0x7f80 || mb == 0x7f80;
    }
}

static void add_f32(struct change_counts *k, const uint32_t *a, const uint32_t *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t ma = a[i] & 0x7fffffff, mb = b[i] & 0x7fffffff;
        k->bin_updated[change_bin(ARITHMETIC_F32, a, i)]++;
        if (ma > 0x7f800000 || mb > 0x7f800000)
            k->nan_count++;
        else
            add_steps(k, steps_between(ma, a[i] >> 31, mb, b[i] >> 31));
        k->inf_count += ma == 0x7f800000 || mb == 0x7f800000;
    }
}

/* Sums in eight fixed lanes, so that a vector version gives the same bits. |delta| of a non-finite element
 * counts as 0. */
static void add_norms(struct change *c, const float *size, int64_t n)
{
    enum { LANES = 8 };
    double abs_lane[LANES] = {0}, square_lane[LANES] = {0};
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        float x = size[i] <= 3.402823466e38f ? size[i] : 0;
        abs_lane[i % LANES] += (double)x;
        square_lane[i % LANES] += (double)x * (double)x;
        most = x > most ? x : most;
        if (x > 0)
            c->counts.exponents[exponent_of(x) - CHANGE_EXPONENT_0]++;
    }
    for (int i = 0; i < LANES; i++) {
        xsum_add(&c->counts.sum_abs, abs_lane[i]);
        xsum_add(&c->counts.sum_squares, square_lane[i]);
    }
    if (most > c->max_abs)
        c->max_abs = most;
}

void change_add(struct change *c, enum arithmetic arithmetic, const void *old_bits, const void *new_bits,
                const float *delta, int64_t n, const double *tolerance, int ntolerances, float *scratch)
{
    struct change_counts *k = &c->counts;
    k->bit_changed += n;
    int64_t nonzero = 0;
    for (int64_t i = 0; i < n; i++) {
        scratch[i] = fabsf(delta[i]);
        nonzero += !(scratch[i] == 0);
    }
    k->nonzero += nonzero;
    for (int t = 0; t < ntolerances; t++) {
        float limit = (float)tolerance[t]; /* exact: it was rounded to the compare type */
        int64_t updated = 0;
        for (int64_t i = 0; i < n; i++)
            updated += !(scratch[i] <= limit); /* NaN and Inf are never close */
        k->updated[t] += updated;
    }
    if (arithmetic == ARITHMETIC_BF16)
        add_bf16(k, old_bits, new_bits, n);
    else
        add_f32(k, old_bits, new_bits, n);
    add_norms(c, scratch, n);
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

void change_add_base(struct change *c, enum arithmetic arithmetic, const void *w0, int64_t n)
{
    /* Four tables: consecutive weights often share a bin, and an increment must not wait for the one before.
     */
    enum { TABLES = 4 };
    uint32_t table[TABLES][CHANGE_BINS];
    memset(table, 0, sizeof table);
    int64_t i = 0;
    if (arithmetic == ARITHMETIC_BF16) {
        const uint16_t *w = w0;
        for (; i + TABLES <= n; i += TABLES)
            for (int t = 0; t < TABLES; t++)
                table[t][(w[i + t] & 0x7fff) >> 5]++;
        for (; i < n; i++)
            table[0][change_bin(arithmetic, w, i)]++;
    } else {
        const uint32_t *w = w0;
        for (; i + TABLES <= n; i += TABLES)
            for (int t = 0; t < TABLES; t++)
                table[t][(w[i + t] & 0x7fffffff) >> 21]++;
        for (; i < n; i++)
            table[0][change_bin(arithmetic, w, i)]++;
    }
    for (int b = 0; b < CHANGE_BINS; b++) {
        int64_t sum = 0;
        for (int t = 0; t < TABLES; t++)
            sum += table[t][b];
        c->counts.bin_elements[b] += sum;
    }
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
