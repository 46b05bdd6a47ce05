#include "elements/magnitude.h"

#include "elements/magnitude_avx2.h"
#include "elements/magnitude_avx512.h"

#include <string.h>

double magnitude_bin_lower(int bin)
{
    uint32_t bits = (uint32_t)bin << 21;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

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

static void count_range(enum arithmetic arithmetic, const void *bits, int64_t from, int64_t to, int64_t *bins)
{
    enum { LONG = 4096, MOST = 1 << 30 }; /* a table is worth clearing; its counts fit */
    int64_t bytes = arithmetic_bytes(arithmetic);
    for (; to - from >= LONG; from += to - from < MOST ? to - from : MOST)
        count_long(arithmetic, (const char *)bits + from * bytes, to - from < MOST ? to - from : MOST, bins);
    for (; from < to; from++)
        bins[magnitude_bin(arithmetic, bits, from)]++;
}

void magnitude_count(enum isa isa, enum arithmetic arithmetic, const void *bits, int64_t n, int64_t *bins)
{
    int64_t done = 0;
#if defined(__x86_64__)
    if (isa == ISA_AVX512)
        done = magnitude_count_avx512(arithmetic, bits, n, bins);
    if (isa == ISA_AVX2)
        done = magnitude_count_avx2(arithmetic, bits, n, bins);
#endif
    (void)isa;
    count_range(arithmetic, bits, done, n, bins);
}
