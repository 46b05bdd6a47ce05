#include "compare/concentration/tail.h"

#include "compare/concentration/squares.h"
#include "elements/largest/largest.h"

#include <math.h>
#include <string.h>

enum {
    LIST = 1 << 19,        /* sizes kept as they are: 2 MiB */
    MOST_BINS = 96,        /* that are counted: 12 MiB of counts */
    WIDEST = 64,           /* bins on either side of where a share may end */
    PACKED = LARGEST_MOST, /* elements looked at in one go */
    SPARED = 4,            /* one part in so many of the budget is left to others */
    BINS = 1 << (31 - CONCENTRATION_REST)
};

/* ---- where the shares will end ---- */

/* Bins on either side of a sample's k-th cut. An octave has 2^8 bins. Of n numbers of normal distribution the
 * sample's end of the share p lies sqrt(p (1 - p) / n) / (2 f(x)) beside x, which is its relative place 4 to
 * 5 of these deviations wide; a tensor's parts may differ by more, which its halves show. */
static int64_t width(int k, int64_t sample, const struct concentration_cuts *half)
{
    static const double by_chance[CONCENTRATION_SHARES] = {5400, 2600, 1900};
    const double halves = fabs((double)(half[0].bin[k] - half[1].bin[k]));
    return (int64_t)ceil(1 + by_chance[k] / sqrt((double)(sample > 1 ? sample : 1)) + 2 * halves);
}

struct concentration_guess concentration_guess(const struct concentration_cuts *cuts,
                                               const struct concentration_cuts *half, int64_t sample)
{
    struct concentration_guess g = {.n = 0};
    int64_t below = BINS - 1;
    for (int k = 0; k < CONCENTRATION_SHARES && cuts->bin[k] >= 0 && below >= 0; k++) {
        const int64_t w = min64(width(k, sample, half), WIDEST);
        const int64_t hi = min64(cuts->bin[k] + w, below), lo = cuts->bin[k] > w ? cuts->bin[k] - w : 0;
        if (lo > hi)
            continue; /* it is in the window before */
        g.lo[g.n] = lo;
        g.hi[g.n++] = hi;
        below = lo - 1;
    }
    return g;
}

struct concentration_guess concentration_guess_known(const struct concentration_cuts *cuts)
{
    struct concentration_guess g = {.n = 0};
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        if (cuts->bin[k] >= 0)
            g = (struct concentration_guess){.n = 1, .lo = {cuts->bin[k]}, .hi = {BINS - 1}};
    return g;
}

/* ---- adding ---- */

static struct largest_edges edges_of(const struct concentration_guess *g)
{
    struct largest_edges x = {.exponent = 0};
    for (int k = 0; k < g->n; k++) {
        x.edge[2 * k] = (uint32_t)(g->hi[k] + 1) << CONCENTRATION_REST;
        x.edge[2 * k + 1] = (uint32_t)g->lo[k] << CONCENTRATION_REST;
        x.exponent = x.edge[2 * k + 1] >> SQUARES_MANTISSA;
    }
    return x;
}
_Static_assert((int)LARGEST_WINDOWS == (int)CONCENTRATION_SHARES, "a window for each share");

static int64_t bins_of(const struct concentration_guess *g)
{
    int64_t bins = 0;
    for (int k = 0; k < g->n; k++)
        bins += g->hi[k] - g->lo[k] + 1;
    return bins;
}

/* The counter of a size within a window. */
static int64_t counter_of(const struct concentration_guess *g, uint32_t size)
{
    int64_t before = 0;
    int k = 0;
    for (; size >> CONCENTRATION_REST < g->lo[k]; k++)
        before += g->hi[k] - g->lo[k] + 1;
    return (before - g->lo[k]) * CONCENTRATION_WITHIN + size;
}

/* What one call adds to a tail. */
struct tail_run {
    struct largest_edges edges;
    unsigned __int128 squares[CONCENTRATION_SHARES]; /* m^2, of the edges' exponent */
};

