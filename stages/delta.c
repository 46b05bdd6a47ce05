/* delta: reads a pair once and writes the update: what changed, its old and new bits, sums per tensor. */
#include "study/stage.h"

#include "delta/adding.h"
#include "delta/histograms.h"
#include "delta/kept.h"
#include "delta/settings.h"
#include "delta/tables.h"
#include "kernels/change/change.h"
#include "kernels/size/size.h"
#include "elements/magnitude/magnitude.h"
#include "compare/concentration/survey.h"
#include "compare/coverage.h"
#include "compare/pair.h"
#include "base/text.h"
#include "compare/scopes.h"
#include "compare/update.h"
#include "compare/verdict.h"
#include "compare/walk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    PIECE = 1 << 16,            /* elements read at once, so that they stay in a near cache */
    BITE = 1 << 14,             /* compared and added at once, where most of them change */
    PARTS = UPDATE_WAITING + 1, /* one is filled while the others wait to be written */
    MOST_SAID = 12              /* cells of which a line of the log tells without being asked */
};

static void delta_plan(const struct plan_view *view, struct estimate *out)
{
    if (!view->base || !view->tuned)
        return;
    const struct delta_params *p = view->params;
    const struct checkpoint_extent old = checkpoint_extent(view->base), new = checkpoint_extent(view->tuned);
    double bytes = arithmetic_bytes((enum arithmetic)p->arithmetic), n = (double)view->base->parameters;
    *out = (struct estimate){.flops = n, .parts = n / LAYOUT_BLOCK, .known = 1};
    out->read_bytes = (p->arithmetic == ARITHMETIC_F32 ? 1 + 1.0 / 64 : 1) * (old.bytes + new.bytes);
    /* 5 to 30 % of the elements are updated; of codes of 8 bits, whose steps are wider, about 5 % */
    double decoded = n > 0 ? fmin(1, old.decoded / n) : 0, updated = 0.15 - 0.1 * decoded;
    if (p->store == DELTA_STORES_UPDATE)
        out->write_bytes = n / 8 + updated * 2 * bytes * n; /* a quarter at the most */
    out->work[p->arithmetic] = n;
    out->work[2] = old.decoded + new.decoded;
    out->work[3] = out->write_bytes;
    /* elements in all parts: of which every one may have changed, or one block where nothing is stored */
    int64_t window = update_window_blocks((enum arithmetic)p->arithmetic, view->memory_bytes);
    double held = fmin(n, (double)(p->store == DELTA_STORES_UPDATE ? PARTS * window : 1) * LAYOUT_BLOCK);
    double ntensors = (double)(view->base->ntensors + view->tuned->ntensors), concentration_likely;
    out->kept_bytes = 1e4 + 550 * ntensors; /* tables, measured */
    out->write_bytes += 6e4 + 2000 * ntensors;
    out->disk_bytes =
        out->write_bytes + (p->store == DELTA_STORES_UPDATE ? (0.25 - updated) * 2 * bytes * n : 0);
    const double concentration =
        concentration_bytes((enum arithmetic)p->arithmetic, ntensors / 2, n, &concentration_likely);
    out->process_bytes = (double)readahead_bytes(&view->read) + held * (2 * bytes + 0.125) +
                         6.0 * LAYOUT_BLOCK * 4 + walk_bytes(sizeof(struct block_totals)) + 600 * ntensors +
                         concentration + 2e6;
    double sums = fmin(walk_bytes(sizeof(struct block_totals)), ntensors / 2 * sizeof(struct block_totals));
    out->likely_bytes = out->process_bytes - (double)readahead_bytes(&view->read) -
                        held * (1.5 + 0.4 * decoded) * bytes - 6.0 * (LAYOUT_BLOCK - PIECE) * 4 -
                        walk_bytes(sizeof(struct block_totals)) + sums - concentration + concentration_likely;
}

