/* overlap: do the cells on one base change the same parameters? Every two cells' updated sets, beside what
 * chance would give.
 *
 * The masks are read window by window, each process its blocks of all K masks at once, so that a word is read
 * from the file and from memory once for all K (K - 1) / 2 pairs. Counts are integers and are summed over
 * processes. The chance overlaps come from the masks' own counts by tensor and magnitude bin: there the pairs
 * are divided over processes, and each pair's sum is made by one process in the order of the tensors, so that
 * no result depends on the number of processes. */
#include "formats/checkpoint.h"
#include "hdf5/h5.h"
#include "base/isa.h"
#include "compare/layout.h"
#include "compare/maskfile.h"
#include "compare/scopes.h"
#include "kernels/overlap/overlap_counts.h"
#include "kernels/overlap/strata.h"
#include "overlap/results.h"
#include "overlap/counted.h"
#include "compare/walk.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum {
    WINDOW_BYTES = 4 << 20,          /* masks in memory at once, per process */
    BLOCK_WORDS = LAYOUT_BLOCK / 64, /* of a whole block of the layout */
    CACHE_WORDS = 8 << 10,           /* from one word to the next in the same set of the second-level cache */
    STRIP_WORDS = 512,               /* about what is counted of a mask at a time */
    SEND_PASS = 1 << 24              /* doubles per message */
};

enum { SCOPES_ALL, SCOPES_MODEL };

struct overlap_params {
    int scopes;
};

static const char *const scope_choices[] = {"all", "model", NULL};

static const struct param overlap_params[] = {
    {.name = "scopes",
     .kind = PARAM_CHOICE,
     .offset = offsetof(struct overlap_params, scopes),
     .fallback = "all",
     .choices = scope_choices,
     .help = "all: the model, each layer of each stack and each module; model: the model only"},
    {0},
};

/* What is read of all masks, or of all their strata, at once. */
static int64_t window_bytes(const struct ctx *ctx)
{
    int64_t share = ctx->memory_bytes / 8;
    return ctx->memory_bytes > 0 && share < WINDOW_BYTES ? share : WINDOW_BYTES;
}

/* ---- the masks ---- */

static err_t collect(struct overlap *o, struct err *e)
{
    struct ctx *ctx = o->ctx;
    TRY(arena_array(ctx->arena, "overlap.masks", ctx->ninputs, &o->mask, e));
    TRY(arena_array(ctx->arena, "overlap.masks", ctx->ninputs, &o->apart, e));
    for (int i = 0; i < ctx->ninputs; i++) {
        if (strcmp(ctx->inputs[i].kind, "mask") != 0)
            continue;
        for (int j = 0; j < o->k; j++)
            if (o->mask[j]->cell == ctx->inputs[i].cell)
                return err_set(
                    e, ERR_CONFIG,
                    "%s: cell %s comes in two masks, %s and %s: overlap needs exactly one mask stage",
                    ctx->node, o->mask[j]->cell->name, o->mask[j]->node, ctx->inputs[i].node);
        o->apart[o->k] = (char)cell_is_exact(ctx->inputs[i].cell);
        o->mask[o->k++] = &ctx->inputs[i];
    }
    if (o->k == 0)
        return err_set(e, ERR_BUG, "%s: no mask among the inputs", ctx->node);
    if (o->k > OVERLAP_MAX_CELLS)
        return err_set(e, ERR_CONFIG, "%s: %d cells on one base, at most %d can be compared", ctx->node, o->k,
                       OVERLAP_MAX_CELLS);
    o->npairs = overlap_pairs(o->k);
    return ERR_OK;
}

/* What the user can do about cells that cannot be compared. */
#define REMEDY                                                                                               \
    "; overlap compares the same tensors in all cells on a base: put the cell that differs into a study of " \
    "its own"

