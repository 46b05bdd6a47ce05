/* rank: singular values of each two-dimensional update, and what they say: numerical, stable and effective
 * rank.
 *
 * Most matrices fit one process, and then as many are decomposed at once as there are processes. A matrix
 * that needs more memory than one process may have, or more time than its fair share, receives a team of
 * processes. Teams of one size make a phase; phases run from the largest teams to the smallest. All processes
 * make the same plan. Without spectra singular values are counted, as far as that leaves no doubt. */
#include "study/stage.h"

#include "linalg/grid.h"
#include "compare/layout.h"
#include "kernels/spectrum/spectrum.h"
#include "kernels/spectrum/teams.h"
#include "compare/update.h"
#include "compare/verdict.h"
#include "rank/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPECTRUM_FULL = 0, SPECTRUM_NONE };

/* Singular values below this share of the largest lose digits in a Gram matrix; where the user's tolerance
 * lies below it, the matrix is decomposed in full instead. */
static const double GRAM_RESOLVES = 3e-7;

struct rank_params {
    double tolerance;
    int spectrum;
    struct text_list skip;
    int64_t sample;
};

static const char *const spectra[] = {"full", "none", NULL};

static const struct param rank_params[] = {
    {"tolerance", PARAM_REAL, offsetof(struct rank_params, tolerance), "weight units", "0", 0, 1e30, NULL,
     "singular values above it count, as in torch.linalg.matrix_rank(tol=...); 0: max(rows, cols) * 2^-23 * "
     "sigma_max"},
    {"spectrum", PARAM_CHOICE, offsetof(struct rank_params, spectrum), NULL, "full", 0, 0, spectra,
     "full: all singular values are computed and kept; none: only the rank, sigma_max and the stable rank, "
     "several times faster"},
    {"skip", PARAM_TEXTS, offsetof(struct rank_params, skip), NULL, "[layernorm]", 0, 0, NULL,
     "tensors whose names contain one of these get no rank, as in the published script"},
    {"sample", PARAM_INT, offsetof(struct rank_params, sample), "matrices", "0", 0, 1e6, NULL,
     "how many matrices are measured, drawn by a hash of their names from those that changed; 0: all"},
    {0}};

SCHEMA(
    rank_table, "rank", KEPT_IN_ARCHIVE,
    "Numerical rank of each two-dimensional update, from its singular values.", C_CELL, C_NODE, C_TENSOR,
    C_LAYER, C_MODULE, C_INT("rows", "rows"), C_INT("cols", "columns"),
    C_INT("matrix_rank", "singular values above the tolerance"), C_INT("max_rank", "min(rows, cols)"),
    C_REAL("rank_percent", "%", "100 * matrix_rank / max_rank"),
    C_REAL("tolerance", "weight units",
           "absolute; default max(rows, cols) * 2^-23 * sigma_max, as numpy and torch have it"),
    C_REAL("sigma_max", "weight units", "largest singular value"),
    C_REAL("sigma_min", "weight units", "smallest singular value; NaN with `spectrum: none`"),
    C_REAL("stable_rank", "1", "squared Frobenius norm / sigma_max^2; 0 for a zero update"),
    C_REAL("effective_rank", "1",
           "exp of the entropy of the normalised singular values; 0 for a zero update, NaN with "
           "`spectrum: none`"),
    C_INT("ambiguous",
          "1 where a singular value is so near the tolerance that float32 arithmetic may count otherwise"),
    C_INT("spectrum_offset", "where the spectrum begins in /spectra/NODE; -1 where it was not kept"),
    C_INT("spectrum_length", "singular values in the spectrum, descending"),
    C_REAL("top20_energy", "1",
           "share of the sum of squares in the 20 largest singular values, 0 to 1; NaN for a zero update and "
           "with `spectrum: none`"));

