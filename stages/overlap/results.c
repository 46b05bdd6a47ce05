#include "overlap/results.h"

#include "kernels/overlap/overlap_counts.h"

#include <math.h>
#include <string.h>

enum {
    BATCH_ROWS = 1 << 15 /* of a result table in memory */
};

SCHEMA(overlap_table, "overlap", KEPT_IN_ARCHIVE,
       "Overlap of the updated sets of every two cells on one base, beside two null models.", C_NODE,
       C_TEXT("base", "the base checkpoint"), C_TEXT("cell_1", "first cell"), C_TEXT("cell_2", "second cell"),
       C_TEXT("varies", "what differs between the cells: family, algorithm, seed, data, step, joined by +"),
       C_SCOPE, C_PARAMETERS, C_INT("updated_1", "elements updated in cell_1"),
       C_INT("updated_2", "elements updated in cell_2"), C_INT("intersection", "elements updated in both"),
       C_REAL("o1", "1", "intersection / updated_1; NaN for an empty set"),
       C_REAL("o2", "1", "intersection / updated_2; NaN for an empty set"),
       C_REAL("jaccard", "1", "intersection / union; NaN for an empty union"),
       C_REAL("random_intersection", "elements",
              "expected by uniform chance: updated_1 * updated_2 / parameters"),
       C_REAL("random_o1", "1", "random_intersection / updated_1"),
       C_REAL("random_o2", "1", "random_intersection / updated_2"),
       C_REAL("random_jaccard", "1", "random_intersection / (updated_1 + updated_2 - random_intersection)"),
       C_REAL("matched_intersection", "elements",
              "expected by independence given the tensor and the magnitude bin of |w0|"),
       C_REAL("matched_o1", "1", "matched_intersection / updated_1"),
       C_REAL("matched_o2", "1", "matched_intersection / updated_2"),
       C_REAL("matched_jaccard", "1",
              "matched_intersection / (updated_1 + updated_2 - matched_intersection)"),
       C_REAL("random_z", "standard deviations",
              "(intersection - random_intersection) / its hypergeometric deviation"),
       C_REAL("matched_z", "standard deviations",
              "(intersection - matched_intersection) / its hypergeometric deviation"));

SCHEMA(consensus_table, "consensus", KEPT_IN_ARCHIVE,
       "How many parameters are updated in at least k of the K cells on one base.", C_NODE,
       C_TEXT("base", "the base checkpoint"), C_SCOPE, C_INT("cells", "K"),
       C_INT("k", "at least so many cells"), C_INT("updated_in_at_least_k", "elements"));

const struct schema *const overlap_tables[] = {&overlap_table, &consensus_table, NULL};

static err_t add_pair_row(const struct overlap *o, struct table *t, int i, int j, int64_t scope,
                          struct err *e)
{
    const struct cell *a = o->mask[i]->cell, *b = o->mask[j]->cell;
    int64_t at = overlap_pair(o->k, i, j) * o->nscopes + scope, n = o->scopes.parameters[scope];
    int64_t n1 = o->own[i * o->nscopes + scope], n2 = o->own[j * o->nscopes + scope];
    double u1 = (double)n1, u2 = (double)n2, both = (double)o->both[at];
    double uniform = 0, uniform_variance = 0, matched = o->expected[at], matched_variance = o->variance[at];
    overlap_chance(n, n1, n2, &uniform, &uniform_variance);
    if (o->apart[i] || o->apart[j])
        matched = matched_variance = NAN;
    char text[CELL_VARIES];
    return TABLE_ADD_OF(
        overlap_table, t, e, V_TEXT(o->ctx->node), V_TEXT(o->ctx->base), V_TEXT(a->name), V_TEXT(b->name),
        V_TEXT(cell_varies(a, b, text, sizeof text)), V_TEXT(o->scopes.name[scope]), V_INT(n), V_INT(n1),
        V_INT(n2), V_INT(o->both[at]), V_REAL(overlap_ratio(both, u1)), V_REAL(overlap_ratio(both, u2)),
        V_REAL(overlap_ratio(both, u1 + u2 - both)), V_REAL(uniform), V_REAL(overlap_ratio(uniform, u1)),
        V_REAL(overlap_ratio(uniform, u2)), V_REAL(overlap_ratio(uniform, u1 + u2 - uniform)),
        V_REAL(matched), V_REAL(overlap_ratio(matched, u1)), V_REAL(overlap_ratio(matched, u2)),
        V_REAL(overlap_ratio(matched, u1 + u2 - matched)),
        V_REAL(overlap_score(both, uniform, uniform_variance)),
        V_REAL(overlap_score(both, matched, matched_variance)));
}

