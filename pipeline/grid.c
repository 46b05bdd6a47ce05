#include "grid.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- foreign prototypes: Debian ships no C headers for ScaLAPACK and BLACS ----
 * Fortran passes the lengths of character arguments behind the argument list. */

void dsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha,
            const double *a, const int *lda, const double *beta, double *c, const int *ldc, size_t luplo,
            size_t ltrans);
void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
             double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t ljobz,
             size_t luplo);
void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
             const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork,
             int *info, size_t ljobz);
void openblas_set_num_threads(int n);
int openblas_get_num_threads(void);
char *openblas_get_config(void);

int Csys2blacs_handle(MPI_Comm mpi);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int *context, const char *order, int nprow, int npcol);
void Cblacs_gridinfo(int context, int *nprow, int *npcol, int *myrow, int *mycol);
void Cblacs_gridexit(int context);
void Cpdgemr2d(int m, int n, const double *a, int ia, int ja, const int *desca, double *b, int ib, int jb,
               const int *descb, int context);
int numroc_(const int *n, const int *nb, const int *iproc, const int *isrcproc, const int *nprocs);
void descinit_(int *desc, const int *m, const int *n, const int *mb, const int *nb, const int *irsrc,
               const int *icsrc, const int *context, const int *lld, int *info);
void pdsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha,
             const double *a, const int *ia, const int *ja, const int *desca, const double *beta, double *c,
             const int *ic, const int *jc, const int *descc, size_t luplo, size_t ltrans);
void pdsyev_(const char *jobz, const char *uplo, const int *n, double *a, const int *ia, const int *ja,
             const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz,
             double *work, const int *lwork, int *info, size_t ljobz, size_t luplo);
void pdgesvd_(const char *jobu, const char *jobvt, const int *m, const int *n, double *a, const int *ia,
              const int *ja, const int *desca, double *s, double *u, const int *iu, const int *ju,
              const int *descu, double *vt, const int *ivt, const int *jvt, const int *descvt, double *work,
              const int *lwork, int *info, size_t ljobu, size_t ljobvt);

enum {
    BLOCK = 64,            /* edge of the square blocks of a distributed matrix */
    PANEL = 256,           /* rows (tall) or columns (wide) that enter one rank-k update of the Gram matrix */
    READ_FLOATS = 1 << 18, /* how much a slab is read at a time while zero rows are left out */
    DESC = 9,              /* words of an array descriptor */
    SMALL_BYTES = 1 << 14  /* slack of the workspaces, heads of the buffers */
};

/* Eigenvalues of the Gram matrix carry an error of a few 2^-53 * s0^2, so that singular values below
 * about 1.5e-8 * s0 are noise. */
static const double GRAM_ACCURACY = 3e-8;

struct grid {
    struct comm comm;
    int handle;                              /* of the communicator in BLACS; -1 for one process */
    int context, nprow, npcol, myrow, mycol; /* the grid that computes */
    int line; /* context of the same processes as 1 x np: slabs as they are read */
};

/* ---- processes ---- */

int grid_threads(const struct comm *c)
{
    cpu_set_t mine;
    CPU_ZERO(&mine);
    int usable = sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : 1;
    /* Bound processes have processors of their own, unbound ones share all: count who on this node may run
     * where I may. */
    MPI_Comm node;
    MPI_TRY(MPI_Comm_split_type(c->mpi, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node));
    int np = 1, sharers = 0;
    MPI_TRY(MPI_Comm_size(node, &np));
    cpu_set_t *all = calloc((size_t)np, sizeof *all);
    int ok = all != NULL;
    MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &ok, 1, MPI_INT, MPI_MIN, node));
    if (ok) {
        MPI_TRY(MPI_Allgather(&mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE, node));
        for (int i = 0; i < np; i++) {
            cpu_set_t both;
            CPU_AND(&both, &mine, &all[i]);
            sharers += CPU_COUNT(&both) > 0;
        }
    } else {
        sharers = np;
    }
    free(all);
    MPI_TRY(MPI_Comm_free(&node));
    int n = usable / (sharers > 0 ? sharers : 1);
    if (getenv("OPENBLAS_NUM_THREADS")) /* the user knows better */
        n = openblas_get_num_threads();
    if (n < 1)
        n = 1;
    openblas_set_num_threads(n);
    return n;
}

const char *grid_blas(char *text, int size)
{
    snprintf(text, (size_t)size, "%s", openblas_get_config());
    return text;
}

