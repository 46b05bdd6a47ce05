/* dynamics: how the update of a run grows from one saved step to the next.
 *
 * Cells on one base that share family, algorithm, seed and data, and have a step, are a run, in the order of
 * their steps; the cell that differs from them only in having none is its end. Each member's update is read
 * block by block through the one service: where it changed nothing it holds the base's value, so the steps
 * can be compared with each other from the updates alone. The blocks are divided over processes and all
 * results are integer counts, so that they do not depend on the number of processes.
 *
 * An element is updated at a step if the step before holds another value by the criterion, and updated from
 * the start if the base does. It is ever updated if either holds at some step: small steps that are all
 * within the tolerance may well add up to an update. The final subnetwork is what the run's last member
 * updated from the start; what is ever updated and not in it is cancelled. */
#include "study/stage.h"

#include "elements/bits/bits.h"
#include "kernels/change/criterion.h"
#include "elements/magnitude/magnitude.h"
#include "compare/update.h"
#include "compare/walk.h"

#include <math.h>
#include <string.h>

enum {
    WINDOW_BLOCKS = 4, /* blocks a process holds at once, at the most: more do not fit a cache */
    KEEP_OPEN = 64     /* runs of more members open each file anew for each window */
};
static const int64_t WINDOW_BYTES = 256 << 20; /* without a budget */

struct dynamics_params {
    int criterion;
    double tolerance;
};

static const char *const criteria[] = {"absolute", "bits", NULL};

static const struct param dynamics_params[] = {
    {"criterion", PARAM_CHOICE, offsetof(struct dynamics_params, criterion), NULL, "absolute", 0, 0, criteria,
     "when two values count as different: absolute: |difference| > tolerance; bits: bits differ"},
    {"tolerance", PARAM_REAL, offsetof(struct dynamics_params, tolerance), "weight units", "1e-5", 0, 1e30,
     NULL, "of criterion absolute; rounded to the compare type as torch.isclose does"},
    {0}};

SCHEMA(
    dynamics_table, "dynamics", KEPT_IN_ARCHIVE,
    "How the update of each run grows: one row per saved step, from the updates of cells that share family, "
    "algorithm, seed and data.",
    C_NODE, C_TEXT("base", "the base checkpoint: the run's start"),
    C_TEXT("run", "FAMILY/ALGORITHM/SEED[+DATA]"),
    C_INT("step", "training step; -1 for the run's end, the cell without step"),
    C_INT("previous_step", "step it is compared with; -1 for the start"), C_PARAMETERS,
    C_INT("updated_from_start", "elements that differ from the start by the node's criterion"),
    C_REAL("sparsity_from_start", "1", "1 - updated_from_start / parameters"),
    C_INT("updated_from_previous", "elements that differ from the step before"),
    C_REAL("sparsity_from_previous", "1", "1 - updated_from_previous / parameters"),
    C_INT("ever_updated",
          "elements that differ from the start or from the step before at this or an earlier step"),
    C_INT("outside_final", "elements that differ from the step before and are not in the final subnetwork"),
    C_REAL("outside_final_share", "1",
           "outside_final / what the whole run ever updates; NaN where that is nothing"),
    C_INT("ever_outside_final", "of ever_updated, those that are not in the final subnetwork"),
    C_REAL("ever_outside_final_share", "1", "ever_outside_final / ever_updated; NaN where that is nothing"));

SCHEMA(totals_table, "dynamics_totals", KEPT_IN_ARCHIVE,
       "What becomes of the parameters over each run: never updated, updated and cancelled back, or in the "
       "final subnetwork.",
       C_NODE, C_TEXT("base", "the base checkpoint: the run's start"),
       C_TEXT("run", "FAMILY/ALGORITHM/SEED[+DATA]"),
       C_INT("steps", "checkpoints of the run after its start"), C_PARAMETERS,
       C_INT("never_updated",
             "elements that differ neither from the start nor from the step before at any step"),
       C_INT("cancelled", "elements updated at some step that at the last do not differ from the start"),
       C_INT("final_subnetwork", "elements that at the last step differ from the start"),
       C_REAL("never_updated_share", "1", "of parameters"), C_REAL("cancelled_share", "1", "of parameters"),
       C_REAL("final_subnetwork_share", "1", "of parameters"));

