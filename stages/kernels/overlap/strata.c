#include "kernels/overlap/strata.h"

#include "kernels/overlap/overlap_counts.h"

/* Which masks the pairs are of. */
static void find_needed(struct strata *s)
{
    for (int i = 0; i < s->k; i++)
        for (int j = i + 1; j < s->k; j++) {
            int64_t p = overlap_pair(s->k, i, j);
            if (p >= s->pair_from && p < s->pair_to && !s->apart[i] && !s->apart[j])
                s->needed[i] = s->needed[j] = 1;
        }
    s->first = -1;
    for (int i = s->k - 1; i >= 0; i--) {
        s->sum[i] = s->needed[i] ? 0 : -1;
        if (s->needed[i])
            s->first = i;
    }
}

err_t strata_init(struct strata *s, int k, const char *apart, int64_t pair_from, int64_t pair_to,
                  int64_t window_bytes, struct arena *a, struct err *e)
{
    *s = (struct strata){.k = k, .apart = apart, .pair_from = pair_from, .pair_to = pair_to};
    TRY(arena_array(a, "overlap.strata", k, &s->sum, e));
    TRY(arena_array(a, "overlap.strata", k, &s->needed, e));
    find_needed(s);
    if (s->first < 0)
        return ERR_OK;
    s->room = window_bytes / 8 / k;
    s->room = s->room > STRATA_MOST_ROWS  ? STRATA_MOST_ROWS
              : s->room < 2 * STRATA_BINS ? 2 * STRATA_BINS
                                          : s->room;
    TRY(arena_array(a, "overlap.strata", s->room, &s->tensor, e));
    TRY(arena_array(a, "overlap.strata", s->room, &s->bin, e));
    TRY(arena_array(a, "overlap.strata", s->room, &s->elements, e));
    return arena_array(a, "overlap.strata", s->room * k, &s->updated, e);
}

enum strata_fault strata_put(struct strata *s, int i, int64_t r, const int64_t row[4])
{
    if (i == s->first) {
        s->tensor[r] = row[0];
        s->bin[r] = row[1];
        s->elements[r] = row[2];
    } else if (s->tensor[r] != row[0] || s->bin[r] != row[1] || s->elements[r] != row[2]) {
        return STRATA_DIFFERS;
    }
    s->updated[i * s->room + r] = row[3];
    return row[3] < 0 || row[3] > row[2] ? STRATA_COUNT : STRATA_FINE;
}

int64_t strata_disorder(const struct strata *s, int64_t ntensors)
{
    for (int64_t r = 0; r < s->n; r++) {
        int fine = s->tensor[r] >= 0 && s->tensor[r] < ntensors && s->bin[r] >= 0 && s->bin[r] < STRATA_BINS;
        if (fine && r > 0)
            fine = s->tensor[r] > s->tensor[r - 1] ||
                   (s->tensor[r] == s->tensor[r - 1] && s->bin[r] > s->bin[r - 1]);
        if (!fine)
            return r;
    }
    return -1;
}

/* A tensor that goes on after the last row is read again with the next rows. */
int64_t strata_whole(const struct strata *s, int64_t at)
{
    int64_t whole = s->n;
    if (at + s->n < s->total)
        while (whole > 0 && s->tensor[whole - 1] == s->tensor[s->n - 1])
            whole--;
    return whole;
}

int64_t strata_tensor(const struct strata *s, int64_t r0, int64_t end, int64_t *elements)
{
    int64_t r = r0;
    *elements = 0;
    for (; r < end && s->tensor[r] == s->tensor[r0]; r++)
        *elements += s->elements[r];
    return r;
}

void strata_add(struct strata *s, int64_t r0, int64_t r1, const struct strata_chance *to)
{
    for (int i = 0; i < s->k; i++)
        for (int64_t r = r0; s->needed[i] && r < r1; r++)
            s->sum[i] += s->updated[i * s->room + r];
    int64_t p = s->pair_from, i = 0;
    while (i < s->k - 1 && overlap_pair(s->k, i + 1, i + 2) <= p)
        i++;
    for (int64_t j = i + 1 + (p - overlap_pair(s->k, i, i + 1)); p < s->pair_to; p++, j++) {
        if (j == s->k) {
            i++;
            j = i + 1;
        }
        if (s->apart[i] || s->apart[j])
            continue;
        const int64_t *u1 = s->updated + i * s->room, *u2 = s->updated + j * s->room;
        double mean = 0, variance = 0;
        for (int64_t r = r0; r < r1; r++)
            overlap_chance(s->elements[r], u1[r], u2[r], &mean, &variance);
        for (int q = 0; q < to->ns; q++) {
            to->mean[(p - s->pair_from) * to->nscopes + to->scope[q]] += mean;
            to->variance[(p - s->pair_from) * to->nscopes + to->scope[q]] += variance;
        }
    }
}
