#include "linalg/gram_split.h"

#include "base/mem.h"

#include <math.h>

enum {
    GRID_BITS = 12,    /* from the grid to the norm of a column */
    LEAST_GRID = -74,  /* products of the grids are no less than the least float32 */
    LARGEST_NORM = 62, /* as powers of two */
    STRIP = 256        /* columns that are looked at before their rests are */
};

/* 1.5 * 2^23 units: what is added to it and taken off again is rounded to whole units. */
static const float ROUNDER = 0x1.8p23F;

/* Local. What rounds column i to its grid, for all columns. Returns 0 where a norm is too large. */
static int rounders_of(const float *panel, int64_t k, int64_t n, double *squares, float *rounder)
{
    for (int64_t i = 0; i < n; i++)
        squares[i] = 0;
    for (int64_t r = 0; r < k; r++)
        for (int64_t i = 0; i < n; i++)
            squares[i] += (double)panel[r * n + i] * (double)panel[r * n + i];
    for (int64_t i = 0; i < n; i++) {
        int above; /* the norm is less than 2^above */
        frexp(sqrt(squares[i]) * (1 + 0x1p-30), &above);
        if (above > LARGEST_NORM)
            return 0;
        int grid = squares[i] > 0 && above - GRID_BITS > LEAST_GRID ? above - GRID_BITS : LEAST_GRID;
        rounder[i] = ldexpf(ROUNDER, grid);
    }
    return 1;
}

/* Local. x = its first part; tells whether any differs. */
static int round_strip(float *x, const float *rounder, int64_t n, float *kept)
{
    int any = 0;
    for (int64_t i = 0; i < n; i++) {
        float on = (x[i] + rounder[i]) - rounder[i];
        any |= on != x[i];
        kept[i] = x[i];
        x[i] = on;
    }
    return any;
}

int gram_split(float *panel, int64_t k, int64_t n, struct gram_lists *l)
{
    float kept[STRIP];
    l->nrests = 0;
    if (n > INT32_MAX || !rounders_of(panel, k, n, l->squares, l->rounder))
        return 0;
    for (int64_t r = 0; r < k; r++)
        for (int64_t c = 0; c < n; c += STRIP) {
            int64_t width = min64(STRIP, n - c);
            float *x = panel + r * n + c;
            if (!round_strip(x, l->rounder + c, width, kept))
                continue;
            for (int64_t i = 0; i < width; i++) {
                if (x[i] == kept[i])
                    continue;
                if (l->nrests > k * n / GRAM_RESTS) {
                    for (; i < width; i++)
                        x[i] = kept[i];
                    for (int64_t t = 0; t < l->nrests; t++)
                        panel[l->rest[t].row * n + l->rest[t].column] = l->rest[t].value;
                    l->nrests = 0;
                    return 0;
                }
                l->rest[l->nrests++] = (struct gram_rest){(int32_t)r, (int32_t)(c + i), kept[i]};
            }
        }
    return 1;
}

/* Local. Pairs of one row in which the element at rest[t] is, and which have not been in such a pair yet:
 * what their product is more than that of their first parts. at: the row's nonzero columns; x: the row as it
 * was. */
static void add_pairs(double *g, int64_t ld, const float *first, const float *x, const int32_t *at,
                      int64_t count, const struct gram_rest *t)
{
    int64_t j = t->column;
    double whole = t->value, on_grid = first[j];
    for (int64_t p = 0; p < count; p++) {
        int64_t i = at[p];
        if (i < j && first[i] != x[i]) /* that element's turn was before */
            continue;
        double more = whole * (double)x[i] - on_grid * (double)first[i];
        g[i < j ? j + i * ld : i + j * ld] += more;
    }
}

void gram_add_rests(double *g, int64_t n, int64_t ld, const float *panel, const struct gram_lists *l)
{
    float *x = l->rounder; /* of no more use */
    int32_t *at = l->nonzero;
    for (int64_t t = 0, end; t < l->nrests; t = end) {
        const float *first = panel + l->rest[t].row * n;
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            x[i] = first[i];
        for (end = t; end < l->nrests && l->rest[end].row == l->rest[t].row; end++)
            x[l->rest[end].column] = l->rest[end].value;
        for (int64_t i = 0; i < n; i++)
            if (x[i] != 0)
                at[count++] = (int32_t)i;
        for (int64_t u = t; u < end; u++)
            add_pairs(g, ld, first, x, at, count, &l->rest[u]);
    }
}
