#include "compare/concentration/concentration.h"

#include "compare/concentration/squares.h"
#include "elements/largest/largest.h"

#include <stdlib.h>
#include <string.h>

enum { PER_MILLE = 1000 };

static const int64_t per_mille[CONCENTRATION_SHARES] = {1, 10, 50}; /* ascending: further and further down */

int concentration_bins(enum arithmetic arithmetic)
{
    return 1 << (arithmetic == ARITHMETIC_BF16 ? 15 : 31 - CONCENTRATION_REST);
}

/* ceil(n * per_mille / 1000) without overflow. */
static int64_t largest(int64_t n, int64_t share)
{
    return n / PER_MILLE * share + (n % PER_MILLE * share + PER_MILLE - 1) / PER_MILLE;
}

err_t concentration_room(struct concentration_counts *counts, int64_t from, int64_t to, struct arena *a,
                         struct err *e)
{
    enum { STEP = 256 }; /* two octaves of bf16, one of f32: so that it seldom grows */
    struct concentration_counts more;
    if (counts->n && from >= counts->first && to <= counts->first + counts->bins)
        return ERR_OK;
    const int64_t end = counts->first + counts->bins;
    from = counts->n && counts->first < from ? counts->first : from;
    to = counts->n && end > to ? end : to;
    more.first = from / STEP * STEP;
    more.bins = (to - more.first + STEP - 1) / STEP * STEP;
    TRY(arena_array(a, "concentration.counts", more.bins, &more.n, e));
    if (counts->n)
        memcpy(more.n + (counts->first - more.first), counts->n, (size_t)counts->bins * sizeof *more.n);
    arena_drop(a, counts->n);
    *counts = more;
    return ERR_OK;
}

err_t concentration_add(struct concentration_counts *dst, const struct concentration_counts *src,
                        struct arena *a, struct err *e)
{
    if (src->bins == 0)
        return ERR_OK;
    TRY(concentration_room(dst, src->first, src->first + src->bins, a, e));
    for (int64_t i = 0; i < src->bins; i++)
        dst->n[src->first - dst->first + i] += src->n[i];
    return ERR_OK;
}

struct concentration_cuts concentration_cuts(const struct concentration_counts *counts, int64_t n)
{
    struct concentration_cuts cuts = {.above = 0};
    int64_t at = counts->bins - 1;
    for (int i = 0; i < CONCENTRATION_SHARES; i++) {
        const int64_t k = largest(n, per_mille[i]);
        while (at >= 0 && cuts.above + counts->n[at] < k)
            cuts.above += counts->n[at--];
        cuts.bin[i] = at >= 0 ? counts->first + at : -1;
        cuts.rest[i] = at >= 0 ? k - cuts.above : 0;
    }
    return cuts;
}

static double square_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return (double)x * (double)x; /* of 24 significant bits: exact */
}

static double share_of(const struct xsum *part, double all)
{
    const double share = xsum_value(part) / all;
    return share < 1 ? share : 1; /* sums that were rounded apart */
}

struct concentration concentration_of_counts(const struct concentration_counts *counts, int64_t n)
{
    const struct concentration_cuts cuts = concentration_cuts(counts, n);
    struct concentration out;
    struct xsum part[CONCENTRATION_SHARES], sum = {.adds = 0};
    int next = 0;
    for (int64_t at = counts->bins - 1; at >= 0; at--) {
        const int64_t bin = counts->first + at;
        const double square = square_of_bits((uint32_t)bin << 16);
        for (; next < CONCENTRATION_SHARES && cuts.bin[next] == bin; next++) {
            part[next] = sum;
            xsum_add_times(&part[next], square, cuts.rest[next]);
        }
        if (counts->n[at] > 0)
            xsum_add_times(&sum, square, counts->n[at]);
    }
    for (; next < CONCENTRATION_SHARES; next++)
        part[next] = sum;
    const double all = xsum_value(&sum);
    for (int i = 0; i < CONCENTRATION_SHARES; i++)
        out.top[i] = all > 0 ? share_of(&part[i], all) : NAN;
    return out;
}

/* Squares of what is above a cut and not above the one before, and how many they are at most. */
struct between {
    struct squares_run run[CONCENTRATION_SHARES];
    int64_t n;
};

/* What is between two cuts is above all that follow. A share without a cut has no sum. */
static void end_runs(struct concentration_look *look, const int64_t *cut, struct between *b)
{
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        for (int from = 0; from <= k && cut[k] < INT64_MAX; from++)
            squares_of_run(&b->run[from], &look->above[k]);
    memset(b, 0, sizeof *b);
}