/* The run's working state. */
struct delta {
    struct ctx *ctx;
    const struct delta_params *p;
    enum arithmetic arithmetic;
    struct match_policy policy;
    struct pair pair;
    const struct match_set *set;    /* of the pass: the pair's main, then its aside */
    struct update_part part[PARTS]; /* this process's blocks of the window, and of those before */
    void *w0, *w1, *base; /* one piece in the compare type; base: where w0 is zero and w1 the update */
    struct walk walk;
    struct block_sums block;    /* the block at work */
    struct adding adding;       /* what changed in it */
    struct block_totals totals; /* it alone, where no bits are kept */
    struct kept_room kept;
    int64_t window; /* elements that a process takes at once */
    double tolerance[CHANGE_TOLERANCES];
    struct change_sizes *sizes; /* of tensor `counted`, as far as it has not taken them */
    int64_t counted;
    struct concentration_survey survey;
    /* process 0 */
    struct table tensors, tensor_sparsity, bins, histograms, infs, skipped;
    int64_t touched; /* tensors of main with a changed element, and the last of them */
    const char *last_touched;
    struct block_totals *total;     /* of the cell */
    int64_t *nonzero[2];            /* per tensor of main and aside, as are the next */
    struct square_sums *squares[2]; /* NaN where a tensor has no difference */
    double read_bytes;              /* by this process, since the last progress */
};

/* Is the pass that of the tensors aside? */
static int is_aside(const struct delta *d)
{
    return d->set == &d->pair.match.aside;
}

/* Are the tensor's elements compared by their bits only, having no difference? */
static int is_bits(const struct delta *d, int64_t t)
{
    return dtype_is_bits(decoder_type(d->set->base[t]));
}

/* Does the pair give the update of the tensor, from zero on, rather than its two sides? */
static int is_update(const struct delta *d, int64_t t)
{
    return decoder_change(d->set->tuned[t]) != NULL;
}

/* Where the elements of a block that is being compared are added to besides, in float32: NULL where the block
 * is its tensor's only one, which is added once its counts are known. */
static struct concentration_tail *tail_of(struct delta *d, int64_t t)
{
    const int counted = d->set->layout.tensors[t].nblocks == 1;
    return d->arithmetic != ARITHMETIC_F32 || counted
               ? NULL
               : &((struct block_totals *)walk_sums(&d->walk, t))->tail;
}

/* Compares n elements at `from` of a piece in float32, of which most have changed, and adds them while they
 * are near. */
static err_t compare_bite(struct delta *d, struct update_part *p, int64_t t, int64_t from, int64_t n,
                          struct err *e)
{
    const int64_t word = p->nwords;
    const float *w0 = (const float *)d->w0 + from, *w1 = (const float *)d->w1 + from;
    int64_t bins[MAGNITUDE_BINS] = {0};
    TRY(update_part_add(p, w0, w1, n, bins, e));
    for (int i = 0; i < MAGNITUDE_BINS; i++)
        d->block.bins[i] += bins[i];
    adding_magnitudes(&d->adding, w0, n, p->words + word, bins);
    TRY(adding_add(&d->adding, 0, is_aside(d), t, tail_of(d, t), e));
    if (d->p->store != DELTA_STORES_UPDATE && tail_of(d, t))
        adding_forget(&d->adding);
    return ERR_OK;
}

/* Reads and compares one piece of a block. */
static err_t compare_piece(struct delta *d, struct update_part *p, int64_t t, int64_t first, int64_t n,
                           struct err *e)
{
    TRY((is_aside(d) ? pair_read_aside : pair_read)(&d->pair, t, first, n, d->w0, d->w1, e));
    if (is_bits(d, t)) {
        struct change *c = &((struct block_totals *)walk_sums(&d->walk, t))->change;
        int64_t unequal =
            change_unequal(d->w0, d->w1, n, (size_t)dtype_bits(decoder_type(d->set->base[t])) / 8);
        c->counts.bit_changed += unequal;
        c->counts.nonzero += unequal;
        return ERR_OK;
    }
    if (is_update(d, t)) {
        TRY(pair_base(&d->pair, d->set, t, first, n, d->base, e));
        size_add_exact(&d->block.size, d->arithmetic, d->base, d->w1, n);
    } else {
        size_add_base(&d->block.size, p->isa, d->arithmetic, d->w0, n);
    }
    if (d->arithmetic == ARITHMETIC_BF16)
        return update_part_add(p, d->w0, d->w1, n, d->block.bins, e);
    for (int64_t from = 0; from < n; from += BITE)
        TRY(compare_bite(d, p, t, from, min64(n - from, BITE), e));
    return ERR_OK;
}