SCHEMA(
    methods_table, "methods", KEPT_IN_ARTIFACT, "How each matrix was decomposed.", C_TENSOR,
    C_TEXT("method",
           "gram, gram block-cyclic or svd: all singular values; cholesky, cholesky+inertia: counted in "
           "float64; cholesky in float32: all are proved to lie above the tolerance"),
    C_INT("processes", "team size"), C_REAL("seconds", "s", "wall time"),
    C_REAL("rounding", "1",
           "no squared singular value was off by more than this share of sigma_max^2 where it was counted; "
           "NaN where all were computed"),
    C_REAL("sigma_least", "weight units",
           "no singular value that counts is less, by the proof in float32; NaN where there is none"));

static const struct dataset rank_datasets[] = {
    {.name = "/spectra",
     .type = H5_REAL64,
     .units = "weight units",
     .description =
         "singular values of the updates, descending, matrix after matrix; table rank says where each "
         "begins; NaN where an update is not finite",
     .table = &rank_table,
     .offset = "spectrum_offset",
     .archived = "singular values, descending within each matrix; offsets and lengths stand in table rank",
     .group = "singular values of the updates; table rank says where each spectrum begins"},
    {0}};

static const struct schema *const rank_tables[] = {&rank_table, &schema_verdicts, &schema_skipped,
                                                   &methods_table, NULL};

/* Why a tensor receives no rank, or NULL. */
static const char *skip_reason(const struct rank_params *p, const char *name, int ndim, const int64_t *dims,
                               char *text, int size)
{
    for (int i = 0; i < p->skip.n; i++)
        if (p->skip.v[i][0] && strstr(name, p->skip.v[i])) {
            snprintf(text, (size_t)size, "name contains %s", p->skip.v[i]);
            return text;
        }
    if (ndim != 2) {
        snprintf(text, (size_t)size, "%d-D", ndim);
        return text;
    }
    return dims[0] < 1 || dims[1] < 1 ? "empty" : NULL;
}

/* ---- who decomposes what ---- */

static int64_t smaller(int64_t rows, int64_t cols)
{
    return rows < cols ? rows : cols;
}

static int counting(const struct rank_params *p)
{
    return p->spectrum == SPECTRUM_NONE;
}

/* Most matrices are decomposed through the Gram matrix. Where even its default tolerance, or a twentieth of
 * it so that values near it have digits left, is beyond that, the matrix is tiny. */
static enum grid_method method_of(const struct rank_params *p, int64_t rows, int64_t cols, int np,
                                  double available)
{
    if (!grid_gram_resolves(0.05 * spectrum_tolerance(rows, cols, 1)))
        return GRID_SVD;
    return grid_gram_method(rows, cols, np, counting(p), available);
}

/* Operations of counting the singular values beyond the tolerance, in float64: a factorization takes a third
 * of the cube, in float32 half as long. One of these proves the full rank of a matrix that is longer than
 * wide as a rule; where rows and columns are about as many, small values are there, and counts of float64
 * follow. */
static double count_flops(double small, double large)
{
    const double factor = small * small * small / 3;
    return large > 1.25 * small ? factor / 2 : 2.5 * factor;
}

/* Time of a team of np, in units of flops of a dense product. Adding up a Gram matrix whole leaves out zeros,
 * and the solving is one process's; tridiagonalisation, being bound by memory, runs at half the speed of a
 * product. */
static double cost(const void *arg, int64_t rows, int64_t cols, int np, double available)
{
    const struct rank_params *p = arg;
    double small = (double)smaller(rows, cols), large = (double)(rows < cols ? cols : rows),
           tiny = 1e5; /* so that tiny matrices are dealt out evenly too */
    if (method_of(p, rows, cols, np, available) == GRID_GRAM)
        return small * small * 0.25 * large / np +
               (counting(p) ? count_flops(small, large) : 2.4 * small * small * small) + tiny;
    return small * small * (large + 3.0 * small) / np + tiny;
}

static double process_bytes(const void *arg, int64_t rows, int64_t cols, int np, double available)
{
    const struct rank_params *p = arg;
    double bytes = grid_spectrum_bytes(method_of(p, rows, cols, np, available), rows, cols, np);
    if (p->tolerance > 0)
        bytes = fmax(bytes, grid_spectrum_bytes(GRID_SVD, rows, cols, np));
    return bytes + 8.0 * (double)smaller(rows, cols);
}

