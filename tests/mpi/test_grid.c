/* Singular values, and counts of them, against closed forms, by all methods, on as many processes as the
 * program is started with. One line per failed check; exit status 0 or 1. All matrices are exact in float:
 * Sylvester-Hadamard matrices have entries
 * +-1 and orthogonal columns, so that H_m[:, :k] diag(d) H_n[:, :k]' with small integers d has exactly the
 * singular values sqrt(m * n) * d. */
#include "linalg/grid_blas.h"
#include "linalg/grid.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
    int64_t rows, cols;
    const float *x;
    int64_t last, from, to; /* rows this process may be asked for */
    int misused, fail;
};

static int failures;

static void check(int ok, const char *what, const char *detail, double value)
{
    if (ok)
        return;
    int me;
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    printf("process %d: %s: %s (%g)\n", me, what, detail, value);
    failures++;
}

static err_t get_rows(void *arg, int64_t row, int64_t n, float *out, struct err *e)
{
    struct source *s = arg;
    if (row < s->last || n < 1 || row < s->from || row + n > s->to)
        s->misused = 1;
    s->last = row + n;
    if (s->fail)
        return err_set(e, ERR_DATA, "made to fail");
    memcpy(out, s->x + row * s->cols, (size_t)(n * s->cols) * sizeof *out);
    return ERR_OK;
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Entry (i, j) of the Sylvester-Hadamard matrix. */
static int hadamard(int64_t i, int64_t j)
{
    return __builtin_popcountll((unsigned long long)(i & j)) % 2 ? -1 : 1;
}

static const enum grid_method methods[] = {GRID_GRAM, GRID_CYCLIC, GRID_SVD};

static struct source source_of(const struct comm *c, int64_t rows, int64_t cols, const float *x)
{
    struct source s = {.rows = rows, .cols = cols, .x = x};
    split(rows, c->np, c->me, &s.from, &s.to);
    return s;
}

/* Counts above a tolerance that is a share of the largest singular value (as a share, and as an absolute
 * value), with bands around it. */
static void compare_count(struct grid *g, const struct comm *c, struct arena *a, const char *what,
                          int64_t rows, int64_t cols, const float *x, const double *expected, double share,
                          double band)
{
    int64_t n = rows < cols ? rows : cols, above = 0;
    double top = n > 0 ? expected[0] : 0, squares = 0;
    int ambiguous = 0;
    for (int64_t i = 0; i < n; i++) {
        above += expected[i] > share * top;
        /* the zeros of a zero matrix lie on a share of it, but there is nothing doubtful about them */
        ambiguous |= top > 0 && fabs(expected[i] - share * top) <= band * top;
        squares += expected[i] * expected[i];
    }
    for (int absolute = 0; absolute < 2; absolute++) {
        struct source from = source_of(c, rows, cols, x);
        struct grid_bound bound = {.tolerance = absolute ? share * top : 0, .share = share, .band = band};
        struct grid_count found;
        struct err e;
        err_clear(&e);
        size_t live = a->mem->live_bytes;
        a->mem->peak_bytes = live;
        grid_count_above(g, &(struct grid_matrix){rows, cols, get_rows, &from}, &bound, &found, a, &e);
        check(e.code == ERR_OK, what, e.text, absolute);
        check(!from.misused, what, "rows asked for twice, out of order or of another process", 0);
        check(a->mem->live_bytes == live, what, "memory kept", (double)a->mem->live_bytes);
        double used = (double)(a->mem->peak_bytes - live),
               planned = grid_spectrum_bytes(GRID_GRAM, rows, cols, c->np);
        check(used <= planned + 4096, what, "count used more memory than planned, bytes", used - planned);
        check(found.finite && found.resolved, what, "count", found.resolved);
        check(found.above == above, what, "counted", (double)found.above);
        check(found.ambiguous == ambiguous, what, "ambiguous", found.ambiguous);
        check(fabs(found.sigma_max - top) <= 1e-7 * top, what, "largest", found.sigma_max / top - 1);
        check(fabs(found.tolerance - share * top) <= 1e-7 * top, what, "tolerance", found.tolerance);
        if (top > 0)
            check(fabs(found.stable_rank - squares / (top * top)) <= 1e-6 * found.stable_rank, what,
                  "stable rank", found.stable_rank);
        struct grid_count first = found; /* all processes have it to the bit */
        comm_bcast(c, &first, sizeof first, 0);
        check(memcmp(&first, &found, sizeof found) == 0, what, "processes differ", 0);
    }
}

/* Runs one matrix by all methods and compares with its singular values (any order; sorted here). */
static void compare(struct grid *g, const struct comm *c, struct arena *a, const char *what, int64_t rows,
                    int64_t cols, const float *x, double *expected)
{
    int64_t n = rows < cols ? rows : cols;
    if (n > 0)
        qsort(expected, (size_t)n, sizeof *expected, descending);
    double *s = calloc((size_t)n + 1, sizeof *s);
    for (int k = 0; k < (n < 500 ? 3 : 1); k++) { /* the others take long where processes share processors */
        struct source from = source_of(c, rows, cols, x);
        int finite;
        struct err e;
        err_clear(&e);
        size_t live = a->mem->live_bytes;
        a->mem->peak_bytes = live;
        s[n] = 42;
        grid_singular_values(g, methods[k], &(struct grid_matrix){rows, cols, get_rows, &from}, s, &finite, a,
                             &e);
        check(e.code == ERR_OK, what, e.text, k);
        check(!from.misused, what, "rows asked for twice, out of order or of another process", k);
        check(finite == 1, what, "finite", k);
        check(s[n] == 42, what, "wrote past the end", k);
        check(a->mem->live_bytes == live, what, "memory kept", (double)a->mem->live_bytes);
        double used = (double)(a->mem->peak_bytes - live),
               planned = grid_spectrum_bytes(methods[k], rows, cols, c->np);
        check(used <= planned + 4096, what, grid_method_name(methods[k]), used - planned);
        double limit = methods[k] == GRID_SVD ? 1e-13 : 1e-7;
        for (int64_t i = 0; i < n; i++)
            if (!(fabs(s[i] - expected[i]) <= limit * expected[0])) {
                check(0, what, grid_method_name(methods[k]), (s[i] - expected[i]) / expected[0]);
                break;
            }
    }
    compare_count(g, c, a, what, rows, cols, x, expected, 1e-4, 1e-6);
    /* Integer multiples of a seventh: bands that stop before one, and that hold one. */
    compare_count(g, c, a, what, rows, cols, x, expected, 0.3, 1e-3);
    compare_count(g, c, a, what, rows, cols, x, expected, 2.02 / 7, 0.021);
    compare_count(g, c, a, what, rows, cols, x, expected, 2.02 / 7, 0.002);
    free(s);
}

/* A dense matrix inside a larger one: rows and columns go to scattered places, all else is zero. nonzero
 * singular values: `nd` of the 2^lm x 2^ln core, d[i] = 1 + i % 7, the last `deficient` of them 0. */
static void hadamard_case(struct grid *g, const struct comm *c, struct arena *a, const char *what, int lm,
                          int ln, int64_t rows, int64_t cols, int deficient)
{
    int64_t m = (int64_t)1 << lm, n = (int64_t)1 << ln, k = m < n ? m : n, small = rows < cols ? rows : cols;
    float *x = calloc((size_t)(rows * cols), sizeof *x);
    double *expected = calloc((size_t)small, sizeof *expected);
    for (int64_t i = 0; i < k - deficient; i++)
        expected[i] = sqrt((double)(m * n)) * (double)(1 + i % 7);
    /* i -> i * step mod rows is one to one where step and rows have no common divisor */
    int64_t row_step = rows % 7 ? 7 : 1, col_step = cols % 5 ? 5 : 1;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int sum = 0;
            for (int64_t t = 0; t < k - deficient; t++)
                sum += hadamard(i, t) * hadamard(j, t) * (int)(1 + t % 7);
            x[(i * row_step % rows) * cols + j * col_step % cols] = (float)sum;
        }
    compare(g, c, a, what, rows, cols, x, expected);
    free(x);
    free(expected);
}

