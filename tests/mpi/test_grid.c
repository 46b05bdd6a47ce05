/* Singular values against closed forms, on as many processes as the program is started with. One line per
 * failed check; exit status 0 or 1. All matrices are exact in float: Sylvester-Hadamard matrices have entries
 * +-1 and orthogonal columns, so that H_m[:, :k] diag(d) H_n[:, :k]' with small integers d has exactly the
 * singular values sqrt(m * n) * d. */
#include "grid.h"

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

/* Runs one matrix by both methods and compares with its singular values (any order; sorted here). */
static void compare(struct grid *g, const struct comm *c, struct arena *a, const char *what, int64_t rows,
                    int64_t cols, const float *x, double *expected)
{
    int64_t n = rows < cols ? rows : cols;
    if (n > 0)
        qsort(expected, (size_t)n, sizeof *expected, descending);
    double *s = calloc((size_t)n + 1, sizeof *s);
    for (int method = 0; method < 2; method++) {
        struct source from = {.rows = rows, .cols = cols, .x = x};
        split(rows, c->np, c->me, &from.from, &from.to);
        struct grid_spectrum info;
        struct err e;
        err_clear(&e);
        size_t live = a->mem->live_bytes;
        a->mem->peak_bytes = live;
        s[n] = 42;
        grid_singular_values(g, rows, cols, get_rows, &from, method ? 1e-12 : 1e-6, s, &info, a, &e);
        check(e.code == ERR_OK, what, e.text, method);
        check(!from.misused, what, "rows asked for twice, out of order or of another process", method);
        check(info.finite == 1 && info.method == (method ? GRID_SVD : GRID_GRAM), what, "info", method);
        check(s[n] == 42, what, "wrote past the end", method);
        check(a->mem->live_bytes == live, what, "memory kept", (double)a->mem->live_bytes);
        double used = (double)(a->mem->peak_bytes - live),
               planned = grid_spectrum_bytes(info.method, rows, cols, c->np);
        check(used <= planned + 4096, what, "used more memory than planned, bytes", used - planned);
        double limit = method ? 1e-13 : 1e-7;
        for (int64_t i = 0; i < n; i++)
            if (!(fabs(s[i] - expected[i]) <= limit * expected[0])) {
                check(0, what, method ? "svd differs, in units of s0" : "gram differs, in units of s0",
                      (s[i] - expected[i]) / expected[0]);
                break;
            }
    }
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
    for (int method = 0; method < 2; method++) {
        struct source from = {.rows = rows, .cols = cols, .x = x};
        split(rows, c->np, c->me, &from.from, &from.to);
        struct grid_spectrum info;
        struct err e;
        err_clear(&e);
        grid_singular_values(g, rows, cols, get_rows, &from, method ? 0 : 1, s, &info, a, &e);
        check(e.code == ERR_OK && info.finite == 0 && isnan(s[0]), what, "not recognised", s[0]);
    }
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
        for (int method = 0; method < 2; method++)
            for (int starved = 0; starved < 2; starved++) {
                int64_t rows = wide ? COLS : ROWS, cols = wide ? ROWS : COLS;
                struct source from = {
                    .rows = rows, .cols = cols, .x = x, .fail = !starved && c->me == c->np - 1};
                split(rows, c->np, c->me, &from.from, &from.to);
                struct grid_spectrum info;
                struct err e;
                err_clear(&e);
                size_t live = a->mem->live_bytes;
                if (starved && c->me == c->np - 1)
                    a->mem->budget_bytes = live + 12000;
                grid_singular_values(g, rows, cols, get_rows, &from, method ? 0 : 1, s, &info, a, &e);
                a->mem->budget_bytes = 0;
                check(e.code == (starved ? ERR_SYSTEM : ERR_DATA) && e.process == c->np - 1, "failure",
                      e.text, starved);
                check(a->mem->live_bytes == live, "failure", "memory kept", method);
            }
    free(x);
}

int main(int argc, char **argv)
{
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
    check(grid_threads(&c) >= 1, "threads", "fewer than one", 0);

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
