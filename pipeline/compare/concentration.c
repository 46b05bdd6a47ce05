#include "compare/concentration.h"

#include "compare/walk.h"
#include "elements/largest/largest.h"

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

enum { EXPONENTS = 256, MANTISSA = 23 };

/* Squares of a run of float32 sizes between two cuts, by exponent: a size is m 2^(exponent - 150), of up to
 * 24 bits m, so that integers hold the sum of as many m^2 as a run may have. */
struct squares_run {
    uint64_t sum[CONCENTRATION_SHARES][EXPONENTS];
};
enum { RUN = 1 << 16, PACKED = 1024 };
_Static_assert(PACKED <= RUN && RUN <= 1 << (64 - 2 * (MANTISSA + 1)), "sums of squares fit 64 bits");

static void add_square(uint64_t *sum, uint32_t bits)
{
    const uint64_t exponent = bits >> MANTISSA, rest = bits & ((1U << MANTISSA) - 1),
                   m = exponent > 0 ? rest | 1U << MANTISSA : rest << 1;
    sum[exponent] += m * m;
}

/* What is between two cuts is above all that follow. A share without a cut has no sum. */
static void end_run(struct concentration_look *look, const int64_t *cut, const struct squares_run *run)
{
    for (int from = 0; from < CONCENTRATION_SHARES; from++)
        for (int exponent = 0; exponent < EXPONENTS; exponent++) {
            const uint64_t sum = run->sum[from][exponent];
            if (sum == 0)
                continue;
            const double upper = ldexp((double)(sum >> 32), 32 + 2 * (exponent - 150)),
                         lower = ldexp((double)(sum & 0xffffffff), 2 * (exponent - 150));
            for (int k = from; k < CONCENTRATION_SHARES; k++)
                if (cut[k] < INT64_MAX) {
                    xsum_add(&look->above[k], upper);
                    xsum_add(&look->above[k], lower);
                }
        }
}

/* A size whose bin is not below the lowest cut. */
static void add_large(struct concentration_look *look, const int64_t *cut, struct squares_run *run,
                      uint32_t bits)
{
    const int64_t bin = bits >> CONCENTRATION_REST;
    int k = 0;
    for (; k < CONCENTRATION_SHARES && bin <= cut[k]; k++)
        if (bin == cut[k])
            look->within[k][bits & (CONCENTRATION_WITHIN - 1)]++;
    if (k < CONCENTRATION_SHARES)
        add_square(run->sum[k], bits);
}

/* Most elements are below the bin of the largest share, and there is nothing to do about them; nor about a
 * share that holds all. */