/* Text widths of the whole table, for one that is written in batches. */
static err_t text_widths(const struct overlap *o, int widths[SCHEMA_MAX_COLUMNS], struct err *e)
{
    int cell = 1, scope = 1;
    for (int i = 0; i < o->k; i++) {
        int n = (int)strlen(o->mask[i]->cell->name);
        cell = n > cell ? n : cell;
    }
    for (int64_t i = 0; i < o->nscopes; i++) {
        int n = (int)strlen(o->scopes.name[i]);
        scope = n > scope ? n : scope;
    }
    const struct {
        const char *column;
        int width;
    } texts[] = {{"node", (int)strlen(o->ctx->node)},
                 {"base", (int)strlen(o->ctx->base)},
                 {"cell_1", cell},
                 {"cell_2", cell},
                 {"varies", CELL_VARIES - 1},
                 {"scope", scope}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TRY(schema_set_width(&overlap_table, texts[i].column, texts[i].width, widths, e));
    return ERR_OK;
}

static err_t write_overlap(const struct overlap *o, struct h5 *f, struct arena *scratch, struct err *e)
{
    int64_t left = o->npairs * o->nscopes;
    int batches = left > BATCH_ROWS;
    struct table t;
    arena_reset(scratch);
    table_start(&t, &overlap_table, scratch);
    if (batches) {
        int widths[SCHEMA_MAX_COLUMNS] = {0};
        TRY(text_widths(o, widths, e));
        TRY(h5_table_create(f, "overlap", t.schema, widths, BATCH_ROWS, e));
    }
    for (int i = 0; i < o->k; i++)
        for (int j = i + 1; j < o->k; j++)
            for (int64_t s = 0; s < o->nscopes; s++) {
                TRY(add_pair_row(o, &t, i, j, s, e));
                left--;
                if (!batches || (t.nrows < BATCH_ROWS && left > 0))
                    continue;
                TRY(h5_table_append(f, "overlap", &t, e));
                arena_reset(scratch);
                table_start(&t, &overlap_table, scratch);
            }
    return batches ? ERR_OK : h5_table_write(f, "overlap", &t, e);
}

static err_t write_consensus(const struct overlap *o, struct h5 *f, struct arena *scratch, struct err *e)
{
    struct table t;
    arena_reset(scratch);
    table_start(&t, &consensus_table, scratch);
    for (int64_t s = 0; s < o->nscopes; s++) {
        int64_t *exactly = o->exactly + s * (o->k + 1);
        for (int k = o->k - 1; k >= 1; k--)
            exactly[k] += exactly[k + 1]; /* now: in at least k */
        for (int k = 1; k <= o->k; k++)
            TRY(TABLE_ADD_OF(consensus_table, &t, e, V_TEXT(o->ctx->node), V_TEXT(o->ctx->base),
                             V_TEXT(o->scopes.name[s]), V_INT(o->k), V_INT(k), V_INT(exactly[k])));
    }
    return h5_table_write(f, "consensus", &t, e);
}

err_t overlap_write(const struct overlap *o, struct arena *scratch, struct err *e)
{
    struct h5 *f = NULL;
    TRY(artifact_tables(o->ctx->out, &f, e));
    TRY(write_overlap(o, f, scratch, e));
    return write_consensus(o, f, scratch, e);
}
