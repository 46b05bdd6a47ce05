#include "linalg/grid_count.h"

#include "linalg/definite.h"

#include <math.h>

/* By how much a proof in float32 that nothing is larger goes beyond the largest eigenvalue: more than its
 * rounding, which is a per cent for matrices of order 4096. */
static const double PROOF_BEYOND = 0x1p-6;

/* At which shares of what Lanczos has for the smallest eigenvalue a proof is tried, one after the other: it
 * is too large by a few per cent as a rule. */
static const double LEAST_SHARES[] = {0.75, 0.375};

/* The squared tolerance, and the ends of the band around it. */
struct count_edges {
    double tolerance, low, square, high;
};

/* Local. For a largest singular value of at least sigma and at most `most`. */
static struct count_edges edges_of(const struct grid_bound *b, double sigma, double most)
{
    double t = b->tolerance > 0 ? b->tolerance : b->share * sigma,
           t_most = b->tolerance > 0 ? t : b->share * most, half = b->band * most, low = t - half,
           high = t_most + half;
    return (struct count_edges){t, low > 0 ? low * low : 0, t * t, high * high};
}

/* Local. Do all lie above the band, even if sigma_max were the root of the sum of all squares of G? */
static err_t all_above(struct symmetric *g, double error, const struct grid_bound *bound,
                       const struct symmetric_ends *ends, struct grid_count *out, int *sure, struct err *e)
{
    double most = symmetric_frobenius(g) + error, within = INFINITY, shift = 0,
           high = edges_of(bound, out->sigma_max, sqrt(most)).high + error;
    for (size_t i = 0; i < sizeof LEAST_SHARES / sizeof *LEAST_SHARES && !(within < INFINITY); i++) {
        shift = LEAST_SHARES[i] * ends->least;
        if (!(shift - definite_resolution(g) > high))
            return ERR_OK;
        TRY(definite_within(g, 1, -shift, &within, e));
    }
    *sure = shift - within > high;
    if (!*sure)
        return ERR_OK;
    out->method = GRID_PROVED;
    out->above = g->n;
    out->ambiguous = 0;
    out->rounding = (within + error) / ends->largest;
    out->sigma_least = sqrt(shift - within - error);
    return ERR_OK;
}

/* Local. A proved limit of the largest eigenvalue, a few per cent above it; 0 where there is no proof. */
static err_t limit(struct symmetric *g, double error, double largest, double *most, struct err *e)
{
    double within, shift = largest * (1 + PROOF_BEYOND);
    TRY(definite_within(g, -1, shift, &within, e));
    *most = shift + within + error < 1.25 * largest ? shift + within + error : 0;
    return ERR_OK;
}

/* Local. The count at the upper end of the band, and what it says of the lower end. */
static err_t at_high(struct symmetric *g, const struct count_edges *at, double largest, double resolution,
                     struct grid_count *out, struct symmetric_count *found, struct err *e)
{
    TRY(symmetric_above(g, at->high, at->high - at->low, largest, resolution, found, e));
    out->method = found->delayed > 0 ? GRID_INERTIA : GRID_CHOLESKY;
    out->above = found->above;
    out->ambiguous = 0;
    return ERR_OK;
}

/* Local. The count, where no eigenvalue lies within the band: *sure is 1 then. */
static err_t none_within(struct symmetric *g, const struct count_edges *at, double largest, double resolution,
                         struct grid_count *out, int *sure, struct err *e)
{
    struct symmetric_count found;
    TRY(at_high(g, at, largest, resolution, out, &found, e));
    *sure = found.decided && found.at_most == found.above;
    return ERR_OK;
}

/* Local. Counts at both ends of the band, and at the tolerance where they differ, with a largest eigenvalue
 * that float64 has proved. */
static err_t by_ends(struct symmetric *g, const struct count_edges *at, double largest, double resolution,
                     struct grid_count *out, int *sure, struct err *e)
{
    struct symmetric_count found;
    TRY(at_high(g, at, largest, resolution, out, &found, e));
    *sure = found.decided;
    if (!*sure || found.at_most == found.above)
        return ERR_OK;
    TRY(symmetric_above(g, at->low, 0, largest, resolution, &found, e));
    *sure = found.decided;
    if (!*sure || found.above == out->above)
        return ERR_OK;
    TRY(symmetric_above(g, at->square, 0, largest, resolution, &found, e));
    *sure = found.decided;
    out->above = found.above;
    out->ambiguous = 1;
    return ERR_OK;
}

/* Local. sigma_max as Lanczos has it, and the tolerance that it makes. */
static void take(const struct symmetric_ends *ends, const struct grid_bound *bound, struct grid_count *out)
{
    out->sigma_max = sqrt(ends->largest);
    out->tolerance = bound->tolerance > 0 ? bound->tolerance : bound->share * out->sigma_max;
}

/* Local. Can a Gram matrix tell at this tolerance? */
static int resolves(const struct grid_bound *bound, const struct grid_count *out)
{
    double t = out->tolerance, half = bound->band * out->sigma_max;
    return t >= GRID_COUNT_RESOLVES * out->sigma_max && t > 2 * half && t < 0.5 * out->sigma_max;
}

/* Local. By float64. */
static err_t by_double(struct symmetric *g, const struct symmetric_ends *found,
                       const struct grid_bound *bound, struct grid_count *out, int *sure, struct err *e)
{
    struct symmetric_ends ends = *found;
    *sure = ends.found && symmetric_none_above(g, ends.largest);
    if (!*sure) {
        TRY(symmetric_ends(g, 1, &ends, e));
        *sure = ends.found;
        take(&ends, bound, out);
    }
    if (!*sure || !(*sure = resolves(bound, out)))
        return ERR_OK;
    const struct count_edges at = edges_of(bound, out->sigma_max, out->sigma_max);
    double resolution = (at.high - at.low) / 16;
    out->rounding = resolution / ends.largest;
    out->sigma_least = NAN;
    return by_ends(g, &at, ends.largest, resolution, out, sure, e);
}

err_t count_above(struct symmetric *g, double error, const struct grid_bound *bound, struct grid_count *out,
                  int *sure, struct err *e)
{
    struct symmetric_ends ends;
    *sure = 0;
    TRY(symmetric_ends(g, 0, &ends, e));
    take(&ends, bound, out);
    if (!ends.found)
        return by_double(g, &ends, bound, out, sure, e);
    if (!resolves(bound, out))
        return ERR_OK;
    TRY(all_above(g, error, bound, &ends, out, sure, e));
    if (*sure)
        return ERR_OK;
    double most;
    TRY(limit(g, error, ends.largest, &most, e));
    if (most > 0) {
        const struct count_edges narrow = edges_of(bound, out->sigma_max, out->sigma_max),
                                 at = edges_of(bound, out->sigma_max, sqrt(most));
        double resolution = (narrow.high - narrow.low) / 16;
        out->rounding = resolution / ends.largest;
        out->sigma_least = NAN;
        TRY(none_within(g, &at, most, resolution, out, sure, e));
        if (*sure)
            return ERR_OK;
    }
    return by_double(g, &ends, bound, out, sure, e);
}
