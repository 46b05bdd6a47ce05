#include "formats/decoders/scaled.h"

#include "formats/decoders/packed.h"

#include <stdio.h>
#include <string.h>

enum { KIND, GLOBAL, ROWS, COLS, BLOCK_ROWS, BLOCK_COLS, DOWN, ACROSS, STEP };

/* ---- what a decoding says ---- */

static err_t add_note(struct decoding *d, const struct scaled *s, struct arena *a, struct err *e)
{
    char blocks[80];
    scale_grid_text(&s->grid, blocks, sizeof blocks);
    const char *what = s->kind == CODES_E2M1 ? "F4_E2M1" : dtype_name(s->codes->dtype);
    d->note = arena_printf(a, e, "%s codes by %s scales, one for %s%s, rounded to BF16", what,
                           s->scale->dtype == DTYPE_U8 ? "E8M0" : dtype_name(s->scale->dtype), blocks,
                           s->uses_global == SCALED_DIVIDES      ? ", over the tensor's own"
                           : s->uses_global == SCALED_MULTIPLIES ? ", times the tensor's own"
                                                                 : "");
    return e->code;
}

err_t scaled_fill(struct decoding *d, const struct scaled *s, const struct quant_config *q, struct arena *a,
                  struct err *e)
{
    struct scaled known = *s;
    char problem[700] = "";
    d->out = DTYPE_BF16;
    if (s->codes != d->of)
        TRY(decoding_add_helper(d, s->codes, a, e));
    TRY(decoding_add_helper(d, s->scale, a, e));
    if (s->uses_global)
        TRY(decoding_add_helper(d, s->global, a, e));
    int fits = scale_grid_fit(&known.grid, d->of, s->scale, q, problem, sizeof problem) == 0;
    if (fits && s->uses_global && (s->global->elements != 1 || !dtype_is_compared(s->global->dtype))) {
        snprintf(problem, sizeof problem, "its scale %.300s is %s of %lld elements, expected one number",
                 s->global->name, dtype_name(s->global->dtype), (long long)s->global->elements);
        fits = 0;
    }
    if (!fits) {
        const char *more = q && q->problem ? q->problem : NULL;
        d->problem = arena_printf(a, e, ": %s%s%s", problem, more ? "; " : "", more ? more : "");
        return e->code;
    }
    const struct scale_grid *g = &known.grid;
    const int64_t numbers[] = {s->kind,       s->uses_global, g->rows,   g->cols, g->block_rows,
                               g->block_cols, g->down,        g->across, g->step};
    memcpy(d->numbers, numbers, sizeof numbers);
    return add_note(d, &known, a, e);
}

static int codes_fit(const struct decoding *d, const struct scaled *s)
{
    const struct stored_tensor *t = d->of, *c = s->codes;
    if (s->kind != CODES_E2M1)
        return c == t && t->file >= 0 && codes_of(t->dtype) == s->kind;
    return c != t && c->file >= 0 && !c->decoding && c->dtype == DTYPE_U8 && t->file < 0 &&
           s->grid.cols % 2 == 0 && t->elements % 2 == 0 && c->elements == t->elements / 2;
}

int scaled_of(const struct decoding *d, struct scaled *s)
{
    const int64_t *v = d->numbers;
    if (v[KIND] < 0 || v[KIND] >= CODES_KINDS || v[GLOBAL] < 0 || v[GLOBAL] > SCALED_MULTIPLIES)
        return 0;
    *s =
        (struct scaled){.kind = (enum codes)v[KIND],
                        .uses_global = (enum scaled_global)v[GLOBAL],
                        .grid = {v[ROWS], v[COLS], v[BLOCK_ROWS], v[BLOCK_COLS], v[DOWN], v[ACROSS], v[STEP]},
                        .codes = d->of};
    int packed = s->kind == CODES_E2M1;
    if (d->nhelpers < 1 + packed + (s->uses_global != SCALED_NO_GLOBAL))
        return 0;
    if (packed)
        s->codes = d->helpers[0];
    s->scale = d->helpers[packed];
    s->global = s->uses_global ? d->helpers[packed + 1] : NULL;
    int one = !s->global || (s->global->elements == 1 && dtype_is_compared(s->global->dtype) &&
                             s->global->file >= 0 && !s->global->decoding);
    return one && d->out == DTYPE_BF16 && s->scale->file >= 0 && !s->scale->decoding && codes_fit(d, s) &&
           scale_grid_valid(&s->grid, d->of, s->scale);
}

