#include "report/pivot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t keys_find(struct keys *k, const char *text)
{
    if (k->last < k->n && strcmp(k->text[k->last], text) == 0)
        return k->last;
    for (int64_t i = 0; i < k->n; i++)
        if (strcmp(k->text[i], text) == 0)
            return k->last = i;
    return -1;
}

int64_t keys_add(struct keys *k, const char *text, struct err *e)
{
    int64_t i = keys_find(k, text);
    if (i >= 0)
        return i;
    if (e->code != ERR_OK || arena_grow(k->arena, "keys", k->n + 1, &k->cap, &k->text, e) != ERR_OK)
        return -1;
    const char *copy = arena_strdup(k->arena, text, e);
    if (!copy)
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

void pivot_add(struct pivot *p, const char *row, const char *col, double x, struct err *e)
{
    int64_t c = column_of(p, col, e);
    int64_t r = c >= 0 ? keys_add(&p->rows, row, e) : -1;
    if (r < 0 ||
        arena_grow(p->rows.arena, "pivot", (r + 1) * PIVOT_COLUMNS, &p->cap, &p->groups, e) != ERR_OK)
        return;
    tally_add(&p->groups[r * PIVOT_COLUMNS + c], x);
}

struct tally pivot_at(struct pivot *p, const char *row, const char *col)
{
    int64_t r = keys_find(&p->rows, row), c = keys_find(&p->cols, col);
    return r >= 0 && c >= 0 ? p->groups[r * PIVOT_COLUMNS + c] : (struct tally){0};
}

static int after(const char *a, const char *b)
{
    char *end_a, *end_b;
    double x = strtod(a, &end_a), y = strtod(b, &end_b);
    if (*a && *b && !*end_a && !*end_b)
        return x > y;
    return strcmp(a, b) > 0;
}

void pivot_sort_rows(struct pivot *p)
{
    /* Insertion: rows are few (layers, modules) and mostly in order already. */
    for (int64_t i = 1; i < p->rows.n; i++)
        for (int64_t j = i; j > 0 && after(p->rows.text[j - 1], p->rows.text[j]); j--) {
            const char *key = p->rows.text[j];
            p->rows.text[j] = p->rows.text[j - 1];
            p->rows.text[j - 1] = key;
            struct tally keep[PIVOT_COLUMNS];
            struct tally *upper = &p->groups[(j - 1) * PIVOT_COLUMNS], *lower = upper + PIVOT_COLUMNS;
            memcpy(keep, upper, sizeof keep);
            memcpy(upper, lower, sizeof keep);
            memcpy(lower, keep, sizeof keep);
        }
    p->rows.last = 0;
}
