#include "elements/bits.h"

#include "elements/bits_avx2.h"
#include "elements/bits_avx512.h"
#include "elements/magnitude.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target(ISA_AVX2_TARGET)))
#endif

/* ---- portable ---- */

/* One 64-bit word from 64 comparisons. The byte array in between lets the compiler compare and narrow with
 * vector instructions. */
static inline __attribute__((always_inline)) uint64_t gather(const uint8_t *flag)
{
    uint64_t word = 0;
    for (int k = 0; k < 8; k++) {
        uint64_t eight;
        memcpy(&eight, flag + 8 * k, 8);
        word |= bits_of_bytes(eight) << (8 * k);
    }
    return word;
}

/* exponent: mask of the exponent bits of the type. */
#define COMPARE(name, type, exponent)                                                             \
    static inline __attribute__((always_inline)) struct bits_found name(                          \
        const type *a, const type *b, int64_t n, uint64_t *words, type *old_bits, type *new_bits) \
    {                                                                                             \
        struct bits_found found = {0, 0};                                                         \
        for (int64_t i = 0; i < n; i += 64) {                                                     \
            uint8_t flag[64] = {0}, odd = 0;                                                      \
            const type *x = a + i, *y = b + i;                                                    \
            if (n - i >= 64)                                                                      \
                for (int k = 0; k < 64; k++) {                                                    \
                    flag[k] = x[k] != y[k];                                                       \
                    odd |= (x[k] & (exponent)) == (exponent);                                     \
                }                                                                                 \
            else                                                                                  \
                for (int k = 0; k < n - i; k++) {                                                 \
                    flag[k] = x[k] != y[k];                                                       \
                    odd |= (x[k] & (exponent)) == (exponent);                                     \
                }                                                                                 \
            found.nonfinite |= odd;                                                               \
            uint64_t word = words[i / 64] = gather(flag);                                         \
            for (; word; word &= word - 1) {                                                      \
                int k = __builtin_ctzll(word);                                                    \
                old_bits[found.differ] = x[k];                                                    \
                new_bits[found.differ++] = y[k];                                                  \
            }                                                                                     \
        }                                                                                         \
        return found;                                                                             \
    }
COMPARE(compare16, uint16_t, 0x7f80)
COMPARE(compare32, uint32_t, 0x7f800000)

static struct bits_found compare_portable(int bytes, const void *a, const void *b, int64_t n, uint64_t *words,
                                          void *old_bits, void *new_bits)
{
    return bytes == 2 ? compare16(a, b, n, words, old_bits, new_bits)
                      : compare32(a, b, n, words, old_bits, new_bits);
}

struct bits_found bits_compare(enum isa isa, int bytes, const void *a, const void *b, int64_t n,
                               uint64_t *words, void *old_bits, void *new_bits, int64_t *bins)
{
    enum arithmetic type = bytes == 2 ? ARITHMETIC_BF16 : ARITHMETIC_F32;
    struct bits_found head = {0, 0};
    int64_t m = 0;
#if defined(__x86_64__)
    if (isa == ISA_AVX512)
        return bytes == 2 ? bits_compare16_avx512(a, b, n, words, old_bits, new_bits, bins)
                          : bits_compare32_avx512(a, b, n, words, old_bits, new_bits, bins);
    if (isa == ISA_AVX2)
        m = bytes == 2 ? bits_compare16_avx2(a, b, n, words, old_bits, new_bits, bins, &head)
                       : bits_compare32_avx2(a, b, n, words, old_bits, new_bits, bins, &head);
#endif
    (void)isa;
    const char *rest = (const char *)a + m * bytes;
    struct bits_found tail =
        compare_portable(bytes, rest, (const char *)b + m * bytes, n - m, words + m / 64,
                         (char *)old_bits + head.differ * bytes, (char *)new_bits + head.differ * bytes);
    if (bins)
        magnitude_count(ISA_PORTABLE, type, rest, n - m, bins);
    return (struct bits_found){head.differ + tail.differ, head.nonfinite || tail.nonfinite};
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

/* The next n bits (1..64) of a bit stream, from bit `at` on. */
static inline uint64_t next_bits(const uint64_t *stream, int64_t at)
{
    uint64_t low = stream[at / 64] >> (at % 64);
    return at % 64 ? low | stream[at / 64 + 1] << (64 - at % 64) : low;
}

static void narrow_portable(uint64_t *words, int64_t nwords, const uint64_t *keep)
{
    int64_t at = 0;
    for (int64_t w = 0; w < nwords; w++) {
        uint64_t kept = 0, bits = words[w] ? next_bits(keep, at) : 0;
        at += __builtin_popcountll(words[w]);
        for (uint64_t left = words[w]; left; left &= left - 1, bits >>= 1)
            kept |= bits & 1 ? left & -left : 0;
        words[w] = kept;
    }
}

#if defined(__x86_64__)
AVX2 static void narrow_bmi2(uint64_t *words, int64_t nwords, const uint64_t *keep)
{
    int64_t at = 0;
    for (int64_t w = 0; w < nwords; w++) {
        uint64_t word = words[w];
        words[w] = word ? _pdep_u64(next_bits(keep, at), word) : 0;
        at += __builtin_popcountll(word);
    }
}
#endif

void bits_narrow(enum isa isa, uint64_t *words, int64_t nwords, const uint64_t *keep)
{
#if defined(__x86_64__)
    if (isa != ISA_PORTABLE) {
        narrow_bmi2(words, nwords, keep);
        return;
    }
#endif
    (void)isa;
    narrow_portable(words, nwords, keep);
}

/* Set bits of a AND NOT b; b NULL: of a. Without the processor's own instruction a count is a function call.
 */
#define COUNT(name, attribute)                                                          \
    attribute static int64_t name(const uint64_t *a, const uint64_t *b, int64_t nwords) \
    {                                                                                   \
        int64_t set = 0;                                                                \
        for (int64_t i = 0; b && i < nwords; i++)                                       \
            set += __builtin_popcountll(a[i] & ~b[i]);                                  \
        for (int64_t i = 0; !b && i < nwords; i++)                                      \
            set += __builtin_popcountll(a[i]);                                          \
        return set;                                                                     \
    }
COUNT(count_portable, )
#if defined(__x86_64__)
COUNT(count_popcnt, AVX2)
#endif

static int64_t count(const uint64_t *a, const uint64_t *b, int64_t nwords)
{
#if defined(__x86_64__)
    if (isa_best() != ISA_PORTABLE)
        return count_popcnt(a, b, nwords);
#endif
    return count_portable(a, b, nwords);
}

int64_t bits_count(const uint64_t *words, int64_t nwords)
{
    return count(words, NULL, nwords);
}

int64_t bits_count_without(const uint64_t *a, const uint64_t *b, int64_t nwords)
{
    return count(a, b, nwords);
}