/* The sizes counted so far go to their tensor, unless the next ones are of it too: there are many sizes. */
static err_t take_sizes(struct delta *d, int64_t next, struct err *e)
{
    const struct change_sizes *z = d->sizes;
    if (d->counted != next && z->least <= z->most) {
        struct block_totals *s = walk_sums(&d->walk, d->counted);
        TRY(concentration_room(&s->counts, z->least, z->most + 1, d->ctx->arena, e));
        change_sizes_take(d->sizes, &s->change, d->arithmetic, s->counts.n, s->counts.first, d->tolerance,
                          d->p->tolerances.n);
    }
    d->counted = next;
    return ERR_OK;
}

/* Reads and compares one block, which is kept where it is time to. */
static err_t look_at_block(struct delta *d, struct update_part *p, int64_t b, struct err *e)
{
    const struct block at = layout_block(&d->set->layout, b);
    const struct block_mark begin = block_mark(p);
    memset(&d->block, 0, sizeof d->block);
    for (int64_t done = 0; done < at.n; done += PIECE) {
        int64_t n = at.n - done < PIECE ? at.n - done : PIECE;
        TRY(compare_piece(d, p, at.tensor, at.first + done, n, e));
    }
    size_normalise(&d->block.size);
    if (!is_aside(d) && d->p->store == DELTA_STORES_UPDATE)
        kept_put(d->ctx->journal, b, p, &begin, &d->block);
    d->read_bytes += 4.0 * (double)at.n;
    return ERR_OK;
}

/* Adds what is left of the block at work to sums: its tensor's, or its own. */
static err_t end_block(struct delta *d, int64_t tensor, struct block_totals *s, struct err *e)
{
    size_normalise(&s->size);
    size_merge(&s->size, &d->block.size);
    for (int i = 0; i < MAGNITUDE_BINS; i++)
        s->change.counts.bin_elements[i] += d->block.bins[i];
    return adding_add(&d->adding, 1, is_aside(d), tensor, is_bits(d, tensor) ? NULL : tail_of(d, tensor), e);
}

/* Keeps what the concentration in float32 needs beside counts of a tensor's only block: s are its sums. */
static err_t keep_tail(struct delta *d, const struct update_part *p, int64_t tensor,
                       const struct block_mark *begin, struct block_totals *s, struct err *e)
{
    if (d->arithmetic != ARITHMETIC_F32 || d->set->layout.tensors[tensor].nblocks > 1 || is_bits(d, tensor))
        return ERR_OK;
    TRY(take_sizes(d, -1, e));
    return concentration_tail_add(&d->survey, is_aside(d), tensor, &s->tail, &s->counts,
                                  (const float *)p->old_bits + begin->values,
                                  (const float *)p->new_bits + begin->values, p->nvalues - begin->values, e);
}

/* Adds the block at work, which is in sums of its own, to its tensor's, and keeps them: where no bits are. */
static err_t keep_totals(struct delta *d, int64_t b, struct block_totals *s, struct err *e)
{
    struct block_totals *x = &d->totals;
    if (d->sizes->least <= d->sizes->most) {
        TRY(concentration_room(&x->counts, d->sizes->least, d->sizes->most + 1, d->ctx->arena, e));
        change_sizes_take(d->sizes, &x->change, d->arithmetic, x->counts.n, x->counts.first, d->tolerance,
                          d->p->tolerances.n);
    }
    block_totals_normalise(x);
    TRY(kept_totals_put(d->ctx->journal, b, x, &d->kept, d->ctx->arena, e));
    return block_totals_add(s, &d->totals, d->ctx->arena, e);
}

