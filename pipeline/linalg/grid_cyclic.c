#include "linalg/grid_cyclic.h"

#include "linalg/grid_lapack.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum {
    BLOCK = 64,           /* edge of the square blocks of a distributed matrix */
    PANEL = 256,          /* rows (tall) or columns (wide) that enter one rank-k update of the Gram matrix */
    DESC = 9,             /* words of an array descriptor */
    SMALL_BYTES = 1 << 14 /* slack of the workspaces, heads of the buffers */
};

/* ---- sizes ---- */

/* Edge of the blocks for a matrix whose smaller side is n: small matrices are cut finer, so that all
 * processes have some. */
static int block_edge(int64_t n, int nprow, int npcol)
{
    int64_t nb = ceil_div(n, nprow > npcol ? nprow : npcol);
    return (int)(nb < 1 ? 1 : min64(nb, BLOCK));
}

/* Rows that a process brings to one panel of a tall matrix. */
static int64_t panel_rows(int64_t rows, int np)
{
    int64_t h = PANEL / np > BLOCK ? PANEL / np : BLOCK;
    return min64(ceil_div(rows, np), h);
}

/* Upper bound of numroc over the processes. */
static int64_t local_most(int64_t n, int nb, int np)
{
    return ceil_div(ceil_div(n, nb), np) * nb;
}

double cyclic_bytes(enum grid_method method, int64_t rows, int64_t cols, int np)
{
    if (rows < 1 || cols < 1)
        return 0;
    int nprow = team_grid_rows(np), npcol = np / nprow;
    int64_t n = min64(rows, cols), share = ceil_div(rows, np);
    int tall = rows >= cols && method == GRID_CYCLIC;
    int64_t order = tall || np == 1 ? n : (int64_t)np * share; /* slabs of equal height, zero-padded */
    int nb = block_edge(n, nprow, npcol);
    double read = 4.0 * (double)cols * (double)(tall ? panel_rows(rows, np) : share);
    double slab = 8.0 * (tall ? (double)cols * (double)panel_rows(rows, np)
                              : (double)min64(cols, PANEL) * (double)share);
    double matrix, work;
    if (method == GRID_CYCLIC) {
        matrix = 8.0 * (double)local_most(order, nb, nprow) * (double)local_most(order, nb, npcol);
        work = 8.0 * ((double)order * 12.0 + 4.0 * nb * (double)local_most(order, nb, nprow));
    } else {
        matrix = 8.0 * (double)local_most(cols, nb, nprow) *
                 (double)local_most(order > rows ? order : rows, nb, npcol);
        /* dgesdd reduces to the triangle first when one side is much longer, and keeps that beside the
         * matrix. */
        work = 8.0 * (np == 1 ? (double)n * (double)n + 72.0 * (double)(rows + cols)
                              : 14.0 * (double)(order + cols) +
                                    4.0 * nb *
                                        (double)(local_most(order, nb, npcol) + local_most(cols, nb, nprow)));
    }
    /* Redistribution holds the slab, its cyclic image and a send and a receive buffer of the library. */
    return read + matrix + work + slab * (np == 1 ? 1.0 : 4.5) + 16.0 * (double)order + SMALL_BYTES;
}

/* ---- distributed matrices ---- */

static int edge(const struct team_job *j)
{
    return block_edge(j->n, j->g->nprow, j->g->npcol);
}

struct dist {
    int desc[DESC];
    double *x;
    int rows_loc, cols_loc;
};

/* Local. Describes an m x n matrix in nb x nb blocks on the grid; storage is the caller's matter. */
static void describe(const struct grid *g, int m, int n, int nb, struct dist *d)
{
    int zero = 0, info;
    d->rows_loc = numroc_(&m, &nb, &g->myrow, &zero, &g->nprow);
    d->cols_loc = numroc_(&n, &nb, &g->mycol, &zero, &g->npcol);
    int lld = d->rows_loc > 1 ? d->rows_loc : 1;
    descinit_(d->desc, &m, &n, &nb, &nb, &zero, &zero, &g->context, &lld, &info);
}

/* Local. The m x np*h matrix of which process p holds columns [p*h, (p+1)*h). */
static void describe_slabs(const struct grid *g, int m, int h, int desc[DESC])
{
    int n = g->comm.np * h, zero = 0, info;
    descinit_(desc, &m, &n, &m, &h, &zero, &zero, &g->line, &m, &info);
}

