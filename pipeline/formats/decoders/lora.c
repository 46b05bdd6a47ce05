#include "formats/decoders/lora.h"

#include "elements/lowrank/lowrank.h"

#include <math.h>
#include <string.h>

enum { RANK, EXPERTS, EXPERT, NEXPERTS, ROWS, COLS, OUT_START, TRANSPOSED, LORA_NUMBERS };
_Static_assert((int)LORA_NUMBERS <= (int)DECODING_NUMBERS, "a decoding keeps a product");

enum { A_FACTOR, B_FACTOR };

/* A factor of several experts that has at most so many bytes as float32 is kept whole: its experts lie in one
 * another, and reading it once for each of them would be most of the work. */
static const int64_t MOST_KEPT = 64 << 20;

/* Elements of a factor that are read at a time. */
enum { CHUNK = 1 << 14 };

static struct lora_product part_of(const struct decoding *d)
{
    const int64_t *n = d->numbers;
    return (struct lora_product){n[RANK], n[EXPERTS],   n[EXPERT],          n[NEXPERTS], n[ROWS],
                                 n[COLS], n[OUT_START], n[TRANSPOSED] != 0, d->reals[0]};
}

static int multiplies_to(int64_t a, int64_t b, int64_t c, int64_t n)
{
    int64_t x;
    return a > 0 && b > 0 && c > 0 && !__builtin_mul_overflow(a, b, &x) &&
           !__builtin_mul_overflow(x, c, &x) && x == n;
}

/* Do the factors have what the part needs of them? All numbers are at most what a tensor may have elements.
 */
static int lora_valid(const struct decoding *d)
{
    if (d->nhelpers != 2 || d->out != DTYPE_F32 || d->helpers[A_FACTOR]->decoding ||
        d->helpers[B_FACTOR]->decoding || !dtype_is_compared(d->helpers[A_FACTOR]->dtype) ||
        !dtype_is_compared(d->helpers[B_FACTOR]->dtype))
        return 0;
    const struct lora_product p = part_of(d);
    int64_t in = p.transposed ? p.rows : p.cols, out = p.transposed ? p.cols : p.rows, of_b;
    if (!multiplies_to(p.nexperts, p.rows, p.cols, d->of->elements) || p.expert < 0 || p.out_start < 0 ||
        p.experts < p.nexperts || p.expert > p.experts - p.nexperts || !isfinite(p.scale) ||
        !multiplies_to(p.experts, p.r, in, d->helpers[A_FACTOR]->elements) ||
        __builtin_add_overflow(p.out_start, out, &of_b))
        return 0;
    int64_t across = p.r * p.experts;
    return d->helpers[B_FACTOR]->elements % across == 0 && of_b <= d->helpers[B_FACTOR]->elements / across;
}

err_t lora_make(struct stored_tensor *t, const struct stored_tensor *a_factor,
                const struct stored_tensor *b_factor, const struct lora_product *part, struct arena *a,
                struct err *e)
{
    struct decoding *d;
    char shape[3][200];
    t->file = STORED_NOWHERE;
    TRY(decoder_derive(t, &decoder_lora, DTYPE_F32, a, &d, e));
    TRY(decoding_add_helper(d, a_factor, a, e));
    TRY(decoding_add_helper(d, b_factor, a, e));
    const int64_t numbers[] = {part->r,    part->experts, part->expert,    part->nexperts,
                               part->rows, part->cols,    part->out_start, part->transposed};
    memcpy(d->numbers, numbers, sizeof numbers);
    d->reals[0] = part->scale;
    if (lora_valid(d))
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "tensor %s, %s: its adapter's %s, %s, and %s, %s, do not multiply to it at rank %lld of %lld "
        "experts",
        t->name, shape_text(t->ndim, t->dims, shape[0], sizeof shape[0]), a_factor->name,
        shape_text(a_factor->ndim, a_factor->dims, shape[1], sizeof shape[1]), b_factor->name,
        shape_text(b_factor->ndim, b_factor->dims, shape[2], sizeof shape[2]), (long long)part->r,
        (long long)part->experts);
}

/* ---- the work of one call ---- */

/* What is kept from call to call: the right factor of one expert, and perhaps all of B. Behind it, in this
 * order: a chunk as it is stored, the same as float32, the rows of the left factor, the right one, B. */