void concentration_look_add(struct concentration_look *look, enum isa isa,
                            const struct concentration_cuts *cuts, const float *w0, const float *w1,
                            int64_t n)
{
    int64_t cut[CONCENTRATION_SHARES], lowest = INT64_MAX;
    struct squares_run run = {{{0}}};
    for (int k = 0; k < CONCENTRATION_SHARES; k++) {
        cut[k] = cuts->bin[k] < 0 ? INT64_MAX : cuts->bin[k];
        lowest = cut[k] < lowest ? cut[k] : lowest;
    }
    for (int64_t i = 0, part; i < n && lowest < INT64_MAX; i += part) {
        uint32_t large[PACKED + LARGEST_SLACK];
        part = min64(n - i, PACKED);
        const int64_t found =
            largest_pack(isa, w0 + i, w1 + i, part, (uint32_t)lowest << CONCENTRATION_REST, large);
        for (int64_t j = 0; j < found; j++)
            add_large(look, cut, &run, large[j]);
        if ((i + part) % RUN == 0 || i + part == n) {
            end_run(look, cut, &run);
            run = (struct squares_run){{{0}}};
        }
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

/* ---- a pair ---- */

err_t concentration_init(struct concentration_survey *s, const struct comm *c, struct pair *pair,
                         struct arena *a, struct err *e)
{
    const int64_t n[2] = {pair->match.main.layout.ntensors, pair->match.aside.layout.ntensors};
    *s = (struct concentration_survey){.comm = c, .pair = pair, .arena = a};
    TRY(arena_array(a, "concentration.all", concentration_bins(pair->arithmetic), &s->all, e));
    if (pair->arithmetic == ARITHMETIC_F32)
        TRY(arena_array(a, "concentration.look", 1, &s->main_look, e));
    for (int aside = 0; aside < 2; aside++) {
        TRY(arena_array(a, "concentration.cuts", n[aside], &s->cuts[aside], e));
        for (int64_t t = 0; t < n[aside]; t++)
            for (int k = 0; k < CONCENTRATION_SHARES; k++)
                s->cuts[aside][t].bin[k] = -1; /* empty */
        if (c->me != 0)
            continue;
        TRY(arena_array(a, "concentration.top", n[aside], &s->top[aside], e));
        TRY(arena_array(a, "concentration.squares", n[aside], &s->squares[aside], e));
        for (int64_t t = 0; t < n[aside]; t++)
            s->top[aside][t] = CONCENTRATION_UNKNOWN;
    }
    s->main_top = CONCENTRATION_UNKNOWN;
    return ERR_OK;
}

/* Collective. The sum over processes, on process 0, in room for all bins that is zero: the others receive
 * nothing of use in it. Differences of one tensor lie within a few octaves: the other bins are empty on all
 * processes. */
static struct concentration_counts sum_counts(const struct comm *c, const struct concentration_counts *mine,
                                              int64_t *all)
{
    int64_t span[2] = {INT64_MIN, 0}; /* -first, end */
    if (mine->bins > 0) {
        span[0] = -mine->first;
        span[1] = mine->first + mine->bins;
    }
    if (c->np > 1)
        comm_max(c, span, 2);
    if (span[1] == 0)
        return (struct concentration_counts){.bins = 0};
    const struct concentration_counts sum = {all - span[0], -span[0], span[0] + span[1]};
    if (mine->bins > 0)
        memcpy(all + mine->first, mine->n, (size_t)mine->bins * sizeof *all);
    comm_sum_to_root(c, sum.n, sum.bins);
    return sum;
}

static const struct match_set *set_of(const struct concentration_survey *s)
{
    return s->aside ? &s->pair->match.aside : &s->pair->match.main;
}

void concentration_end(struct concentration_survey *s, int aside, int64_t tensor,
                       struct concentration_counts *counts, double squares, struct err *e)
{
    const struct concentration_counts sum = sum_counts(s->comm, counts, s->all);
    s->aside = aside;
    arena_drop(s->arena, counts->n);
    *counts = (struct concentration_counts){.n = NULL};
    if (s->comm->me == 0) {
        const int64_t n = set_of(s)->layout.tensors[tensor].elements;
        s->squares[aside][tensor] = squares;
        if (s->pair->arithmetic == ARITHMETIC_BF16)
            s->top[aside][tensor] = concentration_of_counts(&sum, n);
        else
            s->cuts[aside][tensor] = concentration_cuts(&sum, n);
        if (!aside && e->code == ERR_OK)
            concentration_add(&s->main_counts, &sum, s->arena, e);
    }
    if (sum.bins > 0)
        memset(sum.n, 0, (size_t)sum.bins * sizeof *sum.n);
}

/* Collective. Adds looks up over processes; the sum is process 0's. */
static void sum_look(const struct comm *c, struct concentration_look *look)
{
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        xsum_normalise(&look->above[k]);
    comm_sum_to_root(c, (int64_t *)look, (int64_t)(sizeof *look / sizeof(int64_t)));
}

static void end_look(void *arg, int64_t t, void *look, struct err *e)
{
    struct concentration_survey *s = arg;
    const struct concentration_cuts *cuts = &s->cuts[s->aside][t];
    if (!look || concentration_is_empty(cuts))
        return;
    sum_look(s->comm, look);
    if (s->comm->me == 0 && e->code == ERR_OK)
        s->top[s->aside][t] = concentration_of_look(look, cuts, s->squares[s->aside][t]);
}

enum { PIECE = 1 << 16 }; /* elements read at once, so that they stay in a near cache */

/* A second look at one block, unless nothing in its tensor changed. */
static err_t look_at(struct concentration_survey *s, const struct walk *w, int64_t b, float *w0, float *w1,
                     struct err *e)
{
    const struct block at = layout_block(&set_of(s)->layout, b);
    const struct concentration_cuts *cuts = &s->cuts[s->aside][at.tensor];
    const enum isa isa = isa_usable();
    for (int64_t done = 0; done < at.n && !concentration_is_empty(cuts); done += PIECE) {
        const int64_t n = min64(at.n - done, PIECE), first = at.first + done;
        if (s->aside)
            TRY(pair_read_aside(s->pair, at.tensor, first, n, w0, w1, e));
        else
            TRY(pair_read(s->pair, at.tensor, first, n, w0, w1, e));
        concentration_look_add(walk_sums(w, at.tensor), isa, cuts, w0, w1, n);
        if (!s->aside)
            concentration_look_add(s->main_look, isa, &s->main_cuts, w0, w1, n);
    }
    return ERR_OK;
}

/* Collective. A second look at one of both sets. */
static err_t look_again(struct concentration_survey *s, int64_t window,
                        void (*progress)(void *arg, double share, double bytes), void *arg, struct err *e)
{
    const struct walk_sums sums = {.bytes = sizeof(struct concentration_look), .end = end_look, .arg = s};
    const struct match_set *set = set_of(s);
    struct walk w = {.end = 0};
    float *w0 = NULL, *w1 = NULL;
    if (walk_start(&w, s->comm, &set->layout, window, &sums, s->arena, e) == ERR_OK &&
        arena_array(s->arena, "concentration.piece", PIECE, &w0, e) == ERR_OK)
        arena_array(s->arena, "concentration.piece", PIECE, &w1, e);
    TRY_ALL(s->comm, e);
    while (walk_next(&w, e)) {
        int64_t from, to;
        double bytes = 0;
        walk_ahead(&w, &from, &to);
        pair_expect(s->pair, set, w.from, w.to);
        pair_expect(s->pair, set, from, to);
        for (int64_t b = w.from; b < w.to && e->code == ERR_OK; b++) {
            look_at(s, &w, b, w0, w1, e);
            bytes += 8.0 * (double)layout_block(&set->layout, b).n;
        }
        TRY(walk_agree(&w, e));
        if (progress)
            progress(arg, walk_done(&w), bytes);
    }
    TRY(walk_finish(&w, e));
    arena_drop(s->arena, w0);
    arena_drop(s->arena, w1);
    return ERR_OK;
}

err_t concentration_finish(struct concentration_survey *s, int64_t window,
                           void (*progress)(void *arg, double share, double bytes), void *arg, struct err *e)
{
    const struct comm *c = s->comm;
    const struct layout *main = &s->pair->match.main.layout;
    struct xsum sum = {.adds = 0};
    if (s->pair->arithmetic == ARITHMETIC_BF16) {
        s->main_top = concentration_of_counts(&s->main_counts, main->elements);
        return ERR_OK;
    }
    s->main_cuts = concentration_cuts(&s->main_counts, main->elements);
    comm_bcast(c, &s->main_cuts, sizeof s->main_cuts, 0);
    for (s->aside = 0; s->aside < 2; s->aside++) {
        const int64_t n = set_of(s)->layout.ntensors;
        int empty = 1;
        comm_bcast(c, s->cuts[s->aside], n * (int64_t)sizeof *s->cuts[0], 0);
        for (int64_t t = 0; t < n; t++)
            empty &= concentration_is_empty(&s->cuts[s->aside][t]);
        if (!empty)
            TRY(look_again(s, window, progress, arg, e));
    }
    sum_look(c, s->main_look);
    for (int64_t t = 0; c->me == 0 && t < main->ntensors; t++)
        xsum_add(&sum, s->squares[0][t]);
    s->main_top = concentration_of_look(s->main_look, &s->main_cuts, xsum_value(&sum));
    return ERR_OK;
}

void concentration_fill(const struct concentration_survey *s, struct table *tensors)
{
    static const char *const columns[CONCENTRATION_SHARES] = {"top_0_1_percent_energy",
                                                              "top_1_percent_energy", "top_5_percent_energy"};
    int64_t row = 0;
    for (int aside = 0; aside < 2; aside++) {
        const struct match_set *set = aside ? &s->pair->match.aside : &s->pair->match.main;
        for (int64_t t = 0; t < set->layout.ntensors; t++, row++)
            for (int k = 0; k < CONCENTRATION_SHARES; k++)
                table_set_real(tensors, row, columns[k], s->top[aside][t].top[k]);
    }
}

/* An open tensor's counts are of some 30 octaves. */
double concentration_bytes(enum arithmetic arithmetic, double ntensors)
{
    const double counts = 65536 * (ntensors < WALK_OPEN ? ntensors : WALK_OPEN),
                 look = walk_bytes(sizeof(struct concentration_look)) + sizeof(struct concentration_look);
    return 16.0 * concentration_bins(arithmetic) +
           (arithmetic == ARITHMETIC_F32 && look > counts ? look : counts);
}