static const struct schema *const dynamics_tables[] = {&dynamics_table, &totals_table, NULL};

static const char *const dynamics_inputs[] = {"delta", NULL};

/* One checkpoint of a run: what is counted of it, in elements. */
struct counts {
    int64_t from_start, from_previous; /* updated against the base, against the member before */
    int64_t ever;                      /* updated in this or an earlier member */
    int64_t outside;                   /* updated against the member before, outside the final subnetwork */
    int64_t ever_outside;              /* ever, outside the final subnetwork */
};
enum { COUNTS = (int)(sizeof(struct counts) / sizeof(int64_t)) };

struct member {
    const struct input *delta;
    struct arena arena;    /* of the open update */
    struct update *update; /* NULL while closed */
    int matched;           /* its layout has been compared with the run's */
    struct counts counts;
};

struct dynamics {
    struct ctx *ctx;
    const struct dynamics_params *p;
    struct arena scratch; /* of one run */
    struct table steps, totals;
    /* the run in work */
    const char *run;
    int n; /* members */
    struct member *members;
    int keep; /* updates stay open from window to window */
    struct layout layout;
    enum arithmetic arithmetic;
    struct criterion criterion;
    /* the window in work: values by position in its bitmap, valid where they are known; bitmaps */
    void *base, *before, *now;
    uint64_t *changed_before, *from_start, *from_previous, *ever, *final;
    void *old_bits, *new_bits; /* packed values of two members */
    uint64_t *keep_bits;       /* of these or a part's, a bit each: different by the criterion or not */
    enum isa isa;
    int64_t cap_words;
    double read_bytes; /* by this process, since the last progress */
};

/* ---- runs ---- */

static int same_run(const struct cell *a, const struct cell *b)
{
    return a->seed == b->seed && strcmp(a->family, b->family) == 0 &&
           strcmp(a->algorithm, b->algorithm) == 0 && strcmp(a->data, b->data) == 0;
}

/* Is a before b in a run? The end, which has no step, comes last. */
static int is_before(const struct cell *a, const struct cell *b)
{
    return a->step >= 0 && (b->step < 0 || a->step < b->step);
}

/* Begins the run that input `first` belongs to, or none (n = 0) where it has no step or an earlier input has
 * begun its run. The members are the scratch arena's. */
static err_t find_run(struct dynamics *d, int first, struct err *e)
{
    const struct ctx *ctx = d->ctx;
    const struct cell *of = ctx->inputs[first].cell;
    d->n = 0;
    if (of->step < 0)
        return ERR_OK;
    for (int i = 0; i < first; i++)
        if (ctx->inputs[i].cell->step >= 0 && same_run(ctx->inputs[i].cell, of))
            return ERR_OK;
    int n = 0;
    for (int i = 0; i < ctx->ninputs; i++)
        n += same_run(ctx->inputs[i].cell, of);
    TRY(arena_array(&d->scratch, "dynamics.members", n, &d->members, e));
    for (int i = 0; i < ctx->ninputs; i++) {
        if (!same_run(ctx->inputs[i].cell, of))
            continue;
        int at = d->n++;
        for (; at > 0 && is_before(ctx->inputs[i].cell, d->members[at - 1].delta->cell); at--)
            d->members[at] = d->members[at - 1];
        d->members[at] = (struct member){.delta = &ctx->inputs[i]};
    }
    for (int k = 0; k < d->n; k++)
        arena_init(&d->members[k].arena, ctx->arena->mem);
    d->run = arena_printf(&d->scratch, e, "%s/%s/%lld%s%s", of->family, of->algorithm, (long long)of->seed,
                          of->data[0] ? "+" : "", of->data);
    return e->code;
}

static void close_member(struct member *m)
{
    update_close(m->update);
    m->update = NULL;
    arena_reset(&m->arena);
}

static void end_run(struct dynamics *d)
{
    for (int k = 0; k < d->n; k++) {
        close_member(&d->members[k]);
        arena_release(&d->members[k].arena);
    }
    d->n = 0;
    arena_reset(&d->scratch);
    d->base = d->before = d->now = d->old_bits = d->new_bits = NULL;
    d->changed_before = d->from_start = d->from_previous = d->ever = d->final = d->keep_bits = NULL;
    d->cap_words = 0;
}