static int valid(const struct decoding *d)
{
    struct scaled s;
    return scaled_of(d, &s);
}

/* ---- finding ---- */

static int takes(const struct stored_tensor *t)
{
    return codes_of(t->dtype) != CODES_KINDS;
}

const struct stored_tensor *scaled_find_scale(const struct stored_list *list, const char *name,
                                              struct arena *a, struct err *e)
{
    static const char *const ends[] = {"_scale_inv", "_scale"};
    const struct stored_tensor *scale = NULL;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !scale; i++)
        scale = stored_find_named(list, name, "", ends[i], a, e);
    return scale || e->code != ERR_OK ? scale : stored_find_named(list, name, "weight", "scale", a, e);
}

static err_t resolve(struct decoding *d, const struct stored_list *list, const struct model_config *config,
                     struct arena *a, struct err *e)
{
    const struct stored_tensor *t = d->of, *scale = scaled_find_scale(list, t->name, a, e);
    d->out = DTYPE_BF16;
    if (e->code != ERR_OK)
        return e->code;
    if (scale)
        return scaled_fill(d, &(struct scaled){.kind = codes_of(t->dtype), .codes = t, .scale = scale},
                           config ? &config->quant : NULL, a, e);
    if (t->dtype != DTYPE_F8_E4M3)
        d->by = NULL;
    else
        d->problem = arena_printf(
            a, e, ", but its scales %s_scale_inv are not there; FP8 codes mean nothing without them",
            t->name);
    return e->code;
}

/* ---- reading ---- */

/* Scales [from, from+n) of the tensor of scales, as floats that are ready to use. Behind them room for as
 * many as they are stored, and for the codes. */
struct scaled_kept {
    const struct stored_tensor *of;
    int64_t from, n;
    const struct stored_tensor *global_of;
    float global;
    float v[];
};

enum { WIDEST_SCALE = 8 };

/* How many scales n elements may need, those between them included. */
static int64_t scales_needed(const struct scale_grid *g, int64_t n)
{
    int64_t in_a_row = min64(g->across, n / g->block_cols + 2), rows = n / (g->cols > 0 ? g->cols : 1) + 2;
    return min64(rows, g->cols > n ? 2 : rows) * in_a_row;
}

static int64_t codes_room(int64_t n)
{
    return n + 2;
}

int64_t scaled_scratch(const struct decoding *d, int64_t n)
{
    struct scaled s;
    if (!scaled_of(d, &s))
        return 0;
    return (int64_t)sizeof(struct scaled_kept) +
           scales_needed(&s.grid, n) * ((int64_t)sizeof(float) + WIDEST_SCALE) + codes_room(n) + WIDEST_SCALE;
}

static err_t take_global(const struct scaled *s, const struct stored_source *from, struct scaled_kept *k,
                         struct err *e)
{
    char raw[WIDEST_SCALE];
    if (k->global_of == s->global)
        return ERR_OK;
    TRY(from->read(from->arg, s->global, 0, 1, raw, e));
    codes_scales(s->global->dtype, raw, 1, &k->global);
    k->global_of = s->global;
    k->of = NULL;
    return ERR_OK;
}

/* Makes scales [at, at+n) stand in k, and up to `more` behind them, which will be wanted next. cap: of k. */
static err_t take_scales(const struct scaled *s, const struct stored_source *from, int64_t at, int64_t n,
                         int64_t more, int64_t cap, struct scaled_kept *k, struct err *e)
{
    if (s->uses_global)
        TRY(take_global(s, from, k, e));
    if (k->of == s->scale && k->from <= at && at + n <= k->from + k->n)
        return ERR_OK;
    if (n > cap)
        return err_set(e, ERR_BUG, "tensor %s: %lld scales are needed at once, there is room for %lld",
                       s->scale->name, (long long)n, (long long)cap);
    n = min64(min64(n + more, cap), s->scale->elements - at);
    char *raw = (char *)(k->v + cap);
    raw += -(uintptr_t)raw % WIDEST_SCALE;
    k->of = NULL;
    TRY(from->read(from->arg, s->scale, at, n, raw, e));
    codes_scales(s->scale->dtype, raw, n, k->v);
    for (int64_t i = 0; s->uses_global == SCALED_DIVIDES && i < n; i++)
        k->v[i] = k->v[i] / k->global;
    for (int64_t i = 0; s->uses_global == SCALED_MULTIPLIES && i < n; i++)
        k->v[i] = k->v[i] * k->global;
    k->of = s->scale;
    k->from = at;
    k->n = n;
    return ERR_OK;
}