static err_t same_layout(const struct layout *a, const struct layout *b, const char *cell_a,
                         const char *cell_b, struct err *e)
{
    struct layout_difference d;
    char shape_a[160], shape_b[160];
    switch (layout_compare(a, b, 1, &d)) {
    case LAYOUT_SAME:
        break;
    case LAYOUT_ONLY_A:
    case LAYOUT_ONLY_B:
        return err_set(e, ERR_DATA,
                       "cells %s and %s are on one base, but tensor %s was compared in %s only" REMEDY,
                       cell_a, cell_b, d.a ? d.a->name : d.b->name, d.a ? cell_a : cell_b);
    case LAYOUT_SIZES:
        return err_set(e, ERR_DATA,
                       "cells %s and %s are on one base, but of tensor %s %s was compared in one and %s "
                       "in the other" REMEDY,
                       cell_a, cell_b, d.a->name, shape_text(d.a->ndim, d.a->dims, shape_a, sizeof shape_a),
                       shape_text(d.b->ndim, d.b->dims, shape_b, sizeof shape_b));
    }
    return ERR_OK;
}

/* Every process takes the layout from the first mask; process 0 compares all the others with it. */
static err_t open_layout(struct overlap *o, struct arena *scratch, struct err *e)
{
    struct maskfile_kind first, other;
    struct arena *a = o->ctx->arena;
    TRY(maskfile_read(o->mask[0]->path, &o->layout, &first, a, e));
    TRY(scopes_build(&o->scopes, &o->layout, a, e));
    o->nscopes = ((const struct overlap_params *)o->ctx->params)->scopes == SCOPES_MODEL ? 1 : o->scopes.n;
    for (int i = 1; o->ctx->comm->me == 0 && i < o->k; i++) {
        struct layout l;
        const char *name = o->mask[i]->cell->name, *name_0 = o->mask[0]->cell->name;
        arena_reset(scratch);
        TRY(maskfile_read(o->mask[i]->path, &l, &other, scratch, e));
        TRY(same_layout(&o->layout, &l, name_0, name, e));
        if (strcmp(first.criterion, other.criterion) != 0 ||
            strcmp(first.arithmetic, other.arithmetic) != 0 || first.tolerance != other.tolerance)
            return err_set(e, ERR_DATA,
                           "the masks of cells %s and %s are not comparable: %s %g in %s against %s %g in %s",
                           name_0, name, first.criterion, first.tolerance, first.arithmetic, other.criterion,
                           other.tolerance, other.arithmetic);
    }
    return ERR_OK;
}

static err_t open_masks(struct overlap *o, struct err *e)
{
    const char **path;
    TRY(arena_array(o->ctx->arena, "overlap.masks", o->k, &path, e));
    for (int i = 0; i < o->k; i++)
        path[i] = o->mask[i]->path;
    return maskset_open(path, o->k, &o->layout, o->ctx->arena, &o->masks, e);
}

/* ---- counting ---- */

/* The scopes that tensor t counts in: the model, its layer, its module. Returns how many. */
static int scopes_of(const struct overlap *o, int64_t t, int64_t scope[3])
{
    int n = 0;
    scope[n++] = 0;
    for (int i = 0; o->nscopes > 1 && i < 2; i++)
        if (o->scopes.of_tensor[2 * t + i] >= 0)
            scope[n++] = o->scopes.of_tensor[2 * t + i];
    return n;
}

/* Buffers of the counting: the words of all masks, and the counts of one tensor's piece of them. */
struct counting {
    enum isa isa;
    int64_t words, stride; /* room per mask, and from one mask to the next */
    uint64_t *masks;       /* [mask][stride] */
    uint64_t *room;        /* for the loops to work in */
    int64_t *own, *both, *exactly;
};

/* Counts words [at, at + n) of the layout, read into b->masks: tensor by tensor, since scopes are made of
 * tensors. */
