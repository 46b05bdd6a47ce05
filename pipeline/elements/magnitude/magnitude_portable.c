/* The plain loops of magnitude.c: the reference. */
#include "elements/magnitude/magnitude_loops.h"

#include <string.h>

int magnitude_sample(enum arithmetic arithmetic, const void *bits, int64_t n)
{
    enum { SAMPLES = 64 };
    int top = 0;
    for (int64_t i = 0; i < n; i += n / SAMPLES) {
        int bin = magnitude_bin(arithmetic, bits, i);
        if (bin > top && bin < MAGNITUDE_INFINITE)
            top = bin;
    }
    return top;
}

/* Two tables: neighbouring weights often share a bin, and an increment must not wait for the one before. */
static void count_long(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    enum { TABLES = 2 };
    uint32_t table[TABLES][MAGNITUDE_BINS];
    memset(table, 0, sizeof table);
    int64_t i = 0;
    if (arithmetic == ARITHMETIC_BF16)
        for (const uint16_t *w = bits; i + TABLES <= n; i += TABLES)
            for (int t = 0; t < TABLES; t++)
                table[t][(w[i + t] & 0x7fff) >> 5]++;
    else
        for (const uint32_t *w = bits; i + TABLES <= n; i += TABLES)
            for (int t = 0; t < TABLES; t++)
                table[t][(w[i + t] & 0x7fffffff) >> 21]++;
    for (; i < n; i++)
        bins[magnitude_bin(arithmetic, bits, i)]++;
    for (int b = 0; b < MAGNITUDE_BINS; b++)
        bins[b] += (int64_t)table[0][b] + table[1][b];
}

void magnitude_count_portable(enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    enum { LONG = 4096, MOST = 1 << 30 }; /* a table is worth clearing; its counts fit */
    int64_t bytes = arithmetic_bytes(arithmetic), from = 0;
    for (; n - from >= LONG; from += n - from < MOST ? n - from : MOST)
        count_long(arithmetic, (const char *)bits + from * bytes, n - from < MOST ? n - from : MOST, bins);
    for (; from < n; from++)
        bins[magnitude_bin(arithmetic, bits, from)]++;
}

const struct magnitude_loops magnitude_portable = {.count = magnitude_count_portable};
