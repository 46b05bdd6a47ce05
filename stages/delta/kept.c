#include "delta/kept.h"

#include <string.h>

/* Behind it stand the block's words, old bits, new bits, the places of non-finite elements and their bits. */
struct kept_head {
    struct size_sums size;
    int64_t nvalues, nnonfinite;
    int64_t first_bit; /* what the places are counted from */
    uint32_t bins[MAGNITUDE_BINS];
};
_Static_assert(LAYOUT_BLOCK <= UINT32_MAX, "a block's counts fit");

struct block_mark block_mark(const struct update_part *p)
{
    return (struct block_mark){p->nwords, p->nvalues, p->nnonfinite};
}

void kept_put(struct journal *j, int64_t b, const struct update_part *p, const struct block_mark *at,
              const struct block_sums *s)
{
    if (!journal_due(j))
        return;
    const int64_t bytes = arithmetic_bytes(p->arithmetic), values = p->nvalues - at->values,
                  odd = p->nnonfinite - at->nonfinite;
    struct kept_head head = {
        .size = s->size, .nvalues = values, .nnonfinite = odd, .first_bit = 64 * at->words};
    for (int i = 0; i < MAGNITUDE_BINS; i++)
        head.bins[i] = (uint32_t)s->bins[i];
    const struct hash_part parts[] = {
        {&head, sizeof head},
        {p->words + at->words, (size_t)(p->nwords - at->words) * sizeof *p->words},
        {(const char *)p->old_bits + at->values * bytes, (size_t)(values * bytes)},
        {(const char *)p->new_bits + at->values * bytes, (size_t)(values * bytes)},
        {p->nonfinite + at->nonfinite, (size_t)odd * sizeof *p->nonfinite},
        {(const char *)p->nonfinite_bits + at->nonfinite * bytes, (size_t)(odd * bytes)}};
    journal_put(j, b, parts, (int)(sizeof parts / sizeof *parts));
}

/* Do the counts of a step fit each other, a block of n elements, and so many bytes? */
static int fits(const struct kept_head *h, int64_t n, int64_t value_bytes, int64_t bytes)
{
    return h->nvalues >= 0 && h->nvalues <= n && h->nnonfinite >= 0 && h->nnonfinite <= n &&
           bytes == (int64_t)sizeof *h + bits_words(n) * 8 + 2 * h->nvalues * value_bytes +
                        h->nnonfinite * (8 + value_bytes);
}

static int64_t set_bits(const uint64_t *words, int64_t n)
{
    int64_t set = 0;
    for (int64_t i = 0; i < n; i++)
        set += __builtin_popcountll(words[i]);
    return set;
}

/* Appends what a step holds; 0 where its bits are not those of a block of n elements. */
static int append(struct update_part *p, const struct kept_head *h, const char *from, int64_t n)
{
    const int64_t bytes = arithmetic_bytes(p->arithmetic), nwords = bits_words(n);
    memcpy(p->words + p->nwords, from, (size_t)nwords * 8);
    from += nwords * 8;
    if (set_bits(p->words + p->nwords, nwords) != h->nvalues)
        return 0;
    memcpy((char *)p->old_bits + p->nvalues * bytes, from, (size_t)(h->nvalues * bytes));
    from += h->nvalues * bytes;
    memcpy((char *)p->new_bits + p->nvalues * bytes, from, (size_t)(h->nvalues * bytes));
    from += h->nvalues * bytes;
    for (int64_t i = 0; i < h->nnonfinite; i++, from += 8) {
        int64_t place;
        memcpy(&place, from, sizeof place);
        place -= h->first_bit;
        if (place < 0 || place >= n)
            return 0;
        p->nonfinite[p->nnonfinite + i] = 64 * p->nwords + place;
    }
    memcpy((char *)p->nonfinite_bits + p->nnonfinite * bytes, from, (size_t)(h->nnonfinite * bytes));
    p->nwords += nwords;
    p->nvalues += h->nvalues;
    p->nnonfinite += h->nnonfinite;
    return 1;
}

