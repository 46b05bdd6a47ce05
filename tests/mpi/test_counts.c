/* Counts of singular values against all of them, computed in float64 from the matrix itself: updates of all
 * shapes, densities and spectra, some with singular values planted next to the tolerance and to the ends of
 * the band around it. Whatever way a count goes, its rank and its flag are those of the spectrum.
 *
 *     test_counts [MATRICES [SEED]]
 *
 * The long form is 10000 matrices; the short one, by default, has some of each. One line per failed check;
 * exit status 0 or 1. */
#include "kernels/spectrum/spectrum.h"
#include "linalg/grid.h"
#include "linalg/grid_blas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT = 48, SHARED = 7 /* where processes share processors, each takes long */, METHODS = 6 };

enum spectrum_kind {
    UNITS,   /* a few units in the last place of bf16 weights of much the same size */
    WEIGHTS, /* of weights of all sizes */
    DENSE,   /* float32 of any kind */
    LOW,     /* of low rank, and noise */
    PLANTED, /* singular values next to the tolerance */
    REPEATED,
    SPIKED,
    KINDS
};

struct random {
    uint64_t state;
};

static uint64_t draw(struct random *r)
{
    r->state += 0x9e3779b97f4a7c15U;
    uint64_t z = r->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static double uniform(struct random *r)
{
    return ((double)(draw(r) >> 11) + 0.5) * 0x1p-53;
}

static int64_t between(struct random *r, int64_t from, int64_t to)
{
    return from + (int64_t)(draw(r) % (uint64_t)(to - from + 1));
}

static double normal(struct random *r)
{
    return sqrt(-2 * log(uniform(r))) * cos(6.283185307179586 * uniform(r));
}

struct one {
    int64_t rows, cols;
    float *x;
    enum spectrum_kind kind;
};

/* x := (I - 2 v v' / v'v) x, for an arbitrary v of the length of a column; of a row with `right`. */
static void reflect(double *x, int64_t rows, int64_t cols, int right, struct random *r)
{
    int64_t length = right ? cols : rows, others = right ? rows : cols, step = right ? 1 : cols,
            next = right ? cols : 1;
    double *v = malloc((size_t)length * sizeof *v), vv = 0;
    for (int64_t i = 0; i < length; i++) {
        v[i] = normal(r);
        vv += v[i] * v[i];
    }
    for (int64_t k = 0; k < others; k++) {
        double product = 0;
        for (int64_t i = 0; i < length; i++)
            product += v[i] * x[k * next + i * step];
        for (int64_t i = 0; i < length; i++)
            x[k * next + i * step] -= 2 / vv * product * v[i];
    }
    free(v);
}

/* Singular values from 1 down to well above the tolerance, and a few at the tolerance, or at an end of the
 * band, but for a share from 1e-7 to 1e-2. */
static void plant(struct one *m, struct random *r)
{
    int64_t n = m->rows < m->cols ? m->rows : m->cols, planted = between(r, 1, 4);
    double t = spectrum_tolerance(m->rows, m->cols, 1), band = spectrum_band(m->rows, m->cols, 1),
           *x = calloc((size_t)(m->rows * m->cols), sizeof *x), lowest = between(r, 0, 1) ? 0.3 : 100 * t;
    for (int64_t i = 0; i < n; i++) {
        double s = i == 0 ? 1 : pow(lowest, uniform(r));
        if (i >= n - planted) {
            s = t + (double)between(r, -1, 1) * band;
            s *= 1 + (double)(between(r, 0, 1) ? 1 : -1) * pow(10, -7 + 5 * uniform(r));
        }
        x[i * m->cols + i] = s;
    }
    for (int k = 0; k < 2; k++) {
        reflect(x, m->rows, m->cols, 0, r);
        reflect(x, m->rows, m->cols, 1, r);
    }
    for (int64_t i = 0; i < m->rows * m->cols; i++)
        m->x[i] = (float)x[i];
    free(x);
}

/* A product of rows x k and k x cols, and noise of any size. */
static void of_low_rank(struct one *m, double density, struct random *r)
{
    int64_t n = m->rows < m->cols ? m->rows : m->cols, k = between(r, 1, n / 2 + 1);
    double noise = between(r, 0, 3) ? pow(10, -9 + 8 * uniform(r)) : 0,
           *left = malloc((size_t)(m->rows * k) * sizeof *left),
           *right = malloc((size_t)(m->cols * k) * sizeof *right);
    for (int64_t i = 0; i < m->rows * k; i++)
        left[i] = normal(r);
    for (int64_t i = 0; i < m->cols * k; i++)
        right[i] = normal(r);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->cols; j++) {
            double sum = uniform(r) < density ? noise * normal(r) : 0;
            for (int64_t t = 0; t < k; t++)
                sum += left[i * k + t] * right[j * k + t];
            m->x[i * m->cols + j] = (float)sum;
        }
    free(left);
    free(right);
}