/* The layout and type of comparison of the run, from its first member, and how much of it is held at once. */
static err_t open_run(struct dynamics *d, int64_t *window, struct err *e)
{
    struct member *first = &d->members[0];
    struct update_head head;
    TRY(update_look(first->delta->path, &head, &d->scratch, e));
    d->layout = head.layout;
    d->arithmetic = head.arithmetic;
    d->isa = isa_usable();
    d->criterion = (struct criterion){.kind = (enum criterion_kind)d->p->criterion,
                                      .arithmetic = d->arithmetic,
                                      .tolerance = tolerance_rounded(d->arithmetic, d->p->tolerance)};
    /* Bytes of an element: five values and six bits here, and in each open update at most two values and a
     * bit. An update that is not stored keeps both checkpoints' files open, which may be many. */
    int64_t bytes = arithmetic_bytes(d->arithmetic), own = 5 * bytes + 1, each = 2 * bytes + 1;
    int64_t budget = d->ctx->memory_bytes > 0 ? d->ctx->memory_bytes / 4 : WINDOW_BYTES;
    d->keep = head.stored && d->n <= KEEP_OPEN && (own + d->n * each) * LAYOUT_BLOCK <= budget;
    int64_t blocks = budget / ((own + (d->keep ? d->n : 1) * each) * LAYOUT_BLOCK);
    blocks = blocks < 1 ? 1 : blocks > WINDOW_BLOCKS ? WINDOW_BLOCKS : blocks;
    *window = blocks * LAYOUT_BLOCK;
    return ERR_OK;
}

/* ---- members ---- */

static err_t match_member(const struct dynamics *d, const struct member *m, struct err *e)
{
    const struct layout *a = &d->layout, *b = update_layout(m->update);
    const char *cell_a = d->members[0].delta->cell->name, *cell_b = m->delta->cell->name;
    if (update_arithmetic(m->update) != d->arithmetic)
        return err_set(e, ERR_DATA, "cells %s and %s were compared in different arithmetics", cell_a, cell_b);
    struct layout_difference x;
    switch (layout_compare(a, b, 0, &x)) {
    case LAYOUT_SAME:
        break;
    case LAYOUT_ONLY_A:
    case LAYOUT_ONLY_B:
        return err_set(e, ERR_DATA, "cells %s and %s are of one run, but tensor %s was compared in %s only",
                       cell_a, cell_b, x.a ? x.a->name : x.b->name, x.a ? cell_a : cell_b);
    case LAYOUT_SIZES:
        return err_set(e, ERR_DATA,
                       "cells %s and %s are of one run, but tensor %s has %lld elements in one and %lld "
                       "in the other",
                       cell_a, cell_b, x.a->name, (long long)x.a->elements, (long long)x.b->elements);
    }
    return ERR_OK;
}

/* Reads blocks [from, to) of a member. The part is valid until leave_member or the member's next read. */
static err_t read_member(struct dynamics *d, struct member *m, int64_t from, int64_t to,
                         struct update_part *part, struct err *e)
{
    if (!m->update)
        TRY(update_open(m->delta->path, NULL, &m->arena, &m->update, e));
    if (!m->matched)
        TRY(match_member(d, m, e));
    m->matched = 1;
    TRY(update_read(m->update, from, to, part, e));
    d->read_bytes +=
        8.0 * (double)part->nwords + 2.0 * arithmetic_bytes(d->arithmetic) * (double)part->nvalues;
    return ERR_OK;
}

static void leave_member(const struct dynamics *d, struct member *m)
{
    if (!d->keep)
        close_member(m);
}

/* ---- counting ---- */

