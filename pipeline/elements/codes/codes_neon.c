/* The NEON loops of codes.c: the products of a scale and all codes are a table of bytes in registers. */
#include "elements/codes/codes_loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>

enum { MAGNITUDES = 128, WORTH = 512 }; /* elements for which a table is worth making */

/* Of all codes without their sign: the lower bytes of their products, and the upper ones. */
struct magnitude_table {
    uint8x16x4_t low[2], high[2];
};

static struct magnitude_table table_of(enum codes kind, float scale)
{
    uint8_t code[MAGNITUDES];
    uint16_t product[MAGNITUDES];
    struct magnitude_table t;
    for (int i = 0; i < MAGNITUDES; i++)
        code[i] = (uint8_t)i;
    codes_portable.decode[kind](code, 1, MAGNITUDES, &scale, MAGNITUDES, product);
    for (int k = 0; k < 8; k++) {
        const uint8x16x2_t both = vld2q_u8((const uint8_t *)(product + 16 * k));
        t.low[k / 4].val[k % 4] = both.val[0];
        t.high[k / 4].val[k % 4] = both.val[1];
    }
    return t;
}

/* Which of 16 codes are NaN. */
static inline uint8x16_t nan_of(enum codes kind, uint8x16_t c)
{
    const uint8x16_t sign = vdupq_n_u8(0x80);
    if (kind == CODES_E4M3FNUZ || kind == CODES_E5M2FNUZ)
        return vceqq_u8(c, sign);
    return vcgtq_u8(vorrq_u8(c, sign), vdupq_n_u8(kind == CODES_E4M3 ? 0xfe : 0xfc));
}

static inline uint8x16_t look_up(const uint8x16x4_t *table, uint8x16_t at)
{
    return vqtbx4q_u8(vqtbl4q_u8(table[0], at), table[1], vsubq_u8(at, vdupq_n_u8(64)));
}

/* n codes, a multiple of 16, under the table's scale, which is finite and not 0, so that what is NaN is one
 * by itself. */
static inline void decode_by_table(enum codes kind, const struct magnitude_table *t, const uint8_t *codes,
                                   int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i += 16) {
        const uint8x16_t c = vld1q_u8(codes + i), at = vandq_u8(c, vdupq_n_u8(0x7f)), nan = nan_of(kind, c);
        const uint8x16_t sign = vandq_u8(c, vdupq_n_u8(0x80));
        uint8x16x2_t x = {{look_up(t->low, at), veorq_u8(look_up(t->high, at), sign)}};
        x.val[0] = vbslq_u8(nan, vdupq_n_u8(0xc0), x.val[0]);
        x.val[1] = vbslq_u8(nan, vdupq_n_u8(0x7f), x.val[1]);
        vst2q_u8((uint8_t *)(out + i), x);
    }
}

static void decode(enum codes kind, const uint8_t *codes, int64_t rows, int64_t n, const float *scales,
                   int64_t group, uint16_t *out)
{
    for (int64_t i = 0, end; i < n; i = end) {
        const float *scale = &scales[i / group];
        end = i + group < n ? i + group : n;
        const int worth = rows * (end - i) >= WORTH && isfinite(*scale) && *scale != 0;
        const int64_t by_table = worth ? (end - i) / 16 * 16 : 0, rest = end - i - by_table;
        struct magnitude_table t;
        if (worth)
            t = table_of(kind, *scale);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t at = r * n + i;
            if (worth)
                decode_by_table(kind, &t, codes + at, by_table, out + at);
            codes_portable.decode[kind](codes + at + by_table, 1, rest, scale, end - i, out + at + by_table);
        }
    }
}

#define DECODE(name, kind)                                                                              \
    static void name(const uint8_t *codes, int64_t rows, int64_t n, const float *scales, int64_t group, \
                     uint16_t *out)                                                                     \
    {                                                                                                   \
        decode(kind, codes, rows, n, scales, group, out);                                               \
    }
DECODE(decode_e4m3, CODES_E4M3)
DECODE(decode_e5m2, CODES_E5M2)
DECODE(decode_e4m3fnuz, CODES_E4M3FNUZ)
DECODE(decode_e5m2fnuz, CODES_E5M2FNUZ)

const struct codes_loops codes_neon = {.decode = {[CODES_E4M3] = decode_e4m3,
                                                  [CODES_E5M2] = decode_e5m2,
                                                  [CODES_E4M3FNUZ] = decode_e4m3fnuz,
                                                  [CODES_E5M2FNUZ] = decode_e5m2fnuz}};

#endif
