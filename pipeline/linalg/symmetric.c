#include "linalg/symmetric.h"

#include "linalg/grid_lapack.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 192, /* columns that are factored at once */
    TILE = 32,
    STEPS = 400,            /* of Lanczos at most */
    TRIDIAGONALS = 5,       /* arrays of as many numbers */
    LOOK_EVERY = 8,         /* steps between looks at the largest Ritz value */
    DSYTRD_BLOCK = 64,      /* no LAPACK asks for more columns of workspace */
    BAND = 64,              /* half-width of the band between the two stages */
    TWO_STAGES_FROM = 512,  /* smaller matrices stay in cache, and one stage is faster */
    BAND_COLUMNS = 5 * BAND /* of workspace, for both stages */
};

/* Pivots below this share of the bound are put off. A is positive semidefinite but for rounding, so that a
 * pivot p of A - bound I adds at most about (1 + bound / p) times what there was to the factor's later rows.
 */
static const double SMALL_PIVOT = 0.05;

double symmetric_bytes(int64_t n)
{
    double d = SYMMETRIC_DELAYED,
           eigenvalues = n < TWO_STAGES_FROM ? (double)n * (2 + DSYTRD_BLOCK) + 64
                                             : (double)n * BAND_COLUMNS + 4.0 * BAND * BAND,
           count = 2.0 * (double)n + (double)BLOCK * BLOCK + 2 * d * d + d * (3 + DSYTRD_BLOCK),
           largest = 3.0 * (double)n + TRIDIAGONALS * STEPS;
    return 8 * ((double)n + fmax(eigenvalues, fmax(count, largest))) + 1024;
}

err_t symmetric_init(struct symmetric *s, double *a, int64_t n, int64_t ld, struct arena *arena,
                     struct err *e)
{
    *s = (struct symmetric){.a = a, .arena = arena};
    TRY(to_int(n, &s->n, e));
    TRY(to_int(ld, &s->ld, e));
    TRY(arena_array(arena, "symmetric.diagonal", n, &s->diagonal, e));
    for (int64_t j0 = 0; j0 < n; j0 += TILE)
        for (int64_t i0 = j0; i0 < n; i0 += TILE)
            for (int64_t j = j0; j < j0 + TILE && j < n; j++)
                for (int64_t i = i0 > j ? i0 : j + 1; i < i0 + TILE && i < n; i++)
                    a[j + i * ld] = a[i + j * ld];
    for (int64_t i = 0; i < n; i++)
        s->diagonal[i] = a[i + i * ld];
    return ERR_OK;
}

struct place {
    double size;
    int64_t at;
};

static int largest_first(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    return a->size > b->size ? -1 : a->size < b->size ? 1 : a->at < b->at ? -1 : a->at > b->at;
}

/* Local. Lower triangle = P (A - bound I) P', P such that the diagonal descends: rows that changed little,
 * and are often multiples of each other, come last, where they disturb the factorisation least. */
static err_t arrange(struct symmetric *s, double bound, struct err *e)
{
    int64_t n = s->n, ld = s->ld;
    double *a = s->a;
    struct place *p;
    TRY(arena_array(s->arena, "symmetric.order", n, &p, e));
    for (int64_t i = 0; i < n; i++)
        p[i] = (struct place){s->diagonal[i], i};
    qsort(p, (size_t)n, sizeof *p, largest_first);
    for (int64_t j = 0; j < n; j++) {
        int64_t pj = p[j].at;
        a[j + j * ld] = p[j].size - bound;
        for (int64_t i = j + 1; i < n; i++) {
            int64_t pi = p[i].at;
            a[i + j * ld] = pi < pj ? a[pi + pj * ld] : a[pj + pi * ld];
        }
    }
    arena_drop(s->arena, p);
    return ERR_OK;
}

/* Local. Lower triangle = scale * A + shift * I. */
static void restore(struct symmetric *s, double scale, double shift)
{
    int64_t n = s->n, ld = s->ld;
    double *a = s->a;
    for (int64_t j0 = 0; j0 < n; j0 += TILE)
        for (int64_t i0 = j0; i0 < n; i0 += TILE)
            for (int64_t j = j0; j < j0 + TILE && j < n; j++)
                for (int64_t i = i0 > j ? i0 : j + 1; i < i0 + TILE && i < n; i++)
                    a[i + j * ld] = scale * a[j + i * ld];
    for (int64_t i = 0; i < n; i++)
        a[i + i * ld] = scale * s->diagonal[i] + shift;
}