static void diagonal_case(struct grid *g, const struct comm *c, struct arena *a, const char *what,
                          int64_t rows, int64_t cols, double scale)
{
    int64_t n = rows < cols ? rows : cols;
    float *x = calloc((size_t)(rows * cols), sizeof *x);
    double *expected = calloc((size_t)n + 1, sizeof *expected);
    for (int64_t i = 0; i < n; i++) {
        float v = (float)(scale * (double)((i * 13) % 29) * (i % 2 ? -1 : 1));
        x[i * cols + i] = v;
        expected[i] = fabs((double)v);
    }
    compare(g, c, a, what, rows, cols, x, expected);
    free(x);
    free(expected);
}

/* u v' with u = 1, 2, 3, ... and v = 1, -1, 2, -2, ...: one singular value |u| |v|. */
static void outer_case(struct grid *g, const struct comm *c, struct arena *a, const char *what, int64_t rows,
                       int64_t cols)
{
    int64_t n = rows < cols ? rows : cols;
    float *x = calloc((size_t)(rows * cols) + 1, sizeof *x);
    double *expected = calloc((size_t)n + 1, sizeof *expected), uu = 0, vv = 0;
    for (int64_t i = 0; i < rows; i++) {
        double u = (double)(1 + i % 100);
        uu += u * u;
        for (int64_t j = 0; j < cols; j++)
            x[i * cols + j] = (float)(u * (double)(1 + j / 2 % 50) * (j % 2 ? -1 : 1));
    }
    for (int64_t j = 0; j < cols; j++)
        vv += (double)((1 + j / 2 % 50) * (1 + j / 2 % 50));
    expected[0] = n > 0 ? sqrt(uu * vv) : 0;
    compare(g, c, a, what, rows, cols, x, expected);
    free(x);
    free(expected);
}