/* Keeps of the set bits of words those whose values, packed in their order, differ by the criterion. */
static void narrow(struct dynamics *d, uint64_t *words, int64_t nwords, const void *old_bits,
                   const void *new_bits, int64_t nvalues)
{
    enum { BUNCH = 4096 };
    uint8_t flag[BUNCH + 7];
    const int64_t bytes = arithmetic_bytes(d->arithmetic);
    memset(d->keep_bits, 0, (size_t)(nvalues / 64 + 2) * sizeof *d->keep_bits);
    for (int64_t at = 0; at < nvalues; at += BUNCH) {
        int64_t n = nvalues - at < BUNCH ? nvalues - at : BUNCH;
        criterion_flags(&d->criterion, (const char *)old_bits + at * bytes,
                        (const char *)new_bits + at * bytes, n, flag);
        bits_add_flags(d->keep_bits, at, flag, n);
    }
    bits_narrow(d->isa, words, nwords, d->keep_bits);
}

/* to = from where the bits are set, and not in except. */
static void copy_values(const struct dynamics *d, const uint64_t *words, const uint64_t *except,
                        int64_t nwords, const void *from, void *to)
{
    for (int64_t w = 0; w < nwords; w++)
        for (uint64_t left = words[w] & ~except[w]; left; left &= left - 1) {
            int64_t i = 64 * w + __builtin_ctzll(left);
            if (d->arithmetic == ARITHMETIC_BF16)
                ((uint16_t *)to)[i] = ((const uint16_t *)from)[i];
            else
                ((uint32_t *)to)[i] = ((const uint32_t *)from)[i];
        }
}

/* Elements that did not change but are NaN or Inf: their difference is never close to anything. */
static void add_nonfinite(const struct dynamics *d, const struct update_part *p, uint64_t *words)
{
    for (int64_t i = 0; i < p->nnonfinite && d->p->criterion == CRITERION_ABSOLUTE; i++)
        words[p->nonfinite[i] / 64] |= (uint64_t)1 << (p->nonfinite[i] % 64);
}

/* What the part updated from the start. */
static void update_from_start(struct dynamics *d, const struct update_part *p, uint64_t *words)
{
    memcpy(words, p->words, (size_t)p->nwords * sizeof *words);
    narrow(d, words, p->nwords, p->old_bits, p->new_bits, p->nvalues);
    add_nonfinite(d, p, words);
}

/* Of the elements whose bit is set those that are NaN or Inf. */
static uint64_t nonfinite(const struct dynamics *d, const void *values, int64_t w, uint64_t word)
{
    uint64_t found = 0;
    for (uint64_t left = word; left; left &= left - 1)
        if (magnitude_bin(d->arithmetic, values, 64 * w + __builtin_ctzll(left)) >= MAGNITUDE_INFINITE)
            found |= left & -left;
    return found;
}

/* What the part updated from the member before, whose values are in `before`, and leaves its own there. Both
 * arrays are the same wherever neither of the two changed anything. */
static void update_from_previous(struct dynamics *d, const struct update_part *p, uint64_t *words)
{
    const int bytes = arithmetic_bytes(d->arithmetic);
    const int64_t n = 64 * p->nwords;
    bits_unpack(bytes, p->words, n, p->old_bits, d->base);
    copy_values(d, p->words, d->changed_before, p->nwords, d->base, d->before);
    memcpy(d->now, d->before, (size_t)(n * bytes));
    bits_unpack(bytes, p->words, n, p->new_bits, d->now);
    copy_values(d, d->changed_before, p->words, p->nwords, d->base, d->now);
    struct bits_found found =
        bits_compare(d->isa, bytes, d->before, d->now, n, words, d->old_bits, d->new_bits, NULL);
    /* NaN is not close to the NaN that it was; of elements that neither changed add_nonfinite says so */
    const int odd = found.nonfinite && d->criterion.kind == CRITERION_ABSOLUTE;
    for (int64_t w = 0; odd && w < p->nwords; w++)
        d->changed_before[w] = nonfinite(d, d->now, w, (d->changed_before[w] | p->words[w]) & ~words[w]);
    narrow(d, words, p->nwords, d->old_bits, d->new_bits, found.differ);
    for (int64_t w = 0; odd && w < p->nwords; w++)
        words[w] |= d->changed_before[w];
    memcpy(d->changed_before, p->words, (size_t)p->nwords * sizeof *p->words);
    add_nonfinite(d, p, words);
    void *swap = d->before;
    d->before = d->now;
    d->now = swap;
}

