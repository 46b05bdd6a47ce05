#include "kernels/entropy/whole.h"

#include <math.h>

enum { LONGEST_LIST = 4096, SAMPLE = 64 };

static const double NOT_THERE =
    -9000; /* -9999, -1e4, -1e9 and the least of each type lie below in all types */
static const double LEAST_SUM = 0.95, MOST_SUM = 1.02; /* logarithms rounded to bf16 sum to 1 within 2 % */

static double logit(enum dtype type, const void *x, int64_t i)
{
    switch (type) {
    case DTYPE_BF16:
        return bf16_to_float(((const uint16_t *)x)[i]);
    case DTYPE_F16:
        return f16_to_float(((const uint16_t *)x)[i]);
    case DTYPE_F32:
        return ((const float *)x)[i];
    default:
        return ((const double *)x)[i];
    }
}

static int is_cut(enum dtype type, const void *x, int64_t n)
{
    int64_t samples = n < SAMPLE ? n : SAMPLE, there = 0;
    for (int64_t k = 0; k < samples; k++) {
        uint64_t spread = (uint64_t)k * 0x9e3779b97f4a7c15 >> 32; /* in no step that a pattern could have */
        there += logit(type, x, n > SAMPLE ? (int64_t)(spread * (uint64_t)n >> 32) : k) > NOT_THERE;
    }
    if (4 * there > 3 * samples)
        return 0;
    there = 0;
    for (int64_t i = 0; i < n; i++)
        there += logit(type, x, i) > NOT_THERE;
    return 2 * there < n;
}

void whole_count(enum dtype type, const void *logits, int64_t n, int64_t *cut, int64_t *of_logs,
                 int64_t *lacking)
{
    double sum = 0;
    *cut += is_cut(type, logits, n);
    for (int64_t i = 0; i < n && n <= LONGEST_LIST; i++) {
        double x = logit(type, logits, i);
        if (x > 0)
            return;
        sum += exp(x);
    }
    if (n > LONGEST_LIST || sum > MOST_SUM)
        return;
    *of_logs += 1;
    *lacking += sum < LEAST_SUM;
}