static struct team_costs costs_of(const struct rank_params *p, double available)
{
    return (struct team_costs){.cost = cost, .bytes = process_bytes, .arg = p, .available = available};
}

static void rank_plan(const struct plan_view *view, struct estimate *out)
{
    if (!view->base || !view->tuned)
        return;
    const struct rank_params *p = view->params;
    char text[300];
    double total = 0, longest = 0,
           available = view->memory_bytes > 0 ? (double)view->memory_bytes - RANK_ROWS_BYTES : INFINITY;
    const struct team_costs costs = costs_of(p, available);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < view->base->ntensors; i++) {
            const struct stored_tensor *t = &view->base->tensors[i];
            if (!decoder_is_number(t) || skip_reason(p, t->name, t->ndim, t->dims, text, sizeof text))
                continue;
            if (pass == 0) {
                out->work[0] += 1;
                total += cost(p, t->dims[0], t->dims[1], 1, available);
                continue;
            }
            int np = team_size(&costs, t->dims[0], t->dims[1], view->np, total);
            out->process_bytes =
                fmax(out->process_bytes, process_bytes(p, t->dims[0], t->dims[1], np, available));
            double small = (double)smaller(t->dims[0], t->dims[1]), square = small * small;
            out->work[1] += square;
            out->work[2] += (double)t->elements * small;
            if (counting(p))
                out->work[4] += count_flops(small, (double)t->elements / small);
            else
                out->work[3] += 4.0 / 3.0 * square * small;
            np = team_size(&costs, t->dims[0], t->dims[1], 1024, total);
            longest = fmax(longest, cost(p, t->dims[0], t->dims[1], np, available));
            out->shared_bytes += np > 1 ? 8 * square : 0;               /* the Gram matrix */
            out->read_bytes += (double)t->elements * (0.125 + 0.2 * 4); /* a fifth of old and new bits */
            out->write_bytes += p->spectrum == SPECTRUM_FULL ? 8.0 * small : 0;
        }
    double matrices = out->work[0], share = p->sample > 0 ? fmin(1, (double)p->sample / matrices) : 1;
    for (int k = 0; k < STAGE_WORKS; k++)
        out->work[k] *= share;
    out->flops = out->work[2] + out->work[3] + out->work[4];
    out->parts = longest > 0 ? fmax(1, share * total / longest) : 1;
    out->reread_bytes = out->read_bytes *= share;
    out->kept_bytes = out->write_bytes = share * (out->write_bytes + 300 * matrices);
    out->process_bytes += RANK_ROWS_BYTES + (double)readahead_bytes(&view->read);
    out->known = 1;
}

/* ---- the run ---- */

/* What process 0 is told of a matrix. Only words of 8 bytes: zero but on one process, they are gathered by
 * adding them as integers. */
struct result {
    int64_t processes, method, finite;
    struct spectrum found;
    double seconds, rounding, sigma_least;
};
enum { RESULT_WORDS = (int)(sizeof(struct result) / sizeof(int64_t)) };
_Static_assert(sizeof(struct result) % sizeof(int64_t) == 0 && sizeof(double) == sizeof(int64_t),
               "words of 8 bytes");

/* What is kept of a matrix that is done. */
struct kept_matrix {
    struct result result;
    double spectrum[]; /* where spectra are kept */
};

struct rank {
    struct ctx *ctx;
    const struct rank_params *p;
    struct rank_rows rows;
    int64_t nmatrices, nvalues;   /* singular values of all */
    char *measured;               /* by tensor */
    struct layout_drawn drawn;    /* from these, where not all are measured */
    struct team_matrix *matrices; /* by cost, longest first */
    struct result *results;       /* by tensor */
    double *load;                 /* per team, while dealing */
    struct h5_bulk *spectra;      /* NULL where they are not kept */
    double available;             /* bytes of memory, for one matrix */
    double done, planned;         /* cost, of this process */
};