/* One bad element on whichever process holds it: no singular values, no error, on all processes. */
static void nonfinite_case(struct grid *g, const struct comm *c, struct arena *a, const char *what,
                           int64_t rows, int64_t cols, float bad)
{
    int64_t n = rows < cols ? rows : cols;
    float *x = calloc((size_t)(rows * cols), sizeof *x);
    double *s = calloc((size_t)n, sizeof *s);
    for (int64_t i = 0; i < rows * cols; i++)
        x[i] = (float)(i % 3);
    x[rows * cols - 1] = bad;
    for (int k = 0; k < 3; k++) {
        struct source from = source_of(c, rows, cols, x);
        int finite;
        struct err e;
        err_clear(&e);
        grid_singular_values(g, methods[k], &(struct grid_matrix){rows, cols, get_rows, &from}, s, &finite, a,
                             &e);
        check(e.code == ERR_OK && finite == 0 && isnan(s[0]), what, "not recognised", s[0]);
    }
    struct source from = source_of(c, rows, cols, x);
    struct grid_bound bound = {.share = 1e-4, .band = 1e-6};
    struct grid_count found;
    struct err e;
    err_clear(&e);
    grid_count_above(g, &(struct grid_matrix){rows, cols, get_rows, &from}, &bound, &found, a, &e);
    check(e.code == ERR_OK && found.finite == 0, what, "not recognised while counting", found.finite);
    free(x);
    free(s);
}

/* The last process fails to read, or has no memory: all get the same error and nobody hangs. */
static void failure_case(struct grid *g, const struct comm *c, struct arena *a)
{
    enum { ROWS = 90, COLS = 80 };
    float *x = calloc(COLS * ROWS, sizeof *x);
    double s[COLS];
    for (int i = 0; i < COLS * ROWS; i++)
        x[i] = (float)(i % 3);
    for (int wide = 0; wide < 2; wide++)
        for (int k = 0; k < 4; k++)
            for (int starved = 0; starved < 2; starved++) {
                int64_t rows = wide ? COLS : ROWS, cols = wide ? ROWS : COLS;
                struct source from = source_of(c, rows, cols, x);
                struct grid_bound bound = {.share = 1e-4, .band = 1e-6};
                struct grid_count found;
                int finite;
                from.fail = !starved && c->me == c->np - 1;
                struct err e;
                err_clear(&e);
                size_t live = a->mem->live_bytes;
                if (starved && c->me == c->np - 1)
                    a->mem->budget_bytes = live + 12000;
                if (k < 3)
                    grid_singular_values(g, methods[k], &(struct grid_matrix){rows, cols, get_rows, &from}, s,
                                         &finite, a, &e);
                else
                    grid_count_above(g, &(struct grid_matrix){rows, cols, get_rows, &from}, &bound, &found, a,
                                     &e);
                a->mem->budget_bytes = 0;
                check(e.code == (starved ? ERR_SYSTEM : ERR_DATA) && e.process == c->np - 1, "failure",
                      e.text, starved);
                check(a->mem->live_bytes == live, "failure", "memory kept", k);
            }
    free(x);
}

