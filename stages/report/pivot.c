#include "report/pivot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 8 }; /* up to so many keys are found as quickly one after the other */

int64_t keys_find(struct keys *k, const char *text)
{
    if (k->last < k->n && strcmp(k->text[k->last], text) == 0)
        return k->last;
    int64_t found = -1;
    if (k->n > LISTED)
        found = dict_find(&k->index, text);
    for (int64_t i = 0; i < k->n && k->n <= LISTED && found < 0; i++)
        if (strcmp(k->text[i], text) == 0)
            found = i;
    if (found >= 0)
        k->last = found;
    return found;
}

int64_t keys_add(struct keys *k, const char *text, struct err *e)
{
    int64_t i = keys_find(k, text);
    if (i >= 0)
        return i;
    if (e->code != ERR_OK || arena_grow(k->arena, "keys", k->n + 1, &k->cap, &k->text, e) != ERR_OK)
        return -1;
    const char *copy = arena_strdup(k->arena, text, e);
    k->index.arena = k->arena;
    if (!copy || dict_put(&k->index, copy, k->n, e) != ERR_OK)
        return -1;
    k->text[k->n] = copy;
    return k->last = k->n++;
}

const char *keys_list(const struct keys *k, int64_t most, struct err *e)
{
    const char *list = "";
    for (int64_t i = 0; i < k->n && i < most && list; i++)
        list = arena_printf(k->arena, e, "%s%s%s", list, i > 0 ? ", " : "", k->text[i]);
    if (list && k->n > most)
        list = arena_printf(k->arena, e, "%s and %lld more", list, (long long)(k->n - most));
    return list;
}

void tally_add(struct tally *t, double x)
{
    if (isnan(x))
        return;
    if (t->n == 0 || x < t->least)
        t->least = x;
    if (t->n == 0 || x > t->greatest)
        t->greatest = x;
    t->sum += x;
    t->n++;
}

double tally_mean(const struct tally *t)
{
    return t->n > 0 ? t->sum / (double)t->n : NAN;
}

void pivot_init(struct pivot *p, struct arena *a)
{
    *p = (struct pivot){.rows.arena = a, .cols.arena = a};
}

/* The column of a key: past the last free one all new keys share it. */
static int64_t column_of(struct pivot *p, const char *col, struct err *e)
{
    int64_t c = keys_find(&p->cols, col);
    if (c >= 0)
        return c;
    return keys_add(&p->cols, p->cols.n >= PIVOT_COLUMNS - 1 ? "others" : col, e);
}

/* Room for column c in every row. */
static err_t widen(struct pivot *p, int64_t c, struct err *e)
{
    struct arena *a = p->rows.arena;
    struct pivot wider = {.width = p->width > 0 ? p->width : 2};
    while (wider.width <= c)
        wider.width *= 2;
    if (wider.width == p->width)
        return ERR_OK;
    TRY(arena_grow(a, "pivot", p->rows.n * wider.width, &wider.cap, &wider.groups, e));
    for (int64_t r = 0; r < p->rows.n && p->groups; r++)
        memcpy(wider.groups + r * wider.width, p->groups + r * p->width,
               (size_t)p->width * sizeof *p->groups);
    arena_drop(a, p->groups);
    p->groups = wider.groups;
    p->cap = wider.cap;
    p->width = wider.width;
    return ERR_OK;
}

void pivot_add(struct pivot *p, const char *row, const char *col, double x, struct err *e)
{
    int64_t c = column_of(p, col, e);
    if (c < 0 || widen(p, c, e) != ERR_OK)
        return;
    int64_t r = keys_add(&p->rows, row, e);
    if (r < 0 || arena_grow(p->rows.arena, "pivot", (r + 1) * p->width, &p->cap, &p->groups, e) != ERR_OK)
        return;
    tally_add(&p->groups[r * p->width + c], x);
}

struct tally pivot_at(struct pivot *p, const char *row, const char *col)
{
    int64_t r = keys_find(&p->rows, row), c = keys_find(&p->cols, col);
    return r >= 0 && c >= 0 ? p->groups[r * p->width + c] : (struct tally){0};
}

/* A row on its way to its place. */
struct placed {
    const char *key;
    size_t words;  /* bytes in front of the number; of a text without one all of it */
    double number; /* 0 where there is none */
    int is_number; /* the key, or the last word of several (visual 10), is one */
    int64_t from;
};

static struct placed placed_of(const char *key, int64_t from)
{
    const char *space = strrchr(key, ' '), *last = space ? space + 1 : key;
    char *end;
    double number = strtod(last, &end);
    int is_number = *last && !*end && !isnan(number);
    return (struct placed){key, is_number ? (size_t)(last - key) : strlen(key), is_number ? number : 0,
                           is_number, from};
}

/* Numbers by size, then texts bytewise, and behind the same words numbers by size again; those alike stay as
 * they were. */
static int by_key(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    size_t both = x->words < y->words ? x->words : y->words;
    int plain_x = x->is_number && x->words == 0, plain_y = y->is_number && y->words == 0;
    if (plain_x != plain_y)
        return plain_x ? -1 : 1;
    int order = memcmp(x->key, y->key, both);
    if (order == 0)
        order = (x->words > y->words) - (x->words < y->words);
    if (order == 0)
        order = (x->number > y->number) - (x->number < y->number);
    return order ? order : (x->from > y->from) - (x->from < y->from);
}

void pivot_sort_rows(struct pivot *p, struct err *e)
{
    struct arena *a = p->rows.arena;
    int64_t n = p->rows.n;
    struct placed *rows = NULL;
    struct tally *groups = NULL;
    if (e->code != ERR_OK || n < 2 || arena_array(a, "pivot.rows", n, &rows, e) != ERR_OK ||
        arena_array(a, "pivot", n * p->width, &groups, e) != ERR_OK)
        return;
    for (int64_t i = 0; i < n; i++)
        rows[i] = placed_of(p->rows.text[i], i);
    qsort(rows, (size_t)n, sizeof *rows, by_key);
    for (int64_t i = 0; i < n; i++) {
        p->rows.text[i] = rows[i].key;
        memcpy(groups + i * p->width, p->groups + rows[i].from * p->width, (size_t)p->width * sizeof *groups);
        dict_put(&p->rows.index, rows[i].key, i, e);
    }
    arena_drop(a, p->groups);
    arena_drop(a, rows);
    p->groups = groups;
    p->cap = n * p->width;
    p->rows.last = 0;
}
