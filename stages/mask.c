/* mask: one bit per compared element, 1 where the criterion calls it updated. */
#include "study/stage.h"

#include "elements/bits/bits.h"
#include "kernels/change/criterion.h"
#include "elements/magnitude/magnitude.h"
#include "compare/maskfile.h"
#include "compare/scopes.h"
#include "compare/update.h"
#include "compare/walk.h"

#include <math.h>
#include <string.h>

struct mask_params {
    int criterion;
    double tolerance, eta;
};

static const char *const criteria[] = {"absolute", "bits", "relative", NULL};

static const struct param mask_params[] = {
    {"criterion", PARAM_CHOICE, offsetof(struct mask_params, criterion), NULL, "absolute", 0, 0, criteria,
     "absolute: |difference| > tolerance; bits: bits differ; relative: |difference| > eta * max(|w0|, |w1|)"},
    {"tolerance", PARAM_REAL, offsetof(struct mask_params, tolerance), "weight units", "1e-5", 0, 1e30, NULL,
     "of criterion absolute; rounded to the compare type as torch.isclose does"},
    {"eta", PARAM_REAL, offsetof(struct mask_params, eta), "1", "1e-3", 0, 1e30, NULL,
     "of criterion relative"},
    {0}};

static const struct schema *const mask_tables[] = {&schema_sparsity,
                                                   &schema_layers,
                                                   &schema_modules,
                                                   &schema_tensor_sparsity,
                                                   &schema_compared,
                                                   &schema_bins,
                                                   NULL};

static const char *const mask_inputs[] = {"delta", NULL};

/* Updated elements of one tensor. */
struct mask_tally {
    int64_t updated, bins[MAGNITUDE_BINS];
};
enum { TALLY_WORDS = (int)(sizeof(struct mask_tally) / sizeof(int64_t)) };

static const struct stage_work mask_work[] = {WORK("elements", 1.7e9), WORK_END};

static void mask_plan(const struct plan_view *view, struct estimate *out)
{
    if (!view->base)
        return;
    double n = (double)view->base->parameters;
    out->read_bytes = out->reread_bytes =
        n / 8 + n; /* the bitmap, and the values of a quarter of the elements */
    out->write_bytes = n / 8 + 2e4 + 1500 * (double)view->base->ntensors; /* tables, measured */
    out->kept_bytes = 5000 + 150 * (double)view->base->ntensors;
    out->flops = n / 4;
    out->work[0] = n;
    out->parts = n / LAYOUT_BLOCK;
    double window = (double)update_window_blocks(ARITHMETIC_BF16, view->memory_bytes) * LAYOUT_BLOCK;
    out->process_bytes = (double)readahead_bytes(&view->read) + walk_bytes(sizeof(struct mask_tally)) +
                         (window < n ? window : n) * 6 +
                         1e6; /* values and bits of a bf16 pair, their buffers doubling */
    out->likely_bytes =
        (window < n ? window : n) * 1.6 + 1e6 +
        fmin(walk_bytes(sizeof(struct mask_tally)), (double)view->base->ntensors * sizeof(struct mask_tally));
    out->known = 1;
}

struct mask {
    struct ctx *ctx;
    const struct mask_params *p;
    struct update *update;
    const struct layout *layout;
    enum arithmetic arithmetic;
    struct criterion criterion;
    struct h5_bulk *bits;
    uint64_t *keep; /* of the part's values, a bit each: updated or not */
    int64_t cap_keep;
    struct walk walk;
    /* process 0 */
    int64_t *updated;  /* per tensor */
    struct table bins; /* of this mask */
};

/* The flags of a part's values as a bit stream, and the magnitudes of those that are set into each block's
 * tensor. */
static void flag_part(struct mask *m, const struct update_part *p)
{
    enum { BUNCH = 4096 };
    uint8_t flag[BUNCH + 7];
    int64_t bytes = arithmetic_bytes(m->arithmetic);
    memset(m->keep, 0, (size_t)(p->nvalues / 64 + 2) * sizeof *m->keep);
    for (int64_t b = p->from; b < p->to; b++) {
        struct mask_tally *t = walk_sums(&m->walk, layout_block(m->layout, b).tensor);
        int64_t end = p->first_value[b + 1 - p->from];
        for (int64_t at = p->first_value[b - p->from]; at < end; at += BUNCH) {
            int64_t n = end - at < BUNCH ? end - at : BUNCH;
            const char *old_bits = (const char *)p->old_bits + at * bytes,
                       *new_bits = (const char *)p->new_bits + at * bytes;
            criterion_flags(&m->criterion, old_bits, new_bits, n, flag);
            bits_add_flags(m->keep, at, flag, n);
            for (int64_t i = 0; i < n; i++)
                t->bins[magnitude_bin(m->arithmetic, old_bits, i)] += flag[i];
        }
    }
}