static int64_t kept_bytes(const struct rank *r, const struct team_matrix *m)
{
    return (int64_t)sizeof(struct kept_matrix) +
           (r->spectra ? smaller(m->rows, m->cols) * (int64_t)sizeof(double) : 0);
}

/* Local, the same on all processes. Lists the matrices. */
static err_t list(struct rank *r, struct err *e)
{
    const struct layout *l = r->rows.layout;
    char text[300];
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *t = &l->tensors[i];
        r->measured[i] = !skip_reason(r->p, t->name, t->ndim, t->dims, text, sizeof text);
    }
    TRY(update_draw(r->rows.update, r->p->sample, r->measured, &r->drawn, e));
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *t = &l->tensors[i];
        if (!r->measured[i])
            continue;
        r->matrices[r->nmatrices++] = (struct team_matrix){i, t->dims[0], t->dims[1], r->nvalues, 1, 0, 0};
        r->nvalues += smaller(t->dims[0], t->dims[1]);
    }
    return ERR_OK;
}

/* Collective. Takes over what an earlier run has found out of matrices, each process of some, and takes these
 * off the list. */
static err_t restore(struct rank *r, struct err *e)
{
    struct ctx *ctx = r->ctx;
    const struct comm *c = ctx->comm;
    const struct step *steps;
    int64_t *kept = NULL, n = journal_steps(ctx->journal, &steps), left = 0, all = r->nmatrices;
    if (n == 0)
        return ERR_OK;
    arena_array(ctx->arena, "rank.kept", r->rows.layout->ntensors, &kept, e);
    for (int64_t i = 0; i < all && e->code == ERR_OK; i++) {
        const struct team_matrix *m = &r->matrices[i];
        const struct step *s = journal_find(ctx->journal, m->tensor);
        struct kept_matrix *x;
        if (!s || i % c->np != c->me || s->bytes != kept_bytes(r, m) ||
            arena_array_at(ctx->arena, "rank.kept", s->bytes, 1, (void **)&x, e) != ERR_OK)
            continue;
        if ((kept[m->tensor] = journal_get(ctx->journal, s, x)))
            r->results[m->tensor] = x->result;
        if (kept[m->tensor] && r->spectra)
            h5_put(r->spectra, m->offset, smaller(m->rows, m->cols), x->spectrum, e);
        arena_drop(ctx->arena, x);
    }
    TRY_ALL(c, e);
    comm_sum(c, kept, r->rows.layout->ntensors);
    for (int64_t i = 0; i < all; i++)
        if (!kept[r->matrices[i].tensor])
            r->matrices[left++] = r->matrices[i];
    r->nmatrices = left;
    arena_drop(ctx->arena, kept);
    log_info(ctx->log, "%s of %s: %lld of %lld matrices kept from an earlier run", ctx->node, ctx->label,
             (long long)(all - left), (long long)all);
    return ERR_OK;
}

/* Local, the same on all processes. Chooses team sizes for the matrices and deals them to teams. live_bytes:
 * the most that any process holds already. */
static err_t deal(struct rank *r, double live_bytes, struct err *e)
{
    const struct comm *c = r->ctx->comm;
    r->available = r->ctx->memory_bytes > 0 ? (double)r->ctx->memory_bytes - live_bytes : INFINITY;
    const struct team_costs costs = costs_of(r->p, r->available);
    const struct team_matrix *large = teams_deal(r->matrices, r->nmatrices, &costs, c->np, r->load);
    if (large)
        return err_set(
            e, ERR_SYSTEM,
            "%s: the singular values of a %lld x %lld update take %.1f MiB on each of %d processes, and "
            "%.1f MiB of the memory budget are free; raise memory_per_process or use more processes",
            r->rows.layout->tensors[large->tensor].name, (long long)large->rows, (long long)large->cols,
            process_bytes(r->p, large->rows, large->cols, large->processes, r->available) / 1048576,
            large->processes, fmax(r->available, 0) / 1048576);
    for (int64_t i = 0; i < r->nmatrices; i++)
        if (c->me / r->matrices[i].processes == r->matrices[i].team)
            r->planned += r->matrices[i].cost;
    return ERR_OK;
}

