#include "compare/concentration/survey.h"

#include "compare/concentration/squares.h"
#include "compare/walk.h"
#include "elements/largest/largest.h"
#include "formats/decoder.h"

#include <string.h>

static const struct match_set *set_of(const struct concentration_survey *s, int aside)
{
    return aside ? &s->pair->match.aside : &s->pair->match.main;
}

static int is_f32(const struct concentration_survey *s)
{
    return s->pair->arithmetic == ARITHMETIC_F32;
}

/* What f32 needs beside the counts. */
static err_t init_f32(struct concentration_survey *s, struct err *e)
{
    TRY(arena_array(s->arena, "concentration.look", 1, &s->own, e));
    TRY(arena_array(s->arena, "concentration.look", 1, &s->main_look, e));
    for (int aside = 0; aside < 2; aside++) {
        const int64_t n = set_of(s, aside)->layout.ntensors;
        TRY(arena_array(s->arena, "concentration.guess", n, &s->guess[aside], e));
        TRY(arena_array(s->arena, "concentration.known", n, &s->known[aside], e));
        TRY(arena_array(s->arena, "concentration.cuts", n, &s->cuts[aside], e));
        for (int64_t t = 0; t < n; t++)
            for (int k = 0; k < CONCENTRATION_SHARES; k++)
                s->cuts[aside][t].bin[k] = -1; /* empty */
    }
    return ERR_OK;
}

err_t concentration_init(struct concentration_survey *s, const struct comm *c, struct pair *pair,
                         struct arena *a, struct err *e)
{
    *s = (struct concentration_survey){.comm = c, .pair = pair, .arena = a};
    TRY(arena_array(a, "concentration.all", concentration_bins(pair->arithmetic), &s->all, e));
    if (is_f32(s))
        TRY(init_f32(s, e));
    for (int aside = 0; aside < 2; aside++) {
        const int64_t n = set_of(s, aside)->layout.ntensors;
        TRY(arena_array(a, "concentration.top", n, &s->top[aside], e));
        TRY(arena_array(a, "concentration.squares", n, &s->squares[aside], e));
        for (int64_t t = 0; t < n; t++)
            s->top[aside][t] = CONCENTRATION_UNKNOWN;
    }
    s->main_top = CONCENTRATION_UNKNOWN;
    return ERR_OK;
}

/* ---- the sample ---- */

enum { PART = 64, LEAST = 64, SPOT = LAYOUT_BLOCK / PART }; /* of a block that is read; elements of it */

/* Sizes of a sample's halves, by bin; bins outside of [least, end) are empty. */
struct sample {
    int64_t elements[2], *count[2], least, end;
};

static void sample_clear(struct sample *x)
{
    for (int half = 0; half < 2; half++) {
        x->elements[half] = 0;
        if (x->least < x->end)
            memset(x->count[half] + x->least, 0, (size_t)(x->end - x->least) * sizeof *x->count[half]);
    }
    x->least = INT64_MAX;
    x->end = 0;
}

static void sample_add(struct sample *x, int half, const uint32_t *size, int64_t n, int64_t elements)
{
    x->elements[half] += elements;
    for (int64_t i = 0; i < n; i++) {
        const int64_t bin = size[i] >> CONCENTRATION_REST;
        x->count[half][bin]++;
        x->least = bin < x->least ? bin : x->least;
        x->end = bin >= x->end ? bin + 1 : x->end;
    }
}

static struct concentration_guess sample_guess(const struct sample *x)
{
    struct concentration_cuts half[2], both;
    const int64_t bins = x->least < x->end ? x->end - x->least : 0, first = bins > 0 ? x->least : 0;
    for (int k = 0; k < 2; k++)
        half[k] = concentration_cuts(&(struct concentration_counts){x->count[k] + first, first, bins},
                                     x->elements[k]);
    for (int64_t i = first; i < first + bins; i++)
        x->count[0][i] += x->count[1][i];
    both = concentration_cuts(&(struct concentration_counts){x->count[0] + first, first, bins},
                              x->elements[0] + x->elements[1]);
    return concentration_guess(&both, half, x->elements[0] + x->elements[1]);
}