static void end_run(struct concentration_tail *t, struct tail_run *x)
{
    for (int k = 0; k < t->guess.n; k++) {
        squares_to(x->squares[k], (int)x->edges.exponent, &t->above[k]);
        x->squares[k] = 0;
    }
}

/* The region of a size that is in one. */
static int region_of(const struct largest_edges *x, uint32_t size)
{
    int k = 0;
    while (size < x->edge[2 * k])
        k++;
    return k;
}

/* Adds sizes, at most PACKED, which may be the list's behind those that it holds. */
static void add_sizes(struct concentration_tail *t, struct tail_run *x, enum isa isa, const uint32_t *size,
                      int64_t n)
{
    struct largest_sums sums;
    t->nlist += largest_split(isa, &x->edges, size, n, t->list + t->nlist, &sums);
    for (int k = 0; k < t->guess.n; k++)
        x->squares[k] += sums.squares[k];
    for (int64_t i = 0; i < sums.nodd; i++) { /* far above */
        const uint64_t m = squares_mantissa(sums.odd[i]);
        squares_to(m * m, (int)(sums.odd[i] >> SQUARES_MANTISSA),
                   &t->above[region_of(&x->edges, sums.odd[i])]);
    }
}

/* Narrows the windows towards their middles until they have few enough bins. */
static void narrow(struct concentration_tail *t, struct tail_run *x)
{
    struct concentration_guess *g = &t->guess;
    const int64_t n = t->nlist;
    while (bins_of(g) > MOST_BINS) {
        int widest = 0;
        for (int k = 1; k < g->n; k++)
            if (g->hi[k] - g->lo[k] > g->hi[widest] - g->lo[widest])
                widest = k;
        const int64_t less = (g->hi[widest] - g->lo[widest]) / 8 + 1;
        g->lo[widest] += less;
        g->hi[widest] -= less;
    }
    end_run(t, x);
    x->edges = edges_of(g);
    t->nlist = 0;
    for (int64_t i = 0; i < n; i += PACKED) { /* from a copy: whole vectors are written behind what is kept */
        uint32_t size[PACKED];
        const int64_t part = min64(n - i, PACKED);
        memcpy(size, t->list + i, (size_t)part * sizeof *size);
        add_sizes(t, x, ISA_PORTABLE, size, part);
    }
}

/* May a tail have so many elements of 4 bytes more? It is there to save a second look, and takes nothing that
 * the first one could need. */
static int may_take(const struct arena *a, int64_t n)
{
    return mem_room(a->mem, (size_t)n * sizeof(uint32_t) + a->mem->budget_bytes / SPARED);
}

/* Counts what the list holds, one counter for each size that there can be; where there is no room for them
 * the tail is lost. */
static err_t count_list(struct concentration_tail *t, struct arena *a, struct err *e)
{
    const int64_t sizes = bins_of(&t->guess) * CONCENTRATION_WITHIN;
    if (!t->count && !may_take(a, sizes)) {
        concentration_tail_drop(t, a);
        return ERR_OK;
    }
    if (!t->count)
        TRY(arena_array(a, "concentration.tail", sizes, &t->count, e));
    for (int64_t i = 0; i < t->nlist; i++) {
        uint32_t *n = &t->count[counter_of(&t->guess, t->list[i])];
        t->lost |= *n == UINT32_MAX;
        ++*n;
    }
    t->nlist = 0;
    return ERR_OK;
}

/* Room in the list for PACKED sizes more, or the tail is lost. */
static err_t make_room(struct concentration_tail *t, struct tail_run *x, struct arena *a, struct err *e)
{
    if (t->nlist > LIST - PACKED && bins_of(&t->guess) > MOST_BINS)
        narrow(t, x);
    if (t->nlist > LIST - PACKED)
        TRY(count_list(t, a, e));
    const int64_t need = t->nlist + PACKED + LARGEST_SLACK;
    if (need > t->cap && !may_take(a, 2 * need)) /* doubled, beside what there is */
        concentration_tail_drop(t, a);
    return t->lost ? ERR_OK : arena_grow(a, "concentration.list", need, &t->cap, &t->list, e);
}

enum { MOST_TAILS = 2 };