static err_t allocate(struct team_job *j, const char *label, int64_t rows, int64_t cols, double **x,
                      struct err *e)
{
    /* ScaLAPACK counts local elements in 32 bits. */
    if (j->comm->np > 1 && rows > 0 && cols > INT_MAX / rows)
        return err_set(
            e, ERR_SYSTEM,
            "%s: a local part of %lld x %lld is beyond ScaLAPACK's 2^31 elements; use more processes", label,
            (long long)rows, (long long)cols);
    uint64_t elements;
    if (size_mul((uint64_t)rows, (uint64_t)cols, &elements) != 0 || elements > INT64_MAX)
        return err_set(e, ERR_DATA, "%s: %lld x %lld is too large", label, (long long)rows, (long long)cols);
    return arena_array(j->arena, label, (int64_t)elements, x, e);
}

/* ---- Gram matrix ---- */

struct gram {
    struct dist g;     /* order x order, lower triangle */
    struct dist panel; /* cyclic image of the slabs */
    int order;
    double *slab; /* this process's columns of the panel, column-major */
};

/* Collective. Buffers: a Gram matrix of the given order, and panels of m x np*h at the most. */
static err_t gram_begin(struct team_job *j, struct gram *w, int64_t order, int64_t m, int64_t h,
                        struct err *e)
{
    const struct grid *g = j->g;
    w->order = (int)order;
    describe(g, w->order, w->order, edge(j), &w->g);
    describe(g, (int)m, (int)(h * g->comm.np), edge(j), &w->panel);
    allocate(j, "grid.panel", w->panel.rows_loc, w->panel.cols_loc, &w->panel.x, e);
    allocate(j, "grid.gram", w->g.rows_loc, w->g.cols_loc, &w->g.x, e);
    allocate(j, "grid.slab", m, h, &w->slab, e);
    return comm_agree(j->comm, e);
}

/* Collective. Adds a panel P (m x np*h, process p's columns in its slab): G += P P' or, transposed, G += P'
 * P. */
static void gram_add(struct team_job *j, struct gram *w, int m, int h, int transposed)
{
    const double one = 1.0;
    const char *trans = transposed ? "T" : "N";
    const struct grid *g = j->g;
    int from[DESC], first = 1, n = g->comm.np * h;
    double *storage = w->panel.x;
    describe_slabs(g, m, h, from);
    describe(g, m, n, edge(j), &w->panel);
    w->panel.x = storage;
    Cpdgemr2d(m, n, w->slab, 1, 1, from, w->panel.x, 1, 1, w->panel.desc, g->context);
    pdsyrk_("L", trans, &w->order, transposed ? &m : &n, &one, w->panel.x, &first, &first, w->panel.desc,
            &one, w->g.x, &first, &first, w->g.desc, 1, 1);
}

static err_t not_converged(const struct team_job *j, const char *routine, int info, struct err *e)
{
    return err_set(e, info < 0 ? ERR_BUG : ERR_NUMERIC, "%s on a %lld x %lld matrix: %s %d", routine,
                   (long long)j->rows, (long long)j->cols,
                   info < 0 ? "bad argument" : "no convergence, INFO =", info < 0 ? -info : info);
}

/* Local. The workspace that a query asked for, with slack for queries that round. */
static err_t workspace(struct team_job *j, double asked, int64_t slack, int *lwork, double **work,
                       struct err *e)
{
    if (!(asked >= 0) || asked + (double)slack > INT_MAX)
        return err_set(e, ERR_SYSTEM,
                       "a workspace of %.0f numbers is beyond LAPACK's 32-bit sizes; use more processes",
                       asked);
    *lwork = (int)(asked + (double)slack);
    return arena_array(j->arena, "grid.work", *lwork, work, e);
}

/* Collective. Eigenvalues of G, ascending, on all processes; G is overwritten. */
static err_t gram_eigenvalues(struct team_job *j, struct gram *w, double **values, struct err *e)
{
    int info = 0, lwork = -1, first = 1;
    double asked = 0, *work = NULL;
    arena_array(j->arena, "grid.values", w->order, values, e);
    TRY_ALL(j->comm, e);
    pdsyev_("N", "L", &w->order, w->g.x, &first, &first, w->g.desc, *values, NULL, &first, &first, w->g.desc,
            &asked, &lwork, &info, 1, 1);
    if (info != 0)
        not_converged(j, "pdsyev", info, e);
    else
        workspace(j, asked, 2 * (int64_t)w->order + 1024, &lwork, &work, e);
    TRY_ALL(j->comm, e);
    double unused;
    pdsyev_("N", "L", &w->order, w->g.x, &first, &first, w->g.desc, *values, &unused, &first, &first,
            w->g.desc, work, &lwork, &info, 1, 1);
    if (info != 0)
        not_converged(j, "pdsyev", info, e);
    return comm_agree(j->comm, e);
}