static err_t failed(const char *routine, int n, int info, struct err *e)
{
    return err_set(e, info < 0 ? ERR_BUG : ERR_NUMERIC, "%s on a matrix of order %d: %s %d", routine, n,
                   info < 0 ? "bad argument" : "no convergence, INFO =", info < 0 ? -info : info);
}

/* Local. The workspace that a query asked for. */
static err_t workspace(struct arena *a, double asked, int *size, double **work, struct err *e)
{
    if (!(asked >= 0 && asked <= INT_MAX))
        return err_set(e, ERR_SYSTEM, "a workspace of %.0f numbers is beyond LAPACK's 32-bit sizes", asked);
    *size = asked > 1 ? (int)asked : 1;
    return arena_array(a, "symmetric.work", *size, work, e);
}

/* Local. Eigenvalues by dsyevd, which reduces to a tridiagonal matrix at once: half of that is multiplication
 * of the matrix by vectors, bound by memory where the matrix is larger than the cache. */
static err_t one_stage(double *a, int n, int ld, double *values, struct arena *arena, struct err *e)
{
    int lwork = -1, liwork = 1, iwork = 0, info = 0;
    double asked = 0, *work = NULL;
    dsyevd_("N", "L", &n, a, &ld, values, &asked, &lwork, &iwork, &liwork, &info, 1, 1);
    if (info != 0)
        return failed("dsyevd", n, info, e);
    TRY(workspace(arena, asked, &lwork, &work, e));
    dsyevd_("N", "L", &n, a, &ld, values, work, &lwork, &iwork, &liwork, &info, 1, 1);
    arena_drop(arena, work);
    return info == 0 ? ERR_OK : failed("dsyevd", n, info, e);
}

/* Local. Eigenvalues by way of a band (Bischof, Lang & Sun, 2000, ACM Trans. Math. Software 26:581): the
 * reduction to it consists of products of matrices, and the band fits the cache. a: nothing near the ends of
 * the range of double, which the squares of floats are far from. */
static err_t two_stages(double *a, int n, int ld, double *values, struct arena *arena, struct err *e)
{
    const int width = BAND, rows = BAND + 1;
    int lwork = -1, lhouseholder = -1, info = 0;
    double asked = 0, held = 0, *band, *off, *tau, *work, *householder;
    TRY(arena_array(arena, "symmetric.band", (int64_t)rows * n, &band, e));
    TRY(arena_array(arena, "symmetric.tau", n, &tau, e));
    dsytrd_sy2sb_("L", &n, &width, a, &ld, band, &rows, tau, &asked, &lwork, &info, 1);
    if (info != 0)
        return failed("dsytrd_sy2sb", n, info, e);
    TRY(workspace(arena, asked, &lwork, &work, e));
    dsytrd_sy2sb_("L", &n, &width, a, &ld, band, &rows, tau, work, &lwork, &info, 1);
    arena_drop(arena, work);
    if (info != 0)
        return failed("dsytrd_sy2sb", n, info, e);
    off = tau; /* the reflections are of no more use */
    lwork = -1;
    dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &rows, values, off, &held, &lhouseholder, &asked, &lwork,
                  &info, 1, 1, 1);
    if (info != 0)
        return failed("dsytrd_sb2st", n, info, e);
    TRY(workspace(arena, asked, &lwork, &work, e));
    TRY(workspace(arena, held, &lhouseholder, &householder, e));
    dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &rows, values, off, householder, &lhouseholder, work,
                  &lwork, &info, 1, 1, 1);
    arena_drop(arena, householder);
    arena_drop(arena, work);
    arena_drop(arena, band);
    if (info != 0)
        return failed("dsytrd_sb2st", n, info, e);
    dsterf_(&n, values, off, &info);
    arena_drop(arena, tau);
    return info == 0 ? ERR_OK : failed("dsterf", n, info, e);
}

/* Local. Eigenvalues of the lower triangle of a, ascending; a is overwritten. */
static err_t eigenvalues(double *a, int n, int ld, double *values, struct arena *arena, struct err *e)
{
    if (n == 0)
        return ERR_OK;
    return n < TWO_STAGES_FROM ? one_stage(a, n, ld, values, arena, e)
                               : two_stages(a, n, ld, values, arena, e);
}

