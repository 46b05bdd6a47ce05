#include "kernels/entropy/entropy.h"

#include "kernels/entropy/entropy_loops.h"

#include <math.h>
#include <string.h>

/* exp(z) below this (it is a normal number there) counts as nothing. */
static const double LOWEST = -708.0;

/* Sums of 16-bit logits are relative to a multiple of so many temperatures, the nearest to the largest logit:
 * few tables serve all rows. They then are not all of one sign, but what is subtracted from the sum of -z
 * exp(z) is at most half of GRID times s, the sum of exp(z), and H is no less than log(1 + s), which is at
 * least s / (1 + s): its relative error is at most 1 + GRID times that of a table and of adding up. */
static const double GRID = 64.0;

/* Below this temperature a row passes many such multiples, each with a table to be made: 16-bit logits are
 * widened to float32 there. */
static const double LEAST_TABLED = 0.125;

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(entropy_avx512),
    ISA_ROW_AVX2(entropy_avx2),
    ISA_ROW_NEON(entropy_neon),
    ISA_ROW_PORTABLE(entropy_portable),
};

static const struct entropy_loops *loops_of(enum isa isa)
{
    return isa_choose(sets, isa);
}

/* What a row has come to. The sums are relative to scale.top: the largest logit so far, which is not among
 * them, or by table that one's reference; these are times 2^ENTROPY_SCALED. */
struct row {
    const struct entropy_loops *loops;
    enum dtype type;
    const void *x;
    int64_t n;
    double temperature;
    int bytes;       /* of a logit */
    int tabled;      /* 16 bits, summed by table */
    int64_t key_inf; /* +Inf; -Inf is -key_inf - 1 */
    int64_t most;    /* key of the largest so far */
    struct entropy_scale scale;
    struct entropy_sums sums;
    const struct entropy_table *table; /* where tabled */
};

static void row_init(struct row *r, enum isa isa, enum dtype type, const void *x, int64_t n,
                     double temperature)
{
    /* 8 / ln 2 in two parts */
    const double high = 0x1.71547652b82fep+3, low = 0x1.777d0ffda0d24p-53;
    double t = temperature < 0x1p-1000 ? 0x1p-1000 : temperature > 0x1p1000 ? 0x1p1000 : temperature;
    *r = (struct row){.loops = loops_of(isa), .type = type, .x = x, .n = n, .temperature = t};
    r->bytes = dtype_bits(type) / 8;
    r->tabled = r->bytes == 2 && t >= LEAST_TABLED;
    r->key_inf = type == DTYPE_BF16  ? 0x7f80
                 : type == DTYPE_F16 ? 0x7c00
                 : type == DTYPE_F32 ? 0x7f800000
                                     : 0x7ff0000000000000;
    r->most = INT64_MIN;
    r->scale = (struct entropy_scale){.top = -INFINITY, .low = LOWEST * t, .c = high / t};
    r->scale.c_lo = (fma(-r->scale.c, t, high) + low) / t;
}

/* The 16 bits that a key stands for. */
static uint16_t code_of(int64_t key)
{
    return (uint16_t)(key < 0 ? key ^ INT16_MAX : key);
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
    uint16_t bits = code_of(key);
    return type == DTYPE_F16 ? f16_to_float(bits) : bf16_to_float(bits);
}

static double value_at(const struct row *r, int64_t i)
{
    return r->type == DTYPE_F64   ? ((const double *)r->x)[i]
           : r->type == DTYPE_F32 ? ((const float *)r->x)[i]
           : r->type == DTYPE_F16 ? f16_to_float(((const uint16_t *)r->x)[i])
                                  : bf16_to_float(((const uint16_t *)r->x)[i]);
}

/* Range of n logits from `first`. */
static struct entropy_range range_of(const struct row *r, int64_t first, int64_t n)
{
    const char *x = (const char *)r->x + first * r->bytes;
    return r->bytes == 2   ? r->loops->range16((const uint16_t *)x, n)
           : r->bytes == 4 ? r->loops->range32((const uint32_t *)x, n)
                           : r->loops->range64((const uint64_t *)x, n);
}

