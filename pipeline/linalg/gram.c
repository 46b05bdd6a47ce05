#include "linalg/gram.h"

#include "linalg/gram_loops.h"
#include "linalg/gram_split.h"

enum {
    TILE = 16,
    GROUP = 128, /* columns whose sums and lists stay in the second cache */
    WORD = 32,   /* columns that one word tells of */
    AHEAD = 2    /* lists between asking for a column's sums and using them */
};

int64_t gram_stride(int64_t n)
{
    int64_t ld = (n + GRAM_LANES - 1) / GRAM_LANES * GRAM_LANES;
    return ld % 256 == 0 ? ld + GRAM_LANES : ld;
}

err_t gram_lists_room(struct gram_lists *l, int64_t n, struct arena *a, struct err *e)
{
    TRY(arena_array(a, "gram.lists", GRAM_PANEL * n, &l->row, e));
    TRY(arena_array(a, "gram.lists", GRAM_PANEL * n, &l->value, e));
    TRY(arena_array(a, "gram.lists", GRAM_BLOCKS * n, &l->column, e));
    TRY(arena_array(a, "gram.lists", GRAM_BLOCKS * n, &l->count, e));
    TRY(arena_array(a, "gram.rests", n + 1, &l->rest, e));
    TRY(arena_array(a, "gram.rests", n, &l->squares, e));
    TRY(arena_array(a, "gram.rests", n, &l->rounder, e));
    TRY(arena_array(a, "gram.rests", n, &l->nonzero, e));
    return arena_array(a, "gram.chunk", GRAM_CHUNK, &l->chunk, e);
}

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX512(gram_avx512),
    ISA_ROW_AVX2(gram_avx2),
    ISA_ROW_PORTABLE(gram_portable),
};

static const struct gram_kernel *kernel_of(const struct gram_lists *l)
{
    const struct gram_loops *loops = isa_choose(sets, isa_usable());
    return l->split ? &loops->exact : &loops->general;
}

/* ---- lists ---- */

/* The lists of a group of `width` columns in one block of k rows, to where `to` points, which is moved behind
 * them. Sorted by length: the inner loop then ends where it ended before, which a processor foresees. Returns
 * how many entries they have. */
static int64_t list_block(const float *x, int64_t n, int64_t k, int64_t width, struct gram_lists *to)
{
    uint32_t nonzero[GRAM_PANEL][GROUP / WORD];
    int64_t count[GROUP] = {0}, place[GRAM_PANEL + 2] = {0}, at[GROUP], total = 0;
    for (int64_t r = 0; r < k; r++)
        for (int64_t c = 0; c < width; c += WORD) {
            uint32_t set = 0;
            for (int64_t i = 0; i < min64(WORD, width - c); i++) {
                uint32_t is = x[r * n + c + i] != 0;
                set |= is << i;
                count[c + i] += is;
            }
            nonzero[r][c / WORD] = set;
        }
    for (int64_t i = 0; i < width; i++)
        place[count[i] + 1]++;
    for (int64_t c = 0; c < k; c++)
        place[c + 1] += place[c];
    for (int64_t i = 0; i < width; i++) {
        int64_t p = place[count[i]]++;
        to->column[p] = (uint16_t)i;
        to->count[p] = (uint16_t)count[i];
    }
    for (int64_t p = 0; p < width; p++) {
        at[to->column[p]] = total;
        total += to->count[p];
    }
    for (int64_t r = 0; r < k; r++)
        for (int64_t c = 0; c < width; c += WORD)
            for (uint32_t left = nonzero[r][c / WORD]; left; left &= left - 1) {
                int64_t i = c + __builtin_ctz(left), p = at[i]++;
                to->row[p] = (uint16_t)r;
                to->value[p] = x[r * n + i];
            }
    to->column += width;
    to->count += width;
    to->row += total;
    to->value += total;
    return total;
}

int64_t gram_list(float *panel, int64_t k, int64_t n, struct gram_lists *l)
{
    l->split = gram_split(panel, k, n, l);
    struct gram_lists to = *l;
    int64_t rows = kernel_of(l)->rows, total = 0;
    for (int64_t c = 0; c < n; c += GROUP)
        for (int64_t r = 0; r < k; r += rows)
            total += list_block(panel + r * n + c, n, min64(rows, k - r), min64(GROUP, n - c), &to);
    return total;
}

/* ---- the sum ---- */

/* Rows [j, j+width) of the columns of G in one group, of which there are so many, at g; `above` of them lie
 * in the lower triangle there. at: the group's lists, moved behind them. */
static void add_group(const struct gram_kernel *loops, double *g, int64_t ld, int64_t columns, int64_t above,
                      int64_t width, int64_t k, struct gram_lists *at)
{
    const char *piece = at->chunk;
    for (int64_t r = 0; r < k;
         r += loops->rows, piece += (size_t)(loops->rows * loops->columns) * loops->size) {
        for (int64_t t = 0; t < columns; t++) {
            int64_t i = at->column[t], count = at->count[t];
            const double *soon = g + at->column[min64(t + AHEAD, columns - 1)] * ld;
            for (int64_t p = 0; r == 0 && p < width; p += GRAM_LANES)
                __builtin_prefetch(soon + p);
            if (i < above && count > 0)
                loops->add(g + i * ld, piece, width, at->row, at->value, count);
            at->row += count;
            at->value += count;
        }
        at->column += columns;
        at->count += columns;
    }
}

void gram_add(double *g, int64_t n, int64_t ld, const float *panel, int64_t k, const struct gram_lists *l)
{
    const struct gram_kernel *loops = kernel_of(l);
    int64_t padded = (n + GRAM_LANES - 1) / GRAM_LANES * GRAM_LANES;
    for (int64_t j = 0; j < n; j += loops->columns) {
        int64_t width = min64(padded - j, loops->columns), end = min64(n, j + loops->columns);
        struct gram_lists at = *l;
        loops->copy(panel + j, n, k, end - j, l->chunk);
        for (int64_t c = 0; c < end; c += GROUP)
            add_group(loops, g + c * ld + j, ld, min64(GROUP, n - c), end - c, width, k, &at);
    }
    if (l->split)
        gram_add_rests(g, n, ld, panel, l);
}

void gram_transpose(const float *x, int64_t rows, int64_t stride, int64_t from, int64_t cols, float *out)
{
    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        int64_t i1 = min64(i0 + TILE, rows);
        for (int64_t k0 = 0; k0 < cols; k0 += TILE) {
            int64_t k1 = min64(k0 + TILE, cols);
            for (int64_t k = k0; k < k1; k++)
                for (int64_t i = i0; i < i1; i++)
                    out[k * rows + i] = x[i * stride + from + k];
        }
    }
}