err_t symmetric_eigenvalues(struct symmetric *s, double *values, struct err *e)
{
    restore(s, 1, 0);
    return eigenvalues(s->a, s->n, s->ld, values, s->arena, e);
}

/* ---- the ends ---- */

/* Numbers in (-1, 1) that have nothing to do with any matrix. */
static double scattered(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    z ^= z >> 31;
    return ((double)(z >> 11) + 0.5) * 0x1p-52 - 1;
}

int symmetric_none_above(struct symmetric *s, double value)
{
    int info = 0;
    restore(s, -1, value * (1 + 1e-7));
    dpotrf_("L", &s->n, s->a, &s->ld, &info, 1);
    return info == 0;
}

double symmetric_frobenius(const struct symmetric *s)
{
    double sum = 0;
    for (int64_t j = 0; j < s->n; j++) {
        const double *column = s->a + j * s->ld;
        double above = 0;
        for (int64_t i = 0; i < j; i++)
            above += column[i] * column[i];
        sum += 2 * above + s->diagonal[j] * s->diagonal[j];
    }
    return sqrt(sum) * (1 + 1e-9);
}

/* Local. The diagonal where the upper triangle is: what dsymv looks at. */
static void restore_diagonal(struct symmetric *s)
{
    for (int64_t i = 0; i < s->n; i++)
        s->a[i + i * s->ld] = s->diagonal[i];
}

/* Local. One step of Lanczos without reorthogonalisation: the lost orthogonality makes copies of Ritz values,
 * and none that is wrong (Paige, 1971). v, previous: unit vectors; next: scratch. */
static void lanczos(const struct symmetric *s, const double *v, const double *previous, double *next,
                    double before, double *alpha, double *beta)
{
    const double one = 1, zero = 0;
    const int unit = 1;
    dsymv_("U", &s->n, &one, s->a, &s->ld, v, &unit, &zero, next, &unit, 1);
    *alpha = ddot_(&s->n, v, &unit, next, &unit);
    double minus = -*alpha, minus_before = -before;
    daxpy_(&s->n, &minus, v, &unit, next, &unit);
    daxpy_(&s->n, &minus_before, previous, &unit, next, &unit);
    *beta = sqrt(ddot_(&s->n, next, &unit, next, &unit));
}

/* Local. Eigenvalues of the leading k x k of the tridiagonal matrix, ascending, into d; e: scratch. */
static int ritz(const double *alpha, const double *beta, int k, double *d, double *e)
{
    int info = 0;
    memcpy(d, alpha, (size_t)k * sizeof *d);
    memcpy(e, beta, (size_t)k * sizeof *e);
    dsterf_(&k, d, e, &info);
    return info == 0;
}

/* Local. The residual of the largest Ritz value: beta times the last component of its eigenvector y, of which
 * y^2 = prod (theta - mu_j) / (theta - theta_j), mu the eigenvalues without the last row and column (Paige,
 * 1971; Parlett, The Symmetric Eigenvalue Problem, theorem 7.9.2). d: the k Ritz values; fewer, e: scratch.
 */
static double residual(const double *alpha, const double *beta, int k, const double *d, double *fewer,
                       double *e)
{
    double square = 1;
    if (!ritz(alpha, beta, k - 1, fewer, e))
        return INFINITY;
    for (int j = 0; j < k - 1; j++)
        square *= fmax(d[k - 1] - fewer[j], 0) / (d[k - 1] - d[j]);
    return square >= 0 ? beta[k - 1] * sqrt(square) : INFINITY;
}

/* Local. A unit vector to start from. */
static void start(double *v, int64_t n)
{
    double length = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] = scattered((uint64_t)i);
        length += v[i] * v[i];
    }
    for (int64_t i = 0; i < n; i++)
        v[i] /= sqrt(length);
}

/* Local. Has the largest Ritz value settled after k steps? d: the k Ritz values; t: scratch. */
static int settled(struct symmetric *s, int proved, int exhausted, const double *alpha, const double *beta,
                   int k, const double *d, double *t, struct symmetric_ends *ends)
{
    ends->residual = exhausted || k < 2 ? beta[k - 1] : residual(alpha, beta, k, d, t, t + STEPS);
    if (!(ends->residual <= 1e-6 * ends->largest))
        return 0;
    if (!proved)
        return 1;
    int is = symmetric_none_above(s, ends->largest);
    restore_diagonal(s);
    return is;
}

