#include "formats/decoders/scale_grid.h"

#include <stdio.h>

static int64_t parts(int64_t n, int64_t block)
{
    return n / block + (n % block != 0);
}

static int64_t at_least_1(int64_t n)
{
    return n > 1 ? n : 1;
}

/* Elements of axes [from, to). */
static int64_t product(const struct stored_tensor *t, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= t->dims[i]; /* no more than t's elements, or t is empty */
    return n;
}

static struct scale_grid with_blocks(int64_t rows, int64_t cols, int64_t block_rows, int64_t block_cols)
{
    struct scale_grid g = {.rows = rows,
                           .cols = cols,
                           .block_rows = at_least_1(block_rows),
                           .block_cols = at_least_1(block_cols)};
    g.down = parts(rows, g.block_rows);
    g.across = parts(cols, g.block_cols);
    g.step = g.down * g.across;
    return g;
}

/* One scale for everything, or for each index of the first axis: rows of a matrix, experts. */
static int fit_simple(struct scale_grid *g, const struct stored_tensor *t, const struct stored_tensor *scale)
{
    int64_t first = t->ndim > 0 ? t->dims[0] : 1, rest = t->ndim > 0 ? product(t, 1, t->ndim) : 1;
    if (scale->elements == 1) {
        *g = with_blocks(1, t->elements, 1, t->elements);
        g->down = g->across = 1; /* of an empty tensor too */
        return 1;
    }
    if (scale->elements != first || scale->ndim < 1 || scale->ndim > t->ndim || scale->dims[0] != first)
        return 0;
    *g = with_blocks(first, rest, 1, rest);
    g->across = 1; /* of an empty row too */
    g->step = g->down;
    return 1;
}

/* The grid of one matrix as the scales' shape has it; 0: axes before the last two do not agree. */
static int shape_of(struct scale_grid *g, const struct stored_tensor *t, const struct stored_tensor *scale)
{
    int lead = t->ndim - 2, same = 1, ones = 1;
    if (lead < 0)
        return 0;
    if (scale->ndim == t->ndim - 1 && scale->ndim >= 2) { /* a row's scale without an axis for it */
        *g = (struct scale_grid){.down = scale->dims[lead], .across = 1};
    } else if (scale->ndim == t->ndim) {
        *g = (struct scale_grid){.down = scale->dims[lead], .across = scale->dims[lead + 1]};
    } else {
        return 0;
    }
    for (int i = 0; i < lead; i++) {
        same &= scale->dims[i] == t->dims[i];
        ones &= scale->dims[i] == 1;
    }
    g->rows = t->dims[lead];
    g->cols = t->dims[lead + 1];
    g->step = same ? g->down * g->across : 0;
    return same || ones;
}

/* What a grid is tried against, in this order; the first ones are from config.json. */
struct candidates {
    int n;
    struct quant_block v[QUANT_BLOCKS + 6];
};

static void propose(struct candidates *c, int64_t rows, int64_t cols)
{
    c->v[c->n++] = (struct quant_block){at_least_1(rows), at_least_1(cols)};
}

static void propose_all(struct candidates *c, const struct scale_grid *shape, enum dtype scale,
                        const struct quant_config *q)
{
    int said = q ? q->nblocks : 0;
    for (int i = 0; i < said; i++)
        propose(c, q->blocks[i].rows, q->blocks[i].cols);
    if (said == 0 && (scale == DTYPE_U8 || scale == DTYPE_F8_E8M0))
        propose(c, 1, 32);
    if (said == 0 && scale == DTYPE_F8_E4M3)
        propose(c, 1, 16);
    if (said == 0 && scale != DTYPE_U8 && scale != DTYPE_F8_E4M3)
        propose(c, 128, 128);
    propose(c, 1, shape->cols);
    propose(c, shape->rows, 1);
    propose(c, shape->rows, shape->cols);
}

/* Do two blocks cut a matrix in the same way? */
static int same_cut(const struct scale_grid *g, struct quant_block a, struct quant_block b)
{
    int rows = a.rows == b.rows || (a.rows >= g->rows && b.rows >= g->rows);
    int cols = a.cols == b.cols || (a.cols >= g->cols && b.cols >= g->cols);
    return rows && cols;
}