/* Room to sample in. */
struct sampling {
    struct sample tensor, main;
    float *w0, *w1;
    uint32_t *size;
};

/* One spot of each block of a tensor, at places that follow no row. */
static err_t sample_tensor(struct concentration_survey *s, int aside, int64_t t, struct sampling *x,
                           struct err *e)
{
    const struct layout *l = &set_of(s, aside)->layout;
    const int64_t from = l->tensors[t].first_block, to = from + l->tensors[t].nblocks;
    for (int64_t b = from; b < to; b++) {
        const struct block at = layout_block(l, b);
        const int64_t n = min64(at.n, at.n / PART > LEAST ? at.n / PART : LEAST),
                      first = at.first + (int64_t)((uint64_t)b * 0x9e3779b97f4a7c15u >> 40) % (at.n - n + 1);
        TRY((aside ? pair_read_aside : pair_read)(s->pair, t, first, n, x->w0, x->w1, e));
        const int64_t found = largest_pack(isa_usable(), x->w0, x->w1, n, 1, x->size);
        sample_add(&x->tensor, b & 1, x->size, found, n);
        if (!aside)
            sample_add(&x->main, b & 1, x->size, found, n);
    }
    return ERR_OK;
}

/* The tensors of this process: those of one block say something of main alone. */
static err_t sample_tensors(struct concentration_survey *s, struct sampling *x, struct err *e)
{
    for (int aside = 0; aside < 2; aside++) {
        const struct match_set *set = set_of(s, aside);
        for (int64_t t = s->comm->me; t < set->layout.ntensors; t += s->comm->np) {
            const int alone = set->layout.tensors[t].nblocks < 2;
            if ((aside && alone) || dtype_is_bits(decoder_type(set->base[t])))
                continue;
            sample_clear(&x->tensor);
            TRY(sample_tensor(s, aside, t, x, e));
            if (!alone)
                s->guess[aside][t] = sample_guess(&x->tensor);
        }
    }
    return ERR_OK;
}

static err_t sample_room(struct concentration_survey *s, struct sampling *x, struct err *e)
{
    struct arena *a = s->arena;
    const int64_t bins = concentration_bins(ARITHMETIC_F32);
    for (int half = 0; half < 2; half++) {
        TRY(arena_array(a, "concentration.sample", bins, &x->tensor.count[half], e));
        TRY(arena_array(a, "concentration.sample", bins, &x->main.count[half], e));
    }
    TRY(arena_array(a, "concentration.sample", SPOT, &x->w0, e));
    TRY(arena_array(a, "concentration.sample", SPOT, &x->w1, e));
    TRY(arena_array(a, "concentration.sample", SPOT + LARGEST_SLACK, &x->size, e));
    sample_clear(&x->tensor);
    sample_clear(&x->main);
    return ERR_OK;
}

/* Collective. What each process found, on all of them. */
static void share_sample(struct concentration_survey *s, struct sample *main)
{
    const struct comm *c = s->comm;
    for (int aside = 0; aside < 2; aside++)
        comm_sum(c, (int64_t *)s->guess[aside],
                 set_of(s, aside)->layout.ntensors * CONCENTRATION_GUESS_WORDS);
    for (int half = 0; half < 2; half++)
        comm_sum_to_root(c, main->count[half], concentration_bins(ARITHMETIC_F32));
    comm_sum(c, main->elements, 2);
    main->least = 0;
    main->end = concentration_bins(ARITHMETIC_F32);
    if (c->me == 0)
        s->main_tail.guess = sample_guess(main);
    comm_bcast(c, &s->main_tail.guess, sizeof s->main_tail.guess, 0);
}

err_t concentration_sample(struct concentration_survey *s, struct err *e)
{
    struct sampling x = {.tensor = {.least = INT64_MAX}, .main = {.least = INT64_MAX}};
    if (!is_f32(s))
        return ERR_OK;
    if (sample_room(s, &x, e) == ERR_OK)
        sample_tensors(s, &x, e);
    TRY_ALL(s->comm, e);
    share_sample(s, &x.main);
    for (int half = 0; half < 2; half++) {
        arena_drop(s->arena, x.tensor.count[half]);
        arena_drop(s->arena, x.main.count[half]);
    }
    arena_drop(s->arena, x.w0);
    arena_drop(s->arena, x.w1);
    arena_drop(s->arena, x.size);
    return ERR_OK;
}

