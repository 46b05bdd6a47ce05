#include "overlap/counted.h"

#include <stdlib.h>
#include <string.h>

static const double READ_SHARE = 16; /* a step is one part in so many of what was read for it, at most */

static int64_t words_of(const struct counted_arrays *c)
{
    int64_t n = 0;
    for (int i = 0; i < COUNTED_ARRAYS; i++)
        n += c->n[i];
    return n;
}

/* The later run first, so that what it counted anew is not counted twice. */
static int later_first(const void *a, const void *b)
{
    int64_t x = (*(const struct step *const *)a)->item, y = (*(const struct step *const *)b)->item;
    return (x < y) - (x > y);
}

/* Process 0. Reads a step into t->room: how many ranges it has, or -1 where it is damaged or of other sizes.
 * It is their number, the ranges, the counts. */
static int64_t read_step(const struct counted_blocks *t, const struct step *s)
{
    const int64_t words = s->bytes / (int64_t)sizeof *t->room;
    if (s->bytes % (int64_t)sizeof *t->room != 0 || words < 1 || !journal_get(t->journal, s, t->room))
        return -1;
    const int64_t n = t->room[0], *range = t->room + 1;
    if (n < 0 || n > t->nblocks || words != 1 + 2 * n + words_of(&t->counts))
        return -1;
    for (int64_t i = 0; i < n; i++)
        if (range[2 * i] < (i > 0 ? range[2 * i - 1] : 0) || range[2 * i + 1] < range[2 * i] ||
            range[2 * i + 1] > t->nblocks)
            return -1;
    return n;
}

/* Process 0. Takes a step whose blocks nobody else has counted. */
static void take(struct counted_blocks *t, const struct step *s)
{
    const int64_t n = read_step(t, s), *range = t->room + 1;
    for (int64_t i = 0; i < n; i++)
        if (memchr(t->covered + range[2 * i], 1, (size_t)(range[2 * i + 1] - range[2 * i])))
            return;
    for (int64_t i = 0; i < n; i++) {
        memset(t->covered + range[2 * i], 1, (size_t)(range[2 * i + 1] - range[2 * i]));
        t->nkept += range[2 * i + 1] - range[2 * i];
    }
    if (n > 0)
        t->taken[t->ntaken++] = s;
}

/* Process 0. */
static err_t take_steps(struct counted_blocks *t, struct err *e)
{
    const struct step *steps;
    const int64_t n = journal_steps(t->journal, &steps);
    int64_t most = 0;
    TRY(arena_array(t->arena, "overlap.counted", n, &t->taken, e));
    const struct step **all;
    TRY(arena_array(t->arena, "overlap.counted", n, &all, e));
    for (int64_t i = 0; i < n; i++) {
        all[i] = &steps[i];
        most = steps[i].bytes > most ? steps[i].bytes : most;
    }
    qsort(all, (size_t)n, sizeof *all, later_first);
    TRY(arena_array_at(t->arena, "overlap.counted", most, 1, (void **)&t->room, e));
    for (int64_t i = 0; i < n; i++)
        take(t, all[i]);
    arena_drop(t->arena, all);
    return ERR_OK;
}

err_t counted_open(struct counted_blocks *t, struct journal *j, const struct comm *c, int64_t nblocks,
                   const struct counted_arrays *counts, struct arena *a, struct err *e)
{
    const struct step *steps;
    *t = (struct counted_blocks){.journal = j, .comm = c, .arena = a, .counts = *counts, .nblocks = nblocks};
    arena_array(a, "overlap.covered", nblocks, &t->covered, e);
    if (c->me == 0 && e->code == ERR_OK && journal_steps(j, &steps) > 0)
        take_steps(t, e);
    TRY_ALL(c, e);
    if (journal_steps(j, &steps) > 0) {
        comm_bcast(c, t->covered, nblocks, 0);
        comm_bcast(c, &t->nkept, (int64_t)sizeof t->nkept, 0);
    }
    return ERR_OK;
}

int64_t counted_run(const struct counted_blocks *t, int64_t from, int64_t to, int *covered)
{
    *covered = from < to && t->covered[from];
    while (from < to && t->covered[from] == *covered)
        from++;
    return from;
}

void counted_put(struct counted_blocks *t)
{
    struct hash_part parts[2 + COUNTED_ARRAYS] = {{&t->nranges, sizeof t->nranges},
                                                  {t->ranges, (size_t)(2 * t->nranges) * sizeof *t->ranges}};
    if (!t->journal || t->nranges == 0)
        return;
    for (int i = 0; i < COUNTED_ARRAYS; i++)
        parts[2 + i] = (struct hash_part){t->counts.v[i], (size_t)t->counts.n[i] * sizeof *t->counts.v[i]};
    journal_put(t->journal, ((int64_t)journal_run(t->journal) << 32) + t->comm->me, parts,
                2 + COUNTED_ARRAYS);
    t->read_bytes = 0;
}

err_t counted_note(struct counted_blocks *t, int64_t from, int64_t to, double bytes, struct err *e)
{
    if (from >= to || !t->journal)
        return ERR_OK;
    if (t->nranges > 0 && t->ranges[2 * t->nranges - 1] == from) {
        t->ranges[2 * t->nranges - 1] = to;
    } else {
        TRY(arena_grow(t->arena, "overlap.ranges", 2 * t->nranges + 2, &t->cap, &t->ranges, e));
        t->ranges[2 * t->nranges] = from;
        t->ranges[2 * t->nranges++ + 1] = to;
    }
    t->read_bytes += bytes;
    const double step = 8.0 * (double)(1 + 2 * t->nranges + words_of(&t->counts));
    if (t->read_bytes >= READ_SHARE * step && journal_sum_due(t->journal))
        counted_put(t);
    return ERR_OK;
}

err_t counted_add(struct counted_blocks *t, struct err *e)
{
    for (int64_t i = 0; i < t->ntaken; i++) {
        const int64_t n = read_step(t, t->taken[i]);
        if (n < 0)
            return err_set(e, ERR_SYSTEM,
                           "steps of an earlier run were changed while this one used them; run it again");
        const int64_t *from = t->room + 1 + 2 * n;
        for (int k = 0; k < COUNTED_ARRAYS; from += t->counts.n[k++])
            for (int64_t w = 0; w < t->counts.n[k]; w++)
                t->counts.v[k][w] += from[w];
    }
    return ERR_OK;
}