err_t kept_get(struct journal *j, int64_t b, int64_t n, struct kept_room *room, struct update_part *p,
               struct block_sums *s, int *there, struct err *e)
{
    struct kept_head h;
    const struct step *step = journal_find(j, b);
    *there = 0;
    if (!step || step->bytes < (int64_t)sizeof h ||
        step->bytes >
            (int64_t)sizeof h + bits_words(n) * 8 + n * (8 + 3 * (int64_t)arithmetic_bytes(p->arithmetic)))
        return ERR_OK;
    TRY(arena_grow(p->arena, "delta.kept", step->bytes, &room->cap, &room->bytes, e));
    if (!journal_get(j, step, room->bytes))
        return ERR_OK;
    memcpy(&h, room->bytes, sizeof h);
    if (!fits(&h, n, arithmetic_bytes(p->arithmetic), step->bytes))
        return ERR_OK;
    TRY(update_part_room(p, bits_words(n), h.nvalues, h.nnonfinite, e));
    *there = append(p, &h, room->bytes + sizeof h, n);
    s->size = h.size;
    for (int i = 0; i < MAGNITUDE_BINS; i++)
        s->bins[i] = h.bins[i];
    return ERR_OK;
}

_Static_assert((int)CHANGE_SIZE_REST == (int)CONCENTRATION_REST, "one idea of bins");

void block_totals_clear(struct block_totals *x)
{
    const struct concentration_counts counts = x->counts;
    memset(x, 0, sizeof *x);
    x->counts = counts;
    if (counts.n)
        memset(counts.n, 0, (size_t)counts.bins * sizeof *counts.n);
}

void block_totals_normalise(struct block_totals *x)
{
    xsum_normalise(&x->change.counts.sum_abs);
    xsum_normalise(&x->change.counts.sum_squares);
    size_normalise(&x->size);
}

err_t block_totals_add(struct block_totals *sum, const struct block_totals *x, struct arena *a, struct err *e)
{
    change_merge(&sum->change, &x->change);
    size_normalise(&sum->size);
    size_merge(&sum->size, &x->size);
    return concentration_add(&sum->counts, &x->counts, a, e);
}

/* What a step of totals holds behind change and size: the bins that are not empty. */
struct kept_bin {
    uint32_t bin, count;
};

err_t kept_totals_put(struct journal *j, int64_t b, const struct block_totals *x, struct kept_room *room,
                      struct arena *a, struct err *e)
{
    const struct concentration_counts *k = &x->counts;
    struct kept_bin one;
    int64_t n = 0;
    TRY(arena_grow(a, "delta.kept", k->bins * (int64_t)sizeof one, &room->cap, &room->bytes, e));
    for (int64_t i = 0; i < k->bins; i++)
        if (k->n[i] > 0) {
            one = (struct kept_bin){(uint32_t)(k->first + i), (uint32_t)k->n[i]};
            memcpy(room->bytes + n++ * (int64_t)sizeof one, &one, sizeof one);
        }
    const struct hash_part parts[] = {
        {&x->change, sizeof x->change}, {&x->size, sizeof x->size}, {room->bytes, (size_t)n * sizeof one}};
    journal_put(j, b, parts, (int)(sizeof parts / sizeof *parts));
    return ERR_OK;
}

err_t kept_totals_get(struct journal *j, int64_t b, int bins, struct block_totals *x, struct kept_room *room,
                      struct arena *a, int *there, struct err *e)
{
    const int64_t fixed = (int64_t)(sizeof x->change + sizeof x->size);
    const struct step *step = journal_find(j, b);
    struct kept_bin one;
    *there = 0;
    if (!step || step->bytes < fixed || step->bytes > fixed + bins * (int64_t)sizeof one ||
        (step->bytes - fixed) % (int64_t)sizeof one != 0)
        return ERR_OK;
    TRY(arena_grow(a, "delta.kept", step->bytes, &room->cap, &room->bytes, e));
    if (!journal_get(j, step, room->bytes))
        return ERR_OK;
    block_totals_clear(x);
    memcpy(&x->change, room->bytes, sizeof x->change);
    memcpy(&x->size, room->bytes + sizeof x->change, sizeof x->size);
    for (const char *at = room->bytes + fixed; at < room->bytes + step->bytes; at += sizeof one) {
        memcpy(&one, at, sizeof one);
        if (one.bin >= (uint32_t)bins)
            return ERR_OK;
        TRY(concentration_room(&x->counts, one.bin, (int64_t)one.bin + 1, a, e));
        x->counts.n[one.bin - x->counts.first] = one.count;
    }
    *there = 1;
    return ERR_OK;
}

int64_t kept_blocks(const struct journal *j, int64_t n)
{
    const struct step *steps;
    int64_t kept = 0, all = journal_steps(j, &steps);
    for (int64_t i = 0; i < all; i++)
        kept += steps[i].item >= 0 && steps[i].item < n;
    return kept;
}