/* Of logits from `first` with this range: where one is NaN or +Inf, *at is the first such one. */
static enum entropy_fault fault_of(const struct row *r, int64_t first, struct entropy_range range,
                                   int64_t *at)
{
    if (range.most < r->key_inf && range.least >= -r->key_inf - 1)
        return ENTROPY_FINE;
    int64_t i = first;
    while (value_at(r, i) < INFINITY)
        i++;
    *at = i;
    return isnan(value_at(r, i)) ? ENTROPY_NAN : ENTROPY_INFINITE;
}

/* The sums become relative to another logit or reference. */
static void rebase(struct row *r, double top)
{
    double d = r->scale.top - top, half = exp(d / r->temperature / 2); /* all of it might be no number */
    if (half > 0) {
        r->sums.dp = (r->sums.dp + d * r->sums.p) * half * half;
        r->sums.p = r->sums.p * half * half;
    } else
        r->sums = (struct entropy_sums){0, 0};
    r->scale.top = top;
}

static double nats_of(const struct row *r)
{
    return log1p(r->sums.p) + -r->sums.dp / r->temperature / (1 + r->sums.p);
}

/* ---- tables of 16 bits ---- */

/* The table for probabilities relative to a logit about as large as this one. */
static const struct entropy_table *table_for(const struct row *r, struct entropy_room *room, double logit)
{
    const double far = 0x1p20; /* there a multiple may be no number of its own */
    double k = rint(logit / (GRID * r->temperature)), reference = logit;
    int odd = 0;
    if (fabs(k) < far) {
        reference = k * (GRID * r->temperature);
        odd = (int)k & 1;
    }
    struct entropy_table *t = &room->table[odd];
    if (t->filled && t->type == r->type && t->temperature == r->temperature && t->reference == reference)
        return t;
    struct entropy_scale w = r->scale;
    w.top = reference;
    w.low = (LOWEST - GRID) * r->temperature;
    if (r->type == DTYPE_BF16)
        r->loops->tabulate_bf16(t->of, &w);
    else
        r->loops->tabulate_f16(t->of, &w);
    t->filled = 1;
    t->type = r->type;
    t->temperature = r->temperature;
    t->reference = reference;
    return t;
}

/* ---- the largest ---- */

/* Another logit becomes the largest, and the one before goes into the sums. */
static void raise_top(struct row *r, struct entropy_room *room, int64_t key)
{
    double top = value_of(r->type, key);
    int first = r->most == INT64_MIN;
    if (r->tabled) {
        if (!first) {
            struct entropy_sums before = r->table->of[code_of(r->most)];
            r->sums.p += before.p;
            r->sums.dp += before.dp;
        }
        r->table = table_for(r, room, top);
        if (r->table->reference != r->scale.top)
            rebase(r, r->table->reference);
    } else {
        r->sums.p += !first; /* exp(0), and d = 0 */
        rebase(r, top);
    }
    r->most = key;
}

/* ---- blocks ---- */

/* Room for a block in which a logit is missing. */
union entropy_block {
    uint16_t codes[ENTROPY_BLOCK];
    float f32[ENTROPY_BLOCK];
    double f64[ENTROPY_BLOCK];
};

static void set_minus_inf(const struct row *r, union entropy_block *b, int64_t i)
{
    if (r->bytes == 2)
        b->codes[i] = (uint16_t)(0x8000 | r->key_inf);
    else if (r->bytes == 4)
        b->f32[i] = -INFINITY;
    else
        b->f64[i] = -INFINITY;
}

/* Where in a block the logit with this key is, the first of several. */
static int64_t find(const struct row *r, const void *block, int64_t key)
{
    int64_t i = 0;
    if (r->bytes == 2) {
        const uint16_t *x = block, code = code_of(key);
        while (x[i] != code)
            i++;
        return i;
    }
    double value = value_of(r->type, key);
    if (r->bytes == 4) {
        const float *x = block;
        while (x[i] != value)
            i++;
        return i;
    }
    const double *x = block;
    while (x[i] != value)
        i++;
    return i;
}

