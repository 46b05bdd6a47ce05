#include "entropy.h"

#include "entropy_lanes.h"

#include <math.h>
#include <string.h>

/* exp(z) below this (it is a normal number there) counts as nothing. */
static const double LOWEST = -708.0;

/* The logit that sums of 16-bit logits are relative to may be less than the largest by up to so many times
 * the temperature, until they are complete: each time that it becomes another a table is lost. What is added
 * is not all of one sign then, but what is subtracted from the sum of -z exp(z) is at most MARGIN times the
 * sum of exp(z), which H is no less than: its relative error is at most 1 + 2 MARGIN times that of the sums.
 */
static const double MARGIN = 4.0;

static const struct entropy_loops *loops_of(enum isa isa)
{
#if defined(__x86_64__)
    if (isa == ISA_AVX512)
        return &entropy_avx512;
    if (isa == ISA_AVX2)
        return &entropy_avx2;
#endif
    (void)isa;
    return &entropy_portable;
}

/* What a row has come to: the sums are relative to scale.top, the largest logit so far or, of 16-bit logits,
 * one that it exceeds by no more than MARGIN. */
struct row {
    const struct entropy_loops *loops;
    enum dtype type;
    const void *x;
    int64_t n;
    double temperature;
    int bytes;           /* of a logit */
    int64_t key_inf;     /* +Inf; -Inf is -key_inf - 1 */
    int64_t least, most; /* keys of all logits so far */
    int64_t smallest;    /* magnitude of these; 16 bits only */
    struct entropy_scale scale;
    struct entropy_sums sums;
    int64_t steady;                     /* blocks since scale.top became another; 16 bits only, as these: */
    int64_t table_from[2], table_to[2]; /* codes of either sign that the table has */
};

static void row_init(struct row *r, enum isa isa, enum dtype type, const void *x, int64_t n,
                     double temperature)
{
    /* 8 / ln 2 in two parts */
    const double high = 0x1.71547652b82fep+3, low = 0x1.777d0ffda0d24p-53;
    double t = temperature < 0x1p-1000 ? 0x1p-1000 : temperature > 0x1p1000 ? 0x1p1000 : temperature;
    *r = (struct row){.loops = loops_of(isa), .type = type, .x = x, .n = n, .temperature = t};
    r->bytes = dtype_bits(type) / 8;
    r->key_inf = type == DTYPE_BF16  ? 0x7f80
                 : type == DTYPE_F16 ? 0x7c00
                 : type == DTYPE_F32 ? 0x7f800000
                                     : 0x7ff0000000000000;
    r->least = INT64_MAX;
    r->most = INT64_MIN;
    r->smallest = INT64_MAX;
    r->scale = (struct entropy_scale){.top = -INFINITY, .low = LOWEST * t, .c = high / t};
    r->scale.c_lo = (fma(-r->scale.c, t, high) + low) / t;
}

