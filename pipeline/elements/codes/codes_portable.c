#include "elements/codes/codes_loops.h"

#include "elements/convert/convert_loops.h"

/* Products of so many elements stand in between, in the nearest cache. */
enum { CHUNK = 512 };

static inline void narrow(const float *in, int64_t n, uint16_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &in[i], sizeof bits);
        out[i] = convert_narrow(bits);
    }
}

/* One loop for each kind of eight bits, over the bits of its codes. */
#define DECODE(name, widened)                                                                           \
    static void row_##name(const uint8_t *codes, int64_t n, const float *scales, int64_t group,         \
                           uint16_t *out)                                                               \
    {                                                                                                   \
        float wide[CHUNK];                                                                              \
        for (int64_t i = 0, left; i < n; i += left) {                                                   \
            const float scale = scales[i / group];                                                      \
            left = group - i % group;                                                                   \
            left = left < n - i ? left : n - i;                                                         \
            left = left < CHUNK ? left : CHUNK;                                                         \
            for (int64_t k = 0; k < left; k++)                                                          \
                wide[k] = codes_float(widened(codes[i + k])) * scale;                                   \
            narrow(wide, left, out + i);                                                                \
        }                                                                                               \
    }                                                                                                   \
    static void name(const uint8_t *codes, int64_t rows, int64_t n, const float *scales, int64_t group, \
                     uint16_t *out)                                                                     \
    {                                                                                                   \
        for (int64_t r = 0; r < rows; r++)                                                              \
            row_##name(codes + r * n, n, scales, group, out + r * n);                                   \
    }
DECODE(decode_e4m3, codes_bits_e4m3)
DECODE(decode_e5m2, codes_bits_e5m2)
DECODE(decode_e4m3fnuz, codes_bits_e4m3fnuz)
DECODE(decode_e5m2fnuz, codes_bits_e5m2fnuz)

/* Of sixteen numbers every product of a group is one. */
static void decode_row_e2m1(const uint8_t *codes, int64_t n, const float *scales, int64_t group,
                            uint16_t *out)
{
    static const float value[16] = {CODES_E2M1_VALUES};
    float wide[16];
    uint16_t product[16];
    for (int64_t i = 0, end; i < n; i = end) {
        const float scale = scales[i / group];
        end = i + group - i % group;
        end = end < n ? end : n;
        for (int k = 0; k < 16; k++)
            wide[k] = value[k] * scale;
        narrow(wide, 16, product);
        for (int64_t k = i; k + 1 < end; k += 2) {
            out[k] = product[codes[k / 2] & 15];
            out[k + 1] = product[codes[k / 2] >> 4];
        }
        if ((end - i) % 2)
            out[end - 1] = product[codes[(end - 1) / 2] & 15];
    }
}

static void decode_e2m1(const uint8_t *codes, int64_t rows, int64_t n, const float *scales, int64_t group,
                        uint16_t *out)
{
    for (int64_t r = 0; r < rows; r++)
        decode_row_e2m1(codes + r * (n / 2), n, scales, group, out + r * n);
}

const struct codes_loops codes_portable = {.decode = {[CODES_E4M3] = decode_e4m3,
                                                      [CODES_E5M2] = decode_e5m2,
                                                      [CODES_E4M3FNUZ] = decode_e4m3fnuz,
                                                      [CODES_E5M2FNUZ] = decode_e5m2fnuz,
                                                      [CODES_E2M1] = decode_e2m1}};
