/* FP8 with block scales, as DeepSeek publishes it: a matrix X.weight of F8_E4M3 codes beside
 * X.weight_scale_inv, an F32 scale for each block of 128 x 128 (fewer at the right and lower edge). An
 * element is its code as float times its block's scale, rounded to bf16: what the published conversion script
 * writes. */
#ifndef SINEW_FP8_H
#define SINEW_FP8_H

#include "formats/decoder.h"

enum { FP8_BLOCK = 128 };

/* Local. The number of a code as torch.float8_e4m3fn has it: 4 exponent bits of bias 7, 3 mantissa bits, no
 * Inf; 0x7f and 0xff are NaN, the largest is 448. Exact. */
float fp8_to_float(uint8_t code);

/* Local. Elements [first, first+n) of a matrix of `cols` columns: out[i] = code * scale in bf16. codes: n.
 * scales: of one row of blocks; scales[0] is that of block column `block0`, and all elements lie in that row
 * of blocks. Pure. */
void fp8_decode(const uint8_t *codes, int64_t first, int64_t n, int64_t cols, const float *scales,
                int64_t block0, uint16_t *out);

/* Local. Do matrix and scales fit each other? 0, or -1 with what was expected and found in problem. */
int fp8_check(const struct stored_tensor *t, const struct stored_tensor *scale, char *problem, int size);

/* The row of the table of decoders: takes each F8_E4M3 tensor X, served by X_scale_inv of the same
 * checkpoint. */
extern const struct decoder decoder_fp8;

#endif
