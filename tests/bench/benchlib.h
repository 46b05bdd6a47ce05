/* What the benchmark programs share. */
#ifndef SINEW_BENCHLIB_H
#define SINEW_BENCHLIB_H

#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 50 };

static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of n values, at most MAX_RUNS, and the least and the most of them. */
static inline double median(const double *v, int n, double *least, double *most)
{
    double sorted[MAX_RUNS];
    memcpy(sorted, v, (size_t)n * sizeof *v);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    *least = sorted[0];
    *most = sorted[n - 1];
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

#endif