/* Compares one block, or takes it from where it was kept, and adds it to its tensor's sums: by way of its own
 * where those are to be kept. */
static err_t compare_block(struct delta *d, struct update_part *p, int64_t b, struct err *e)
{
    struct block at = layout_block(&d->set->layout, b);
    struct block_totals *s = walk_sums(&d->walk, at.tensor), *to = s;
    struct journal *j = is_aside(d) ? NULL : d->ctx->journal;
    const int stored = d->p->store == DELTA_STORES_UPDATE;
    int there = 0;
    TRY(take_sizes(d, at.tensor, e));
    if (!stored) { /* nobody asks for the blocks before: their room is used again */
        TRY(update_part_start(p, b, b + 1, e));
        TRY(kept_totals_get(j, b, concentration_bins(d->arithmetic), &d->totals, &d->kept, d->ctx->arena,
                            &there, e));
        if (there) {
            concentration_tail_miss(&d->survey, is_aside(d), &s->tail);
            return block_totals_add(s, &d->totals, d->ctx->arena, e);
        }
    }
    if (!stored && journal_due(j)) {
        TRY(take_sizes(d, -1, e));
        d->counted = at.tensor;
        block_totals_clear(&d->totals);
        to = &d->totals;
    }
    const struct block_mark begin = block_mark(p);
    adding_begin(&d->adding, p, to, is_update(d, at.tensor));
    update_part_block(p, b);
    if (stored)
        TRY(kept_get(j, b, at.n, &d->kept, p, &d->block, &there, e));
    if (!there)
        TRY(look_at_block(d, p, b, e));
    update_part_block(p, b + 1);
    TRY(end_block(d, at.tensor, to, e));
    if (to != s)
        TRY(keep_totals(d, b, s, e));
    return keep_tail(d, p, at.tensor, &begin, s, e);
}

/* Says which of blocks [from, to) will be read: those that were not kept. */
static void expect(struct delta *d, int64_t from, int64_t to)
{
    const struct journal *j = is_aside(d) ? NULL : d->ctx->journal;
    for (int64_t b = from, end; b < to; b = end + 1) {
        for (end = b; end < to && !journal_find(j, end);)
            end++;
        pair_expect(&d->pair, d->set, b, end);
    }
}

/* Compares the blocks of this process's share, after a failure none; meanwhile writes a window of those
 * before. Processes take turns at writing: who is further back in the row compares more of it first. */
static err_t compare_share(struct delta *d, struct update_part *p, struct update_writer *writer,
                           struct err *e)
{
    const struct comm *c = d->ctx->comm;
    int64_t from = d->walk.from, to = d->walk.to;
    int64_t turn = from + (to - from) * c->me / c->np;
    if (e->code == ERR_OK)
        update_part_start(p, from, to, e);
    for (int64_t b = from; b < to; b++) {
        if (writer && b == turn)
            TRY(update_writer_flush(writer, e));
        if (e->code == ERR_OK)
            compare_block(d, p, b, e);
    }
    if (e->code == ERR_OK)
        take_sizes(d, -1, e);
    return writer && from == to ? update_writer_flush(writer, e) : ERR_OK;
}

static struct square_sums squares_of(const struct size_sums *s)
{
    return (struct square_sums){xsum_value(&s->base), xsum_value(&s->delta), xsum_value(&s->gain)};
}