err_t concentration_tails_add(struct concentration_tail *const *tails, int ntails, enum isa isa,
                              const float *w0, const float *w1, int64_t n, struct arena *a, struct err *e)
{
    struct tail_run x[MOST_TAILS] = {{.squares = {0}}};
    uint32_t large[PACKED + LARGEST_SLACK], least = LARGEST_INFINITE;
    for (int k = 0; k < ntails; k++) {
        const struct concentration_guess *g = &tails[k]->guess;
        tails[k]->used = 1;
        x[k].edges = edges_of(g);
        if (g->n > 0 && !tails[k]->lost && x[k].edges.edge[2 * g->n - 1] < least)
            least = x[k].edges.edge[2 * g->n - 1];
    }
    for (int64_t i = 0, part; i < n && least < LARGEST_INFINITE; i += part) {
        part = min64(n - i, PACKED);
        const int64_t found = largest_pack(isa, w0 + i, w1 + i, part, least, large);
        for (int k = 0; k < ntails; k++) {
            if (!tails[k]->lost)
                TRY(make_room(tails[k], &x[k], a, e));
            if (!tails[k]->lost)
                add_sizes(tails[k], &x[k], isa, large, found);
        }
    }
    for (int k = 0; k < ntails; k++)
        end_run(tails[k], &x[k]);
    return ERR_OK;
}

/* ---- what is known ---- */

/* The window that holds a bin; -1: none does. */
static int window_of(const struct concentration_guess *g, int64_t bin)
{
    for (int k = 0; k < g->n; k++)
        if (bin >= g->lo[k] && bin <= g->hi[k])
            return k;
    return -1;
}

int concentration_tail_holds(const struct concentration_tail *t, const struct concentration_cuts *cuts)
{
    const struct concentration_guess *guess = &t->guess;
    if (t->lost)
        return 0;
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        if (t->used && cuts->bin[k] >= 0 && window_of(guess, cuts->bin[k]) < 0)
            return 0;
    return 1;
}

/* What was counted of the bins down to a share's cut. */
static void add_counted(const struct concentration_tail *t, int share, int64_t cut,
                        struct concentration_look *look)
{
    const uint32_t *count = t->count;
    for (int k = 0; k < t->guess.n; k++)
        for (int64_t bin = t->guess.lo[k]; bin <= t->guess.hi[k]; bin++, count += CONCENTRATION_WITHIN) {
            unsigned __int128 sum = 0;
            for (int64_t i = 0; i < CONCENTRATION_WITHIN && bin > cut; i++) {
                const uint64_t m = squares_mantissa((uint32_t)(bin << CONCENTRATION_REST | i));
                sum += (unsigned __int128)(m * m) * count[i];
            }
            squares_to(sum, (int)(bin >> (SQUARES_MANTISSA - CONCENTRATION_REST)), &look->above[share]);
        }
}

void concentration_tail_look(const struct concentration_tail *t, const struct concentration_cuts *cuts,
                             struct concentration_look *look)
{
    const struct concentration_guess *g = &t->guess;
    concentration_look_sizes(look, cuts, t->list, t->nlist);
    for (int share = 0; share < CONCENTRATION_SHARES; share++) {
        const int64_t cut = cuts->bin[share];
        if (cut < 0)
            continue;
        for (int k = 0; k <= window_of(g, cut); k++)
            xsum_add_sum(&look->above[share], &t->above[k]);
        if (!t->count)
            continue;
        add_counted(t, share, cut, look);
        const uint32_t *at = &t->count[counter_of(g, (uint32_t)cut << CONCENTRATION_REST)];
        for (int64_t i = 0; i < CONCENTRATION_WITHIN; i++)
            look->within[share][i] += at[i];
    }
}

void concentration_tail_drop(struct concentration_tail *t, struct arena *a)
{
    arena_drop(a, t->list);
    arena_drop(a, t->count);
    *t = (struct concentration_tail){.lost = 1};
}

double concentration_tail_bytes(void)
{
    return sizeof(uint32_t) * (2.0 * LIST + (double)MOST_BINS * CONCENTRATION_WITHIN);
}
