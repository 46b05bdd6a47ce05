#include "linalg/definite.h"

#include "linalg/grid_lapack.h"

#include <math.h>
#include <string.h>

enum {
    TILE = 32,
    LANES = 16,   /* sums side by side */
    PRODUCTS = 4, /* towards a norm: more gain nothing */
    BEYOND = 8    /* m - n of the proof */
};

/* Factors of float32 lie in the lower triangle, where a column of n - j float64 has room for as many float32:
 * column j begins n float32 behind the column of float64, and so ends with it, clear of the upper triangle.
 */
struct single {
    float *a;
    int n, ld;
};

static struct single single_of(const struct symmetric *s)
{
    return (struct single){(float *)(void *)s->a + s->n, s->n, 2 * s->ld};
}

/* Local. The float32 triangle = factor * (scale * A + shift * I). */
static void fill(const struct symmetric *s, const struct single *x, double scale, double shift, double factor)
{
    int64_t n = s->n, ld = s->ld, single_ld = x->ld;
    for (int64_t j0 = 0; j0 < n; j0 += TILE)
        for (int64_t i0 = j0; i0 < n; i0 += TILE)
            for (int64_t j = j0; j < j0 + TILE && j < n; j++)
                for (int64_t i = i0 > j ? i0 : j + 1; i < i0 + TILE && i < n; i++)
                    x->a[i + j * single_ld] = (float)(scale * factor * s->a[j + i * ld]);
    for (int64_t i = 0; i < n; i++)
        x->a[i + i * single_ld] = (float)(factor * (scale * s->diagonal[i] + shift));
}

/* Local. y = |L| |L'| v. */
static void multiply(const struct single *x, const double *v, double *y)
{
    int64_t n = x->n, ld = x->ld;
    memset(y, 0, (size_t)n * sizeof *y);
    for (int64_t j = 0; j < n; j++) {
        const float *l = x->a + j * ld;
        double part[LANES] = {0}, sum = 0;
        int64_t i = j;
        for (; i + LANES <= n; i += LANES)
            for (int q = 0; q < LANES; q++)
                part[q] += fabs((double)l[i + q]) * v[i + q];
        for (; i < n; i++)
            sum += fabs((double)l[i]) * v[i];
        for (int q = 0; q < LANES; q++)
            sum += part[q];
        for (i = j; i < n; i++)
            y[i] += sum * fabs((double)l[i]);
    }
}

/* Local. A limit of the norm of M = |L| |L'|: the largest (M v)_i / v_i for any positive v (Collatz, 1942),
 * and the less, the nearer v is to the eigenvector, to which multiplying by M takes it. vectors: 2 n numbers
 * to work in. */
static double norm_limit(const struct single *x, double *vectors)
{
    int64_t n = x->n;
    double *v = vectors, *y = vectors + n, least = INFINITY;
    for (int64_t i = 0; i < n; i++)
        v[i] = 1;
    for (int t = 0; t < PRODUCTS; t++) {
        double most = 0, largest = 0;
        multiply(x, v, y);
        for (int64_t i = 0; i < n; i++) {
            double ratio = y[i] / v[i];
            most = ratio <= most ? most : ratio; /* so that NaN, too, is no proof */
            largest = fmax(largest, y[i]);
        }
        if (!(most < INFINITY))
            return INFINITY;
        least = fmin(least, most);
        for (int64_t i = 0; i < n; i++)
            v[i] = fmax(y[i] / largest, 1e-12);
    }
    return least;
}

/* u m */
static double steps_of(const struct symmetric *s)
{
    return (s->n + (double)BEYOND) * 0x1p-24;
}

double definite_resolution(const struct symmetric *s)
{
    double largest = 0;
    for (int64_t i = 0; i < s->n; i++)
        largest = fmax(largest, s->diagonal[i]);
    return 0.5 * steps_of(s) * largest; /* half: what is taken off the diagonal */
}

err_t definite_within(struct symmetric *s, double scale, double shift, double *e_out, struct err *e)
{
    const double steps = steps_of(s);
    double *vectors, most = 0;
    int info = 0;
    *e_out = INFINITY;
    for (int64_t i = 0; i < s->n; i++)
        most = fmax(most, scale * s->diagonal[i] + shift);
    if (!(most > 0x1p-900 && most < 0x1p900) || !(steps < 0.25))
        return ERR_OK;
    TRY(arena_array(s->arena, "definite.vectors", (int64_t)2 * s->n, &vectors, e));
    const double factor = ldexp(1, -ilogb(most));
    const struct single x = single_of(s);
    fill(s, &x, scale, shift, factor);
    spotrf_("L", &x.n, x.a, &x.ld, &info, 1);
    if (info == 0)
        *e_out = (steps / (1 - steps) * norm_limit(&x, vectors) * (1 + 1e-9) + s->n * 0x1p-100) / factor;
    arena_drop(s->arena, vectors);
    return info < 0 ? err_set(e, ERR_BUG, "spotrf on a matrix of order %d: bad argument %d", x.n, -info)
                    : ERR_OK;
}