/* Turns the part's bitmap of changed elements into the mask, in place, and counts. */
static err_t mask_part(struct mask *m, struct update_part *p, struct err *e)
{
    TRY(arena_grow(m->ctx->arena, "mask.flags", p->nvalues / 64 + 2, &m->cap_keep, &m->keep, e));
    flag_part(m, p);
    bits_narrow(p->isa, p->words, p->nwords, m->keep);
    int64_t nonfinite = 0, word = 0;
    for (int64_t b = p->from; b < p->to; b++) {
        struct block at = layout_block(m->layout, b);
        struct mask_tally *t = walk_sums(&m->walk, at.tensor);
        for (; nonfinite < p->nnonfinite && p->nonfinite[nonfinite] < 64 * (word + at.nwords); nonfinite++) {
            if (m->p->criterion == CRITERION_BITS)
                continue;
            p->words[p->nonfinite[nonfinite] / 64] |= (uint64_t)1 << (p->nonfinite[nonfinite] % 64);
            t->bins[magnitude_bin(m->arithmetic, p->nonfinite_bits, nonfinite)]++;
        }
        t->updated += bits_count(p->words + word, at.nwords);
        word += at.nwords;
    }
    return ERR_OK;
}

/* Process 0. One finished tensor. */
static err_t add_tensor(struct mask *m, int64_t t, const struct mask_tally *x, struct err *e)
{
    m->updated[t] = x->updated;
    for (int b = 0; b < MAGNITUDE_BINS; b++)
        if (x->bins[b] > 0)
            TRY(TABLE_ADD(&m->bins, e, V_INT(t), V_INT(b), V_INT(0), V_INT(x->bins[b])));
    return ERR_OK;
}

/* Collective. Adds up a tensor's counts over processes; process 0 keeps the sums. */
static void end_tensor(void *arg, int64_t t, void *sums, struct err *e)
{
    struct mask *m = arg;
    const struct comm *c = m->ctx->comm;
    const struct mask_tally none = {0};
    if (sums)
        comm_sum_to_root(c, sums, TALLY_WORDS);
    if (c->me == 0 && e->code == ERR_OK)
        add_tensor(m, t, sums ? sums : &none, e);
}

/* Process 0. The bins of the delta artifact hold all elements of the base; this mask's counts take the place
 * of delta's. Both are sorted by tensor and bin. */
static err_t merge_bins(struct mask *m, const char *delta_artifact, struct table *merged, struct err *e)
{
    struct arena *a = m->ctx->arena;
    struct table base;
    table_start(merged, &schema_bins, a);
    TRY(update_bins(m->update, &base, a, e));
    struct int_column tensors, bins, elements, own_tensors, own_bins, own_updated;
    TRY(table_ints(&base, "tensor_index", &tensors, e));
    TRY(table_ints(&base, "bin", &bins, e));
    TRY(table_ints(&base, "elements", &elements, e));
    TRY(table_ints(&m->bins, "tensor_index", &own_tensors, e));
    TRY(table_ints(&m->bins, "bin", &own_bins, e));
    TRY(table_ints(&m->bins, "updated", &own_updated, e));
    int64_t k = 0;
    for (int64_t i = 0; i < base.nrows; i++) {
        int64_t tensor = int_at(&tensors, i), bin = int_at(&bins, i), updated = 0;
        if (k < m->bins.nrows && int_at(&own_tensors, k) == tensor && int_at(&own_bins, k) == bin)
            updated = int_at(&own_updated, k++);
        TRY(TABLE_ADD(merged, e, V_INT(tensor), V_INT(bin), V_INT(int_at(&elements, i)), V_INT(updated)));
    }
    if (k != m->bins.nrows)
        return err_set(e, ERR_DATA,
                       "%s: its magnitude bins do not fit its update; delete it and run delta again",
                       delta_artifact);
    return ERR_OK;
}