/* As square as possible: the largest divisor of np not above its square root. */
static int grid_rows_of(int np)
{
    int p = (int)sqrt((double)np);
    while (np % p != 0)
        p--;
    return p;
}

err_t grid_create(struct grid **out, const struct comm *c, struct arena *a, struct err *e)
{
    *out = NULL;
    struct grid *g = NULL;
    arena_array(a, "grid", 1, &g, e);
    TRY_ALL(c, e);
    g->comm = *c;
    g->handle = g->context = g->line = -1;
    g->nprow = grid_rows_of(c->np);
    g->npcol = c->np / g->nprow;
    if (c->np > 1) {
        g->handle = Csys2blacs_handle(c->mpi);
        g->context = g->line = g->handle;
        Cblacs_gridinit(&g->context, "Row", g->nprow, g->npcol);
        Cblacs_gridinit(&g->line, "Row", 1, c->np);
        int nprow, npcol;
        Cblacs_gridinfo(g->context, &nprow, &npcol, &g->myrow, &g->mycol);
        if (nprow != g->nprow || npcol != g->npcol)
            err_set(e, ERR_SYSTEM, "BLACS gave no %d x %d grid of processes", g->nprow, g->npcol);
    }
    *out = g;
    return comm_agree(c, e);
}

void grid_destroy(struct grid *g)
{
    if (!g || g->handle < 0)
        return;
    Cblacs_gridexit(g->line);
    Cblacs_gridexit(g->context);
    Cfree_blacs_system_handle(g->handle);
    g->handle = -1;
}

void grid_shape(const struct grid *g, int *rows, int *cols)
{
    *rows = g->nprow;
    *cols = g->npcol;
}

/* ---- sizes ---- */

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

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

double grid_spectrum_bytes(enum grid_method method, int64_t rows, int64_t cols, int np)
{
    if (rows < 1 || cols < 1)
        return 0;
    int nprow = grid_rows_of(np), npcol = np / nprow;
    int64_t n = min64(rows, cols), share = ceil_div(rows, np);
    int tall = rows >= cols && method == GRID_GRAM;
    int64_t order = tall || np == 1 ? n : (int64_t)np * share; /* slabs of equal height, zero-padded */
    int nb = block_edge(n, nprow, npcol);
    double read = 4.0 * (double)cols * (double)(tall ? panel_rows(rows, np) : share);
    double slab = 8.0 * (tall ? (double)cols * (double)panel_rows(rows, np)
                              : (double)min64(cols, PANEL) * (double)share);
    double matrix, work;
    if (method == GRID_GRAM) {
        matrix = 8.0 * (double)local_most(order, nb, nprow) * (double)local_most(order, nb, npcol);
        work = 8.0 * ((double)order * (np == 1 ? 2.0 + BLOCK : 12.0) +
                      (np == 1 ? 0.0 : 4.0 * nb * (double)local_most(order, nb, nprow)));
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

/* ---- the rows of one matrix ---- */

struct job {
    struct grid *g;
    const struct comm *comm;
    int64_t rows, cols, n; /* n: the smaller side */
    grid_rows get;
    void *arg;
    struct arena *arena; /* of this matrix */
    int64_t next, to;    /* this process's rows that have not been read yet */
    int finite;
    int nb;
};

/* Is there anything but zeros in x? Clears *finite if there is NaN or Inf. Made so that it vectorises. */
static int scan(const float *x, int64_t n, int *finite)
{
    uint32_t any = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffU;
        any |= bits;
        largest = bits > largest ? bits : largest;
    }
    if (largest >= 0x7f800000U)
        *finite = 0;
    return any != 0;
}

/* Local. Reads on into x until `room` rows that are not all zero have been found or none is left; zero rows
 * change no singular value. *held: in: rows in x, out: rows in x. Rows go to x packed. */
static err_t read_rows(struct job *j, float *x, int64_t room, int64_t *held, struct err *e)
{
    int64_t at_once = READ_FLOATS / j->cols > 0 ? READ_FLOATS / j->cols : 1;
    while (j->next < j->to && *held < room && j->finite) {
        int64_t n = min64(min64(at_once, j->to - j->next), room - *held);
        float *to = x + *held * j->cols;
        TRY(j->get(j->arg, j->next, n, to, e));
        j->next += n;
        for (int64_t i = 0; i < n; i++) {
            float *row = x + *held * j->cols;
            if (!scan(to + i * j->cols, j->cols, &j->finite))
                continue;
            if (row != to + i * j->cols)
                memmove(row, to + i * j->cols, (size_t)j->cols * sizeof *row);
            ++*held;
        }
    }
    return ERR_OK;
}

/* Collective. How many rows the process with the most has, and whether all are finite. */
static int64_t most_rows(struct job *j, int64_t held, int64_t *sum)
{
    int64_t v[2] = {held, !j->finite}, total = held;
    comm_max(j->comm, v, 2);
    comm_sum(j->comm, &total, 1);
    *sum = total;
    j->finite = !v[1];
    return v[0];
}

/* ---- distributed matrices ---- */

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

static err_t allocate(struct job *j, const char *label, int64_t rows, int64_t cols, double **x, struct err *e)
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
    struct dist g;     /* order x order, lower triangle; plain column-major for one process */
    struct dist panel; /* cyclic image of the slabs */
    int order;
    double *slab; /* this process's columns of the panel, column-major */
};