err_t symmetric_ends(struct symmetric *s, int proved, struct symmetric_ends *ends, struct err *e)
{
    int64_t n = s->n;
    double *v[3], *t, scale = 0;
    *ends = (struct symmetric_ends){.found = 1};
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, s->diagonal[i]);
    if (!(scale > 0)) /* a zero diagonal: all zero */
        return ERR_OK;
    for (int i = 0; i < 3; i++)
        TRY(arena_array(s->arena, "symmetric.vector", n, &v[i], e));
    TRY(arena_array(s->arena, "symmetric.lanczos", TRIDIAGONALS * STEPS, &t, e));
    double *alpha = t, *beta = t + STEPS, *d = t + 2 * STEPS, *more = t + 3 * STEPS, before = 0, seen = 0;
    start(v[0], n);
    restore_diagonal(s);
    ends->found = 0;
    for (int k = 1; k <= STEPS && !ends->found; k++) {
        lanczos(s, v[0], v[1], v[2], before, &alpha[k - 1], &beta[k - 1]);
        before = beta[k - 1];
        int exhausted = !(before > 1e-14 * scale);
        if (exhausted || k % LOOK_EVERY == 0 || k == STEPS) {
            if (!ritz(alpha, beta, k, d, more) || !(d[k - 1] > 0))
                break;
            ends->least = d[0];
            ends->largest = d[k - 1];
            if (exhausted || ends->largest - seen <= 1e-11 * ends->largest)
                ends->found = settled(s, proved, exhausted, alpha, beta, k, d, more, ends);
            if (exhausted)
                break;
            seen = ends->largest;
        }
        double *used = v[1];
        v[1] = v[0];
        v[0] = v[2];
        v[2] = used;
        for (int64_t i = 0; i < n; i++)
            v[0][i] /= before;
    }
    for (int i = 0; i < 3; i++)
        arena_drop(s->arena, v[i]);
    arena_drop(s->arena, t);
    return ERR_OK;
}

/* ---- how many above a bound ---- */

/* Local. Swaps rows and columns p < q of the lower triangle, and of the factor to their left. */
static void swap(struct symmetric *s, int p, int q)
{
    const int unit = 1, ld = s->ld;
    double *a = s->a;
    int left = p, between = q - p - 1, below = s->n - q - 1;
    int64_t rp = p, rq = q, stride = ld;
    if (p == q)
        return;
    dswap_(&left, a + rp, &ld, a + rq, &ld);
    double x = a[rp + rp * stride];
    a[rp + rp * stride] = a[rq + rq * stride];
    a[rq + rq * stride] = x;
    dswap_(&between, a + (rp + 1) + rp * stride, &unit, a + rq + (rp + 1) * stride, &ld);
    dswap_(&below, a + (rq + 1) + rp * stride, &unit, a + (rq + 1) + rq * stride, &unit);
}

/* Local. Cholesky of the b x b block at column i; returns how many pivots from the left are clearly positive,
 * and leaves the factor of these. kept: room for the block. */
static int factor_block(struct symmetric *s, int i, int b, double least, double *kept)
{
    double *a = s->a + (int64_t)i * s->ld + i;
    for (int j = 0; j < b; j++)
        memcpy(kept + (int64_t)j * b, a + (int64_t)j * s->ld, (size_t)b * sizeof *a);
    for (int good = b;;) {
        int info = 0, most = good;
        if (good > 0)
            dpotrf_("L", &good, a, &s->ld, &info, 1);
        good = info > 0 ? info - 1 : good;
        for (int j = 0; j < good; j++) {
            double pivot = a[j + (int64_t)j * s->ld];
            if (!(pivot * pivot > least))
                good = j;
        }
        if (good == most)
            return good;
        for (int j = 0; j < b; j++)
            memcpy(a + (int64_t)j * s->ld, kept + (int64_t)j * b, (size_t)b * sizeof *a);
    }
}

/* Local. The factorisation. Returns how many pivots were taken; the rows from there on hold their part of the
 * factor and, in the last columns, the Schur complement. -1: too many were put off. */
