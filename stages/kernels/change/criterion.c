#include "kernels/change/criterion.h"

#include <math.h>

static void by_bits(const struct criterion *c, const void *old_bits, const void *new_bits, int64_t n,
                    uint8_t *flag)
{
    if (c->arithmetic == ARITHMETIC_BF16) {
        const uint16_t *a = old_bits, *b = new_bits;
        for (int64_t i = 0; i < n; i++)
            flag[i] = a[i] != b[i];
    } else {
        const uint32_t *a = old_bits, *b = new_bits;
        for (int64_t i = 0; i < n; i++)
            flag[i] = a[i] != b[i];
    }
}

static void by_size(const struct criterion *c, const void *old_bits, const void *new_bits,
                    const float *difference, int64_t n, uint8_t *flag)
{
    const float limit = (float)c->tolerance,
                infinity = INFINITY; /* limit exact: rounded to the compare type */
    /* written so that NaN answers yes */
    if (c->kind == CRITERION_ABSOLUTE) {
        for (int64_t i = 0; i < n; i++)
            flag[i] = !(fabsf(difference[i]) <= limit) | !(fabsf(difference[i]) < infinity);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float w0 = c->arithmetic == ARITHMETIC_BF16 ? bf16_to_float(((const uint16_t *)old_bits)[i])
                                                    : ((const float *)old_bits)[i];
        float w1 = c->arithmetic == ARITHMETIC_BF16 ? bf16_to_float(((const uint16_t *)new_bits)[i])
                                                    : ((const float *)new_bits)[i];
        double most = c->eta * fmax(fabs((double)w0), fabs((double)w1));
        flag[i] = !((double)fabsf(difference[i]) <= most) || !(fabsf(difference[i]) < infinity);
    }
}

void criterion_flags(const struct criterion *c, const void *old_bits, const void *new_bits, int64_t n,
                     uint8_t *flag)
{
    enum { BUNCH = 4096 };
    float difference[BUNCH];
    const int64_t bytes = arithmetic_bytes(c->arithmetic);
    if (c->kind == CRITERION_BITS) {
        by_bits(c, old_bits, new_bits, n, flag);
        return;
    }
    for (int64_t at = 0; at < n; at += BUNCH) {
        int64_t m = n - at < BUNCH ? n - at : BUNCH;
        const char *a = (const char *)old_bits + at * bytes, *b = (const char *)new_bits + at * bytes;
        tensor_difference(c->arithmetic, a, b, m, difference);
        by_size(c, a, b, difference, m, flag + at);
    }
}

int64_t criterion_count(const struct criterion *c, const void *old_bits, const void *new_bits, int64_t n)
{
    enum { BUNCH = 4096 };
    uint8_t flag[BUNCH];
    int64_t updated = 0;
    const int64_t bytes = arithmetic_bytes(c->arithmetic);
    for (int64_t at = 0; at < n; at += BUNCH) {
        int64_t m = n - at < BUNCH ? n - at : BUNCH;
        criterion_flags(c, (const char *)old_bits + at * bytes, (const char *)new_bits + at * bytes, m, flag);
        for (int64_t i = 0; i < m; i++)
            updated += flag[i];
    }
    return updated;
}