/* A size whose bin is not below the lowest cut. */
static void add_large(struct concentration_look *look, const int64_t *cut, struct between *b, uint32_t bits)
{
    const int64_t bin = bits >> CONCENTRATION_REST;
    int k = 0;
    for (; k < CONCENTRATION_SHARES && bin <= cut[k]; k++)
        if (bin == cut[k])
            look->within[k][bits & (CONCENTRATION_WITHIN - 1)]++;
    if (k < CONCENTRATION_SHARES)
        squares_add(&b->run[k], bits);
}

/* Where the shares end, INT64_MAX of one that holds all; returns the lowest. */
static int64_t ends_of(const struct concentration_cuts *cuts, int64_t *cut)
{
    int64_t lowest = INT64_MAX;
    for (int k = 0; k < CONCENTRATION_SHARES; k++) {
        cut[k] = cuts->bin[k] < 0 ? INT64_MAX : cuts->bin[k];
        lowest = cut[k] < lowest ? cut[k] : lowest;
    }
    return lowest;
}

void concentration_look_sizes(struct concentration_look *look, const struct concentration_cuts *cuts,
                              const uint32_t *size, int64_t n)
{
    int64_t cut[CONCENTRATION_SHARES];
    const int64_t lowest = ends_of(cuts, cut);
    struct between b = {.n = 0};
    for (int64_t i = 0, part; i < n && lowest < INT64_MAX; i += part) {
        part = min64(n - i, SQUARES_MOST);
        for (int64_t j = i; j < i + part; j++)
            if (size[j] >> CONCENTRATION_REST >= lowest)
                add_large(look, cut, &b, size[j]);
        end_runs(look, cut, &b);
    }
}

/* Most elements are below the bin of the largest share, and there is nothing to do about them; nor about a
 * share that holds all. */
void concentration_look_add(struct concentration_look *look, enum isa isa,
                            const struct concentration_cuts *cuts, const float *w0, const float *w1,
                            int64_t n)
{
    enum { PACKED = 1024 };
    int64_t cut[CONCENTRATION_SHARES];
    const int64_t lowest = ends_of(cuts, cut);
    uint32_t large[PACKED + LARGEST_SLACK];
    struct between b = {.n = 0};
    for (int64_t i = 0, part; i < n && lowest < INT64_MAX; i += part) {
        part = min64(n - i, PACKED);
        const int64_t found =
            largest_pack(isa, w0 + i, w1 + i, part, (uint32_t)lowest << CONCENTRATION_REST, large);
        for (int64_t j = 0; j < found; j++)
            add_large(look, cut, &b, large[j]);
        b.n += found;
        if (b.n > SQUARES_MOST - PACKED || i + part == n)
            end_runs(look, cut, &b);
    }
}

struct concentration concentration_of_look(const struct concentration_look *look,
                                           const struct concentration_cuts *cuts, double squares)
{
    struct concentration out = CONCENTRATION_UNKNOWN;
    for (int k = 0; k < CONCENTRATION_SHARES && squares > 0; k++) {
        struct xsum sum = look->above[k];
        int64_t rest = cuts->rest[k];
        for (int at = CONCENTRATION_WITHIN - 1; at >= 0 && rest > 0; at--) {
            const int64_t n = look->within[k][at] < rest ? look->within[k][at] : rest;
            if (n > 0)
                xsum_add_times(
                    &sum, square_of_bits((uint32_t)cuts->bin[k] << CONCENTRATION_REST | (uint32_t)at), n);
            rest -= n;
        }
        out.top[k] = cuts->bin[k] < 0 ? 1 : share_of(&sum, squares);
    }
    return out;
}

static int descending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

int concentration_of_sizes(const uint32_t *size, int64_t n, const struct concentration_cuts *cuts,
                           double squares, struct concentration *out)
{
    enum { FEW = 512 };
    *out = CONCENTRATION_UNKNOWN;
    for (int k = 0; k < CONCENTRATION_SHARES && squares > 0; k++) {
        uint32_t within[FEW] = {0};
        struct squares_run run = {{0}};
        struct xsum sum = {.adds = 0};
        int64_t found = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t bin = size[i] >> CONCENTRATION_REST;
            if (bin > cuts->bin[k])
                squares_add(&run, size[i]);
            if (bin != cuts->bin[k])
                continue;
            if (found == FEW)
                return 0;
            within[found++] = size[i];
        }
        qsort(within, (size_t)found, sizeof *within, descending);
        for (int64_t i = 0; i < found && i < cuts->rest[k]; i++)
            squares_add(&run, within[i]);
        squares_of_run(&run, &sum);
        out->top[k] = cuts->bin[k] < 0 ? 1 : share_of(&sum, squares);
    }
    return 1;
}
