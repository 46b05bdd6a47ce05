#include "formats/fp8.h"

#include <stdio.h>
#include <string.h>

/* Bits of the float equal to a code: the exponent's bias grows by 120; a subnormal is its mantissa times
 * 2^-9, which is exact. Masks choose, so that loops over it become vector code. */
static inline float widen(uint32_t code)
{
    uint32_t sign = (code & 0x80u) << 24, magnitude = code & 0x7fu, tiny, bits;
    float small = (float)(int32_t)magnitude * 0x1p-9f, x;
    memcpy(&tiny, &small, sizeof tiny);
    uint32_t is_tiny = -(uint32_t)(magnitude < 8), is_nan = -(uint32_t)(magnitude == 0x7fu);
    bits = (tiny & is_tiny) | (((magnitude << 20) + (120u << 23)) & ~(is_tiny | is_nan)) |
           (0x7fc00000u & is_nan);
    bits |= sign;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float fp8_to_float(uint8_t code)
{
    return widen(code);
}

static int64_t blocks_of(int64_t n)
{
    return n / FP8_BLOCK + (n % FP8_BLOCK != 0);
}

void fp8_decode(const uint8_t *codes, int64_t first, int64_t n, int64_t cols, const float *scales,
                int64_t block0, uint16_t *out)
{
    float wide[FP8_BLOCK];
    for (int64_t i = 0; i < n;) {
        int64_t col = (first + i) % cols, left = FP8_BLOCK - col % FP8_BLOCK;
        left = left < cols - col ? left : cols - col;
        left = left < n - i ? left : n - i;
        float scale = scales[col / FP8_BLOCK - block0];
        for (int64_t k = 0; k < left; k++)
            wide[k] = widen(codes[i + k]) * scale;
        tensor_to_compare(ARITHMETIC_BF16, DTYPE_F32, wide, left, out + i);
        i += left;
    }
}

int fp8_check(const struct stored_tensor *t, const struct stored_tensor *scale, char *problem, int size)
{
    char found[200];
    if (t->ndim != 2) {
        snprintf(problem, (size_t)size, "shape %s, expected a matrix",
                 shape_text(t->ndim, t->dims, found, sizeof found));
        return -1;
    }
    int64_t rows = blocks_of(t->dims[0]), cols = blocks_of(t->dims[1]);
    if (scale->dtype == DTYPE_F32 && scale->ndim == 2 && scale->dims[0] == rows && scale->dims[1] == cols)
        return 0;
    snprintf(problem, (size_t)size,
             "its scales %s are %s %s, expected F32 %lldx%lld: one for each block of 128x128", scale->name,
             dtype_name(scale->dtype), shape_text(scale->ndim, scale->dims, found, sizeof found),
             (long long)rows, (long long)cols);
    return -1;
}

int64_t fp8_scales_needed(int64_t n)
{
    return n / FP8_BLOCK + 2;
}

/* Block columns [from, to) of a row of blocks into s, unless they are there. */
static err_t take_scales(struct checkpoint *c, const struct stored_tensor *scale, int64_t row, int64_t from,
                         int64_t to, struct fp8_scales *s, struct err *e)
{
    if (s->of == scale && s->row == row && s->from <= from && s->to >= to)
        return ERR_OK;
    if (to - from > s->cap)
        return err_set(e, ERR_BUG, "tensor %s: %lld scales are needed at once, there is room for %lld",
                       scale->name, (long long)(to - from), (long long)s->cap);
    s->of = NULL;
    TRY(checkpoint_read(c, scale, row * scale->dims[1] + from, to - from, s->v, e));
    s->of = scale;
    s->row = row;
    s->from = from;
    s->to = to;
    return ERR_OK;
}

err_t fp8_read(struct checkpoint *c, const struct stored_tensor *t, const struct stored_tensor *scale,
               int64_t first, int64_t n, uint8_t *codes, struct fp8_scales *s, uint16_t *out, struct err *e)
{
    TRY(checkpoint_read(c, t, first, n, codes, e));
    int64_t cols = t->dims[1];
    for (int64_t i = 0, left; i < n; i += left) {
        /* to the end of this row of blocks; of a row longer than the range, to its end: then no more scales
         * are needed than the range has elements for */
        int64_t row = (first + i) / cols, col = (first + i) % cols;
        left = cols > n ? cols - col : (FP8_BLOCK - row % FP8_BLOCK) * cols - col;
        left = left < n - i ? left : n - i;
        int one_row = col + left <= cols;
        int64_t from = one_row ? col / FP8_BLOCK : 0, to = blocks_of(one_row ? col + left : cols);
        TRY(take_scales(c, scale, row / FP8_BLOCK, from, to, s, e));
        fp8_decode(codes + i, first + i, left, cols, s->v, s->from, out + i);
    }
    return ERR_OK;
}