static void count_words(struct overlap *o, struct counting *b, int64_t at, int64_t n, int64_t tensor)
{
    const struct layout_tensor *t = &o->layout.tensors[tensor];
    for (int64_t done = 0; done < n;) {
        while (t->first_word + t->nwords <= at + done)
            t++;
        int64_t left = t->first_word + t->nwords - (at + done), part = left < n - done ? left : n - done,
                scope[3];
        memset(b->own, 0, (size_t)o->k * sizeof *b->own);
        memset(b->both, 0, (size_t)o->npairs * sizeof *b->both);
        memset(b->exactly, 0, (size_t)(o->k + 1) * sizeof *b->exactly);
        overlap_count(b->isa, b->masks + done, b->stride, o->k, part, b->room, b->own, b->both, b->exactly);
        int ns = scopes_of(o, t - o->layout.tensors, scope);
        for (int s = 0; s < ns; s++) {
            for (int64_t i = 0; i < o->k; i++)
                o->own[i * o->nscopes + scope[s]] += b->own[i];
            for (int64_t p = 0; p < o->npairs; p++)
                o->both[p * o->nscopes + scope[s]] += b->both[p];
            for (int64_t c = 1; c <= o->k; c++)
                o->exactly[scope[s] * (o->k + 1) + c] += b->exactly[c];
        }
        done += part;
    }
}

/* Blocks [from, to) of the layout: their words are contiguous. What does not fit is read in equal pieces:
 * HDF5 reads much more than a small piece. */
static err_t count_blocks(struct overlap *o, struct counting *b, int64_t from, int64_t to, struct err *e)
{
    if (from >= to)
        return ERR_OK;
    struct block first = layout_block(&o->layout, from), last = layout_block(&o->layout, to - 1);
    int64_t all = last.word + last.nwords - first.word, pieces = (all + b->words - 1) / b->words;
    for (int64_t i = 0; i < pieces; i++) {
        int64_t at = first.word + all * i / pieces, n = first.word + all * (i + 1) / pieces - at;
        for (int m = 0; m < o->k; m++)
            TRY(maskset_words(o->masks, m, at, n, b->masks + m * b->stride, e));
        count_words(o, b, at, n, first.tensor);
    }
    return ERR_OK;
}

static err_t counting_init(struct overlap *o, struct counting *b, struct err *e)
{
    struct arena *a = o->ctx->arena;
    b->words = window_bytes(o->ctx) / 8 / o->k / 8 * 8;
    if (b->words > BLOCK_WORDS)
        b->words = b->words / BLOCK_WORDS * BLOCK_WORDS;
    b->words = b->words > 512 ? b->words : 512;
    if (b->words > o->layout.nwords)
        b->words = o->layout.nwords > 0 ? o->layout.nwords : 1;
    /* Masks so far apart that their words at one place meet in different sets of the caches. */
    b->stride = b->words;
    if (b->words % CACHE_WORDS < STRIP_WORDS && b->words > 4 * STRIP_WORDS)
        b->stride += STRIP_WORDS + 8;
    TRY(arena_array(a, "overlap.window", b->stride * o->k, &b->masks, e));
    TRY(arena_array(a, "overlap.room", OVERLAP_ROOM, &b->room, e));
    TRY(arena_array(a, "overlap.piece", o->k, &b->own, e));
    TRY(arena_array(a, "overlap.piece", o->npairs, &b->both, e));
    TRY(arena_array(a, "overlap.piece", o->k + 1, &b->exactly, e));
    TRY(arena_array(a, "overlap.counts", o->k * o->nscopes, &o->own, e));
    TRY(arena_array(a, "overlap.counts", o->npairs * o->nscopes, &o->both, e));
    return arena_array(a, "overlap.counts", o->nscopes * (o->k + 1), &o->exactly, e);
}

/* Elements of a window, per process: a share may be a block larger than that. */
static int64_t window_elements(const struct counting *b)
{
    return 64 * (b->words > BLOCK_WORDS ? b->words - BLOCK_WORDS : b->words);
}