/* bf16 units in the last place of a weight of so many binades. */
static float units(struct random *r, double binades)
{
    double unit = ldexp(1, -14 - (int)(binades * uniform(r)));
    return (float)((between(r, 0, 1) ? 1 : -1) * (double)between(r, 1, 4) * unit);
}

static void fill(struct one *m, struct random *r)
{
    static const double densities[] = {0.01, 0.05, 0.15, 0.3, 1};
    double density = densities[between(r, 0, 4)];
    if (m->kind == PLANTED) {
        plant(m, r);
        return;
    }
    if (m->kind == LOW) {
        of_low_rank(m, density, r);
        return;
    }
    for (int64_t i = 0; i < m->rows * m->cols; i++) {
        m->x[i] = 0;
        if (uniform(r) < density)
            m->x[i] = m->kind == DENSE ? (float)normal(r) : units(r, m->kind == WEIGHTS ? 16 : 4);
    }
    if (m->kind == REPEATED)
        for (int64_t k = between(r, 1, 12), i; k > 0 && m->rows > 2; k--) {
            i = between(r, 1, m->rows - 1);
            for (int64_t j = 0; j < m->cols; j++)
                m->x[i * m->cols + j] = (k % 3 == 0 ? 0 : 0.5F) * m->x[(i - 1) * m->cols + j];
        }
    if (m->kind == SPIKED) {
        int64_t i = between(r, 0, m->rows - 1);
        float factor = (float)ldexp(1, (int)between(r, 1, 14));
        for (int64_t j = 0; j < m->cols; j++)
            m->x[i * m->cols + j] *= factor;
    }
}

/* Matrix number `number`, on all processes the same. */
static struct one make(uint64_t seed, uint64_t number)
{
    struct random r = {(seed << 32) + number};
    static const double shapes[] = {1, 1, 1.02, 1.3, 2, 4, 9};
    int64_t small = between(&r, 0, 9) ? between(&r, 20, 120) : between(&r, 120, 260),
            large = (int64_t)ceil((double)small * shapes[between(&r, 0, 6)]);
    int tall = (int)between(&r, 0, 1);
    struct one m = {tall ? large : small, tall ? small : large, NULL, (enum spectrum_kind)(number % KINDS)};
    m.x = malloc((size_t)(m.rows * m.cols) * sizeof *m.x);
    fill(&m, &r);
    return m;
}

static err_t get_rows(void *arg, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct one *m = arg;
    (void)e;
    memcpy(out, m->x + row * m->cols, (size_t)(n * m->cols) * sizeof *out);
    return ERR_OK;
}

/* Is what was counted what the spectrum says? Where a singular value is within 1e-8 sigma_max of an edge, as
 * near as float64 tells them apart in a Gram matrix, either side will do for what the edge decides. */