/* The block some blocks after the one that begins with logit `first`; NULL where there is no whole one. */
static const char *ahead(const struct row *r, int64_t first, int64_t blocks)
{
    int64_t there = first + blocks * ENTROPY_BLOCK;
    return r->n - there >= ENTROPY_BLOCK ? (const char *)r->x + there * r->bytes : NULL;
}

static void widen(const struct row *r, const uint16_t *x, int64_t n, float *out)
{
    for (int64_t i = 0; i < n && r->type == DTYPE_BF16; i++) {
        uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
    for (int64_t i = 0; i < n && r->type == DTYPE_F16; i++)
        out[i] = f16_to_float(x[i]);
}

/* n logits x, those of the block at `first` or a copy, into the sums. *range: of their keys; it is lost, but
 * where 1 is returned it is that of the next block. */
static int add(struct row *r, int64_t first, const void *x, int64_t n, struct entropy_range *range)
{
    enum { FAR = 4 }; /* blocks: 8 KiB of codes, which are gone through twice as fast as memory answers */
    const char *next = ahead(r, first, 1), *far = ahead(r, first, FAR);
    int more = next != NULL;
    next = more ? next : x;
    if (r->tabled) {
        *range = r->loops->add_codes(x, n, r->table->of, (const uint16_t *)next, far ? far : next, &r->sums);
        return more;
    }
    int clamp = !(value_of(r->type, range->least) - r->scale.top > r->scale.low);
    if (r->bytes == 2) {
        float wide[ENTROPY_BLOCK];
        widen(r, x, n, wide);
        r->loops->add_f32(wide, n, &r->scale, clamp, next, &r->sums);
    } else if (r->bytes == 4)
        r->loops->add_f32(x, n, &r->scale, clamp, next, &r->sums);
    else
        r->loops->add_f64(x, n, &r->scale, clamp, next, &r->sums);
    return 0;
}

/* The largest is left out of the sums by putting -Inf in its place, in a copy of its block. */
static enum entropy_fault add_all(struct row *r, struct entropy_room *room, int64_t *at)
{
    struct entropy_range range;
    int known = 0; /* the range, before the block's turn */
    union entropy_block copy;
    for (int64_t first = 0; first < r->n; first += ENTROPY_BLOCK) {
        int64_t n = r->n - first < ENTROPY_BLOCK ? r->n - first : ENTROPY_BLOCK, m = n;
        const char *x = (const char *)r->x + first * r->bytes;
        if (!known)
            range = range_of(r, first, n);
        known = 0;
        enum entropy_fault fault = fault_of(r, first, range, at);
        if (fault != ENTROPY_FINE)
            return fault;
        if (range.most == -r->key_inf - 1)
            continue;
        int64_t largest = -1;
        if (range.most > r->most) {
            raise_top(r, room, range.most);
            largest = find(r, x, range.most);
        }
        if (largest >= 0 || n < ENTROPY_BLOCK) {
            memcpy(&copy, x, (size_t)(n * r->bytes));
            m = (n + 2 * ENTROPY_LANES - 1) / (2 * ENTROPY_LANES) * (2 * ENTROPY_LANES);
            for (int64_t i = n; i < m; i++)
                set_minus_inf(r, &copy, i);
            if (largest >= 0)
                set_minus_inf(r, &copy, largest);
            x = (const char *)&copy;
            range.least = -r->key_inf - 1;
        }
        known = add(r, first, x, m, &range);
    }
    return r->most > INT64_MIN ? ENTROPY_FINE : ENTROPY_EMPTY;
}

enum entropy_fault entropy_row(enum isa isa, enum dtype type, const void *logits, int64_t n,
                               double temperature, struct entropy_room *room, double *nats, int64_t *at)
{
    struct row r;
    int64_t bad = 0;
    row_init(&r, isa, type, logits, n, temperature);
    enum entropy_fault fault = add_all(&r, room, &bad);
    if (fault == ENTROPY_FINE && r.tabled) {
        rebase(&r, value_of(type, r.most));
        r.sums.p = ldexp(r.sums.p, -ENTROPY_SCALED);
        r.sums.dp = ldexp(r.sums.dp, -ENTROPY_SCALED);
    }
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