/* Counts those of blocks [from, to) that no earlier run has counted; *bytes: of the masks that were read. */
static err_t count_share(struct overlap *o, struct counting *b, struct counted_blocks *t, int64_t from,
                         int64_t to, double *bytes, struct err *e)
{
    for (int64_t at = from, end; at < to; at = end) {
        int covered;
        double words = 0;
        end = counted_run(t, at, to, &covered);
        if (covered)
            continue;
        TRY(count_blocks(o, b, at, end, e));
        for (int64_t i = at; i < end; i++)
            words += (double)layout_block(&o->layout, i).nwords;
        *bytes += words * 8 * o->k;
        TRY(counted_note(t, at, end, words * 8 * o->k, e));
    }
    return ERR_OK;
}

/* Collective. All blocks, each once. */
static err_t walk_masks(struct overlap *o, struct counting *b, struct counted_blocks *t, struct err *e)
{
    struct walk w;
    walk_start(&w, o->ctx->comm, &o->layout, window_elements(b), NULL, o->ctx->arena, e);
    TRY_ALL(o->ctx->comm, e);
    while (walk_next(&w, e)) {
        double bytes = 0;
        ctx_item(o->ctx, walk_tensor(&w));
        if (e->code == ERR_OK)
            count_share(o, b, t, w.from, w.to, &bytes, e);
        TRY(walk_agree(&w, e));
        ctx_progress(o->ctx, walk_done(&w), bytes);
    }
    return walk_finish(&w, e);
}

/* Collective. All counts of the bitmaps; afterwards own is the sum everywhere, both and exactly on process 0.
 */
static err_t count_masks(struct overlap *o, struct err *e)
{
    struct ctx *ctx = o->ctx;
    const struct comm *c = ctx->comm;
    const int64_t blocks = o->layout.nblocks, n_own = o->k * o->nscopes, n_both = o->npairs * o->nscopes,
                  n_exactly = o->nscopes * (o->k + 1);
    struct counting b = {.isa = isa_usable()};
    struct counted_blocks t;
    if (counting_init(o, &b, e) == ERR_OK)
        open_masks(o, e);
    TRY_ALL(c, e);
    const struct counted_arrays counts = {{o->own, o->both, o->exactly}, {n_own, n_both, n_exactly}};
    TRY(counted_open(&t, ctx->journal, c, blocks, &counts, ctx->arena, e));
    if (t.nkept > 0)
        log_info(ctx->log, "%s of %s: %lld of %lld blocks kept from an earlier run", ctx->node, ctx->label,
                 (long long)t.nkept, (long long)blocks);
    if (walk_masks(o, &b, &t, e) == ERR_STOPPED) /* what is counted is whole blocks */
        counted_put(&t);
    TRY(e->code);
    if (c->me == 0)
        counted_add(&t, e);
    TRY_ALL(c, e);
    arena_drop(ctx->arena, b.masks);
    arena_drop(ctx->arena, t.room);
    comm_sum(c, o->own, n_own);
    comm_sum_to_root(c, o->both, n_both);
    comm_sum_to_root(c, o->exactly, n_exactly);
    return ERR_OK;
}

/* ---- matched chance ---- */

