#include "kernels/size/size.h"

#include "kernels/size/size_loops.h"

#include <math.h>

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(size_avx512),
    ISA_ROW_AVX2(size_avx2),
    ISA_ROW_NEON(size_neon),
    ISA_ROW_PORTABLE(size_portable),
};

static const struct size_loops *loops_of(enum isa isa)
{
    return isa_choose(sets, isa);
}

void size_add_base(struct size_sums *s, enum isa isa, enum arithmetic arithmetic, const void *bits, int64_t n)
{
    struct size_lanes lanes = {{0}, {0}, {0}};
    if (arithmetic == ARITHMETIC_BF16)
        loops_of(isa)->base_bf16(&lanes, bits, n);
    else
        loops_of(isa)->base_f32(&lanes, bits, n);
    for (int i = 0; i < SIZE_LANES; i++)
        xsum_add(&s->base, lanes.base[i]);
}

void size_add_changed(struct size_lanes *lanes, enum isa isa, enum arithmetic arithmetic,
                      const void *old_bits, const void *new_bits, int64_t n)
{
    if (arithmetic == ARITHMETIC_BF16)
        loops_of(isa)->changed_bf16(lanes, old_bits, new_bits, n);
    else
        loops_of(isa)->changed_f32(lanes, old_bits, new_bits, n);
}

void size_add_lanes(struct size_sums *s, const struct size_lanes *lanes)
{
    for (int i = 0; i < SIZE_LANES; i++) {
        xsum_add(&s->base, lanes->base[i]);
        xsum_add(&s->delta, lanes->delta[i]);
        xsum_add(&s->gain, lanes->gain[i]);
    }
}

static double element(enum arithmetic arithmetic, const void *bits, int64_t i)
{
    return arithmetic == ARITHMETIC_BF16 ? (double)bf16_to_float(((const uint16_t *)bits)[i])
                                         : (double)((const float *)bits)[i];
}

/* (w + d)^2 - w^2 = d (2 w + d): what is small is not the difference of what is large. */
void size_add_exact(struct size_sums *s, enum arithmetic arithmetic, const void *base_bits,
                    const void *update_bits, int64_t n)
{
    struct size_lanes lanes = {{0}, {0}, {0}};
    for (int64_t i = 0; i < n; i++) {
        double w = element(arithmetic, base_bits, i), d = element(arithmetic, update_bits, i);
        if (!isfinite(w) || !isfinite(d))
            continue;
        lanes.base[i % SIZE_LANES] += w * w;
        lanes.delta[i % SIZE_LANES] += d * d;
        lanes.gain[i % SIZE_LANES] += d * (2 * w + d);
    }
    size_add_lanes(s, &lanes);
}

void size_normalise(struct size_sums *s)
{
    xsum_normalise(&s->base);
    xsum_normalise(&s->delta);
    xsum_normalise(&s->gain);
}

void size_merge(struct size_sums *dst, const struct size_sums *src)
{
    int64_t *to = (int64_t *)dst;
    const int64_t *from = (const int64_t *)src;
    for (int i = 0; i < SIZE_WORDS; i++)
        to[i] += from[i];
    size_normalise(dst);
}
