#include "elements/codes/codes_loops.h"

/* Products of so many elements stand in between, in the nearest cache. */
enum { CHUNK = 512 };

/* One loop for each kind of eight bits, over the bits of its codes. */
#define DECODE(name, widened)                                                                            \
    static void name(const uint8_t *codes, int64_t n, const float *scales, int64_t group, uint16_t *out) \
    {                                                                                                    \
        float wide[CHUNK];                                                                               \
        for (int64_t i = 0, left; i < n; i += left) {                                                    \
            const float scale = scales[i / group];                                                       \
            left = group - i % group;                                                                    \
            left = left < n - i ? left : n - i;                                                          \
            left = left < CHUNK ? left : CHUNK;                                                          \
            for (int64_t k = 0; k < left; k++)                                                           \
                wide[k] = codes_float(widened(codes[i + k])) * scale;                                    \
            tensor_to_compare(ARITHMETIC_BF16, DTYPE_F32, wide, left, out + i);                          \
        }                                                                                                \
    }
DECODE(decode_e4m3, codes_bits_e4m3)
DECODE(decode_e5m2, codes_bits_e5m2)
DECODE(decode_e4m3fnuz, codes_bits_e4m3fnuz)
DECODE(decode_e5m2fnuz, codes_bits_e5m2fnuz)

/* Of sixteen numbers every product of a group is one. */
static void decode_e2m1(const uint8_t *codes, int64_t n, const float *scales, int64_t group, uint16_t *out)
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
        tensor_to_compare(ARITHMETIC_BF16, DTYPE_F32, wide, 16, product);
        for (int64_t k = i; k + 1 < end; k += 2) {
            out[k] = product[codes[k / 2] & 15];
            out[k + 1] = product[codes[k / 2] >> 4];
        }
        if ((end - i) % 2)
            out[end - 1] = product[codes[(end - 1) / 2] & 15];
    }
}

const struct codes_loops codes_portable = {.decode = {[CODES_E4M3] = decode_e4m3,
                                                      [CODES_E5M2] = decode_e5m2,
                                                      [CODES_E4M3FNUZ] = decode_e4m3fnuz,
                                                      [CODES_E5M2FNUZ] = decode_e5m2fnuz,
                                                      [CODES_E2M1] = decode_e2m1}};
