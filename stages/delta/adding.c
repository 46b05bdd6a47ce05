#include "delta/adding.h"

#include "kernels/change/criterion.h"

#include <string.h>

void adding_begin(struct adding *x, struct update_part *part, struct block_totals *to, int exact)
{
    x->part = part;
    x->begin = block_mark(part);
    x->to = to;
    x->added = x->counted = x->begin.values;
    x->change = (struct change_lanes){.sizes = x->sizes};
    x->size = (struct size_lanes){.base = {0}};
    x->exact = exact;
}

static const char *values(const struct adding *x, const void *bits, int64_t from)
{
    return (const char *)bits + from * arithmetic_bytes(x->part->arithmetic);
}

/* The magnitudes of what changed and was not counted yet, one by one. */
static void count_rest(struct adding *x)
{
    const struct update_part *p = x->part;
    magnitude_count(p->isa, p->arithmetic, values(x, p->old_bits, x->counted), p->nvalues - x->counted,
                    x->to->change.counts.bin_updated);
    x->counted = p->nvalues;
}

void adding_magnitudes(struct adding *x, const void *w0, int64_t n, const uint64_t *words,
                       const int64_t *bins)
{
    enum { FEW = 32 };
    const struct update_part *p = x->part;
    int64_t *updated = x->to->change.counts.bin_updated;
    if ((n - (p->nvalues - x->counted)) * FEW > n) {
        count_rest(x);
        return;
    }
    x->counted = p->nvalues;
    for (int b = 0; b < MAGNITUDE_BINS; b++)
        updated[b] += bins[b];
    for (int64_t at = 0; at < n; at += 64) {
        uint64_t same = ~words[at / 64];
        if (n - at < 64)
            same &= ((uint64_t)1 << (n - at)) - 1;
        for (; same != 0; same &= same - 1)
            updated[magnitude_bin(p->arithmetic, w0, at + __builtin_ctzll(same))]--;
    }
}

/* What changed by the relative tolerances. */
static void count_relative(struct adding *x, const void *old_bits, const void *new_bits, int64_t n)
{
    for (int i = 0; i < x->p->relative.n; i++) {
        const struct criterion c = {
            .kind = CRITERION_RELATIVE, .arithmetic = x->part->arithmetic, .eta = x->p->relative.v[i]};
        x->to->change.counts.relative[i] += criterion_count(&c, old_bits, new_bits, n);
    }
}

/* What did not change and is not finite on both sides is never close. */
static void add_nonfinite(struct adding *x)
{
    const struct update_part *p = x->part;
    const int64_t n = p->nnonfinite - x->begin.nonfinite;
    for (int i = 0; i < x->p->relative.n; i++)
        x->to->change.counts.relative[i] += n;
    change_add_nonfinite(&x->to->change, p->arithmetic, values(x, p->nonfinite_bits, x->begin.nonfinite), n,
                         x->p->tolerances.n);
}

_Static_assert((int)CHANGE_PART % (int)SIZE_LANES == 0, "parts of both");

err_t adding_add(struct adding *x, int all, int aside, int64_t tensor, struct concentration_tail *tail,
                 struct err *e)
{
    const struct update_part *p = x->part;
    const int64_t waiting = p->nvalues - x->added, n = all ? waiting : waiting - waiting % CHANGE_PART;
    const char *old_bits = values(x, p->old_bits, x->added), *new_bits = values(x, p->new_bits, x->added);
    if (n > 0) {
        change_add(&x->to->change, &x->change, p->isa, p->arithmetic, old_bits, new_bits, n, x->tolerance,
                   x->p->tolerances.n);
        count_relative(x, old_bits, new_bits, n);
        if (!x->exact)
            size_add_changed(&x->size, p->isa, p->arithmetic, old_bits, new_bits, n);
        if (tail)
            TRY(concentration_tail_add(x->survey, aside, tensor, tail, NULL,
                                       (const float *)(const void *)old_bits,
                                       (const float *)(const void *)new_bits, n, e));
        x->added += n;
    }
    if (!all)
        return ERR_OK;
    count_rest(x);
    add_nonfinite(x);
    change_add_lanes(&x->to->change, &x->change);
    size_add_lanes(&x->to->size, &x->size);
    return ERR_OK;
}

void adding_forget(struct adding *x)
{
    struct update_part *p = x->part;
    const int64_t left = p->nvalues - x->added, to = x->begin.values, bytes = arithmetic_bytes(p->arithmetic);
    count_rest(x);
    memmove((char *)p->old_bits + to * bytes, values(x, p->old_bits, x->added), (size_t)(left * bytes));
    memmove((char *)p->new_bits + to * bytes, values(x, p->new_bits, x->added), (size_t)(left * bytes));
    p->nvalues = x->counted = to + left;
    x->added = to;
}