static uint64_t next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15U;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* A sparse random matrix, with rows (or columns) that repeat others and some that are tiny: the count must
 * agree with the singular values of the SVD, by factorisation and not by solving. density in 1/256. */
static void sparse_case(struct grid *g, const struct comm *c, struct arena *a, const char *what, int64_t rows,
                        int64_t cols, int density, int repeats, double share, enum grid_method expected)
{
    int64_t n = rows < cols ? rows : cols;
    float *x = calloc((size_t)(rows * cols), sizeof *x);
    double *s = calloc((size_t)n, sizeof *s), band = share / 50;
    uint64_t state = (uint64_t)(rows * 1000 + cols);
    for (int64_t i = 0; i < rows * cols; i++)
        if ((int)(next(&state) & 255) < density)
            x[i] = (float)((double)(int64_t)next(&state) * 0x1p-63);
    for (int k = 0; k < repeats; k++)
        for (int64_t i = 0; i < (rows < cols ? cols : rows); i++)
            if (rows < cols)
                x[(3 + 5 * k) * cols + i] = 0.5F * x[(50 + 3 * k) * cols + i];
            else
                x[i * cols + 3 + 5 * k] = 0.5F * x[i * cols + 50 + 3 * k];
    struct source from = source_of(c, rows, cols, x);
    int finite;
    struct err e;
    err_clear(&e);
    grid_singular_values(g, GRID_SVD, &(struct grid_matrix){rows, cols, get_rows, &from}, s, &finite, a, &e);
    check(e.code == ERR_OK && finite, what, e.text, 0);
    int64_t above = 0;
    int ambiguous = 0;
    for (int64_t i = 0; i < n; i++) {
        above += s[i] > share * s[0];
        ambiguous |= fabs(s[i] - share * s[0]) <= band * s[0];
    }
    from = source_of(c, rows, cols, x);
    struct grid_bound bound = {.share = share, .band = band};
    struct grid_count found;
    grid_count_above(g, &(struct grid_matrix){rows, cols, get_rows, &from}, &bound, &found, a, &e);
    check(e.code == ERR_OK, what, e.text, 0);
    check(found.method == expected, what, grid_method_name(found.method), (double)(n - above));
    check(found.above == above, what, "counted", (double)(found.above - above));
    check(found.ambiguous == ambiguous, what, "ambiguous", found.ambiguous);
    if (expected == GRID_PROVED)
        check(found.sigma_least > share * s[0] && found.sigma_least <= s[n - 1], what, "least",
              found.sigma_least);
    else
        check(isnan(found.sigma_least), what, "least", found.sigma_least);
    free(x);
    free(s);
}