static int agrees(const struct grid_count *c, const struct grid_bound *b, const double *s, int64_t n)
{
    double t = b->tolerance > 0 ? b->tolerance : b->share * s[0], half = b->band * s[0], near = 1e-8 * s[0];
    int64_t least = 0, most = 0;
    int surely = 0, perhaps = 0;
    for (int64_t i = 0; i < n; i++) {
        least += s[i] > t + near;
        most += s[i] > t - near;
        surely |= s[0] > 0 && fabs(s[i] - t) <= half - near;
        perhaps |= s[0] > 0 && fabs(s[i] - t) <= half + near;
    }
    return c->above >= least && c->above <= most && c->ambiguous >= surely && c->ambiguous <= perhaps &&
           fabs(c->sigma_max - s[0]) <= 1e-7 * s[0] &&
           (c->method != GRID_PROVED ||
            (c->sigma_least <= s[c->above - 1] * (1 + 1e-9) && c->sigma_least > t));
}

/* One matrix; returns whether all is well. */
static int check_one(struct grid *g, const struct comm *c, struct arena *a, uint64_t seed, uint64_t number,
                     int64_t *methods)
{
    struct one m = make(seed, number);
    struct grid_matrix matrix = {m.rows, m.cols, get_rows, &m};
    int64_t n = m.rows < m.cols ? m.rows : m.cols;
    double *s = malloc((size_t)n * sizeof *s), share = spectrum_tolerance(m.rows, m.cols, 1);
    struct grid_bound bound = {.share = share, .band = spectrum_band(m.rows, m.cols, 1)};
    struct grid_count found = {0};
    struct err e;
    int finite;
    err_clear(&e);
    grid_singular_values(g, GRID_SVD, &matrix, s, &finite, a, &e);
    if (number % 5 == 4 && s[0] > 0) { /* another tolerance, beside one of the singular values */
        bound.tolerance = s[n / 2] * (1 + 4 * bound.band * (uniform(&(struct random){number}) - 0.5));
        bound.tolerance = fmax(bound.tolerance, share * s[0]);
    }
    if (e.code == ERR_OK)
        grid_count_above(g, &matrix, &bound, &found, a, &e);
    int ok = e.code == ERR_OK && finite && found.finite && (!found.resolved || agrees(&found, &bound, s, n));
    if (!ok && c->me == 0)
        printf(
            "matrix %llu of seed %llu, %lld x %lld, kind %d: %s, counted %lld, ambiguous %d, sigma_max %.17g of "
            "%.17g %s\n",
            (unsigned long long)number, (unsigned long long)seed, (long long)m.rows, (long long)m.cols,
            m.kind, grid_method_name(found.method), (long long)found.above, found.ambiguous, found.sigma_max,
            s[0], e.text);
    methods[found.method]++;
    free(s);
    free(m.x);
    return ok;
}

int main(int argc, char **argv)
{
    grid_blas_start(argv);
    MPI_Init(&argc, &argv);
    struct comm c;
    struct mem mem;
    struct arena a;
    struct grid *g;
    struct err e;
    int64_t methods[METHODS] = {0}, failures = 0;
    grid_blas_threads();
    comm_init(&c, MPI_COMM_WORLD);
    uint64_t matrices = argc > 1   ? strtoull(argv[1], NULL, 10)
                        : c.np > 1 ? SHARED
                                   : SHORT,
             seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    mem_init(&mem, 0);
    arena_init(&a, &mem);
    err_clear(&e);
    failures += grid_create(&g, &c, &a, &e) != ERR_OK;
    for (uint64_t i = 0; i < matrices && failures < 20; i++)
        failures += !check_one(g, &c, &a, seed, i, methods);
    if (c.me == 0)
        for (int k = 0; k < METHODS; k++)
            if (methods[k] > 0)
                printf("%s: %lld matrices\n", grid_method_name((enum grid_method)k), (long long)methods[k]);
    failures += matrices >= SHORT && (methods[GRID_PROVED] == 0 || methods[GRID_INERTIA] == 0);
    grid_destroy(g);
    arena_release(&a);
    MPI_Finalize();
    return failures > 0;
}