/* Rows [at, ...) of the table "bins" of mask i. */
static err_t read_strata(struct overlap *o, struct strata *s, int i, int64_t at, struct arena *scratch,
                         struct err *e)
{
    static const char *const columns[] = {"tensor_index", "bin", "elements", "updated"};
    struct table t;
    struct int_column column[4];
    const char *path = o->mask[i]->path;
    int64_t total = 0, row[4];
    arena_reset(scratch);
    TRY(maskset_bins(o->masks, i, at, s->room, &t, &total, scratch, e));
    if (i != s->first && (t.nrows != s->n || total != s->total))
        return err_set(e, ERR_DATA, "%s: table bins has %lld rows, that of another mask on the base %lld",
                       path, (long long)total, (long long)s->total);
    s->n = t.nrows;
    s->total = total;
    for (int c = 0; c < 4; c++)
        TRY(table_ints(&t, columns[c], &column[c], e));
    for (int64_t r = 0; r < t.nrows; r++) {
        for (int c = 0; c < 4; c++)
            row[c] = int_at(&column[c], r);
        enum strata_fault fault = strata_put(s, i, r, row);
        if (fault == STRATA_DIFFERS)
            return err_set(e, ERR_DATA,
                           "%s: row %lld of table bins differs from that of another mask on the base", path,
                           (long long)(at + r));
        if (fault == STRATA_COUNT)
            return err_set(e, ERR_DATA, "%s: row %lld of table bins counts %lld updated of %lld elements",
                           path, (long long)(at + r), (long long)row[3], (long long)row[2]);
    }
    return ERR_OK;
}

/* Adds the rows held, as far as they are of whole tensors: *whole of them. */
static err_t add_strata(struct overlap *o, struct strata *s, int64_t at, int64_t *whole, struct err *e)
{
    struct strata_chance to = {.nscopes = o->nscopes, .mean = o->expected, .variance = o->variance};
    const struct layout_tensor *tensors = o->layout.tensors;
    int64_t bad = strata_disorder(s, o->layout.ntensors), elements;
    if (bad >= 0)
        return err_set(e, ERR_DATA, "%s: row %lld of table bins is out of order or of range",
                       o->mask[s->first]->path, (long long)(at + bad));
    *whole = strata_whole(s, at);
    for (int64_t r0 = 0, r1; r0 < *whole; r0 = r1) {
        int64_t t = s->tensor[r0];
        r1 = strata_tensor(s, r0, *whole, &elements);
        if (elements != tensors[t].elements)
            return err_set(e, ERR_DATA, "%s: table bins has %lld elements of tensor %s, which has %lld",
                           o->mask[0]->path, (long long)elements, tensors[t].name,
                           (long long)tensors[t].elements);
        to.ns = scopes_of(o, t, to.scope);
        strata_add(s, r0, r1, &to);
    }
    return ERR_OK;
}

/* Local. Sums the matched chance of pairs [pair_from, pair_to) over all strata. */
static err_t sum_strata(struct overlap *o, struct strata *s, struct arena *scratch, struct err *e)
{
    TRY(strata_init(s, o->k, o->apart, o->pair_from, o->pair_to, window_bytes(o->ctx), o->ctx->arena, e));
    for (int64_t at = 0, whole = 1; s->first >= 0 && whole > 0 && (at == 0 || at < s->total); at += whole) {
        for (int i = s->first; i < o->k; i++)
            if (s->needed[i])
                TRY(read_strata(o, s, i, at, scratch, e));
        TRY(add_strata(o, s, at, &whole, e));
    }
    return ERR_OK;
}

/* Collective. Sends the sums of processes 1.. to process 0, whose arrays have room for all pairs. */
static void gather(struct overlap *o, double *v)
{
    const struct comm *c = o->ctx->comm;
    for (int p = 1; p < c->np; p++) {
        int64_t from, to;
        split(o->npairs, c->np, p, &from, &to);
        int64_t n = (to - from) * o->nscopes;
        for (int64_t at = 0; at < n; at += SEND_PASS) {
            int part = n - at < SEND_PASS ? (int)(n - at) : SEND_PASS;
            if (c->me == 0)
                MPI_TRY(
                    MPI_Recv(v + from * o->nscopes + at, part, MPI_DOUBLE, p, 0, c->mpi, MPI_STATUS_IGNORE));
            else if (c->me == p)
                MPI_TRY(MPI_Send(v + at, part, MPI_DOUBLE, 0, 0, c->mpi));
        }
    }
}

/* Collective. The expected intersections and their variances given tensor and magnitude, complete on process
 * 0. */