static int factor(struct symmetric *s, double least, double *kept)
{
    const double one = 1, minus = -1;
    int i = 0, end = s->n, n = s->n;
    while (i < end) {
        int b = end - i < BLOCK ? end - i : BLOCK, good = factor_block(s, i, b, least, kept),
            rest = n - i - good;
        double *l = s->a + (int64_t)i * s->ld + i, *below = l + good,
               *trailing = s->a + (int64_t)(i + good) * s->ld + i + good;
        if (good > 0 && rest > 0) {
            dtrsm_("R", "L", "T", "N", &rest, &good, &one, l, &s->ld, below, &s->ld, 1, 1, 1, 1);
            dsyrk_("L", "N", &rest, &good, &minus, below, &s->ld, &one, trailing, &s->ld, 1, 1);
        }
        i += good;
        if (good < b) {
            end--;
            if (n - end > SYMMETRIC_DELAYED)
                return -1;
            swap(s, i, end);
        }
    }
    return end;
}

static int64_t positive(const double *x, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] > 0;
    return sum;
}

/* Local. Counts in the Schur complement S of the m last rows: eigenvalues above 0 of S, and of S + slack * (I
 * + W'W), W = A11^-1 A12. */
static err_t count_schur(struct symmetric *s, int taken, double slack, double largest, double resolution,
                         struct symmetric_count *out, struct err *e)
{
    const double one = 1;
    int m = s->n - taken;
    int64_t ld = s->ld;
    double *schur = s->a + taken * ld + taken, *left = s->a + taken, *small, *values, growth = 0;
    TRY(arena_array(s->arena, "symmetric.schur", (int64_t)m * m, &small, e));
    TRY(arena_array(s->arena, "symmetric.values", m, &values, e));
    for (int i = 0; i < m; i++) {
        double sum = 0;
        for (int j = 0; j < taken; j++)
            sum += left[i + j * ld] * left[i + j * ld];
        growth = fmax(growth, sum);
    }
    /* The backward error of Cholesky: |E| <= (n + 1) 2^-53 |L| |L'|, whose rows are at most as long as the
     * root of the largest eigenvalue where they were taken, of the growth where they were put off. */
    if (!((s->n + 1) * 0x1p-53 * (largest + growth) <= resolution)) {
        out->decided = 0;
        return ERR_OK;
    }
    for (int j = 0; j < m; j++)
        memcpy(small + (int64_t)j * m, schur + j * ld, (size_t)m * sizeof *small);
    TRY(eigenvalues(small, m, m, values, s->arena, e));
    out->above = taken + positive(values, m);
    out->at_most = out->above;
    if (slack > 0) {
        dtrsm_("R", "L", "N", "N", &m, &taken, &one, s->a, &s->ld, left, &s->ld, 1, 1, 1, 1);
        for (int j = 0; j < m; j++) {
            memcpy(small + (int64_t)j * m, schur + j * ld, (size_t)m * sizeof *small);
            small[j + (int64_t)j * m] += slack;
        }
        dsyrk_("L", "N", &m, &taken, &slack, left, &s->ld, &one, small, &m, 1, 1);
        TRY(eigenvalues(small, m, m, values, s->arena, e));
        out->at_most = taken + positive(values, m);
    }
    arena_drop(s->arena, small);
    arena_drop(s->arena, values);
    return ERR_OK;
}

err_t symmetric_above(struct symmetric *s, double bound, double slack, double largest, double resolution,
                      struct symmetric_count *out, struct err *e)
{
    double *kept;
    TRY(arena_array(s->arena, "symmetric.block", (int64_t)BLOCK * BLOCK, &kept, e));
    TRY(arrange(s, bound, e));
    int taken = factor(s, fmax(SMALL_PIVOT * bound, 1e-13 * largest), kept);
    arena_drop(s->arena, kept);
    *out = (struct symmetric_count){.decided = taken >= 0};
    if (taken < 0)
        return ERR_OK;
    out->delayed = s->n - taken;
    out->above = out->at_most = taken;
    if (!((s->n + 1) * 0x1p-53 * largest <= resolution)) {
        out->decided = 0;
        return ERR_OK;
    }
    return out->delayed > 0 ? count_schur(s, taken, slack, largest, resolution, out, e) : ERR_OK;
}