/* ---- the pass ---- */

err_t concentration_tail_add(struct concentration_survey *s, int aside, int64_t tensor,
                             struct concentration_tail *tail, const struct concentration_counts *counts,
                             const float *w0, const float *w1, int64_t n, struct err *e)
{
    const struct layout_tensor *t = &set_of(s, aside)->layout.tensors[tensor];
    struct concentration_tail *const tails[] = {tail, &s->main_tail};
    if (t->nblocks == 1) {
        const struct concentration_cuts cuts = concentration_cuts(counts, t->elements);
        tail->guess = concentration_guess_known(&cuts);
    } else if (!tail->used) /* else its windows may have become narrower */
        tail->guess = s->guess[aside][tensor];
    return concentration_tails_add(tails, aside ? 1 : 2, isa_usable(), w0, w1, n, s->arena, e);
}

void concentration_tail_miss(struct concentration_survey *s, int aside, struct concentration_tail *tail)
{
    tail->lost = 1;
    s->main_tail.lost |= !aside;
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

/* Collective. Adds looks up over processes; the sum is process 0's. */
static void sum_look(const struct comm *c, struct concentration_look *look)
{
    for (int k = 0; k < CONCENTRATION_SHARES; k++)
        xsum_normalise(&look->above[k]);
    comm_sum_to_root(c, (int64_t *)look, (int64_t)(sizeof *look / sizeof(int64_t)));
}

/* The shares of a tensor of one block, on the process that compared it. */
static struct concentration of_one_block(struct concentration_survey *s, int64_t elements,
                                         const struct concentration_counts *counts,
                                         const struct concentration_tail *tail, double squares)
{
    if (!is_f32(s))
        return concentration_of_counts(counts, elements);
    const struct concentration_cuts cuts = concentration_cuts(counts, elements);
    struct concentration out;
    if (tail->nlist <= SQUARES_MOST && concentration_of_sizes(tail->list, tail->nlist, &cuts, squares, &out))
        return out;
    concentration_tail_look(tail, &cuts, s->own);
    out = concentration_of_look(s->own, &cuts, squares);
    memset(s->own, 0, sizeof *s->own);
    return out;
}

/* Collective. A tensor of one block: who compared it tells process 0. */
static void end_one_block(struct concentration_survey *s, int aside, int64_t t,
                          const struct concentration_counts *counts, const struct concentration_tail *tail,
                          double squares)
{
    const int64_t elements = set_of(s, aside)->layout.tensors[t].elements;
    struct {
        int64_t compared, missed;
        struct concentration_cuts cuts;
        struct concentration top;
    } told = {.compared = 0};
    _Static_assert(sizeof told % sizeof(int64_t) == 0, "a sum of words: the others' are zero");
    if (counts->bins > 0) {
        told.compared = 1;
        told.missed = tail->lost;
        told.cuts = concentration_cuts(counts, elements);
        if (!tail->lost)
            told.top = of_one_block(s, elements, counts, tail, squares);
    }
    comm_sum_to_root(s->comm, (int64_t *)&told, sizeof told / sizeof(int64_t));
    if (s->comm->me != 0)
        return;
    if (is_f32(s)) {
        s->known[aside][t] = !told.missed;
        if (told.compared)
            s->cuts[aside][t] = told.cuts;
    }
    if (told.compared && !told.missed)
        s->top[aside][t] = told.top;
}

/* Collective. The shares of a tensor of several blocks in f32, where the tails hold them. */
static void end_tails(struct concentration_survey *s, int aside, int64_t t,
                      const struct concentration_tail *tail, double squares)
{
    const struct concentration_cuts *cuts = &s->cuts[aside][t];
    comm_bcast(s->comm, &s->cuts[aside][t], sizeof *cuts, 0);
    int64_t missed = !concentration_is_empty(cuts) && !concentration_tail_holds(tail, cuts);
    comm_max(s->comm, &missed, 1);
    s->known[aside][t] = !missed;
    if (missed || concentration_is_empty(cuts))
        return;
    concentration_tail_look(tail, cuts, s->own);
    sum_look(s->comm, s->own);
    if (s->comm->me == 0)
        s->top[aside][t] = concentration_of_look(s->own, cuts, squares);
    memset(s->own, 0, sizeof *s->own);
}

/* Collective. A tensor of several blocks, of which processes have parts. */
static void end_blocks(struct concentration_survey *s, int aside, int64_t t,
                       const struct concentration_counts *counts, const struct concentration_tail *tail,
                       double squares)
{
    const struct concentration_counts sum = sum_counts(s->comm, counts, s->all);
    const int64_t n = set_of(s, aside)->layout.tensors[t].elements;
    if (s->comm->me == 0 && is_f32(s))
        s->cuts[aside][t] = concentration_cuts(&sum, n);
    else if (s->comm->me == 0)
        s->top[aside][t] = concentration_of_counts(&sum, n);
    if (sum.bins > 0)
        memset(sum.n, 0, (size_t)sum.bins * sizeof *sum.n);
    if (is_f32(s))
        end_tails(s, aside, t, tail, squares);
}

void concentration_end(struct concentration_survey *s, int aside, int64_t tensor,
                       struct concentration_counts *counts, struct concentration_tail *tail, double squares,
                       struct err *e)
{
    if (s->comm->me == 0)
        s->squares[aside][tensor] = squares;
    if (!aside && e->code == ERR_OK)
        concentration_add(&s->main_counts, counts, s->arena, e);
    if (set_of(s, aside)->layout.tensors[tensor].nblocks == 1)
        end_one_block(s, aside, tensor, counts, tail, squares);
    else
        end_blocks(s, aside, tensor, counts, tail, squares);
    arena_drop(s->arena, counts->n);
    *counts = (struct concentration_counts){.n = NULL};
    concentration_tail_drop(tail, s->arena);
}

/* ---- the second look ---- */

/* Nothing is looked for in it. */
static int is_done(const struct concentration_survey *s, int64_t t)
{
    return s->known[s->aside][t] || concentration_is_empty(&s->cuts[s->aside][t]);
}

static void end_look(void *arg, int64_t t, void *look, struct err *e)
{
    struct concentration_survey *s = arg;
    const struct concentration_cuts *cuts = &s->cuts[s->aside][t];
    if (!look || is_done(s, t))
        return;
    sum_look(s->comm, look);
    if (s->comm->me == 0 && e->code == ERR_OK)
        s->top[s->aside][t] = concentration_of_look(look, cuts, s->squares[s->aside][t]);
}

enum { PIECE = 1 << 16 }; /* elements read at once, so that they stay in a near cache */

/* Is a second look at the tensor for something? */
static int is_read(const struct concentration_survey *s, int64_t t)
{
    return !is_done(s, t) || (!s->aside && s->main_open);
}

/* A second look at one block. */
static err_t look_at(struct concentration_survey *s, const struct walk *w, int64_t b, float *w0, float *w1,
                     struct err *e)
{
    const struct block at = layout_block(&set_of(s, s->aside)->layout, b);
    const enum isa isa = isa_usable();
    for (int64_t done = 0; done < at.n && is_read(s, at.tensor); done += PIECE) {
        const int64_t n = min64(at.n - done, PIECE), first = at.first + done;
        TRY((s->aside ? pair_read_aside : pair_read)(s->pair, at.tensor, first, n, w0, w1, e));
        if (!is_done(s, at.tensor))
            concentration_look_add(walk_sums(w, at.tensor), isa, &s->cuts[s->aside][at.tensor], w0, w1, n);
        if (!s->aside && s->main_open)
            concentration_look_add(s->main_look, isa, &s->main_cuts, w0, w1, n);
    }
    return ERR_OK;
}

/* Says which of blocks [from, to) will be read. */
static void expect(struct concentration_survey *s, const struct match_set *set, int64_t from, int64_t to)
{
    for (int64_t b = from, end; b < to; b = end + 1) {
        for (end = b; end < to && is_read(s, layout_block(&set->layout, end).tensor);)
            end++;
        pair_expect(s->pair, set, b, end);
    }
}

/* Collective. A second look at one of both sets. */
static err_t look_again(struct concentration_survey *s, int64_t window,
                        void (*progress)(void *arg, double share, double bytes), void *arg, struct err *e)
{
    const struct walk_sums sums = {.bytes = sizeof(struct concentration_look), .end = end_look, .arg = s};
    const struct match_set *set = set_of(s, s->aside);
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
        expect(s, set, w.from, w.to);
        expect(s, set, from, to);
        for (int64_t b = w.from; b < w.to && e->code == ERR_OK; b++) {
            const struct block at = layout_block(&set->layout, b);
            look_at(s, &w, b, w0, w1, e);
            bytes += is_read(s, at.tensor) ? 8.0 * (double)at.n : 0;
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

/* Collective. Where main's shares end, and what is above, as far as main's tails tell it. */
static void end_main(struct concentration_survey *s)
{
    const struct comm *c = s->comm;
    const struct concentration_counts sum = sum_counts(c, &s->main_counts, s->all);
    const int64_t n = s->pair->match.main.layout.elements;
    if (!is_f32(s)) {
        s->main_top = c->me == 0 ? concentration_of_counts(&sum, n) : CONCENTRATION_UNKNOWN;
        return;
    }
    s->main_cuts = concentration_cuts(&sum, n);
    comm_bcast(c, &s->main_cuts, sizeof s->main_cuts, 0);
    int64_t missed =
        !concentration_is_empty(&s->main_cuts) && !concentration_tail_holds(&s->main_tail, &s->main_cuts);
    comm_max(c, &missed, 1);
    s->main_open = missed != 0;
    if (!s->main_open)
        concentration_tail_look(&s->main_tail, &s->main_cuts, s->main_look);
    concentration_tail_drop(&s->main_tail, s->arena);
}

err_t concentration_finish(struct concentration_survey *s, int64_t window,
                           void (*progress)(void *arg, double share, double bytes), void *arg, struct err *e)
{
    const struct comm *c = s->comm;
    struct xsum sum = {.adds = 0};
    end_main(s);
    if (!is_f32(s))
        return ERR_OK;
    for (s->aside = 0; s->aside < 2; s->aside++) {
        const int64_t n = set_of(s, s->aside)->layout.ntensors;
        int done = s->aside || !s->main_open;
        comm_bcast(c, s->cuts[s->aside], n * (int64_t)sizeof *s->cuts[0], 0);
        comm_bcast(c, s->known[s->aside], n, 0);
        for (int64_t t = 0; t < n; t++)
            done &= is_done(s, t);
        if (!done)
            TRY(look_again(s, window, progress, arg, e));
    }
    sum_look(c, s->main_look);
    for (int64_t t = 0; c->me == 0 && t < set_of(s, 0)->layout.ntensors; t++)
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

/* An open tensor's counts are of some 30 octaves at the most, in bf16, and of a few as a rule. Of a tail's
 * bytes two thirds are in use as a rule, and no more than a twentieth of the elements come to be in it: for
 * the tensor, and for main, in a list that has grown to up to twice that. */
double concentration_bytes(enum arithmetic arithmetic, double ntensors, double elements, double *likely)
{
    const double open = ntensors < WALK_OPEN ? ntensors : WALK_OPEN,
                 bins = 16.0 * concentration_bins(arithmetic),
                 looks = walk_bytes(sizeof(struct concentration_look)),
                 own = 2 * sizeof(struct concentration_look);
    const double tails = 3 * concentration_tail_bytes(); /* main's, and those that are open */
    *likely = bins + 8192 * open;
    if (arithmetic == ARITHMETIC_BF16)
        return bins + 65536 * open;
    *likely += own + fmin(tails * 2 / 3, elements / 20 * 2 * 2 * sizeof(uint32_t));
    return bins + own + fmax(looks, 65536 * open + tails);
}