/* Collective on the team. All singular values of one matrix, and what they say. */
static err_t measure(struct rank *r, const struct team_matrix *m, struct grid *g, enum grid_method method,
                     struct arena *a, double *s, struct result *x, struct err *e)
{
    int64_t n = smaller(m->rows, m->cols);
    int finite;
    TRY(grid_singular_values(g, method, &(struct grid_matrix){m->rows, m->cols, rank_rows_get, &r->rows}, s,
                             &finite, a, e));
    double floor = GRAM_RESOLVES * s[0];
    if (finite && method != GRID_SVD && r->p->tolerance > 0 && r->p->tolerance < floor && s[n - 1] < floor)
        return measure(r, m, g, GRID_SVD, a, s, x, e);
    x->method = method;
    x->finite = finite;
    x->rounding = x->sigma_least = NAN;
    if (finite)
        spectrum_measure(s, n, m->rows, m->cols, r->p->tolerance, &x->found);
    return ERR_OK;
}

/* Collective on the team. The rank of one matrix without its singular values. *resolved: 0 where they are
 * needed. */
static err_t count(struct rank *r, const struct team_matrix *m, struct grid *g, struct arena *a,
                   struct result *x, int *resolved, struct err *e)
{
    struct grid_bound bound = {.tolerance = r->p->tolerance,
                               .share = spectrum_tolerance(m->rows, m->cols, 1),
                               .band = spectrum_band(m->rows, m->cols, 1)};
    struct grid_count found;
    TRY(grid_count_above(g, &(struct grid_matrix){m->rows, m->cols, rank_rows_get, &r->rows}, &bound, &found,
                         a, e));
    *resolved = found.resolved;
    x->method = found.method;
    x->finite = found.finite;
    x->rounding = found.rounding;
    x->sigma_least = found.sigma_least;
    x->found = (struct spectrum){.matrix_rank = found.above,
                                 .tolerance = found.tolerance,
                                 .sigma_max = found.sigma_max,
                                 .stable_rank = found.stable_rank,
                                 .ambiguous = found.ambiguous};
    return ERR_OK;
}

/* Collective on the team. One matrix. */
static err_t decompose(struct rank *r, const struct team_matrix *m, struct grid *g, const struct comm *team,
                       struct arena *a, struct err *e)
{
    int64_t n = smaller(m->rows, m->cols);
    double *s = NULL, started = clock_sec();
    int counted = 0;
    struct result x = {.processes = team->np};
    enum grid_method method = method_of(r->p, m->rows, m->cols, team->np, r->available);
    arena_array(a, "rank.spectrum", n, &s, e);
    TRY_ALL(team, e);
    r->rows.tensor = m->tensor;
    if (counting(r->p) && method == GRID_GRAM) {
        TRY(count(r, m, g, a, &x, &counted, e));
        method = GRID_SVD; /* where the count says that it cannot */
    }
    if (!counted)
        TRY(measure(r, m, g, method, a, s, &x, e));
    if (counting(r->p)) /* on every way there, so that all processes' tables are the same */
        x.found.sigma_min = x.found.effective_rank = x.found.top20_energy = NAN;
    x.seconds = clock_sec() - started;
    if (team->me == 0) {
        r->results[m->tensor] = x;
        if (r->spectra)
            h5_put(r->spectra, m->offset, n, s, e);
        const struct hash_part parts[] = {{&x, sizeof x}, {s, (size_t)n * sizeof *s}};
        if (e->code == ERR_OK)
            journal_put(r->ctx->journal, m->tensor, parts, r->spectra ? 2 : 1);
    }
    return comm_agree(team, e);
}