static err_t matched_chance(struct overlap *o, struct arena *scratch, struct err *e)
{
    const struct comm *c = o->ctx->comm;
    struct arena *a = o->ctx->arena;
    struct strata s = {0};
    split(o->npairs, c->np, c->me, &o->pair_from, &o->pair_to);
    int64_t held = (c->me == 0 ? o->npairs : o->pair_to - o->pair_from) * o->nscopes;
    err_t code = arena_array(a, "overlap.matched", held, &o->expected, e);
    if (code == ERR_OK)
        code = arena_array(a, "overlap.matched", held, &o->variance, e);
    if (code == ERR_OK)
        code = sum_strata(o, &s, scratch, e);
    /* The two counts of a mask, by bit and by bin, are made in different ways: they must agree. */
    for (int i = 0; code == ERR_OK && i < o->k; i++)
        if (s.sum[i] >= 0 && s.sum[i] != o->own[i * o->nscopes])
            code = err_set(e, ERR_DATA, "%s: damaged: table bins counts %lld updated elements, the mask %lld",
                           o->mask[i]->path, (long long)s.sum[i], (long long)o->own[i * o->nscopes]);
    TRY_ALL(c, e);
    gather(o, o->expected);
    gather(o, o->variance);
    return ERR_OK;
}

/* ---- the stage ---- */

/* Collective. Every path comes back here, where files and scratch memory are given back. */
static err_t measure(struct overlap *o, struct arena *scratch, struct err *e)
{
    const struct comm *c = o->ctx->comm;
    if (collect(o, e) == ERR_OK)
        open_layout(o, scratch, e);
    TRY_ALL(c, e);
    TRY(count_masks(o, e));
    TRY(matched_chance(o, scratch, e));
    if (c->me == 0)
        overlap_write(o, scratch, e);
    return comm_agree(c, e);
}

static err_t overlap_run(struct ctx *ctx, struct err *e)
{
    struct overlap o = {.ctx = ctx};
    struct arena scratch;
    arena_init(&scratch, ctx->arena->mem);
    measure(&o, &scratch, e);
    maskset_close(o.masks);
    arena_release(&scratch);
    return comm_agree(ctx->comm, e);
}

static void overlap_plan(const struct plan_view *view, struct estimate *out)
{
    if (!view->base)
        return;
    int64_t k = view->ncells;
    double layers = checkpoint_extent(view->base).layers;
    const struct overlap_params *p = view->params;
    double words = (double)view->base->parameters / 64, pairs = (double)overlap_pairs(k);
    double scopes = p && p->scopes == SCOPES_MODEL ? 1 : 1 + layers + 16; /* about as many kinds of modules */
    *out = (struct estimate){.work = {pairs * scopes, 64 * words * (double)k, 64 * words * pairs}};
    out->read_bytes = out->reread_bytes = words * 8 * (double)k;
    out->write_bytes = out->kept_bytes = pairs * scopes * 273;
    out->flops = words * (pairs + (double)k);
    out->shared_bytes = 8 * scopes * (2.0 * k + pairs + k + 1); /* the counts of count_masks */
    out->process_bytes = 3.0 * WINDOW_BYTES + pairs * scopes * 24;
    out->known = 1;
}

const struct stage stage_overlap = {
    .kind = "overlap",
    .brief = "shared updated parameters of every two cells on one base, beside uniform and matched chance",
    .version = 2,
    .scope = SCOPE_BASE,
    .params = overlap_params,
    .params_size = sizeof(struct overlap_params),
    .inputs = (const char *const[]){"mask", NULL},
    .reported = 1,
    .keeps_steps = 1,
    .plan = overlap_plan,
    .work = (const struct stage_work[]){WORK_ALONE("rows", 200e3), WORK("masks", 30e9), WORK("pairs", 200e9),
                                        WORK_END},
    .tables = overlap_tables,
    .run = overlap_run,
};