/* Room for the values and bits of so many words; what is there is lost. */
static err_t reserve(struct dynamics *d, int64_t nwords, struct err *e)
{
    struct arena *a = &d->scratch;
    const size_t bytes = (size_t)arithmetic_bytes(d->arithmetic);
    void **const values[] = {&d->base, &d->before, &d->now, &d->old_bits, &d->new_bits};
    uint64_t **const bitmaps[] = {&d->changed_before, &d->from_start, &d->from_previous,
                                  &d->ever,           &d->final,      &d->keep_bits};
    if (nwords <= d->cap_words)
        return ERR_OK;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        arena_drop(a, *values[i]);
        TRY(arena_array_at(a, "dynamics.values", 64 * nwords + BITS_SLACK, bytes, values[i], e));
    }
    for (size_t i = 0; i < sizeof bitmaps / sizeof *bitmaps; i++) {
        arena_drop(a, *bitmaps[i]);
        TRY(arena_array(a, "dynamics.bitmap", nwords + 2, bitmaps[i], e));
    }
    d->cap_words = nwords;
    return ERR_OK;
}

/* Counts blocks [from, to) of all members. The last comes first: the others are held against what it left. */
static err_t count_blocks(struct dynamics *d, int64_t from, int64_t to, struct err *e)
{
    struct update_part part;
    if (from >= to)
        return ERR_OK;
    struct member *last = &d->members[d->n - 1];
    TRY(read_member(d, last, from, to, &part, e));
    int64_t nwords = part.nwords;
    TRY(reserve(d, nwords, e));
    update_from_start(d, &part, d->final);
    leave_member(d, last);
    memset(d->changed_before, 0, (size_t)nwords * sizeof *d->changed_before);
    memset(d->ever, 0, (size_t)nwords * sizeof *d->ever);
    for (struct member *m = d->members; m <= last; m++) {
        struct counts *c = &m->counts;
        TRY(read_member(d, m, from, to, &part, e));
        update_from_start(d, &part, d->from_start);
        update_from_previous(d, &part, d->from_previous);
        leave_member(d, m);
        for (int64_t w = 0; w < nwords; w++)
            d->ever[w] |= d->from_start[w] | d->from_previous[w];
        c->from_start += bits_count(d->from_start, nwords);
        c->from_previous += bits_count(d->from_previous, nwords);
        c->ever += bits_count(d->ever, nwords);
        c->outside += bits_count_without(d->from_previous, d->final, nwords);
        c->ever_outside += bits_count_without(d->ever, d->final, nwords);
    }
    return ERR_OK;
}

/* ---- the stage ---- */

/* Share of a whole; NaN of nothing. */
static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

/* Process 0. The rows of the run. */
static err_t add_rows(struct dynamics *d, struct err *e)
{
    const struct ctx *ctx = d->ctx;
    const struct counts *last = &d->members[d->n - 1].counts;
    int64_t n = d->layout.elements, previous = -1;
    for (int k = 0; k < d->n; k++) {
        const struct counts *c = &d->members[k].counts;
        int64_t step = d->members[k].delta->cell->step;
        TRY(TABLE_ADD_OF(dynamics_table, &d->steps, e, V_TEXT(ctx->node), V_TEXT(ctx->base), V_TEXT(d->run),
                         V_INT(step), V_INT(previous), V_INT(n), V_INT(c->from_start),
                         V_REAL(1 - share(c->from_start, n)), V_INT(c->from_previous),
                         V_REAL(1 - share(c->from_previous, n)), V_INT(c->ever), V_INT(c->outside),
                         V_REAL(share(c->outside, last->ever)), V_INT(c->ever_outside),
                         V_REAL(share(c->ever_outside, c->ever))));
        previous = step;
    }
    return TABLE_ADD_OF(totals_table, &d->totals, e, V_TEXT(ctx->node), V_TEXT(ctx->base), V_TEXT(d->run),
                        V_INT(d->n), V_INT(n), V_INT(n - last->ever), V_INT(last->ever_outside),
                        V_INT(last->from_start), V_REAL(share(n - last->ever, n)),
                        V_REAL(share(last->ever_outside, n)), V_REAL(share(last->from_start, n)));
}