/* Collective on the node's processes. All matrices of team size t. */
static err_t phase(struct rank *r, int t, struct err *e)
{
    const struct comm *c = r->ctx->comm;
    int64_t here = 0;
    for (int64_t i = 0; i < r->nmatrices; i++)
        here += r->matrices[i].processes == t;
    if (here == 0)
        return ERR_OK;
    int k = c->me / t, busy = k < c->np / t;
    MPI_Comm mpi;
    MPI_TRY(MPI_Comm_split(c->mpi, busy ? k : MPI_UNDEFINED, c->me, &mpi));
    if (busy) {
        struct comm team;
        struct grid *g = NULL;
        struct arena a = {0};
        comm_init_within(&team, c, mpi);
        arena_init(&a, r->ctx->arena->mem);
        err_t code = grid_create(&g, &team, r->ctx->arena, e);
        for (int64_t i = 0; i < r->nmatrices && code == ERR_OK; i++) {
            const struct team_matrix *m = &r->matrices[i];
            if (m->processes != t || m->team != k)
                continue;
            ctx_item(r->ctx, r->rows.layout->tensors[m->tensor].name);
            code = decompose(r, m, g, &team, &a, e);
            err_item(e, "%s", r->rows.layout->tensors[m->tensor].name);
            arena_reset(&a);
            r->done += m->cost;
            ctx_progress(r->ctx, r->done / r->planned, r->rows.bytes_read);
            r->rows.bytes_read = 0;
        }
        if (code != ERR_OK && e->process >= 0)
            e->process += k * t; /* the team's number, among all */
        grid_destroy(g);
        arena_release(&a);
        MPI_TRY(MPI_Comm_free(&mpi));
    }
    return comm_agree(c, e);
}

/* Process 0. */
static err_t write_tables(struct rank *r, struct err *e)
{
    struct ctx *ctx = r->ctx;
    const struct layout *l = r->rows.layout;
    const char *cell = ctx->cell->name;
    struct table ranks, methods, skipped, verdicts;
    table_start(&ranks, &rank_table, ctx->arena);
    table_start(&methods, &methods_table, ctx->arena);
    table_init(&skipped, "skipped", ctx->arena);
    table_init(&verdicts, "verdicts", ctx->arena);
    char text[300];
    int64_t offset = 0, zero = 0, nranks = 0;
    double *percents;
    TRY(arena_array(ctx->arena, "rank.percents", l->ntensors, &percents, e));
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *t = &l->tensors[i];
        const struct result *result = &r->results[i];
        const struct spectrum *x = &result->found;
        const char *reason = skip_reason(r->p, t->name, t->ndim, t->dims, text, sizeof text);
        if (!reason && !r->measured[i])
            reason = "not in the sample";
        int64_t n = reason ? 0 : smaller(t->dims[0], t->dims[1]), at = offset;
        offset += n;
        if (!reason && !result->finite)
            reason = "non-finite update";
        if (reason) {
            TRY(TABLE_ADD(&skipped, e, V_TEXT(cell), V_TEXT(ctx->node), V_TEXT(t->name), V_INT(t->elements),
                          V_TEXT(reason)));
            continue;
        }
        TRY(TABLE_ADD_OF(rank_table, &ranks, e, V_TEXT(cell), V_TEXT(ctx->node), V_TEXT(t->name),
                         V_INT(t->layer), V_TEXT(t->stack), V_TEXT(t->module), V_INT(t->dims[0]),
                         V_INT(t->dims[1]), V_INT(x->matrix_rank), V_INT(n),
                         V_REAL(100.0 * (double)x->matrix_rank / (double)n), V_REAL(x->tolerance),
                         V_REAL(x->sigma_max), V_REAL(x->sigma_min), V_REAL(x->stable_rank),
                         V_REAL(x->effective_rank), V_INT(x->ambiguous), V_INT(r->spectra ? at : -1),
                         V_INT(r->spectra ? n : 0), V_REAL(x->top20_energy)));
        if (x->sigma_max > 0)
            percents[nranks++] = 100.0 * (double)x->matrix_rank / (double)n;
        zero += !(x->sigma_max > 0);
        TRY(TABLE_ADD_OF(methods_table, &methods, e, V_TEXT(t->name),
                         V_TEXT(grid_method_name(result->method)), V_INT(result->processes),
                         V_REAL(result->seconds), V_REAL(result->rounding), V_REAL(result->sigma_least)));
    }
    const struct verdict verdict = verdict_rank(percents, nranks, zero, &r->drawn);
    if (verdict.about)
        TRY(TABLE_ADD(&verdicts, e, V_TEXT(cell), V_TEXT(ctx->node), V_TEXT(verdict.about),
                      V_REAL(verdict.value), V_TEXT(verdict.sentence)));
    struct h5 *f;
    TRY(artifact_tables(ctx->out, &f, e));
    TRY(h5_table_write(f, "rank", &ranks, e));
    TRY(h5_table_write(f, "verdicts", &verdicts, e));
    TRY(h5_table_write(f, "methods", &methods, e));
    return h5_table_write(f, "skipped", &skipped, e);
}

