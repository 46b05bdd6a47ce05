#include "formats/decoders/fp8.h"

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

/* ---- as a decoder ---- */

static const char SCALE[] = "_scale_inv";

/* Scales of one row of blocks: what a range of elements needs at a time, whatever the matrix. Behind them the
 * codes. */
struct fp8_kept {
    const struct stored_tensor *of; /* what v holds: block columns [from, to) of block row `row` */
    int64_t row, from, to;
    float v[];
};

static int64_t scales_needed(int64_t n)
{
    return n / FP8_BLOCK + 2;
}

static int takes(const struct stored_tensor *t)
{
    return t->dtype == DTYPE_F8_E4M3;
}

static err_t resolve(struct decoding *d, const struct stored_list *list, const struct model_config *config,
                     struct arena *a, struct err *e)
{
    (void)config;
    d->out = DTYPE_BF16;
    char problem[700], *name = arena_printf(a, e, "%s%s", d->of->name, SCALE);
    if (!name)
        return e->code;
    const struct stored_tensor *scale = stored_find(list->tensors, list->ntensors, name);
    if (!scale) {
        d->problem = arena_printf(
            a, e, ", but its scales %s are not there; FP8 codes mean nothing without them", name);
    } else {
        TRY(decoding_add_helper(d, scale, a, e));
        if (fp8_check(d->of, scale, problem, sizeof problem) != 0)
            d->problem = arena_printf(a, e, ": %s", problem);
    }
    arena_drop(a, name);
    return e->code;
}

static int valid(const struct decoding *d)
{
    char problem[700];
    return d->out == DTYPE_BF16 && d->of->file >= 0 && d->of->dtype == DTYPE_F8_E4M3 &&
           (d->problem || (d->nhelpers == 1 && !d->helpers[0]->decoding &&
                           fp8_check(d->of, d->helpers[0], problem, sizeof problem) == 0));
}

static int64_t scratch_bytes(const struct decoding *d, int64_t n)
{
    (void)d;
    return (int64_t)sizeof(struct fp8_kept) + scales_needed(n) * (int64_t)sizeof(float) + n;
}

/* Block columns [from, to) of a row of blocks into s, unless they are there. */
static err_t take_scales(const struct stored_source *source, const struct stored_tensor *scale, int64_t row,
                         int64_t from, int64_t to, int64_t cap, struct fp8_kept *s, struct err *e)
{
    if (s->of == scale && s->row == row && s->from <= from && s->to >= to)
        return ERR_OK;
    if (to - from > cap)
        return err_set(e, ERR_BUG, "tensor %s: %lld scales are needed at once, there is room for %lld",
                       scale->name, (long long)(to - from), (long long)cap);
    s->of = NULL;
    TRY(source->read(source->arg, scale, row * scale->dims[1] + from, to - from, s->v, e));
    s->of = scale;
    s->row = row;
    s->from = from;
    s->to = to;
    return ERR_OK;
}

static err_t read_numbers(const struct decoding *d, const struct stored_source *from, int64_t first,
                          int64_t n, struct decoder_scratch *scratch, void *out, struct err *e)
{
    struct fp8_kept *s = scratch->v;
    const int64_t cap = scales_needed(scratch->most), cols = d->of->dims[1];
    uint8_t *codes = (uint8_t *)(s->v + cap);
    uint16_t *bf16 = out;
    TRY(from->read(from->arg, d->of, first, n, codes, e));
    for (int64_t i = 0, left; i < n; i += left) {
        /* to the end of this row of blocks; of a row longer than the range, to its end: then no more scales
         * are needed than the range has elements for */
        int64_t row = (first + i) / cols, col = (first + i) % cols;
        left = cols > n ? cols - col : (FP8_BLOCK - row % FP8_BLOCK) * cols - col;
        left = left < n - i ? left : n - i;
        int one_row = col + left <= cols;
        int64_t low = one_row ? col / FP8_BLOCK : 0, high = blocks_of(one_row ? col + left : cols);
        TRY(take_scales(from, d->helpers[0], row / FP8_BLOCK, low, high, cap, s, e));
        fp8_decode(codes + i, first + i, left, cols, s->v, s->from, bf16 + i);
    }
    return ERR_OK;
}

const struct decoder decoder_fp8 = {
    .name = "fp8",
    .helper = "scale",
    .takes = takes,
    .resolve = resolve,
    .valid = valid,
    .scratch_bytes = scratch_bytes,
    .read = read_numbers,
};