static err_t write_tables(struct mask *m, const char *delta_artifact, struct err *e)
{
    struct ctx *ctx = m->ctx;
    struct arena *a = ctx->arena;
    const struct layout *l = m->layout;
    const char *cell = ctx->cell->name, *criterion = criteria[m->p->criterion];
    double tolerance = m->p->criterion == CRITERION_ABSOLUTE   ? m->p->tolerance
                       : m->p->criterion == CRITERION_RELATIVE ? m->p->eta
                                                               : 0;
    struct h5 *f;
    struct table sparsity, tensors, layers, modules, bins;
    TRY(merge_bins(m, delta_artifact, &bins, e));
    TRY(artifact_tables(ctx->out, &f, e));
    const struct maskfile_kind kind = {criterion, arithmetic_name(m->arithmetic), tolerance};
    TRY(maskfile_describe(f, l, &kind, &bins, a, e));
    table_init(&sparsity, "sparsity", a);
    table_init(&tensors, "tensor_sparsity", a);
    int64_t updated = 0;
    for (int64_t t = 0; t < l->ntensors; t++) {
        updated += m->updated[t];
        TRY(TABLE_ADD(&tensors, e, V_TEXT(cell), V_TEXT(ctx->node), V_TEXT(l->tensors[t].name),
                      V_TEXT(criterion), V_REAL(tolerance), V_INT(m->updated[t])));
    }
    TRY(TABLE_ADD(&sparsity, e, V_TEXT(cell), V_TEXT(ctx->node), V_TEXT(criterion), V_REAL(tolerance),
                  V_INT(l->elements), V_INT(updated),
                  V_REAL(l->elements > 0 ? 1 - (double)updated / (double)l->elements : 1)));
    TRY(scopes_tables(l, m->updated, NULL, cell, ctx->node, &layers, &modules, a, e));
    const struct table *all[] = {&sparsity, &tensors, &layers, &modules};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        TRY(h5_table_write(f, all[i]->schema->name, all[i], e));
    return ERR_OK;
}

static err_t prepare(struct mask *m, const char *delta_artifact, struct err *e)
{
    struct arena *a = m->ctx->arena;
    TRY(update_open(delta_artifact, &m->ctx->read, a, &m->update, e));
    m->layout = update_layout(m->update);
    m->arithmetic = update_arithmetic(m->update);
    m->criterion = (struct criterion){.kind = (enum criterion_kind)m->p->criterion,
                                      .arithmetic = m->arithmetic,
                                      .tolerance = tolerance_rounded(m->arithmetic, m->p->tolerance),
                                      .eta = m->p->eta};
    TRY(arena_array(a, "mask.updated", m->layout->ntensors, &m->updated, e));
    table_start(&m->bins, &schema_bins, a);
    const struct walk_sums sums = {.bytes = sizeof(struct mask_tally), .end = end_tensor, .arg = m};
    return walk_start(&m->walk, m->ctx->comm, m->layout,
                      update_window_blocks(m->arithmetic, m->ctx->memory_bytes) * (int64_t)LAYOUT_BLOCK,
                      &sums, a, e);
}

static err_t mask_run(struct ctx *ctx, struct err *e)
{
    const struct comm *c = ctx->comm;
    const char *delta_artifact = ctx_input(ctx, "delta", NULL)->path;
    struct mask m = {.ctx = ctx, .p = ctx->params};
    err_t code = ERR_OK;
    prepare(&m, delta_artifact, e);
    TRY_OUT(code, comm_agree(c, e));
    const struct layout *l = m.layout;
    TRY_OUT(code, maskfile_create(ctx->out, l, &m.bits, e));
    struct walk *w = &m.walk;
    while (walk_next(w, e)) {
        struct update_part part = {0};
        ctx_item(ctx, walk_tensor(w));
        if (e->code == ERR_OK && update_read(m.update, w->from, w->to, &part, e) == ERR_OK &&
            w->from < w->to && mask_part(&m, &part, e) == ERR_OK)
            h5_put(m.bits, layout_block(l, w->from).word, part.nwords, part.words, e);
        TRY_OUT(code, walk_agree(w, e));
        ctx_progress(ctx, walk_done(w), (double)(16 * part.nwords + 4 * part.nvalues));
    }
    TRY_OUT(code, walk_finish(w, e));
    TRY_OUT(code, comm_agree(c, e));
    TRY_OUT(code, artifact_bulk_done(ctx->out, e));
    if (c->me == 0)
        write_tables(&m, delta_artifact, e);
    code = comm_agree(c, e);
out:
    update_close(m.update);
    return code;
}

const struct stage stage_mask = {.kind = "mask",
                                 .brief = "one bit per element: updated or not, by a criterion",
                                 .version = 3,
                                 .scope = SCOPE_CELL,
                                 .params = mask_params,
                                 .params_size = sizeof(struct mask_params),
                                 .inputs = mask_inputs,
                                 .reported = 1,
                                 .plan = mask_plan,
                                 .work = mask_work,
                                 .tables = mask_tables,
                                 .datasets = maskfile_datasets,
                                 .run = mask_run};