static err_t rank_run(struct ctx *ctx, struct err *e)
{
    const struct comm *c = ctx->comm;
    struct rank r = {.ctx = ctx, .p = ctx->params};
    struct arena *a = ctx->arena;
    err_t code;
    if (update_open(ctx_input(ctx, "delta", NULL)->path, &ctx->read, a, &r.rows.update, e) == ERR_OK) {
        r.rows.layout = update_layout(r.rows.update);
        int64_t n = r.rows.layout->ntensors;
        if (rank_rows_init(&r.rows, a, e) == ERR_OK &&
            arena_array(a, "rank.results", n, &r.results, e) == ERR_OK &&
            arena_array(a, "rank.measured", n, &r.measured, e) == ERR_OK &&
            arena_array(a, "rank.matrices", n, &r.matrices, e) == ERR_OK)
            arena_array(a, "rank.load", c->np, &r.load, e);
    }
    if (e->code == ERR_OK)
        list(&r, e);
    TRY_OUT(code, comm_agree(c, e));
    if (r.p->spectrum == SPECTRUM_FULL && r.nvalues > 0) {
        struct h5 *f;
        TRY_OUT(code, artifact_bulk(ctx->out, &f, e));
        TRY_OUT(code, h5_dataset(f, rank_datasets, r.nvalues, 0, &r.spectra, e));
    }
    TRY_OUT(code, restore(&r, e));
    double live = (double)a->mem->live_bytes + RANK_ROWS_BYTES + (double)readahead_bytes(&ctx->read);
    comm_max_real(c, &live, 1);
    deal(&r, live, e);
    TRY_OUT(code, comm_agree(c, e));
    int largest = 1;
    while (largest < c->np)
        largest = team_next(largest, c->np);
    for (int t = largest; t >= 1; t--) /* sizes that no matrix has cost nothing */
        TRY_OUT(code, phase(&r, t, e));
    TRY_OUT(code, artifact_bulk_done(ctx->out, e));
    comm_sum_to_root(c, (int64_t *)r.results, r.rows.layout->ntensors * RESULT_WORDS);
    if (c->me == 0)
        write_tables(&r, e);
    code = comm_agree(c, e);
out:
    update_close(r.rows.update);
    return code;
}

const struct stage stage_rank = {
    .kind = "rank",
    .brief = "singular values and numerical rank of each two-dimensional update",
    .version = 6,
    .scope = SCOPE_CELL,
    .params = rank_params,
    .params_size = sizeof(struct rank_params),
    .inputs = (const char *const[]){"delta", NULL},
    .reported = 1,
    .keeps_steps = 1,
    .plan = rank_plan,
    .work = (const struct stage_work[]){WORK("matrices", 20e3), WORK("columns", 40e6), WORK("gram", 40e9),
                                        WORK("eigenvalues", 12e9), WORK("counts", 30e9), WORK_END},
    .part = "matrix",
    .tables = rank_tables,
    .datasets = rank_datasets,
    .run = rank_run};