/* Codes of elements [i, i+n) of a range that begins at code `skip` of its bytes, all in one row, under the
 * scales from `scale` on. A first element in the upper half of its byte, or in the middle of its block, goes
 * by itself: the loops begin at both. */
static void decode_row(const struct scaled *s, enum isa isa, const uint8_t *codes, int64_t code, int64_t col,
                       int64_t n, const float *scale, uint16_t *out)
{
    const int four = s->kind == CODES_E2M1;
    const int64_t block = s->grid.block_cols;
    for (int64_t done = 0; done < n;) {
        int64_t at = code + done, in_block = (col + done) % block, part = n - done;
        if (four && at % 2) {
            float x = codes_value(s->kind, (uint8_t)(codes[at / 2] >> 4)) * *scale;
            out[done] = bf16_from_float(x);
            part = 1;
        } else {
            part = in_block > 0 || (four && block % 2) ? min64(part, block - in_block) : part;
            codes_decode(isa, s->kind, codes + (four ? at / 2 : at), part, scale,
                         in_block > 0 || part <= block ? block + in_block : block, out + done);
        }
        scale += (in_block + part) / block;
        done += part;
    }
}

/* How many whole rows of elements [first, first+n), which begins one, have the scales of the first. */
static int64_t rows_alike(const struct scale_grid *g, int64_t first, int64_t n)
{
    const int64_t at = scale_grid_at(g, first);
    int64_t rows = 0;
    while ((rows + 1) * g->cols <= n && scale_grid_at(g, first + rows * g->cols) == at)
        rows++;
    return rows;
}

err_t scaled_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                  struct decoder_scratch *scratch, void *out, struct err *e)
{
    struct scaled s;
    if (!scaled_of(d, &s))
        return err_set(e, ERR_BUG, "tensor %s has no scales", d->of->name);
    struct scaled_kept *k = scratch->v;
    const struct scale_grid *g = &s.grid;
    const int four = s.kind == CODES_E2M1;
    const int64_t cap = scales_needed(g, scratch->most), head = four ? first % 2 : 0;
    uint8_t *codes = (uint8_t *)(k->v + cap) + cap * WIDEST_SCALE + WIDEST_SCALE;
    const enum isa isa = isa_usable();
    if (four)
        TRY(from->read(from->arg, s.codes, first / 2, (first + n + 1) / 2 - first / 2, codes, e));
    else
        TRY(from->read(from->arg, s.codes, first, n, codes, e));
    int64_t last = scale_grid_at(g, first + n - 1);
    for (int64_t i = 0, part; i < n; i += part) {
        int64_t col = (first + i) % g->cols, at = scale_grid_at(g, first + i);
        part = min64(n - i, g->cols - col);
        int64_t needed = (col % g->block_cols + part - 1) / g->block_cols + 1;
        TRY(take_scales(&s, from, at, needed, last >= at + needed ? last + 1 - at - needed : 0, cap, k, e));
        const float *scales = k->v + (at - k->from);
        const int64_t rows = four || col > 0 ? 0 : rows_alike(g, first + i, n - i);
        if (rows > 1) {
            codes_decode_rows(isa, s.kind, codes + i, rows, g->cols, scales, g->block_cols,
                              (uint16_t *)out + i);
            part = rows * g->cols;
        } else {
            decode_row(&s, isa, codes, head + i, col, part, scales, (uint16_t *)out + i);
        }
    }
    return ERR_OK;
}

const struct decoder decoder_scaled = {
    .name = "scaled",
    .helper = "scale",
    .derive = packed_derive,
    .complete = packed_complete,
    .takes = takes,
    .resolve = resolve,
    .valid = valid,
    .scratch_bytes = scaled_scratch,
    .read = scaled_read,
};