int main(int argc, char **argv)
{
    grid_blas_start(argv); /* the kernels that sinew itself runs on */
    MPI_Init(&argc, &argv);
    struct comm c;
    comm_init(&c, MPI_COMM_WORLD);
    struct mem mem;
    struct arena a;
    struct err e;
    struct grid *g;
    mem_init(&mem, 0);
    arena_init(&a, &mem);
    err_clear(&e);
    unsetenv("OPENBLAS_NUM_THREADS");
    unsetenv("OMP_NUM_THREADS");
    check(grid_blas_threads() == 1, "threads", "more than one that nobody asked for", 0);

    if (grid_create(&g, &c, &a, &e) == ERR_OK) {
        int p, q;
        grid_shape(g, &p, &q);
        check(p * q == c.np && p <= q, "grid", "shape", p);

        diagonal_case(g, &c, &a, "1 x 1", 1, 1, 1);
        diagonal_case(g, &c, &a, "2 x 2", 2, 2, 1);
        diagonal_case(g, &c, &a, "3 x 2", 3, 2, 1);
        diagonal_case(g, &c, &a, "diagonal 100 x 100", 100, 100, 1);
        diagonal_case(g, &c, &a, "diagonal 37 x 150", 37, 150, 1);
        diagonal_case(g, &c, &a, "diagonal 150 x 37", 150, 37, 1);
        diagonal_case(g, &c, &a, "tiny values", 60, 70, 1e-30);
        diagonal_case(g, &c, &a, "subnormal values", 70, 60, 1e-44);
        diagonal_case(g, &c, &a, "huge values", 60, 60, 1e36);
        diagonal_case(g, &c, &a, "zero", 40, 50, 0);
        diagonal_case(g, &c, &a, "zero, tall", 700, 3, 0);
        outer_case(g, &c, &a, "0 x 5", 0, 5);
        outer_case(g, &c, &a, "5 x 0", 5, 0);
        outer_case(g, &c, &a, "1 x 300", 1, 300);
        outer_case(g, &c, &a, "300 x 1", 300, 1);
        outer_case(g, &c, &a, "outer product 65 x 129", 65, 129);
        outer_case(g, &c, &a, "outer product 129 x 65", 129, 65);
        hadamard_case(g, &c, &a, "square", 6, 6, 64, 64, 0);
        hadamard_case(g, &c, &a, "square, scattered", 7, 7, 200, 151, 0);
        hadamard_case(g, &c, &a, "rank-deficient", 7, 7, 128, 128, 40);
        hadamard_case(g, &c, &a, "tall", 11, 4, 2048, 16, 0);
        hadamard_case(g, &c, &a, "tall, zero rows between", 9, 5, 2500, 33, 3);
        hadamard_case(g, &c, &a, "wide", 4, 11, 16, 2048, 5);
        hadamard_case(g, &c, &a, "wide, zero rows between", 5, 9, 45, 2500, 0);
        nonfinite_case(g, &c, &a, "NaN, tall", 600, 10, NAN);
        nonfinite_case(g, &c, &a, "NaN, wide", 10, 600, NAN);
        nonfinite_case(g, &c, &a, "Inf", 20, 20, -INFINITY);
        nonfinite_case(g, &c, &a, "NaN, 1 x 1", 1, 1, NAN);
        sparse_case(g, &c, &a, "sparse wide", 200, 900, 30, 0, 1e-3, GRID_PROVED);
        sparse_case(g, &c, &a, "sparse tall", 900, 200, 30, 0, 1e-3, GRID_PROVED);
        sparse_case(g, &c, &a, "dense wide", 250, 300, 256, 0, 1e-3, GRID_PROVED);
        sparse_case(g, &c, &a, "nearly square", 250, 254, 256, 0, 1e-5, GRID_CHOLESKY);
        sparse_case(g, &c, &a, "sparse square", 300, 300, 40, 0, 2e-2, GRID_INERTIA);
        sparse_case(g, &c, &a, "repeated rows", 300, 700, 40, 20, 1e-3, GRID_INERTIA);
        sparse_case(g, &c, &a, "repeated columns", 700, 300, 200, 20, 1e-3, GRID_INERTIA);
        sparse_case(g, &c, &a, "many below", 300, 310, 40, 0, 0.35, GRID_GRAM);
        diagonal_case(g, &c, &a, "large diagonal", 700, 600, 1e-20);
        failure_case(g, &c, &a);
        grid_destroy(g);
    }
    /* Grids come and go without using up contexts. */
    for (int i = 0; i < 200 && e.code == ERR_OK; i++)
        if (grid_create(&g, &c, &a, &e) == ERR_OK) {
            if (i % 50 == 0)
                outer_case(g, &c, &a, "after many grids", 5, 4);
            grid_destroy(g);
        }
    check(e.code == ERR_OK, "grid_create", e.text, 0);
    arena_release(&a);
    int all = failures;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Finalize();
    return all > 0;
}