/* Process 0. The rows of one finished tensor. */
static err_t add_tensor(struct delta *d, int64_t t, struct block_totals *s, struct err *e)
{
    struct change *c = &s->change;
    const struct layout_tensor *x = &d->set->layout.tensors[t];
    const struct change_counts *k = &c->counts;
    const char *cell = d->ctx->cell->name;
    const int bits = is_bits(d, t);
    char shape[200];
    struct square_sums *squares = &d->squares[is_aside(d)][t];
    *squares = bits ? (struct square_sums){NAN, NAN, NAN} : squares_of(&s->size);
    const struct norms norms = norms_of(squares);
    TRY(TABLE_ADD_OF(tensors_table, &d->tensors, e, V_TEXT(cell), V_TEXT(x->name), V_INT(x->layer),
                     V_TEXT(x->stack), V_TEXT(x->module), V_TEXT(x->dtype_base), V_TEXT(x->dtype_tuned),
                     V_TEXT(shape_text(x->ndim, x->dims, shape, sizeof shape)), V_INT(x->elements),
                     V_INT(k->bit_changed), V_INT(k->nonzero), V_REAL(bits ? NAN : c->max_abs),
                     V_REAL(bits              ? NAN
                            : x->elements > 0 ? xsum_value(&k->sum_abs) / (double)x->elements
                                              : 0),
                     V_REAL(bits ? NAN : sqrt(xsum_value(&k->sum_squares))), V_INT(k->nan_count),
                     V_NORMS(norms), V_CONCENTRATION(CONCENTRATION_UNKNOWN)));
    TRY(TABLE_ADD(&d->tensor_sparsity, e, V_TEXT(cell), V_TEXT(d->ctx->node), V_TEXT(x->name), V_TEXT("bits"),
                  V_REAL(0), V_INT(k->bit_changed)));
    for (int i = 0; i < d->p->tolerances.n && !bits; i++)
        TRY(TABLE_ADD(&d->tensor_sparsity, e, V_TEXT(cell), V_TEXT(d->ctx->node), V_TEXT(x->name),
                      V_TEXT("absolute"), V_REAL(d->p->tolerances.v[i]), V_INT(k->updated[i])));
    for (int i = 0; i < d->p->relative.n && !bits; i++)
        TRY(TABLE_ADD(&d->tensor_sparsity, e, V_TEXT(cell), V_TEXT(d->ctx->node), V_TEXT(x->name),
                      V_TEXT("relative"), V_REAL(d->p->relative.v[i]), V_INT(k->relative[i])));
    d->nonzero[is_aside(d)][t] = k->nonzero;
    if (is_aside(d))
        return ERR_OK;
    d->touched += k->bit_changed > 0;
    d->last_touched = k->bit_changed > 0 ? x->name : d->last_touched;
    for (int b = 0; b < MAGNITUDE_BINS; b++)
        if (k->bin_elements[b] > 0)
            TRY(TABLE_ADD(&d->bins, e, V_INT(t), V_INT(b), V_INT(k->bin_elements[b]),
                          V_INT(k->bin_updated[b])));
    TRY(histograms_add_tensor(&d->histograms, t, k, e));
    if (k->inf_count > 0)
        TRY(TABLE_ADD_OF(inf_counts_table, &d->infs, e, V_INT(t), V_INT(k->inf_count)));
    change_merge(&d->total->change, c);
    xsum_normalise(&d->total->change.counts.sum_abs);
    xsum_normalise(&d->total->change.counts.sum_squares);
    size_merge(&d->total->size, &s->size);
    return ERR_OK;
}

/* Collective. Adds up the sums of a tensor over processes and hands them to process 0's tables. */
static void end_tensor(void *arg, int64_t t, void *sums, struct err *e)
{
    struct delta *d = arg;
    const struct comm *c = d->ctx->comm;
    struct block_totals none = {.change = {.max_abs = 0}}, *x = sums ? sums : &none;
    if (sums) {
        struct change *change = &x->change;
        block_totals_normalise(x);
        comm_sum_to_root(c, (int64_t *)&change->counts, CHANGE_WORDS);
        comm_sum_to_root(c, (int64_t *)&x->size, SIZE_WORDS);
        comm_max_real_to_root(c, &change->max_abs, 1);
        if (!is_bits(d, t))
            concentration_end(&d->survey, is_aside(d), t, &x->counts, &x->tail,
                              xsum_value(&change->counts.sum_squares), e);
    }
    if (c->me == 0 && e->code == ERR_OK)
        add_tensor(d, t, x, e);
}

