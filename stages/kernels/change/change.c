#include "kernels/change/change.h"

#include "kernels/change/change_loops.h"

#include <string.h>

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(change_avx512),
    ISA_ROW_AVX2(change_avx2),
    ISA_ROW_NEON(change_neon),
    ISA_ROW_PORTABLE(change_portable),
};

static const struct change_loops *loops_of(enum isa isa)
{
    return isa_choose(sets, isa);
}

void change_add_lanes(struct change *c, const struct change_lanes *lanes)
{
    for (int i = 0; i < CHANGE_LANES; i++) {
        xsum_add(&c->counts.sum_abs, lanes->abs[i]);
        xsum_add(&c->counts.sum_squares, lanes->squares[i]);
    }
}

void change_sizes_begin(struct change_sizes *s)
{
    s->least = CHANGE_SIZES;
    s->most = -1;
}

void change_sizes_take(struct change_sizes *s, struct change *c, enum arithmetic arithmetic, int64_t *counts,
                       int64_t first, const double *tolerance, int ntolerances)
{
    enum { NORMAL = 1 << (23 - CHANGE_SIZE_REST) }; /* bins of an octave: the first of a normal float32 */
    const int bf16 = arithmetic == ARITHMETIC_BF16, ways = bf16 ? CHANGE_WAYS_BF16 : CHANGE_WAYS_F32;
    float limit[CHANGE_TOLERANCES];
    for (int t = 0; t < ntolerances; t++)
        limit[t] = (float)tolerance[t];
    for (int bin = s->least; bin <= s->most; bin++) {
        int64_t n = 0;
        for (int k = 0; k < ways; k++)
            n += s->count[bin * ways + k];
        if (n == 0)
            continue;
        counts[bin - first] += n;
        if (bf16)
            change_add_sizes(c, (uint16_t)bin, n, limit, ntolerances);
        else if (bin >= NORMAL)
            c->counts.exponents[bin / NORMAL - 127 - CHANGE_EXPONENT_0] += n;
    }
    if (s->least <= s->most)
        memset(s->count + s->least * ways, 0, (size_t)((s->most - s->least + 1) * ways) * sizeof *s->count);
    change_sizes_begin(s);
}

void change_add(struct change *c, struct change_lanes *lanes, enum isa isa, enum arithmetic arithmetic,
                const void *old_bits, const void *new_bits, int64_t n, const double *tolerance,
                int ntolerances)
{
    float limit[CHANGE_TOLERANCES];
    for (int t = 0; t < ntolerances; t++)
        limit[t] = (float)tolerance[t]; /* exact: it was rounded to the compare type */
    c->counts.bit_changed += n;
    if (arithmetic == ARITHMETIC_BF16)
        loops_of(isa)->add_bf16(c, lanes, old_bits, new_bits, n, limit, ntolerances);
    else
        loops_of(isa)->add_f32(c, lanes, old_bits, new_bits, n, limit, ntolerances);
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

int64_t change_unequal(const char *a, const char *b, int64_t n, size_t bytes)
{
    int64_t unequal = 0;
    if (memcmp(a, b, (size_t)n * bytes) == 0)
        return 0;
    for (int64_t i = 0; i < n; i++)
        unequal += memcmp(a + (size_t)i * bytes, b + (size_t)i * bytes, bytes) != 0;
    return unequal;
}
