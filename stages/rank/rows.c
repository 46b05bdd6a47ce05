#include "rank/rows.h"

#include "elements/bits/bits.h"

#include <math.h>
#include <string.h>

err_t rank_rows_init(struct rank_rows *r, struct arena *a, struct err *e)
{
    r->block = -1;
    TRY(arena_array(a, "rank.difference", LAYOUT_BLOCK, &r->difference, e));
    return arena_array(a, "rank.dense", LAYOUT_BLOCK, &r->dense, e);
}

static err_t load_block(struct rank_rows *c, int64_t b, struct err *e)
{
    struct update_part part;
    c->block = -1;
    TRY(update_read(c->update, b, b + 1, &part, e));
    enum arithmetic arithmetic = update_arithmetic(c->update);
    int64_t n = layout_block(c->layout, b).n;
    tensor_difference(arithmetic, part.old_bits, part.new_bits, part.nvalues, c->difference);
    memset(c->dense, 0, (size_t)n * sizeof *c->dense);
    bits_unpack((int)sizeof *c->dense, part.words, n, c->difference, c->dense);
    /* NaN or Inf on both sides: no number is their difference. */
    for (int64_t i = 0; i < part.nnonfinite; i++)
        if (part.nonfinite[i] < n)
            c->dense[part.nonfinite[i]] = NAN;
    c->bytes_read += (double)part.nwords * 8 + 2.0 * (double)part.nvalues * arithmetic_bytes(arithmetic);
    c->block = b;
    return ERR_OK;
}

err_t rank_rows_get(void *arg, int64_t row, int64_t n, float *out, struct err *e)
{
    struct rank_rows *c = arg;
    const struct layout_tensor *t = &c->layout->tensors[c->tensor];
    int64_t at = row * t->dims[1], end = (row + n) * t->dims[1];
    while (at < end) {
        int64_t b = t->first_block + at / LAYOUT_BLOCK, in_block = at % LAYOUT_BLOCK;
        if (b != c->block)
            TRY(load_block(c, b, e));
        int64_t run = end - at < LAYOUT_BLOCK - in_block ? end - at : LAYOUT_BLOCK - in_block;
        memcpy(out, c->dense + in_block, (size_t)run * sizeof *out);
        out += run;
        at += run;
    }
    return ERR_OK;
}
