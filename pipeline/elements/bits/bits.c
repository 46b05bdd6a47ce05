#include "elements/bits/bits.h"

#include "elements/bits/bits_loops.h"

#include <string.h>

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(bits_avx512),
    ISA_ROW_AVX2(bits_avx2),
    ISA_ROW_NEON(bits_neon),
    ISA_ROW_PORTABLE(bits_portable),
};

static const struct bits_loops *loops_of(enum isa isa)
{
    return isa_choose(sets, isa);
}

struct bits_found bits_compare(enum isa isa, int bytes, const void *a, const void *b, int64_t n,
                               uint64_t *words, void *old_bits, void *new_bits, int64_t *bins)
{
    return bytes == 2 ? loops_of(isa)->compare16(a, b, n, words, old_bits, new_bits, bins)
                      : loops_of(isa)->compare32(a, b, n, words, old_bits, new_bits, bins);
}

void bits_narrow(enum isa isa, uint64_t *words, int64_t nwords, const uint64_t *keep)
{
    loops_of(isa)->narrow(words, nwords, keep);
}

int64_t bits_count(const uint64_t *words, int64_t nwords)
{
    return loops_of(isa_usable())->count(words, NULL, nwords);
}

int64_t bits_count_without(const uint64_t *a, const uint64_t *b, int64_t nwords)
{
    return loops_of(isa_usable())->count(a, b, nwords);
}

/* ---- in plain C alone ---- */

#define UNPACK(name, type)                                                             \
    static int64_t name(const uint64_t *words, int64_t n, const type *packed, type *v) \
    {                                                                                  \
        int64_t k = 0;                                                                 \
        for (int64_t w = 0; w < bits_words(n); w++)                                    \
            for (uint64_t left = words[w]; left; left &= left - 1)                     \
                v[64 * w + __builtin_ctzll(left)] = packed[k++];                       \
        return k;                                                                      \
    }
UNPACK(unpack16, uint16_t)
UNPACK(unpack32, uint32_t)

int64_t bits_unpack(int bytes, const uint64_t *words, int64_t n, const void *packed, void *v)
{
    return bytes == 2 ? unpack16(words, n, packed, v) : unpack32(words, n, packed, v);
}

void bits_add_flags(uint64_t *words, int64_t at, uint8_t *flag, int64_t n)
{
    memset(flag + n, 0, 7);
    for (int64_t i = 0; i < n; i += 8) {
        uint64_t eight;
        memcpy(&eight, flag + i, 8);
        eight = bits_of_bytes(eight);
        words[(at + i) / 64] |= eight << ((at + i) % 64);
        if ((at + i) % 64 > 56)
            words[(at + i) / 64 + 1] |= eight >> (64 - (at + i) % 64);
    }
}