static int refuse(const struct stored_tensor *scale, const struct scale_grid *shape,
                  const struct candidates *c, char *problem, int size)
{
    char found[200];
    const struct quant_block b = c->n > 0 ? c->v[0] : (struct quant_block){128, 128};
    shape_text(scale->ndim, scale->dims, found, sizeof found);
    snprintf(
        problem, (size_t)size,
        "its scales %s are %s %s, expected %s %lldx%lld: one for each block of %lldx%lld; or one for each "
        "row, or one",
        scale->name, dtype_name(scale->dtype), found, dtype_name(scale->dtype),
        (long long)parts(shape->rows, b.rows), (long long)parts(shape->cols, b.cols), (long long)b.rows,
        (long long)b.cols);
    return -1;
}

static int is_scale_type(enum dtype t)
{
    return dtype_is_compared(t) || t == DTYPE_U8 || t == DTYPE_F8_E8M0 || t == DTYPE_F8_E4M3;
}

int scale_grid_fit(struct scale_grid *g, const struct stored_tensor *t, const struct stored_tensor *scale,
                   const struct quant_config *q, char *problem, int size)
{
    struct candidates c = {.n = 0};
    const struct quant_block *fits = NULL;
    if (!is_scale_type(scale->dtype)) {
        snprintf(problem, (size_t)size, "its scales %s are %s, which is no type of scales", scale->name,
                 dtype_name(scale->dtype));
        return -1;
    }
    if (fit_simple(g, t, scale))
        return 0;
    int agrees = shape_of(g, t, scale);
    if (!agrees)
        *g = (struct scale_grid){.rows = t->ndim > 1 ? t->dims[t->ndim - 2] : 1,
                                 .cols = t->ndim > 0 ? t->dims[t->ndim - 1] : 1,
                                 .down = -1};
    propose_all(&c, g, scale->dtype, q);
    for (int i = 0; i < c.n; i++) {
        if (parts(g->rows, c.v[i].rows) != g->down || parts(g->cols, c.v[i].cols) != g->across)
            continue;
        if (fits && !same_cut(g, *fits, c.v[i])) {
            snprintf(problem, (size_t)size,
                     "its scales %s may be for blocks of %lldx%lld or of %lldx%lld: config.json does not say",
                     scale->name, (long long)fits->rows, (long long)fits->cols, (long long)c.v[i].rows,
                     (long long)c.v[i].cols);
            return -1;
        }
        fits = fits ? fits : &c.v[i];
    }
    if (!fits)
        return refuse(scale, g, &c, problem, size);
    g->block_rows = fits->rows;
    g->block_cols = fits->cols;
    return 0;
}

int scale_grid_valid(const struct scale_grid *g, const struct stored_tensor *t,
                     const struct stored_tensor *scale)
{
    int64_t matrix, grid, last;
    if (g->rows < 0 || g->cols < 0 || g->block_rows < 1 || g->block_cols < 1 ||
        !is_scale_type(scale->dtype) || __builtin_mul_overflow(g->rows, g->cols, &matrix))
        return 0;
    if (t->elements == 0)
        return 1;
    if (matrix == 0 || t->elements % matrix != 0 || g->down != parts(g->rows, g->block_rows) ||
        g->across != parts(g->cols, g->block_cols) || __builtin_mul_overflow(g->down, g->across, &grid) ||
        (g->step != grid && g->step != 0))
        return 0;
    return !__builtin_mul_overflow(t->elements / matrix - 1, g->step, &last) &&
           !__builtin_add_overflow(last, grid, &last) && last <= scale->elements;
}

int64_t scale_grid_at(const struct scale_grid *g, int64_t element)
{
    int64_t row = element / g->cols, matrix = row / g->rows;
    return matrix * g->step + row % g->rows / g->block_rows * g->across + element % g->cols / g->block_cols;
}

const char *scale_grid_text(const struct scale_grid *g, char *text, int size)
{
    if (g->block_rows >= g->rows && g->block_cols >= g->cols)
        snprintf(text, (size_t)size, "the whole tensor");
    else if (g->block_rows == 1 && g->block_cols >= g->cols)
        snprintf(text, (size_t)size, "a row");
    else if (g->block_rows == 1)
        snprintf(text, (size_t)size, "%lld of a row", (long long)g->block_cols);
    else
        snprintf(text, (size_t)size, "a block of %lldx%lld", (long long)g->block_rows,
                 (long long)g->block_cols);
    return text;
}
