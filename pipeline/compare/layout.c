#include "compare/layout.h"

#include "base/hash.h"

#include <string.h>

void layout_number(struct layout *l)
{
    l->nblocks = l->nwords = l->elements = 0;
    for (int64_t i = 0; i < l->ntensors; i++) {
        struct layout_tensor *t = &l->tensors[i];
        t->first_block = l->nblocks;
        t->nblocks = (t->elements + LAYOUT_BLOCK - 1) / LAYOUT_BLOCK;
        t->first_word = l->nwords;
        t->nwords = (t->elements + 63) / 64;
        l->nblocks += t->nblocks;
        l->nwords += t->nwords;
        l->elements += t->elements;
    }
}

struct block layout_block(const struct layout *l, int64_t b)
{
    int64_t low = 0,
            high = l->ntensors -
                   1; /* the last tensor whose first block is at or before b, empty ones passed over */
    while (low < high) {
        int64_t mid = (low + high + 1) / 2;
        if (l->tensors[mid].first_block <= b)
            low = mid;
        else
            high = mid - 1;
    }
    const struct layout_tensor *t = &l->tensors[low];
    struct block at = {.tensor = low, .first = (b - t->first_block) * LAYOUT_BLOCK};
    at.n = t->elements - at.first < LAYOUT_BLOCK ? t->elements - at.first : LAYOUT_BLOCK;
    at.word = t->first_word + at.first / 64;
    at.nwords = (at.n + 63) / 64;
    return at;
}

int64_t layout_window(const struct layout *l, int64_t b0, int64_t max_elements)
{
    int64_t b1 = b0, held = 0;
    while (b1 < l->nblocks) {
        int64_t n = layout_block(l, b1).n;
        if (b1 > b0 && held + n > max_elements)
            break;
        held += n;
        b1++;
    }
    return b1;
}

int64_t layout_window_tensors(const struct layout *l, int64_t b0, int64_t max_elements, int64_t max_tensors)
{
    int64_t b1 = layout_window(l, b0, max_elements), first = layout_block(l, b0).tensor;
    while (b1 > b0 + 1 && layout_block(l, b1 - 1).tensor - first >= max_tensors)
        b1--;
    return b1;
}

void layout_share(const struct layout *l, int64_t b0, int64_t b1, int np, int me, int64_t *from, int64_t *to)
{
    int64_t total = 0, held = 0;
    for (int64_t b = b0; b < b1; b++)
        total += layout_block(l, b).n;
    *from = *to = b1;
    int found = 0;
    /* A block belongs to the process in whose equal share of the elements its middle falls. */
    for (int64_t b = b0; b < b1; b++) {
        int64_t n = layout_block(l, b).n;
        int owner = (int)((__int128)(2 * held + n) * np / (2 * total));
        held += n;
        if (owner == me && !found) {
            *from = b;
            found = 1;
        }
        if (owner > me) {
            *to = b;
            break;
        }
    }
    if (!found)
        *from = *to;
}

static int same_size(const struct layout_tensor *x, const struct layout_tensor *y, int shapes)
{
    int same = x->elements == y->elements && (!shapes || x->ndim == y->ndim);
    for (int d = 0; same && shapes && d < x->ndim; d++)
        same = x->dims[d] == y->dims[d];
    return same;
}

enum layout_order layout_compare(const struct layout *a, const struct layout *b, int shapes,
                                 struct layout_difference *d)
{
    for (int64_t i = 0; i < a->ntensors || i < b->ntensors; i++) {
        const struct layout_tensor *x = i < a->ntensors ? &a->tensors[i] : NULL;
        const struct layout_tensor *y = i < b->ntensors ? &b->tensors[i] : NULL;
        int order = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);
        *d = (struct layout_difference){.a = order > 0 ? NULL : x, .b = order < 0 ? NULL : y};
        if (order != 0)
            return order < 0 ? LAYOUT_ONLY_A : LAYOUT_ONLY_B;
        if (!same_size(x, y, shapes))
            return LAYOUT_SIZES;
    }
    *d = (struct layout_difference){0};
    return LAYOUT_SAME;
}

err_t layout_write(const struct layout *l, struct h5 *f, struct arena *a, struct err *e)
{
    struct table t;
    table_init(&t, "compared", a);
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *x = &l->tensors[i];
        char shape[200];
        TRY(TABLE_ADD(&t, e, V_TEXT(x->name), V_INT(x->layer), V_TEXT(x->stack), V_TEXT(x->module),
                      V_TEXT(shape_text(x->ndim, x->dims, shape, sizeof shape)), V_INT(x->elements),
                      V_TEXT(x->dtype_base), V_TEXT(x->dtype_tuned)));
    }
    return h5_table_write(f, "compared", &t, e);
}

err_t layout_read(struct layout *l, struct h5 *f, struct arena *a, struct err *e)
{
    struct table t;
    table_init(&t, "compared", a);
    TRY(h5_table_read(f, "compared", &t, 0, -1, NULL, e));
    *l = (struct layout){.ntensors = t.nrows};
    TRY(arena_array(a, "layout.tensors", t.nrows, &l->tensors, e));
    for (int64_t i = 0; i < t.nrows; i++) {
        struct layout_tensor *x = &l->tensors[i];
        x->name = table_text(&t, i, "tensor");
        x->module = table_text(&t, i, "module");
        x->layer = table_int(&t, i, "layer");
        x->stack = table_text(&t, i, "stack");
        x->elements = table_int(&t, i, "parameters");
        x->dtype_base = table_text(&t, i, "dtype_base");
        x->dtype_tuned = table_text(&t, i, "dtype_tuned");
        TRY(shape_parse(table_text(&t, i, "shape"), &x->ndim, x->dims, e));
    }
    layout_number(l);
    return ERR_OK;
}

static int by_draw(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t draw_of(const char *name, int first)
{
    return hash_bytes(name, strlen(name)) >> 1 | (first ? 0 : (uint64_t)1 << 63);
}

err_t layout_draw(const struct layout *l, int64_t n, const char *first, char *marked, struct layout_drawn *of,
                  struct arena *a, struct err *e)
{
    uint64_t *draws;
    int64_t all = 0;
    *of = (struct layout_drawn){.changed = 0};
    if (n == 0)
        return ERR_OK;
    TRY(arena_array(a, "layout.draws", l->ntensors, &draws, e));
    for (int64_t i = 0; i < l->ntensors; i++)
        if (marked[i])
            draws[all++] = draw_of(l->tensors[i].name, first[i]);
    if (all > n) {
        qsort(draws, (size_t)all, sizeof *draws, by_draw);
        for (int64_t i = 0; i < l->ntensors; i++) {
            of->changed += marked[i] && first[i];
            of->unchanged += marked[i] && !first[i];
            marked[i] = marked[i] && draw_of(l->tensors[i].name, first[i]) <= draws[n - 1];
        }
    }
    arena_drop(a, draws);
    return ERR_OK;
}
