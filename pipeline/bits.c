#include "bits.h"

#include <string.h>

/* One 64-bit word from 64 comparisons. The byte array in between lets the compiler compare and narrow with
 * vector instructions; the multiplication gathers eight 0/1 bytes into eight bits. */
static inline uint64_t gather(const uint8_t *flag)
{
    uint64_t word = 0;
    for (int k = 0; k < 8; k++) {
        uint64_t eight;
        memcpy(&eight, flag + 8 * k, 8);
        word |= ((eight * 0x0102040810204080u) >> 56) << (8 * k);
    }
    return word;
}

#define DIFFER(name, type)                                        \
    static uint64_t name(const type *a, const type *b, int64_t n) \
    {                                                             \
        uint8_t flag[64] = {0};                                   \
        if (n == 64)                                              \
            for (int i = 0; i < 64; i++)                          \
                flag[i] = a[i] != b[i];                           \
        else                                                      \
            for (int i = 0; i < n; i++)                           \
                flag[i] = a[i] != b[i];                           \
        return gather(flag);                                      \
    }
DIFFER(differ16, uint16_t)
DIFFER(differ32, uint32_t)

int64_t bits_differ(int bytes, const void *a, const void *b, int64_t n, uint64_t *words)
{
    int64_t set = 0;
    for (int64_t i = 0; i < n; i += 64) {
        int64_t part = n - i < 64 ? n - i : 64;
        uint64_t w = bytes == 2 ? differ16((const uint16_t *)a + i, (const uint16_t *)b + i, part)
                                : differ32((const uint32_t *)a + i, (const uint32_t *)b + i, part);
        words[i / 64] = w;
        set += __builtin_popcountll(w);
    }
    return set;
}

#define PACK(name, type)                                                            \
    static int64_t name(const uint64_t *words, int64_t n, const type *v, type *out) \
    {                                                                               \
        int64_t k = 0;                                                              \
        for (int64_t w = 0; w < bits_words(n); w++)                                 \
            for (uint64_t left = words[w]; left; left &= left - 1)                  \
                out[k++] = v[64 * w + __builtin_ctzll(left)];                       \
        return k;                                                                   \
    }
PACK(pack16, uint16_t)
PACK(pack32, uint32_t)

int64_t bits_pack(int bytes, const uint64_t *words, int64_t n, const void *v, void *out)
{
    return bytes == 2 ? pack16(words, n, v, out) : pack32(words, n, v, out);
}

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

int64_t bits_count(const uint64_t *words, int64_t nwords)
{
    int64_t set = 0;
    for (int64_t i = 0; i < nwords; i++)
        set += __builtin_popcountll(words[i]);
    return set;
}

int64_t bits_count_and(const uint64_t *a, const uint64_t *b, int64_t nwords)
{
    int64_t set = 0;
    for (int64_t i = 0; i < nwords; i++)
        set += __builtin_popcountll(a[i] & b[i]);
    return set;
}
