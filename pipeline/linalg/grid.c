#include "linalg/grid.h"

#include "linalg/grid_count.h"
#include "linalg/grid_cyclic.h"
#include "linalg/gram.h"
#include "linalg/grid_lapack.h"
#include "linalg/symmetric.h"
#include "linalg/grid_team.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL_BYTES = 1 << 14, /* heads of the buffers */
    DENSE_ROWS = 128,      /* rows that are widened at once for a dense product */
    REDUCE = 1 << 20,      /* numbers added over processes at a time */
    COUNT_FROM = 64,       /* smaller Gram matrices are solved at once */
    SHARED_FROM = 5        /* processes from which solving together is faster than on one */
};

static const double GRAM_ACCURACY = 3e-8;

/* A panel that cannot be split and has more elements than this share is multiplied as a dense one: the BLAS
 * keeps more of it in registers. */
static const double DENSE = 0.5;

/* ---- processes ---- */

err_t grid_create(struct grid **out, const struct comm *c, struct arena *a, struct err *e)
{
    *out = NULL;
    struct grid *g = NULL;
    arena_array(a, "grid", 1, &g, e);
    TRY_ALL(c, e);
    g->comm = *c;
    g->handle = g->context = g->line = -1;
    g->nprow = team_grid_rows(c->np);
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

const char *grid_method_name(enum grid_method method)
{
    static const char *const names[] = {"gram",     "gram block-cyclic", "svd",
                                        "cholesky", "cholesky+inertia",  "cholesky in float32"};
    return names[method];
}

int grid_gram_resolves(double share)
{
    return share >= GRAM_ACCURACY;
}

/* ---- sizes ---- */

static double gram_bytes(int64_t rows, int64_t cols, int np)
{
    int64_t small = min64(rows, cols);
    double n = (double)small, ld = (double)gram_stride(small), panel = GRAM_PANEL * n * sizeof(float),
           dense = DENSE_ROWS * n * sizeof(double),
           lists = n * (GRAM_PANEL * 6.0 + GRAM_BLOCKS * 4.0 + sizeof(struct gram_rest) + 16.0) + GRAM_CHUNK,
           read = 0;
    if (rows < cols)
        read = 4.0 * (double)rows * (double)ceil_div(cols, np) +
               (np > 1 ? 8.0 * (double)team_rows_at_once(cols) * (double)cols + 20.0 * np : 0);
    return 8 * ld * n + fmax(panel + dense + lists + read, symmetric_bytes(small) + 8 * n) + SMALL_BYTES;
}

double grid_spectrum_bytes(enum grid_method method, int64_t rows, int64_t cols, int np)
{
    if (rows < 1 || cols < 1)
        return 0;
    return method == GRID_GRAM || (method == GRID_CYCLIC && np == 1) ? gram_bytes(rows, cols, np)
                                                                     : cyclic_bytes(method, rows, cols, np);
}

enum grid_method grid_gram_method(int64_t rows, int64_t cols, int np, int counting, double available)
{
    if (np == 1 || ((counting || np < SHARED_FROM) && gram_bytes(rows, cols, np) <= available))
        return GRID_GRAM;
    return GRID_CYCLIC;
}

/* ---- the Gram matrix, whole ---- */

struct whole {
    double *g;         /* n columns, ld apart, lower triangle */
    int64_t n, ld;     /* n: 0 where nothing is left to decompose */
    int64_t nonzero;   /* at most so many eigenvalues are */
    double error;      /* of G in the spectral norm, at most */
    struct arena hold; /* what is needed while adding up */
    float *panel;
    double *dense;
    struct gram_lists lists;
};

/* Local. */
static err_t whole_begin(struct team_job *j, struct whole *w, int64_t n, struct err *e)
{
    w->n = n;
    w->ld = gram_stride(n);
    TRY(arena_array(j->arena, "grid.gram", w->ld * n, &w->g, e));
    TRY(arena_array(&w->hold, "grid.panel", GRAM_PANEL * n, &w->panel, e));
    TRY(arena_array(&w->hold, "grid.dense", DENSE_ROWS * n, &w->dense, e));
    return gram_lists_room(&w->lists, n, &w->hold, e);
}

/* Local. G += P'P for the k rows in w->panel. */
static void whole_add(struct whole *w, int64_t k)
{
    const double one = 1;
    int n = (int)w->n, ld = (int)w->ld;
    double nonzero = (double)gram_list(w->panel, k, w->n, &w->lists);
    if (w->lists.split || nonzero <= DENSE * (double)k * (double)w->n) {
        gram_add(w->g, w->n, w->ld, w->panel, k, &w->lists);
        return;
    }
    for (int64_t from = 0; from < k; from += DENSE_ROWS) {
        int rows = (int)min64(DENSE_ROWS, k - from);
        for (int64_t i = 0; i < rows * w->n; i++)
            w->dense[i] = w->panel[from * w->n + i];
        dsyrk_("L", "N", &n, &rows, &one, w->dense, &n, &one, w->g, &ld, 1, 1);
    }
}

/* Collective. One process reads a share of the rows and needs a share of the columns, of all rows: what has
 * been read is exchanged. x: *held rows of this process's columns [from, to), in the same order everywhere.
 */
static err_t exchange(struct team_job *j, struct arena *a, float *x, int64_t *held, struct err *e)
{
    int np = j->comm->np, *counts = NULL;
    int64_t room = team_rows_at_once(j->cols), from, to, sum;
    float *read = NULL, *sorted = NULL;
    split(j->cols, np, j->comm->me, &from, &to);
    arena_array(a, "grid.counts", (int64_t)5 * np, &counts, e);
    arena_array(a, "grid.read", room * j->cols, &read, e);
    arena_array(a, "grid.sorted", room * j->cols, &sorted, e);
    TRY_ALL(j->comm, e);
    int *rows = counts, *send = counts + np, *send_at = send + np, *get = send_at + np, *get_at = get + np;
    for (*held = 0;; *held += sum) {
        int64_t mine = 0;
        team_read(j, read, room, &mine, e);
        TRY_ALL(j->comm, e);
        if (team_most(j, mine, &sum) == 0 || !j->finite)
            return ERR_OK;
        int own = (int)mine;
        MPI_TRY(MPI_Allgather(&own, 1, MPI_INT, rows, 1, MPI_INT, j->comm->mpi));
        for (int p = 0, out = 0, in = 0; p < np; p++) {
            int64_t c0, c1;
            split(j->cols, np, p, &c0, &c1);
            send[p] = (int)(mine * (c1 - c0));
            send_at[p] = out;
            get[p] = (int)(rows[p] * (to - from));
            get_at[p] = in;
            for (int64_t i = 0; i < mine; i++)
                memcpy(sorted + out + i * (c1 - c0), read + i * j->cols + c0,
                       (size_t)(c1 - c0) * sizeof *read);
            out += send[p];
            in += get[p];
        }
        MPI_TRY(MPI_Alltoallv(sorted, send, send_at, MPI_FLOAT, x + *held * (to - from), get, get_at,
                              MPI_FLOAT, j->comm->mpi));
    }
}

/* Collective. rows < cols: G = A A', each process adding up its columns. */
static err_t whole_wide(struct team_job *j, struct whole *w, struct err *e)
{
    float *x = NULL;
    int64_t from, to, held = 0;
    split(j->cols, j->comm->np, j->comm->me, &from, &to);
    if (to - from > INT64_MAX / (j->rows + 1))
        err_set(e, ERR_DATA, "a share of %lld x %lld is too large", (long long)j->rows,
                (long long)(to - from));
    else
        arena_array(&w->hold, "grid.rows", j->rows * (to - from), &x, e);
    TRY_ALL(j->comm, e);
    if (j->comm->np == 1)
        team_read(j, x, j->rows, &held, e);
    else
        exchange(j, &w->hold, x, &held, e);
    TRY_ALL(j->comm, e);
    if (held == 0 || !j->finite)
        return ERR_OK;
    w->nonzero = held;
    whole_begin(j, w, held, e);
    TRY_ALL(j->comm, e);
    for (int64_t c = 0; c < to - from && comm_asked(j->comm, e) == ERR_OK; c += GRAM_PANEL) {
        int64_t k = min64(GRAM_PANEL, to - from - c);
        gram_transpose(x, held, to - from, c, k, w->panel);
        whole_add(w, k);
    }
    return comm_agree(j->comm, e);
}

/* Collective. rows >= cols: G = A'A, each process adding up its rows. */
static err_t whole_tall(struct team_job *j, struct whole *w, struct err *e)
{
    int64_t all = 0;
    whole_begin(j, w, j->cols, e);
    TRY_ALL(j->comm, e);
    for (int64_t held = 1; held > 0 && e->code == ERR_OK && j->finite; all += held) {
        held = 0;
        if (comm_asked(j->comm, e) == ERR_OK && /* a large matrix outlasts what is left of a job */
            team_read(j, w->panel, GRAM_PANEL, &held, e) == ERR_OK && held > 0 && j->finite)
            whole_add(w, held);
    }
    TRY_ALL(j->comm, e);
    team_most(j, all, &w->nonzero);
    return ERR_OK;
}

/* Collective. Adds the processes' shares up on process 0. */
static void reduce(const struct comm *c, double *x, int64_t n)
{
    for (int64_t i = 0; i < n && c->np > 1; i += REDUCE)
        MPI_TRY(MPI_Reduce(c->me == 0 ? MPI_IN_PLACE : x + i, x + i, (int)min64(REDUCE, n - i), MPI_DOUBLE,
                           MPI_SUM, 0, c->mpi));
}

/* Local. Leaves out rows and columns that are zero altogether. */
static void whole_compact(struct whole *w)
{
    int64_t kept = 0, n = w->n, ld = w->ld;
    for (int64_t j = 0; j < n; j++) {
        if (!(w->g[j + j * ld] > 0))
            continue;
        int64_t to = kept;
        for (int64_t i = j; i < n; i++)
            if (w->g[i + i * ld] > 0 || i == j)
                w->g[to++ + kept * ld] = w->g[i + j * ld];
        kept++;
    }
    w->n = kept;
}

/* Collective. The Gram matrix on process 0; j->finite and w->nonzero on all. */
static err_t whole_gram(struct team_job *j, struct whole *w, struct err *e)
{
    *w = (struct whole){0};
    arena_init(&w->hold, j->arena->mem);
    err_t code = j->rows < j->cols ? whole_wide(j, w, e) : whole_tall(j, w, e);
    arena_release(&w->hold);
    if (code != ERR_OK)
        return code;
    if (!j->finite || w->nonzero == 0)
        w->n = 0;
    reduce(j->comm, w->g, w->ld * w->n);
    if (j->comm->me == 0)
        whole_compact(w);
    return ERR_OK;
}

/* Local. All singular values of G, into the zeroed s. */
static err_t whole_values(struct symmetric *g, const struct whole *w, double *s, struct err *e)
{
    double *values;
    TRY(arena_array(g->arena, "grid.values", w->n, &values, e));
    TRY(symmetric_eigenvalues(g, values, e));
    for (int64_t i = 0; i < w->n && i < w->nonzero; i++) {
        double x = values[w->n - 1 - i];
        s[i] = x > 0 ? sqrt(x) : 0;
    }
    arena_drop(g->arena, values);
    return ERR_OK;
}

static err_t gram(struct team_job *j, double *s, struct err *e)
{
    struct whole w;
    TRY(whole_gram(j, &w, e));
    if (j->comm->me == 0 && w.n > 0) {
        struct symmetric g;
        if (symmetric_init(&g, w.g, w.n, w.ld, j->arena, e) == ERR_OK)
            whole_values(&g, &w, s, e);
    }
    return comm_agree(j->comm, e);
}

/* ---- all together ---- */

/* Local. */
static err_t begin(struct team_job *j, struct grid *g, const struct grid_matrix *m, struct arena *work,
                   struct arena *a, struct err *e)
{
    *j = (struct team_job){.g = g,
                           .comm = &g->comm,
                           .rows = m->rows,
                           .cols = m->cols,
                           .n = min64(m->rows, m->cols),
                           .get = m->get,
                           .arg = m->arg,
                           .arena = work,
                           .finite = 1};
    enum { MARGIN = 256 }; /* what rounding up to blocks and panels may add, by process */
    int64_t most = INT_MAX - g->comm.np * (int64_t)MARGIN;
    if (m->rows < 0 || m->cols < 0 || m->rows > most || m->cols > most)
        return err_set(e, ERR_DATA, "a matrix of %lld x %lld is beyond ScaLAPACK's 32-bit sizes",
                       (long long)m->rows, (long long)m->cols);
    arena_init(work, a->mem);
    split(m->rows, g->comm.np, g->comm.me, &j->next, &j->to);
    return ERR_OK;
}

err_t grid_singular_values(struct grid *g, enum grid_method method, const struct grid_matrix *m, double *s,
                           int *finite, struct arena *a, struct err *e)
{
    struct arena work = {0};
    struct team_job j;
    *finite = 1;
    TRY(begin(&j, g, m, &work, a, e));
    if (j.n > 0)
        memset(s, 0, (size_t)j.n * sizeof *s);
    err_t code = j.n == 0                                  ? ERR_OK
                 : method == GRID_SVD                      ? cyclic_svd(&j, s, e)
                 : method == GRID_CYCLIC && g->comm.np > 1 ? cyclic_gram(&j, s, e)
                                                           : gram(&j, s, e);
    arena_release(&work);
    *finite = j.finite;
    if (code != ERR_OK)
        return code;
    if (!j.finite)
        for (int64_t i = 0; i < j.n; i++)
            s[i] = NAN;
    else /* to the bit the same on all processes, whatever the library did */
        comm_bcast(&g->comm, s, j.n * (int64_t)sizeof *s, 0);
    return ERR_OK;
}

/* Local. By all singular values. */
static err_t count_all(const struct team_job *j, struct symmetric *g, const struct whole *w,
                       const struct grid_bound *bound, struct grid_count *out, struct err *e)
{
    double *s;
    TRY(arena_array(j->arena, "grid.singular", j->n, &s, e));
    TRY(whole_values(g, w, s, e));
    double half = bound->band * s[0];
    out->method = GRID_GRAM;
    out->rounding = out->sigma_least = NAN;
    out->sigma_max = s[0];
    out->tolerance = bound->tolerance > 0 ? bound->tolerance : bound->share * s[0];
    out->resolved = out->tolerance >= GRID_COUNT_RESOLVES * s[0] || s[j->n - 1] >= GRID_COUNT_RESOLVES * s[0];
    out->above = out->ambiguous = 0;
    for (int64_t i = 0; i < j->n; i++) {
        out->above += s[i] > out->tolerance;
        out->ambiguous |= fabs(s[i] - out->tolerance) <= half;
    }
    return ERR_OK;
}

/* Local, process 0. */
static err_t count(struct team_job *j, struct whole *w, const struct grid_bound *bound,
                   struct grid_count *out, struct err *e)
{
    struct symmetric g;
    double trace = 0;
    int sure = 0;
    *out = (struct grid_count){
        .method = GRID_CHOLESKY, .finite = j->finite, .resolved = 1, .tolerance = fmax(bound->tolerance, 0)};
    if (!j->finite || w->n == 0)
        return ERR_OK;
    TRY(symmetric_init(&g, w->g, w->n, w->ld, j->arena, e));
    for (int64_t i = 0; i < w->n; i++)
        trace += g.diagonal[i];
    /* Products of float32 are exact in float64; whatever the order of the sums, |G - A'A| <= g |A'| |A| with
     * g of as many roundings as there are rows, and the norm of |A'| |A| is at most the trace. Rests of split
     * panels are differences, of at most thrice that in all. */
    w->error = 4 * (double)(j->rows + j->cols) * 0x1p-53 * trace;
    if (w->n >= COUNT_FROM)
        TRY(count_above(&g, w->error, bound, out, &sure, e));
    if (!sure)
        TRY(count_all(j, &g, w, bound, out, e));
    out->stable_rank = trace / (out->sigma_max * out->sigma_max);
    return ERR_OK;
}

err_t grid_count_above(struct grid *g, const struct grid_matrix *m, const struct grid_bound *bound,
                       struct grid_count *out, struct arena *a, struct err *e)
{
    struct arena work = {0};
    struct team_job j;
    struct whole w = {0};
    *out = (struct grid_count){.finite = 1, .resolved = 1};
    TRY(begin(&j, g, m, &work, a, e));
    err_t code = j.n == 0 ? ERR_OK : whole_gram(&j, &w, e);
    if (code == ERR_OK) {
        if (g->comm.me == 0)
            count(&j, &w, bound, out, e);
        code = comm_agree(&g->comm, e);
    }
    arena_release(&work);
    if (code == ERR_OK)
        comm_bcast(&g->comm, out, sizeof *out, 0);
    return code;
}