/* Local. s = square roots of the largest eigenvalues; at most `nonzero` of them can differ from zero. */
static void roots(const double *values, int64_t order, int64_t nonzero, int64_t n, double *s)
{
    for (int64_t i = 0; i < n && i < order && i < nonzero; i++) {
        double x = values[order - 1 - i];
        s[i] = x > 0 ? sqrt(x) : 0;
    }
}

/* Collective. rows >= cols: G = A'A from panels of rows as they are read; the rows are the columns of A', so
 * a slab of rows is column-major as it stands. The order of the rows does not matter. */
static err_t gram_tall(struct team_job *j, double *s, struct err *e)
{
    int64_t h = panel_rows(j->rows, j->comm->np), cols = j->cols, nonzero = 0;
    struct gram w = {0};
    float *x;
    arena_array(j->arena, "grid.rows", h * cols, &x, e);
    for (int begun = 0;;) {
        int64_t held = 0, sum;
        if (e->code == ERR_OK)
            team_read(j, x, h, &held, e);
        TRY_ALL(j->comm, e);
        int64_t most = team_most(j, held, &sum);
        if (most == 0 || !j->finite) {
            if (!j->finite || !begun)
                return ERR_OK; /* nothing to decompose, or all zero */
            break;
        }
        if (!begun)
            TRY(gram_begin(j, &w, cols, cols, h, e));
        begun = 1;
        nonzero += sum;
        for (int64_t i = 0; i < held * cols; i++)
            w.slab[i] = x[i];
        memset(w.slab + held * cols, 0, (size_t)((most - held) * cols) * sizeof *w.slab);
        gram_add(j, &w, (int)cols, (int)most, 0);
    }
    double *values;
    TRY(gram_eigenvalues(j, &w, &values, e));
    roots(values, w.order, nonzero, j->n, s);
    return ERR_OK;
}

/* Local. slab (width x h, column-major) = columns [c0, c0+width) of the held rows, as its columns; the rest
 * zero. */
static void slab_from_columns(const float *x, int64_t held, int64_t cols, int64_t c0, int64_t width,
                              int64_t h, double *slab)
{
    for (int64_t i = 0; i < held; i++)
        for (int64_t k = 0; k < width; k++)
            slab[i * width + k] = x[i * cols + c0 + k];
    memset(slab + held * width, 0, (size_t)((h - held) * width) * sizeof *slab);
}

/* Collective. Reads all of this process's rows that are not zero. *most: rows of the process with the most,
 * *sum: of all. */
static err_t read_share(struct team_job *j, float **x, int64_t *held, int64_t *most, int64_t *sum,
                        struct err *e)
{
    int64_t share = j->to - j->next;
    *held = *most = *sum = 0;
    if (j->cols > INT64_MAX / (share + 1))
        err_set(e, ERR_DATA, "a share of %lld x %lld is too large", (long long)share, (long long)j->cols);
    else if (arena_array(j->arena, "grid.rows", share * j->cols, x, e) == ERR_OK)
        team_read(j, *x, share, held, e);
    TRY_ALL(j->comm, e);
    *most = team_most(j, *held, sum);
    return ERR_OK;
}

/* Collective. rows < cols: G = A A' needs all rows at once; they are held as float and widened by panels of
 * columns. */
static err_t gram_wide(struct team_job *j, double *s, struct err *e)
{
    float *x = NULL;
    int64_t held, most, sum, width = min64(j->cols, PANEL);
    TRY(read_share(j, &x, &held, &most, &sum, e));
    if (!j->finite || most == 0)
        return ERR_OK;
    struct gram w = {0};
    TRY(gram_begin(j, &w, most * j->comm->np, width, most, e));
    for (int64_t c0 = 0; c0 < j->cols; c0 += width) {
        int64_t n = min64(width, j->cols - c0);
        slab_from_columns(x, held, j->cols, c0, n, most, w.slab);
        gram_add(j, &w, (int)n, (int)most, 1);
    }
    double *values;
    TRY(gram_eigenvalues(j, &w, &values, e));
    roots(values, w.order, sum, j->n, s);
    return ERR_OK;
}