static err_t allocate(struct delta *d, struct err *e)
{
    struct arena *a = d->ctx->arena;
    const struct match *m = &d->pair.match;
    size_t bytes = (size_t)arithmetic_bytes(d->arithmetic);
    if (m->aside.layout.ntensors > 0)
        bytes = sizeof(int64_t); /* the widest integer */
    TRY(arena_array_at(a, "delta.piece", PIECE, bytes, &d->w0, e));
    TRY(arena_array_at(a, "delta.piece", PIECE, bytes, &d->w1, e));
    TRY(arena_array_at(a, "delta.piece", PIECE, bytes, &d->base, e));
    TRY(arena_array(a, "delta.sizes", 1, &d->sizes, e));
    change_sizes_begin(d->sizes);
    TRY(concentration_init(&d->survey, d->ctx->comm, &d->pair, a, e));
    d->adding =
        (struct adding){.p = d->p, .tolerance = d->tolerance, .sizes = d->sizes, .survey = &d->survey};
    for (int i = 0; i < PARTS; i++)
        update_part_init(&d->part[i], d->arithmetic, a);
    if (d->ctx->comm->me == 0) {
        TRY(arena_array(a, "delta.nonzero", m->main.layout.ntensors, &d->nonzero[0], e));
        TRY(arena_array(a, "delta.nonzero", m->aside.layout.ntensors, &d->nonzero[1], e));
        TRY(arena_array(a, "delta.squares", m->main.layout.ntensors, &d->squares[0], e));
        TRY(arena_array(a, "delta.squares", m->aside.layout.ntensors, &d->squares[1], e));
        TRY(arena_array(a, "delta.total", 1, &d->total, e));
        table_start(&d->tensors, &tensors_table, a);
        table_init(&d->tensor_sparsity, "tensor_sparsity", a);
        table_init(&d->bins, "bins", a);
        table_start(&d->histograms, &tensor_histograms_table, a);
        table_start(&d->infs, &inf_counts_table, a);
    }
    return ERR_OK;
}

/* Process 0. What the cell's figures say. */
static err_t add_verdicts(const struct delta *d, const struct norms *norms, struct table *out, struct err *e)
{
    const struct change_counts *k = &d->total->change.counts;
    const struct layout *l = &d->pair.match.main.layout;
    const struct verdict_facts facts = {.arithmetic = d->arithmetic,
                                        .exact = cell_is_exact(d->ctx->cell),
                                        .parameters = l->elements,
                                        .bit_changed = k->bit_changed,
                                        .nonzero = k->nonzero,
                                        .nonfinite = k->nan_count + k->inf_count,
                                        .left_out = d->pair.match.skipped_parameters,
                                        .coverage = d->pair.match.coverage,
                                        .tensors = l->ntensors,
                                        .touched = d->touched,
                                        .only = d->last_touched,
                                        .elements = k->bin_elements,
                                        .updated = k->bin_updated,
                                        .norms = *norms,
                                        .kin = verdict_kin_of(l, d->squares[0]),
                                        .concentration = d->survey.main_top};
    table_init(out, "verdicts", d->ctx->arena);
    return verdict_rows(&facts, d->ctx->cell->name, d->ctx->node, out, e);
}

