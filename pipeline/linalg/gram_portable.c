/* The plain loops of gram.c: the reference. */
#include "linalg/gram_loops.h"

#include <string.h>

_Static_assert(sizeof(double) * GRAM_PANEL * GRAM_NARROW <= GRAM_CHUNK, "a chunk of narrow pieces fits");
_Static_assert(sizeof(float) * GRAM_PANEL * GRAM_SINGLE <= GRAM_CHUNK, "a chunk of float32 fits");
_Static_assert(GRAM_PANEL / GRAM_NARROW_ROWS <= GRAM_BLOCKS, "lists fit");

void gram_copy_narrow(const float *x, int64_t n, int64_t k, int64_t used, void *chunk)
{
    double *to = chunk;
    for (int64_t r = 0; r < k; r++, x += n, to += GRAM_NARROW) {
        for (int64_t i = 0; i < used; i++)
            to[i] = x[i];
        for (int64_t i = used; i < GRAM_NARROW; i++)
            to[i] = 0;
    }
}

static void add(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value,
                int64_t count)
{
    for (int64_t t = 0; t < count; t++) {
        const double *x = (const double *)piece + (int64_t)row[t] * GRAM_NARROW;
        double v = value[t];
        for (int64_t i = 0; i < width; i++)
            g[i] += v * x[i];
    }
}

void gram_copy_single(const float *x, int64_t n, int64_t k, int64_t used, void *chunk)
{
    float *to = chunk;
    for (int64_t r = 0; r < k; r++, x += n, to += GRAM_SINGLE) {
        memcpy(to, x, (size_t)used * sizeof *to);
        memset(to + used, 0, (size_t)(GRAM_SINGLE - used) * sizeof *to);
    }
}

static void add_single(double *g, const void *piece, int64_t width, const uint16_t *row, const float *value,
                       int64_t count)
{
    float sum[GRAM_SINGLE] = {0};
    for (int64_t t = 0; t < count; t++) {
        const float *x = (const float *)piece + (int64_t)row[t] * GRAM_SINGLE;
        for (int64_t i = 0; i < GRAM_SINGLE; i++)
            sum[i] += value[t] * x[i];
    }
    for (int64_t i = 0; i < width; i++)
        g[i] += (double)sum[i];
}

const struct gram_loops gram_portable = {
    .exact = {.columns = GRAM_SINGLE,
              .rows = GRAM_PANEL,
              .size = sizeof(float),
              .copy = gram_copy_single,
              .add = add_single},
    .general = {.columns = GRAM_NARROW,
                .rows = GRAM_NARROW_ROWS,
                .size = sizeof(double),
                .copy = gram_copy_narrow,
                .add = add},
};