/* Collective. Buffers: a Gram matrix of the given order, and panels of m x np*h at the most. */
static err_t gram_begin(struct job *j, struct gram *w, int64_t order, int64_t m, int64_t h, struct err *e)
{
    const struct grid *g = j->g;
    w->order = (int)order;
    if (g->comm.np == 1) {
        w->g.rows_loc = w->g.cols_loc = w->order;
    } else {
        describe(g, w->order, w->order, j->nb, &w->g);
        describe(g, (int)m, (int)(h * g->comm.np), j->nb, &w->panel);
        allocate(j, "grid.panel", w->panel.rows_loc, w->panel.cols_loc, &w->panel.x, e);
    }
    allocate(j, "grid.gram", w->g.rows_loc, w->g.cols_loc, &w->g.x, e);
    allocate(j, "grid.slab", m, h, &w->slab, e);
    return comm_agree(j->comm, e);
}

/* Collective. Adds a panel P (m x np*h, process p's columns in its slab): G += P P' or, transposed, G += P'
 * P. */
static void gram_add(struct job *j, struct gram *w, int m, int h, int transposed)
{
    const double one = 1.0;
    const char *trans = transposed ? "T" : "N";
    const struct grid *g = j->g;
    if (g->comm.np == 1) {
        dsyrk_("L", trans, &w->order, transposed ? &m : &h, &one, w->slab, &m, &one, w->g.x, &w->order, 1, 1);
        return;
    }
    int from[DESC], first = 1, n = g->comm.np * h;
    double *storage = w->panel.x;
    describe_slabs(g, m, h, from);
    describe(g, m, n, j->nb, &w->panel);
    w->panel.x = storage;
    Cpdgemr2d(m, n, w->slab, 1, 1, from, w->panel.x, 1, 1, w->panel.desc, g->context);
    pdsyrk_("L", trans, &w->order, transposed ? &m : &n, &one, w->panel.x, &first, &first, w->panel.desc,
            &one, w->g.x, &first, &first, w->g.desc, 1, 1);
}

static err_t not_converged(const struct job *j, const char *routine, int info, struct err *e)
{
    return err_set(e, info < 0 ? ERR_BUG : ERR_NUMERIC, "%s on a %lld x %lld matrix: %s %d", routine,
                   (long long)j->rows, (long long)j->cols,
                   info < 0 ? "bad argument" : "no convergence, INFO =", info < 0 ? -info : info);
}

/* Local. The workspace that a query asked for, with slack for queries that round. */
static err_t workspace(struct job *j, double asked, int64_t slack, int *lwork, double **work, struct err *e)
{
    if (!(asked >= 0) || asked + (double)slack > INT_MAX)
        return err_set(e, ERR_SYSTEM,
                       "a workspace of %.0f numbers is beyond LAPACK's 32-bit sizes; use more processes",
                       asked);
    *lwork = (int)(asked + (double)slack);
    return arena_array(j->arena, "grid.work", *lwork, work, e);
}

