#include "kernels/entropy/radix.h"

#include "kernels/entropy/entropy.h"

#include <math.h>
#include <string.h>

/* The image of a double >= 0 as an integer has the same order. */
static uint64_t image(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double from_image(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The two neighbours of quantile q among n sorted values, and how far between them: numpy's and torch's
 * linear method. */
static int64_t neighbours(double q, int64_t n, int64_t *above, double *between)
{
    double at = (double)(n - 1) * q;
    int64_t below = (int64_t)floor(at);
    *between = at - (double)below;
    *above = below + 1 < n ? below + 1 : n - 1;
    return below;
}

/* Puts an index among the targets, unless it is there. */
static void want(struct radix *s, int64_t index)
{
    struct radix_target *t = s->target;
    int64_t at = s->ntargets;
    while (at > 0 && t[at - 1].index >= index)
        at--;
    if (at < s->ntargets && t[at].index == index)
        return;
    memmove(t + at + 1, t + at, (size_t)(s->ntargets - at) * sizeof *t);
    t[at] = (struct radix_target){.index = index, .left = index};
    s->ntargets++;
}

err_t radix_start(struct radix *s, const double *q, int64_t nq, int64_t n, struct arena *a, struct err *e)
{
    *s = (struct radix){.n = n, .shift = 64};
    TRY(arena_array(a, "token-entropy.select", 2 * nq, &s->target, e));
    for (int64_t i = 0; i < nq; i++) {
        int64_t above;
        double between;
        want(s, neighbours(q[i], n, &above, &between));
        want(s, above);
    }
    TRY(arena_array(a, "token-entropy.select", s->ntargets, &s->prefix, e));
    return arena_array(a, "token-entropy.select", s->ntargets * RADIX_BUCKETS, &s->counts, e);
}

void radix_end(struct radix *s, struct arena *a)
{
    arena_drop(a, s->prefix);
    arena_drop(a, s->counts);
    arena_drop(a, s->target);
}

int radix_next(struct radix *s, int64_t *ncounts)
{
    struct radix_target *t = s->target;
    if (s->shift == 0)
        return 0;
    s->bits = s->shift < RADIX_DIGIT_BITS ? s->shift : RADIX_DIGIT_BITS;
    s->shift -= s->bits;
    s->ngroups = 0;
    for (int64_t i = 0; i < s->ntargets; i++) {
        if (i == 0 || t[i].prefix != t[i - 1].prefix)
            s->prefix[s->ngroups++] = t[i].prefix;
        t[i].group = s->ngroups - 1;
    }
    *ncounts = s->ngroups * RADIX_BUCKETS;
    memset(s->counts, 0, (size_t)*ncounts * sizeof *s->counts);
    return 1;
}

static int64_t group_of(const uint64_t *prefix, int64_t n, uint64_t x)
{
    int64_t low = 0, high = n - 1;
    while (low <= high) {
        int64_t mid = (low + high) / 2;
        if (prefix[mid] == x)
            return mid;
        if (prefix[mid] < x)
            low = mid + 1;
        else
            high = mid - 1;
    }
    return -1;
}

void radix_count(struct radix *s, const double *values, int64_t n)
{
    const int known = s->shift + s->bits; /* bits from here on are the prefix */
    const uint64_t mask = ((uint64_t)1 << s->bits) - 1;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(values[i]))
            continue;
        uint64_t x = image(values[i]);
        int64_t g = group_of(s->prefix, s->ngroups, known < 64 ? x >> known : 0);
        if (g >= 0)
            s->counts[g * RADIX_BUCKETS + (int64_t)((x >> s->shift) & mask)]++;
    }
}

void radix_decide(struct radix *s)
{
    for (int64_t i = 0; i < s->ntargets; i++) {
        struct radix_target *t = &s->target[i];
        const int64_t *count = s->counts + t->group * RADIX_BUCKETS;
        int digit = 0;
        while (digit < RADIX_BUCKETS - 1 && t->left >= count[digit])
            t->left -= count[digit++];
        t->prefix = t->prefix << s->bits | (uint64_t)digit;
    }
}

static double value_at(const struct radix *s, int64_t index)
{
    for (int64_t i = 0; i < s->ntargets; i++)
        if (s->target[i].index == index)
            return from_image(s->target[i].prefix);
    return NAN;
}

double radix_quantile(const struct radix *s, double q)
{
    int64_t above;
    double between;
    int64_t below = neighbours(q, s->n, &above, &between);
    return entropy_interpolate(value_at(s, below), value_at(s, above), between);
}

int64_t threshold_mark(uint64_t *words, double threshold, const double *values, int64_t n)
{
    int64_t marked = 0;
    memset(words, 0, (size_t)((n + 63) / 64) * sizeof *words);
    for (int64_t i = 0; i < n; i++)
        if (values[i] >= threshold) { /* NaN is not */
            words[i / 64] |= (uint64_t)1 << i % 64;
            marked++;
        }
    return marked;
}

double histogram_edge(int64_t bin, int64_t nbins, double top)
{
    return top * (double)bin / (double)nbins;
}

static int64_t bin_of(double x, int64_t nbins, double top)
{
    int64_t bin = top > 0 ? (int64_t)(x / top * (double)nbins) : nbins - 1;
    bin = bin >= nbins ? nbins - 1 : bin;
    /* The division may miss an edge by a rounding; the edges as written in the table decide. */
    while (bin > 0 && x < histogram_edge(bin, nbins, top))
        bin--;
    while (bin < nbins - 1 && x >= histogram_edge(bin + 1, nbins, top))
        bin++;
    return bin;
}

void histogram_add(int64_t *counts, int64_t nbins, double top, const double *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            counts[bin_of(values[i], nbins, top)]++;
}