struct lora_kept {
    const struct stored_tensor *right_of,
        *whole; /* whose factor, and of whose B all is there; NULL: nothing */
    int64_t right_expert;
};

struct lora_work {
    struct lora_product p;
    const struct stored_tensor *a, *b;
    const struct stored_source *from;
    struct lora_kept *kept;
    void *raw;
    float *chunk, *left, *right, *whole;
    int64_t stride;
};

static int64_t up(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Bytes of the parts of the scratch: rows that a call may touch, the right factor, and B where it is kept. */
static int64_t left_bytes(const struct lora_product *p, int64_t n)
{
    int64_t rows = n / p->cols + 2;
    rows = rows < p->rows ? rows : p->rows;
    return up(rows * p->r * (int64_t)sizeof(float));
}

static int64_t right_bytes(const struct lora_product *p)
{
    return up(p->r * lowrank_stride(p->cols) * (int64_t)sizeof(float));
}

static int64_t whole_bytes(const struct decoding *d)
{
    int64_t bytes = d->helpers[B_FACTOR]->elements * (int64_t)sizeof(float);
    return d->numbers[EXPERTS] > 1 && d->helpers[B_FACTOR]->elements <= MOST_KEPT / (int64_t)sizeof(float)
               ? up(bytes)
               : 0;
}

enum { HEAD_BYTES = 64, RAW_BYTES = CHUNK * 8, CHUNK_BYTES = CHUNK * 4 };

static int64_t lora_scratch(const struct decoding *d, int64_t n)
{
    const struct lora_product p = part_of(d);
    return HEAD_BYTES + RAW_BYTES + CHUNK_BYTES + right_bytes(&p) + whole_bytes(d) + left_bytes(&p, n);
}

static void lay_out(struct lora_work *w, const struct decoding *d, const struct stored_source *from, void *v)
{
    char *at = v;
    *w = (struct lora_work){
        .p = part_of(d), .a = d->helpers[A_FACTOR], .b = d->helpers[B_FACTOR], .from = from};
    w->kept = v;
    w->raw = at + HEAD_BYTES;
    w->chunk = (float *)(void *)(at + HEAD_BYTES + RAW_BYTES);
    w->right = (float *)(void *)(at + HEAD_BYTES + RAW_BYTES + CHUNK_BYTES);
    /* B comes before what depends on the tensor's own shape, so that tensors of one module share it */
    at += HEAD_BYTES + RAW_BYTES + CHUNK_BYTES;
    w->whole = whole_bytes(d) > 0 ? (float *)(void *)at : NULL;
    at += whole_bytes(d);
    w->right = (float *)(void *)at;
    w->left = (float *)(void *)(at + right_bytes(&w->p));
    w->stride = lowrank_stride(w->p.cols);
}

/* Elements [first, first + n) of a factor as float32, n at most CHUNK. */
static err_t read_chunk(const struct lora_work *w, const struct stored_tensor *t, int64_t first, int64_t n,
                        float *out, struct err *e)
{
    TRY(w->from->read(w->from->arg, t, first, n, w->raw, e));
    tensor_to_compare(ARITHMETIC_F32, t->dtype, w->raw, n, out);
    return ERR_OK;
}

static err_t read_run(const struct lora_work *w, const struct stored_tensor *t, int64_t first, int64_t n,
                      float *out, struct err *e)
{
    for (int64_t done = 0, part; done < n; done += part) {
        part = n - done < CHUNK ? n - done : CHUNK;
        TRY(read_chunk(w, t, first + done, part, out + done, e));
    }
    return ERR_OK;
}

/* All of B, unless it is there. */
static err_t keep_whole(const struct lora_work *w, struct err *e)
{
    if (!w->whole || w->kept->whole == w->b)
        return ERR_OK;
    w->kept->whole = NULL;
    TRY(read_run(w, w->b, 0, w->b->elements, w->whole, e));
    w->kept->whole = w->b;
    return ERR_OK;
}

/* What expert `e` has in row `row` of B: element k to out[k * step]. A row is read in parts where it is
 * longer than a chunk. */
static err_t take_b_row(const struct lora_work *w, int64_t row, int64_t expert, float *out, int64_t step,
                        struct err *e)
{
    const int64_t experts = w->p.experts, across = w->p.r * experts;
    const int64_t at_once = experts > CHUNK ? 1 : CHUNK / experts; /* ranks */
    for (int64_t k = 0, n; k < w->p.r; k += n) {
        n = w->p.r - k < at_once ? w->p.r - k : at_once;
        const float *v = w->chunk;
        if (w->whole)
            v = w->whole + row * across + k * experts + expert;
        else
            TRY(read_chunk(w, w->b, row * across + k * experts + expert, (n - 1) * experts + 1, w->chunk, e));
        for (int64_t i = 0; i < n; i++)
            out[(k + i) * step] = v[i * experts];
    }
    return ERR_OK;
}

/* The right factor of an expert, rank x cols, unless it is there. */
static err_t keep_right(const struct lora_work *w, const struct decoding *d, int64_t expert, struct err *e)
{
    struct lora_kept *kept = w->kept;
    if (kept->right_of == d->of && kept->right_expert == expert)
        return ERR_OK;
    kept->right_of = NULL;
    if (w->p.transposed) {
        for (int64_t j = 0; j < w->p.cols; j++)
            TRY(take_b_row(w, w->p.out_start + j, expert, w->right + j, w->stride, e));
    } else {
        for (int64_t k = 0; k < w->p.r; k++)
            TRY(read_run(w, w->a, (expert * w->p.r + k) * w->p.cols, w->p.cols, w->right + k * w->stride, e));
    }
    kept->right_of = d->of;
    kept->right_expert = expert;
    return ERR_OK;
}

/* Rows [from, to) of the left factor of an expert, rows x rank. */
static err_t take_left(const struct lora_work *w, int64_t expert, int64_t from, int64_t to, struct err *e)
{
    const int64_t r = w->p.r;
    if (w->p.transposed) {
        for (int64_t k = 0; k < r; k++)
            for (int64_t i = from, n; i < to; i += n) {
                n = to - i < CHUNK ? to - i : CHUNK;
                TRY(read_chunk(w, w->a, (expert * r + k) * w->p.rows + i, n, w->chunk, e));
                for (int64_t j = 0; j < n; j++)
                    w->left[(i - from + j) * r + k] = w->chunk[j];
            }
        return ERR_OK;
    }
    if (w->p.experts == 1)
        return read_run(w, w->b, (w->p.out_start + from) * r, (to - from) * r, w->left, e);
    for (int64_t i = from; i < to; i++)
        TRY(take_b_row(w, w->p.out_start + i, expert, w->left + (i - from) * r, 1, e));
    return ERR_OK;
}

/* Elements [first, first + n) of one expert: a piece of a row, whole rows, a piece of a row. */
static void multiply(const struct lora_work *w, int64_t first, int64_t n, float *out)
{
    const int64_t cols = w->p.cols, row0 = first / cols;
    const enum isa isa = isa_usable();
    for (int64_t done = 0, part; done < n; done += part) {
        int64_t row = (first + done) / cols - row0, col = (first + done) % cols;
        int64_t rows = col == 0 && n - done >= cols ? (n - done) / cols : 1;
        int64_t wide = rows > 1 || n - done >= cols - col ? cols - col : n - done;
        part = rows * wide;
        lowrank_rows(isa, w->left + row * w->p.r, rows, w->p.r, w->right + col, wide, w->stride,
                     (float)w->p.scale, out + done);
    }
}

static err_t lora_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                       struct decoder_scratch *s, void *out, struct err *e)
{
    struct lora_work w;
    lay_out(&w, d, from, s->v);
    const int64_t each = w.p.rows * w.p.cols;
    TRY(keep_whole(&w, e));
    for (int64_t done = 0, part; done < n; done += part) {
        int64_t at = first + done, expert = w.p.expert + at / each, begin = at % each;
        part = each - begin < n - done ? each - begin : n - done;
        TRY(keep_right(&w, d, expert, e));
        TRY(take_left(&w, expert, begin / w.p.cols, (begin + part - 1) / w.p.cols + 1, e));
        multiply(&w, begin, part, (float *)out + done);
    }
    return ERR_OK;
}

const struct decoder decoder_lora = {
    .name = "lora",
    .helper = "factor",
    .valid = lora_valid,
    .scratch_bytes = lora_scratch,
    .read = lora_read,
};