/* ---- singular value decomposition ---- */

/* Local. One process: A' in full, by dgesdd. values: min(cols, held) of them. */
static err_t svd_local(struct team_job *j, float *x, int64_t held, double *values, struct err *e)
{
    int m = (int)j->cols, n = (int)held, one = 1, lwork = -1, info = 0, *iwork;
    double *a, *work, asked = 0, unused = 0;
    TRY(allocate(j, "grid.matrix", m, n, &a, e));
    for (int64_t i = 0; i < held * j->cols; i++)
        a[i] = x[i];
    arena_drop(j->arena, x);
    TRY(arena_array(j->arena, "grid.work", 8 * min64(m, n), &iwork, e));
    dgesdd_("N", &m, &n, a, &m, values, &unused, &one, &unused, &one, &asked, &lwork, iwork, &info, 1);
    if (info != 0)
        return not_converged(j, "dgesdd", info, e);
    TRY(workspace(j, asked, 0, &lwork, &work, e));
    dgesdd_("N", &m, &n, a, &m, values, &unused, &one, &unused, &one, work, &lwork, iwork, &info, 1);
    return info == 0 ? ERR_OK : not_converged(j, "dgesdd", info, e);
}

/* Collective. A team: A' (cols x np*most, zero-padded), block-cyclic, by pdgesvd. values: min(cols, np*most)
 * of them. */
static err_t svd_team(struct team_job *j, const float *x, int64_t held, int64_t most, double *values,
                      struct err *e)
{
    const struct grid *g = j->g;
    struct dist a;
    int from[DESC], m = (int)j->cols, n = (int)(most * g->comm.np), first = 1, lwork = -1, info = 0;
    int64_t width = min64(j->cols, PANEL);
    double *slab, *work = NULL, asked = 0, unused = 0;
    describe(g, m, n, edge(j), &a);
    allocate(j, "grid.matrix", a.rows_loc, a.cols_loc, &a.x, e);
    allocate(j, "grid.slab", width, most, &slab, e);
    TRY_ALL(j->comm, e);
    for (int64_t c0 = 0; c0 < j->cols; c0 += width) {
        int64_t k = min64(width, j->cols - c0);
        slab_from_columns(x, held, j->cols, c0, k, most, slab);
        describe_slabs(g, (int)k, (int)most, from);
        Cpdgemr2d((int)k, n, slab, 1, 1, from, a.x, (int)c0 + 1, 1, a.desc, g->context);
    }
    pdgesvd_("N", "N", &m, &n, a.x, &first, &first, a.desc, values, &unused, &first, &first, a.desc, &unused,
             &first, &first, a.desc, &asked, &lwork, &info, 1, 1);
    if (info != 0)
        not_converged(j, "pdgesvd", info, e);
    else
        /* Queries of PxGESVD come back as a floating-point number that may have been rounded down. */
        workspace(j, asked, 1024 + 6 * (int64_t)(m > n ? m : n), &lwork, &work, e);
    TRY_ALL(j->comm, e);
    pdgesvd_("N", "N", &m, &n, a.x, &first, &first, a.desc, values, &unused, &first, &first, a.desc, &unused,
             &first, &first, a.desc, work, &lwork, &info, 1, 1);
    if (info != 0)
        not_converged(j, "pdgesvd", info, e);
    return comm_agree(j->comm, e);
}

err_t cyclic_gram(struct team_job *j, double *s, struct err *e)
{
    return j->rows >= j->cols ? gram_tall(j, s, e) : gram_wide(j, s, e);
}

err_t cyclic_svd(struct team_job *j, double *s, struct err *e)
{
    float *x = NULL;
    int64_t held, most, sum;
    TRY(read_share(j, &x, &held, &most, &sum, e));
    if (!j->finite || most == 0)
        return ERR_OK;
    int64_t n = min64(j->cols, most * j->comm->np);
    double *values = NULL;
    arena_array(j->arena, "grid.values", n, &values, e);
    TRY_ALL(j->comm, e);
    TRY(j->comm->np == 1 ? svd_local(j, x, held, values, e) : svd_team(j, x, held, most, values, e));
    for (int64_t i = 0; i < min64(n, min64(j->n, sum)); i++)
        s[i] = values[i];
    return ERR_OK;
}
