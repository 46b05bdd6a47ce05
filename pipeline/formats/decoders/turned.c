#include "formats/decoders/turned.h"

#include "elements/codes/codes.h"
#include "elements/transpose/transpose.h"

#include <string.h>

enum { CODE_BYTES = TURNED_BLOCK / 2, BLOCK_BYTES = CODE_BYTES + 1, READ_BYTES = 1 << 20 };

/* The shapes, as the tensors have them: experts, columns of the turned tensor, blocks along its rows. */
struct turned {
    const struct stored_tensor *blocks, *scales;
    int64_t experts, out, groups;
};

/* 0: they do not belong together. */
static int turned_of(const struct decoding *d, struct turned *t)
{
    const struct stored_tensor *of = d->of;
    if (d->nhelpers != 2 || d->out != DTYPE_BF16 || of->file >= 0 || of->ndim != 3)
        return 0;
    const struct stored_tensor *b = d->helpers[0], *s = d->helpers[1];
    if (b->ndim != 4 || s->ndim != 3 || b->file < 0 || s->file < 0 || b->decoding || s->decoding ||
        b->dtype != DTYPE_U8 || (s->dtype != DTYPE_U8 && s->dtype != DTYPE_F8_E8M0))
        return 0;
    *t = (struct turned){b, s, b->dims[0], b->dims[1], b->dims[2]};
    return b->dims[3] == CODE_BYTES && memcmp(b->dims, s->dims, 3 * sizeof *b->dims) == 0 &&
           of->dims[0] == t->experts && of->dims[2] == t->out && of->dims[1] / TURNED_BLOCK == t->groups &&
           of->dims[1] % TURNED_BLOCK == 0;
}

err_t turned_fill(struct decoding *d, const struct stored_tensor *blocks, const struct stored_tensor *scales,
                  struct arena *a, struct err *e)
{
    struct turned t;
    d->by = &decoder_turned;
    d->out = DTYPE_BF16;
    TRY(decoding_add_helper(d, blocks, a, e));
    TRY(decoding_add_helper(d, scales, a, e));
    if (!turned_of(d, &t)) {
        d->problem = ": blocks and scales are not of one shape";
        return ERR_OK;
    }
    d->note = "F4_E2M1 codes by E8M0 scales, one for 32 of a column, turned, rounded to BF16";
    return ERR_OK;
}

static int turned_valid(const struct decoding *d)
{
    struct turned t;
    return turned_of(d, &t);
}

/* ---- reading ---- */

/* What is kept: bytes and scales of block columns [from, to) of an expert, row by row of the blocks, and 32
 * decoded rows of the turned tensor, those of block column `tile`. */
struct turned_kept {
    const struct stored_tensor *of;
    int64_t expert, from, to, tile; /* tile -1: none */
};

/* Block columns that are kept at once. */
static int64_t columns_of(const struct turned *t)
{
    int64_t column = t->out * BLOCK_BYTES, most = column > 0 ? TURNED_BYTES / column : t->groups;
    return min64(t->groups, most > 0 ? most : 1);
}

static int64_t turned_scratch(const struct decoding *d, int64_t n)
{
    struct turned t;
    (void)n;
    if (!turned_of(d, &t))
        return 0;
    return (int64_t)sizeof(struct turned_kept) + t.out * (columns_of(&t) * BLOCK_BYTES + TURNED_BLOCK * 2);
}

struct turned_room {
    struct turned_kept *k;
    uint16_t *rows; /* TURNED_BLOCK x out */
    uint8_t *bytes, *scales;
    int64_t columns;
};

static struct turned_room room_of(const struct turned *t, struct decoder_scratch *s)
{
    struct turned_room r = {.k = s->v, .columns = columns_of(t)};
    r.rows = (uint16_t *)(void *)(r.k + 1);
    r.bytes = (uint8_t *)(r.rows + TURNED_BLOCK * t->out);
    r.scales = r.bytes + t->out * r.columns * CODE_BYTES;
    return r;
}