/* Collective. One run, from its first member's layout to its rows. done: share of the node before it. */
static err_t measure_run(struct dynamics *d, double done, double of_node, struct err *e)
{
    const struct comm *c = d->ctx->comm;
    const struct layout *l = &d->layout;
    struct walk w;
    int64_t window = 0;
    if (open_run(d, &window, e) == ERR_OK)
        walk_start(&w, c, l, window, NULL, d->ctx->arena, e);
    TRY_ALL(c, e);
    while (walk_next(&w, e)) {
        ctx_item(d->ctx, walk_tensor(&w));
        if (e->code == ERR_OK)
            count_blocks(d, w.from, w.to, e);
        TRY(walk_agree(&w, e));
        ctx_progress(d->ctx, done + of_node * walk_done(&w), d->read_bytes);
        d->read_bytes = 0;
    }
    TRY(walk_finish(&w, e));
    for (int k = 0; k < d->n; k++)
        comm_sum_to_root(c, (int64_t *)&d->members[k].counts, COUNTS);
    if (c->me == 0)
        add_rows(d, e);
    return comm_agree(c, e);
}

static err_t write_tables(const struct dynamics *d, struct err *e)
{
    struct h5 *f;
    TRY(artifact_tables(d->ctx->out, &f, e));
    TRY(h5_set_text(f, "/", "criterion", criteria[d->p->criterion], e));
    TRY(h5_set_real(f, "/", "tolerance", d->p->criterion == CRITERION_ABSOLUTE ? d->p->tolerance : 0, e));
    TRY(h5_table_write(f, d->steps.schema->name, &d->steps, e));
    return h5_table_write(f, d->totals.schema->name, &d->totals, e);
}

static err_t dynamics_run(struct ctx *ctx, struct err *e)
{
    struct dynamics d = {.ctx = ctx, .p = ctx->params};
    err_t code = ERR_OK;
    arena_init(&d.scratch, ctx->arena->mem);
    table_start(&d.steps, &dynamics_table, ctx->arena);
    table_start(&d.totals, &totals_table, ctx->arena);
    for (int i = 0; i < ctx->ninputs && code == ERR_OK; i++) {
        find_run(&d, i, e);
        code = comm_agree(ctx->comm, e);
        if (code == ERR_OK && d.n > 0)
            code = measure_run(&d, (double)i / ctx->ninputs, 1.0 / ctx->ninputs, e);
        end_run(&d);
    }
    if (code == ERR_OK) {
        if (ctx->comm->me == 0)
            write_tables(&d, e);
        code = comm_agree(ctx->comm, e);
    }
    arena_release(&d.scratch);
    return code;
}

static const struct stage_work dynamics_work[] = {WORK("elements", 0.3e9), WORK_END};

/* As if all cells on the base were of runs: steps are not known here. */
static void dynamics_plan(const struct plan_view *view, struct estimate *out)
{
    if (!view->base)
        return;
    double n = (double)view->base->parameters, window = (double)WINDOW_BLOCKS * LAYOUT_BLOCK;
    out->work[0] = n * view->ncells;
    out->write_bytes = out->kept_bytes = 2e4 * view->ncells;
    out->parts = n / LAYOUT_BLOCK;
    out->read_bytes = out->reread_bytes =
        (n / 8 + n) * view->ncells; /* bitmaps, and the values of a quarter of the elements */
    out->flops = n / 2 * view->ncells;
    int open = view->ncells < KEEP_OPEN ? view->ncells : KEEP_OPEN;
    out->process_bytes = (window < n ? window : n) * (11 + 5.0 * open) + 1e6;
    if (view->memory_bytes > 0 && out->process_bytes > (double)view->memory_bytes / 2)
        out->process_bytes = (double)view->memory_bytes / 2; /* it takes smaller windows then */
    out->known = 1;
}

const struct stage stage_dynamics = {
    .kind = "dynamics",
    .brief = "how a run's update grows over its steps: what is updated, cancelled again, and kept",
    .version = 1,
    .scope = SCOPE_BASE,
    .params = dynamics_params,
    .params_size = sizeof(struct dynamics_params),
    .inputs = dynamics_inputs,
    .reported = 1,
    .plan = dynamics_plan,
    .work = dynamics_work,
    .tables = dynamics_tables,
    .run = dynamics_run};