static err_t write_tables(struct delta *d, const struct input *base, const struct input *tuned, struct err *e)
{
    struct ctx *ctx = d->ctx;
    struct arena *a = ctx->arena;
    const struct layout *l = &d->pair.match.main.layout;
    const struct change_counts *k = &d->total->change.counts;
    const struct square_sums squares = squares_of(&d->total->size);
    const struct norms norms = norms_of(&squares);
    const struct cell *cell = ctx->cell;
    struct h5 *f;
    TRY(artifact_tables(ctx->out, &f, e));
    const struct update_source source = {.arithmetic = d->arithmetic,
                                         .base = base->path,
                                         .tuned = tuned->path,
                                         .policy = &d->policy,
                                         .simulated = d->pair.tuned.simulated ? d->pair.tuned.simulated
                                                                              : d->pair.base.simulated,
                                         .layout = l};
    TRY(update_describe(f, ctx->out->path, &source, a, e));

    struct table cells, sparsity, layers, modules, histograms, verdicts;
    table_init(&cells, "cells", a);
    table_init(&sparsity, "sparsity", a);
    table_start(&histograms, &histograms_table, a);
    TRY(TABLE_ADD(&cells, e, V_TEXT(cell->name), V_TEXT(cell->family), V_TEXT(cell->algorithm),
                  V_INT(cell->seed), V_TEXT(cell->data), V_INT(cell->step), V_TEXT(cell->base),
                  V_TEXT(cell->tuned), V_INT(l->ntensors), V_INT(d->skipped.nrows),
                  V_INT(d->pair.match.skipped_parameters), V_REAL(coverage_share(&d->pair.match.coverage, 0)),
                  V_REAL(coverage_share(&d->pair.match.coverage, 1)), V_INT(l->elements),
                  V_INT(k->bit_changed), V_INT(k->nonzero), V_NORMS(norms),
                  V_CONCENTRATION(d->survey.main_top)));
    double n = l->elements > 0 ? (double)l->elements : 1;
    TRY(TABLE_ADD(&sparsity, e, V_TEXT(cell->name), V_TEXT(ctx->node), V_TEXT("bits"), V_REAL(0),
                  V_INT(l->elements), V_INT(k->bit_changed), V_REAL(1 - (double)k->bit_changed / n)));
    for (int i = 0; i < d->p->tolerances.n; i++)
        TRY(TABLE_ADD(&sparsity, e, V_TEXT(cell->name), V_TEXT(ctx->node), V_TEXT("absolute"),
                      V_REAL(d->p->tolerances.v[i]), V_INT(l->elements), V_INT(k->updated[i]),
                      V_REAL(1 - (double)k->updated[i] / n)));
    for (int i = 0; i < d->p->relative.n; i++)
        TRY(TABLE_ADD(&sparsity, e, V_TEXT(cell->name), V_TEXT(ctx->node), V_TEXT("relative"),
                      V_REAL(d->p->relative.v[i]), V_INT(l->elements), V_INT(k->relative[i]),
                      V_REAL(1 - (double)k->relative[i] / n)));
    TRY(histograms_add_cell(&histograms, cell->name, ctx->node, k, e));
    TRY(scopes_tables(l, d->nonzero[0], d->squares[0], cell->name, ctx->node, &layers, &modules, a, e));
    concentration_fill(&d->survey, &d->tensors);
    TRY(scopes_layers_aside(&d->pair.match.aside, d->nonzero[1], d->squares[1], cell->name, ctx->node,
                            &layers, a, e));
    TRY(add_verdicts(d, &norms, &verdicts, e));
    const struct table *all[] = {
        &cells,   &sparsity,   &layers,        &modules, &d->tensors, &d->tensor_sparsity,
        &d->bins, &histograms, &d->histograms, &d->infs, &d->skipped, &verdicts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        TRY(h5_table_write(f, all[i]->schema->name, all[i], e));
    return ERR_OK;
}

/* Collective. Compares all tensors of one set, window by window, and fills process 0's tables. writer: of the
 * update, NULL where it is not stored. base, blocks: where the pass begins among all blocks, for progress. */
static err_t pass(struct delta *d, const struct match_set *set, struct update_writer *writer, int64_t base,
                  int64_t blocks, struct err *e)
{
    struct ctx *ctx = d->ctx;
    struct walk *w = &d->walk;
    const struct walk_sums sums = {.bytes = sizeof(struct block_totals), .end = end_tensor, .arg = d};
    int turn = 0;
    d->set = set;
    walk_start(w, ctx->comm, &set->layout, d->window, &sums, ctx->arena, e);
    TRY_ALL(ctx->comm, e);
    while (walk_next(w, e)) {
        int64_t from, to;
        ctx_item(ctx, walk_tensor(w));
        walk_ahead(w, &from, &to);
        expect(d, w->from, w->to);
        expect(d, from, to); /* so that it is on its way while this one is written */
        TRY(compare_share(d, &d->part[turn], writer, e));
        if (writer) {
            update_writer_put(writer, &d->part[turn], e);
            turn = (turn + 1) % PARTS;
        } else
            TRY(walk_agree(w, e));
        ctx_progress(ctx, (double)(base + w->end) / (double)blocks, d->read_bytes);
        d->read_bytes = 0;
    }
    if (writer)
        TRY(update_writer_close(writer, e));
    return walk_finish(w, e);
}

static void look_progress(void *arg, double share, double bytes)
{
    struct delta *d = arg;
    (void)share; /* a few tensors, at most times none */
    ctx_progress(d->ctx, 1, bytes);
}

static err_t delta_run(struct ctx *ctx, struct err *e)
{
    const struct comm *c = ctx->comm;
    struct delta *d = NULL;
    struct update_writer *writer = NULL;
    const struct input *base = ctx_input(ctx, "load", "base"), *tuned = ctx_input(ctx, "load", "tuned");
    err_t code = ERR_OK;
    if (arena_array(ctx->arena, "delta", 1, &d, e) == ERR_OK) {
        d->ctx = ctx;
        d->p = ctx->params;
        d->arithmetic = (enum arithmetic)d->p->arithmetic;
        d->window = update_window_blocks(d->arithmetic, ctx->memory_bytes) * (int64_t)LAYOUT_BLOCK;
        for (int i = 0; i < d->p->tolerances.n; i++)
            d->tolerance[i] = tolerance_rounded(d->arithmetic, d->p->tolerances.v[i]);
        delta_matches(d->p, &d->policy);
        table_init(&d->skipped, "skipped", ctx->arena);
        if (pair_open(&d->pair, base->path, tuned->path, d->arithmetic, &d->policy, ctx->cell->name,
                      ctx->node, &d->skipped, ctx->arena, e) == ERR_OK &&
            pair_read_by(&d->pair, &ctx->read, e) == ERR_OK)
            allocate(d, e);
    }
    TRY_OUT(code, comm_agree(c, e));
    const struct match *m = &d->pair.match;
    if (c->me == 0 && (ctx->progress_done < MOST_SAID || ctx->log->level >= LOG_DETAIL))
        pair_say(&d->pair, ctx->cell->name, ctx->log);
    int64_t main = m->main.layout.nblocks, blocks = main + m->aside.layout.nblocks;
    const int64_t kept = kept_blocks(ctx->journal, main);
    if (kept > 0)
        log_info(ctx->log, "%s of %s: %lld of %lld blocks kept from an earlier run", ctx->node, ctx->label,
                 (long long)kept, (long long)main);
    if (d->p->store == DELTA_STORES_UPDATE)
        TRY_OUT(code,
                update_writer_open(&writer, ctx->out, c, &m->main.layout, d->arithmetic, ctx->arena, e));
    TRY_OUT(code, concentration_sample(&d->survey, e));
    TRY_OUT(code, pass(d, &m->main, writer, 0, blocks, e));
    TRY_OUT(code, pass(d, &m->aside, NULL, main, blocks, e));
    TRY_OUT(code, concentration_finish(&d->survey, d->window, look_progress, d, e));
    TRY_OUT(code, artifact_bulk_done(ctx->out, e));
    if (c->me == 0)
        write_tables(d, base, tuned, e);
    code = comm_agree(c, e);
out:
    if (d)
        pair_close(&d->pair);
    return code;
}

const struct stage stage_delta = {
    .kind = "delta",
    .brief = "which elements changed between two checkpoints, and by how much",
    .version = 8,
    .scope = SCOPE_CELL,
    .params = delta_params,
    .params_size = sizeof(struct delta_params),
    .inputs = (const char *const[]){"load", NULL},
    .reported = 1,
    .keeps_steps = 1,
    .check = delta_check,
    .matches = delta_matches,
    .plan = delta_plan,
    .work = (const struct stage_work[]){WORK("bf16", 1.7e9), WORK("f32", 0.35e9), WORK("decoded", 3e9),
                                        WORK("stored", 1.6e9), WORK_END},
    .tables = delta_tables,
    .datasets = update_datasets,
    .run = delta_run};