/* The logit that a key stands for. */
static double value_of(enum dtype type, int64_t key)
{
    if (type == DTYPE_F64) {
        double x;
        uint64_t bits = (uint64_t)(key < 0 ? key ^ INT64_MAX : key);
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    if (type == DTYPE_F32) {
        float x;
        uint32_t bits = (uint32_t)(key < 0 ? key ^ INT32_MAX : key);
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    uint16_t bits = (uint16_t)(key < 0 ? key ^ INT16_MAX : key);
    return type == DTYPE_F16 ? f16_to_float(bits) : bf16_to_float(bits);
}

static double value_at(const struct row *r, int64_t i)
{
    return r->type == DTYPE_F64   ? ((const double *)r->x)[i]
           : r->type == DTYPE_F32 ? ((const float *)r->x)[i]
           : r->type == DTYPE_F16 ? f16_to_float(((const uint16_t *)r->x)[i])
                                  : bf16_to_float(((const uint16_t *)r->x)[i]);
}

/* Range of n logits from `first`; *fault where one is NaN or +Inf, then *at is the first such one. */
static struct entropy_range look(const struct row *r, int64_t first, int64_t n, enum entropy_fault *fault,
                                 int64_t *at)
{
    const char *x = (const char *)r->x + first * r->bytes;
    struct entropy_range found = r->bytes == 2   ? r->loops->range16((const uint16_t *)x, n)
                                 : r->bytes == 4 ? r->loops->range32((const uint32_t *)x, n)
                                                 : r->loops->range64((const uint64_t *)x, n);
    if (found.most < r->key_inf && found.least >= -r->key_inf - 1)
        return found;
    int64_t i = first;
    while (value_at(r, i) < INFINITY)
        i++;
    *at = i;
    *fault = isnan(value_at(r, i)) ? ENTROPY_NAN : ENTROPY_INFINITE;
    return found;
}

/* The sums become relative to another logit; `before` of the probabilities to be summed (0 or 1) is that of
 * the one before. */
static void raise_top(struct row *r, int64_t key, double before)
{
    double top = value_of(r->type, key), d = r->scale.top - top, shrink = exp(d / r->temperature);
    if (shrink > 0) {
        double p = r->sums.p + before;
        r->sums.dp = (r->sums.dp + d * p) * shrink;
        r->sums.p = p * shrink;
    } else
        r->sums = (struct entropy_sums){0, 0};
    r->scale.top = top;
}

static double nats_of(const struct row *r)
{
    return log1p(r->sums.p) + -r->sums.dp / r->temperature / (1 + r->sums.p);
}

static int must_clamp(const struct row *r, int64_t least)
{
    return !(value_of(r->type, least) - r->scale.top > r->scale.low);
}

/* ---- 32 and 64 bits: all in the lanes ---- */

/* The largest is left out of the sums by putting -Inf in its place, in a copy of its block. */
static enum entropy_fault row_wide(struct row *r, int64_t *at)
{
    enum { BLOCK = ENTROPY_BLOCK / 2 };
    enum entropy_fault fault = ENTROPY_FINE;
    union {
        float f32[BLOCK];
        double f64[BLOCK];
    } copy;
    for (int64_t first = 0; first < r->n; first += BLOCK) {
        int64_t n = r->n - first < BLOCK ? r->n - first : BLOCK, m = n;
        const void *x = (const char *)r->x + first * r->bytes;
        struct entropy_range range = look(r, first, n, &fault, at);
        if (fault != ENTROPY_FINE)
            return fault;
        if (range.most == -r->key_inf - 1)
            continue;
        int64_t largest = -1;
        if (range.most > r->most) {
            raise_top(r, range.most, r->most > INT64_MIN);
            r->most = range.most;
            largest = 0;
            while (value_at(r, first + largest) != r->scale.top)
                largest++;
        }
        if (largest >= 0 || n < BLOCK) {
            memcpy(&copy, x, (size_t)(n * r->bytes));
            m = n <= 2 * ENTROPY_LANES ? 2 * ENTROPY_LANES
                                       : (n + ENTROPY_LANES - 1) / ENTROPY_LANES * ENTROPY_LANES;
            for (int64_t i = n; i <= m; i++) {
                int64_t j = i < m ? i : largest;
                if (j >= 0 && r->bytes == 4)
                    copy.f32[j] = -INFINITY;
                else if (j >= 0)
                    copy.f64[j] = -INFINITY;
            }
            x = &copy;
            range.least = -r->key_inf - 1;
        }
        int clamp = must_clamp(r, range.least);
        const char *ahead =
            (const char *)r->x + (r->n - first >= 2 * BLOCK ? first + BLOCK : first) * r->bytes;
        if (r->bytes == 4)
            r->loops->add_f32(x, m, &r->scale, clamp, ahead, &r->sums);
        else
            r->loops->add_f64(x, m, &r->scale, clamp, ahead, &r->sums);
    }
    return r->most > INT64_MIN ? ENTROPY_FINE : ENTROPY_EMPTY;
}

/* ---- 16 bits: half in the lanes, half counted ---- */

/* Codes [*from, *to) that have been met with this sign (0 or 1), as multiples of 16. */
static void window(const struct row *r, int sign, int64_t *from, int64_t *to)
{
    int64_t low = sign ? (r->most < 0 ? -r->most - 1 : 0) : r->least > 0 ? r->least : 0;
    int64_t high = sign ? -r->least - 1 : r->most;
    low = low > r->smallest ? low : r->smallest;
    high = high < r->key_inf ? high : r->key_inf - 1; /* -Inf contributes nothing */
    *from = (sign << 15) + low / ENTROPY_LANES * ENTROPY_LANES;
    *to = high < low ? *from : (sign << 15) + (high / ENTROPY_LANES + 1) * ENTROPY_LANES;
}

static void merge(struct row *r, struct entropy_range range)
{
    r->least = range.least < r->least ? range.least : r->least;
    r->most = range.most > r->most ? range.most : r->most;
    r->smallest = range.smallest < r->smallest ? range.smallest : r->smallest;
}

static void forget_table(struct row *r, double *table)
{
    for (int sign = 0; sign < 2; sign++) {
        memset(table + r->table_from[sign], 0,
               (size_t)(r->table_to[sign] - r->table_from[sign]) * sizeof *table);
        r->table_from[sign] = r->table_to[sign] = 0;
    }
    r->steady = 0;
}

/* Codes [*from, *to) that have been met with this sign, without those whose probability counts as nothing:
 * that is what the table says of codes that it lacks, of -Inf too. */
static void window_of_table(const struct row *r, int sign, int64_t *from, int64_t *to)
{
    window(r, sign, from, to);
    double lowest = r->scale.top + r->scale.low;
    if (!sign || lowest >= 0 || lowest < -0x1p127)
        return;
    float f = (float)-lowest;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    int64_t end = (1 << 15) + ((int64_t)(bits >> 16) / ENTROPY_LANES + 1) * ENTROPY_LANES;
    *to = *to < end ? *to : end;
    *from = *from < *to ? *from : *to;
}

/* Does the table have all codes met so far? Those that it lacks are added if that pays: if the blocks to come
 * are few, or the sums have just become relative to another logit, and so may again, exponentials cost less.
 * `left`: blocks, with this one. */
static int tabulated(struct row *r, double *table, int64_t left)
{
    enum {
        WORTH = ENTROPY_BLOCK / 4, /* codes that take as long as looking up saves in a block */
        HOPE = 4                   /* blocks without another raise, from the first on */
    };
    if (r->type != DTYPE_BF16 || !r->loops->tabulate_bf16)
        return 0;
    int64_t from[2], to[2], lacking = 0, soon = r->steady + HOPE, blocks = left < soon ? left : soon;
    for (int sign = 0; sign < 2; sign++) {
        window_of_table(r, sign, &from[sign], &to[sign]);
        lacking += to[sign] - from[sign] - (r->table_to[sign] - r->table_from[sign]);
    }
    if (lacking > blocks * WORTH)
        return 0;
    for (int sign = 0; sign < 2; sign++) {
        /* the codes met are more and more: what the table has is among them */
        if (r->table_from[sign] == r->table_to[sign])
            r->table_from[sign] = r->table_to[sign] = from[sign];
        r->loops->tabulate_bf16(table, from[sign], r->table_from[sign], &r->scale);
        r->loops->tabulate_bf16(table, r->table_to[sign], to[sign], &r->scale);
        r->table_from[sign] = from[sign];
        r->table_to[sign] = to[sign];
    }
    return 1;
}

/* Half of each block goes to the lanes, half is counted by its code, of which there are few enough to
 * exponentiate each once at the end. Counted is the half with the larger logits, so that the largest of the
 * row is always found among the counters, where it is taken off. */
static enum entropy_fault count_and_add(struct row *r, struct entropy_room *room, int64_t *at)
{
    enum { LEAST = 4 * ENTROPY_LANES }; /* fewer are all counted */
    enum entropy_fault fault = ENTROPY_FINE;
    const uint16_t *all = r->x;
    for (int64_t first = 0, n; first < r->n; first += n) {
        n = r->n - first < ENTROPY_BLOCK ? r->n - first : ENTROPY_BLOCK;
        n = n >= LEAST ? n - n % (2 * ENTROPY_LANES) : n;
        const uint16_t *x = all + first, *half = x + n / 2, *lanes = x, *counted = half;
        int64_t before = r->most;
        struct entropy_range range[2];
        for (int k = 0; k < 2; k++) {
            range[k] = (struct entropy_range){INT64_MAX, INT64_MIN, INT64_MAX};
            int64_t part = k ? n - n / 2 : n / 2;
            if (part > 0)
                range[k] = look(r, first + k * (n / 2), part, &fault, at);
            if (fault != ENTROPY_FINE)
                return fault;
            merge(r, range[k]);
        }
        if (r->most == -r->key_inf - 1)
            continue;
        if (r->most > before && value_of(r->type, r->most) - r->scale.top > MARGIN * r->temperature) {
            raise_top(r, r->most, 0);
            forget_table(r, room->table);
        }
        if (n < LEAST) {
            for (int64_t i = 0; i < n; i++)
                room->counters[x[i]]++;
            continue;
        }
        if (range[0].most > range[1].most) {
            lanes = half;
            counted = x;
        }
        int clamp = must_clamp(r, range[lanes == half].least);
        const uint16_t *ahead = r->n - first >= 2 * ENTROPY_BLOCK ? x + ENTROPY_BLOCK : x;
        if (tabulated(r, room->table, (r->n - first) / ENTROPY_BLOCK))
            r->loops->add_tabulated_bf16(lanes, counted, n / 2, &r->scale, clamp, ahead, room->counters,
                                         room->table, &r->sums);
        else if (r->type == DTYPE_BF16)
            r->loops->add_bf16(lanes, counted, n / 2, &r->scale, clamp, ahead, room->counters, &r->sums);
        else
            r->loops->add_f16(lanes, counted, n / 2, &r->scale, clamp, ahead, room->counters, &r->sums);
        r->steady++;
    }
    return r->most > -r->key_inf - 1 ? ENTROPY_FINE : ENTROPY_EMPTY;
}

static enum entropy_fault row_narrow(struct row *r, struct entropy_room *room, int64_t *at)
{
    uint32_t *counters = room->counters;
    enum entropy_fault fault = count_and_add(r, room, at);
    forget_table(r, room->table);
    if (fault != ENTROPY_FINE) {
        memset(counters, 0, sizeof room->counters);
        return fault;
    }
    uint16_t minus_inf = (uint16_t)(0x8000 | r->key_inf);
    counters[minus_inf] = counters[ENTROPY_CODES + minus_inf] = 0;
    uint32_t *largest = counters + (uint16_t)(r->most < 0 ? r->most ^ INT16_MAX : r->most);
    largest[*largest > 0 ? 0 : ENTROPY_CODES]--;
    for (int sign = 0; sign < 2; sign++) {
        int64_t from, to;
        window(r, sign, &from, &to);
        if (r->type == DTYPE_BF16)
            r->loops->drain_bf16(counters, from, to, &r->scale, &r->sums);
        else
            r->loops->drain_f16(counters, from, to, &r->scale, &r->sums);
    }
    if (value_of(r->type, r->most) > r->scale.top)
        raise_top(r, r->most, 0);
    return ENTROPY_FINE;
}

enum entropy_fault entropy_row(enum isa isa, enum dtype type, const void *logits, int64_t n,
                               double temperature, struct entropy_room *room, double *nats, int64_t *at)
{
    struct row r;
    int64_t bad = 0;
    row_init(&r, isa, type, logits, n, temperature);
    enum entropy_fault fault = r.bytes == 2 ? row_narrow(&r, room, &bad) : row_wide(&r, &bad);
    *nats = fault == ENTROPY_FINE ? nats_of(&r) : NAN;
    if (at)
        *at = bad;
    return fault;
}

double entropy_interpolate(double a, double b, double t)
{
    double diff = b - a;
    /* From the nearer end, so that the result is monotone in t and exact at both ends. */
    return t < 0.5 ? a + diff * t : b - diff * (1 - t);
}