static err_t read_run(const struct stored_source *from, const struct stored_tensor *t, int64_t first,
                      int64_t n, uint8_t *out, struct err *e)
{
    for (int64_t done = 0, part; done < n; done += part) {
        part = min64(n - done, READ_BYTES);
        TRY(from->read(from->arg, t, first + done, part, out + done, e));
    }
    return ERR_OK;
}

/* Block columns from `group` on of an expert, all rows of blocks; in one run where these are all there are.
 */
static err_t keep_columns(const struct turned *t, const struct stored_source *from, int64_t expert,
                          int64_t group, const struct turned_room *r, struct err *e)
{
    struct turned_kept *k = r->k;
    if (k->of == t->blocks && k->expert == expert && k->from <= group && group < k->to)
        return ERR_OK;
    int64_t first = group / r->columns * r->columns, n = min64(r->columns, t->groups - first);
    int64_t row = expert * t->out;
    k->of = NULL;
    if (n == t->groups) {
        TRY(read_run(from, t->blocks, row * n * CODE_BYTES, t->out * n * CODE_BYTES, r->bytes, e));
        TRY(read_run(from, t->scales, row * n, t->out * n, r->scales, e));
    }
    for (int64_t o = 0; o < t->out && n < t->groups; o++) {
        int64_t at = (row + o) * t->groups + first;
        TRY(from->read(from->arg, t->blocks, at * CODE_BYTES, n * CODE_BYTES, r->bytes + o * n * CODE_BYTES,
                       e));
        TRY(from->read(from->arg, t->scales, at, n, r->scales + o * n, e));
    }
    *k = (struct turned_kept){.of = t->blocks, .expert = expert, .from = first, .to = first + n, .tile = -1};
    return ERR_OK;
}

/* The 32 rows of block column `group`, which is kept: some columns at a time are decoded and turned. */
static void decode_rows(const struct turned *t, int64_t group, const struct turned_room *r)
{
    enum { SOME = 32 };
    uint8_t bytes[SOME * CODE_BYTES], power[SOME];
    float scales[SOME];
    uint16_t wide[SOME * TURNED_BLOCK];
    const int64_t n = r->k->to - r->k->from, column = group - r->k->from;
    const enum isa isa = isa_usable();
    for (int64_t o = 0, some; o < t->out; o += some) {
        some = min64(SOME, t->out - o);
        for (int64_t i = 0; i < some; i++) {
            memcpy(bytes + i * CODE_BYTES, r->bytes + ((o + i) * n + column) * CODE_BYTES, CODE_BYTES);
            power[i] = r->scales[(o + i) * n + column];
        }
        codes_scales(t->scales->dtype, power, some, scales);
        codes_decode(isa, CODES_E2M1, bytes, some * TURNED_BLOCK, scales, TURNED_BLOCK, wide);
        transpose_16(isa, wide, some, TURNED_BLOCK, TURNED_BLOCK, r->rows + o, t->out);
    }
    r->k->tile = group;
}

static err_t turned_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                         struct decoder_scratch *s, void *out, struct err *e)
{
    struct turned t;
    if (!turned_of(d, &t))
        return err_set(e, ERR_BUG, "tensor %s has no blocks", d->of->name);
    const struct turned_room r = room_of(&t, s);
    const int64_t rows = t.groups * TURNED_BLOCK;
    for (int64_t i = 0, part; i < n; i += part) {
        int64_t row = (first + i) / t.out, column = (first + i) % t.out, in = row % rows;
        TRY(keep_columns(&t, from, row / rows, in / TURNED_BLOCK, &r, e));
        if (r.k->tile != in / TURNED_BLOCK)
            decode_rows(&t, in / TURNED_BLOCK, &r);
        part = min64(n - i, t.out - column);
        memcpy((uint16_t *)out + i, r.rows + in % TURNED_BLOCK * t.out + column, (size_t)part * 2);
    }
    return ERR_OK;
}

const struct decoder decoder_turned = {
    .name = "turned",
    .helper = "block",
    .valid = turned_valid,
    .scratch_bytes = turned_scratch,
    .read = turned_read,
};