/* Collective. Eigenvalues of G, ascending, on all processes; G is overwritten. */
static err_t gram_eigenvalues(struct job *j, struct gram *w, double **values, struct err *e)
{
    const struct grid *g = j->g;
    int info = 0, lwork = -1, liwork = 1, iwork = 0, first = 1;
    double asked = 0, *work = NULL;
    arena_array(j->arena, "grid.values", w->order, values, e);
    TRY_ALL(j->comm, e);
    if (g->comm.np == 1) {
        dsyevd_("N", "L", &w->order, w->g.x, &w->order, *values, &asked, &lwork, &iwork, &liwork, &info, 1,
                1);
        if (info != 0)
            return not_converged(j, "dsyevd", info, e);
        TRY(workspace(j, asked, 0, &lwork, &work, e));
        dsyevd_("N", "L", &w->order, w->g.x, &w->order, *values, work, &lwork, &iwork, &liwork, &info, 1, 1);
        return info == 0 ? ERR_OK : not_converged(j, "dsyevd", info, e);
    }
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
static err_t gram_tall(struct job *j, double *s, struct err *e)
{
    int64_t h = panel_rows(j->rows, j->comm->np), cols = j->cols, nonzero = 0;
    struct gram w = {0};
    float *x;
    arena_array(j->arena, "grid.rows", h * cols, &x, e);
    for (int begun = 0;;) {
        int64_t held = 0, sum;
        if (e->code == ERR_OK)
            read_rows(j, x, h, &held, e);
        TRY_ALL(j->comm, e);
        int64_t most = most_rows(j, held, &sum);
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
static err_t read_share(struct job *j, float **x, int64_t *held, int64_t *most, int64_t *sum, struct err *e)
{
    int64_t share = j->to - j->next;
    *held = *most = *sum = 0;
    if (j->cols > INT64_MAX / (share + 1))
        err_set(e, ERR_DATA, "a share of %lld x %lld is too large", (long long)share, (long long)j->cols);
    else if (arena_array(j->arena, "grid.rows", share * j->cols, x, e) == ERR_OK)
        read_rows(j, *x, share, held, e);
    TRY_ALL(j->comm, e);
    *most = most_rows(j, *held, sum);
    return ERR_OK;
}

/* Collective. rows < cols: G = A A' needs all rows at once; they are held as float and widened by panels of
 * columns. */
static err_t gram_wide(struct job *j, double *s, struct err *e)
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
static err_t svd_local(struct job *j, float *x, int64_t held, double *values, struct err *e)
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
static err_t svd_team(struct job *j, const float *x, int64_t held, int64_t most, double *values,
                      struct err *e)
{
    const struct grid *g = j->g;
    struct dist a;
    int from[DESC], m = (int)j->cols, n = (int)(most * g->comm.np), first = 1, lwork = -1, info = 0;
    int64_t width = min64(j->cols, PANEL);
    double *slab, *work = NULL, asked = 0, unused = 0;
    describe(g, m, n, j->nb, &a);
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

static err_t svd(struct job *j, double *s, struct err *e)
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

/* ---- all together ---- */

err_t grid_singular_values(struct grid *g, int64_t rows, int64_t cols, grid_rows get, void *arg,
                           double relative_accuracy, double *s, struct grid_spectrum *info, struct arena *a,
                           struct err *e)
{
    double small = (double)min64(rows, cols), large = (double)(rows > cols ? rows : cols);
    *info = (struct grid_spectrum){.method = relative_accuracy < GRAM_ACCURACY ? GRID_SVD : GRID_GRAM,
                                   .finite = 1};
    info->flops = info->method == GRID_GRAM ? small * small * (large + 4.0 / 3.0 * small)
                                            : small * small * (4.0 * large - 4.0 / 3.0 * small);
    if (rows < 0 || cols < 0 || rows > INT_MAX - g->comm.np * (int64_t)PANEL ||
        cols > INT_MAX - g->comm.np * (int64_t)PANEL)
        return err_set(e, ERR_DATA, "a matrix of %lld x %lld is beyond ScaLAPACK's 32-bit sizes",
                       (long long)rows, (long long)cols);
    int64_t n = min64(rows, cols);
    if (n == 0)
        return ERR_OK;
    memset(s, 0, (size_t)n * sizeof *s);
    struct arena work = {0};
    arena_init(&work, a->mem);
    struct job j = {.g = g,
                    .comm = &g->comm,
                    .rows = rows,
                    .cols = cols,
                    .n = n,
                    .get = get,
                    .arg = arg,
                    .arena = &work,
                    .finite = 1,
                    .nb = block_edge(n, g->nprow, g->npcol)};
    split(rows, g->comm.np, g->comm.me, &j.next, &j.to);
    err_t code = info->method == GRID_SVD ? svd(&j, s, e)
                 : rows >= cols           ? gram_tall(&j, s, e)
                                          : gram_wide(&j, s, e);
    arena_release(&work);
    info->finite = j.finite;
    if (code != ERR_OK)
        return code;
    if (!j.finite)
        for (int64_t i = 0; i < n; i++)
            s[i] = NAN;
    else /* to the bit the same on all processes, whatever the library did */
        comm_bcast(&g->comm, s, n * (int64_t)sizeof *s, 0);
    return ERR_OK;
}
