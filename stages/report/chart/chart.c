#include "report/chart/chart.h"

#include "report/sheet.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct chart *chart_new(struct arena *a, enum chart_kind kind, struct err *e, const char *name, ...)
{
    struct chart *c = NULL;
    char text[160];
    va_list args;
    va_start(args, name);
    vsnprintf(text, sizeof text, name, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
            !(*p == '.' && p > text))
            *p = '-';
    if (e->code != ERR_OK || arena_array(a, "chart", 1, &c, e) != ERR_OK)
        return NULL;
    c->arena = a;
    c->kind = kind;
    c->title = c->caption = c->x_title = c->y_title = c->value_title = c->label_title = "";
    c->x_min = c->x_max = c->y_min = c->y_max = NAN;
    c->name = arena_strdup(a, text, e);
    return c->name ? c : NULL;
}

const char *chart_text(struct chart *c, struct err *e, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *copy = e->code == ERR_OK ? arena_strdup(c->arena, text, e) : NULL;
    return copy ? copy : "";
}

struct chart_series *chart_series(struct chart *c, const char *name, enum chart_style style, struct err *e)
{
    for (int i = 0; i < c->nseries; i++)
        if (strcmp(c->series[i].name, name) == 0)
            return &c->series[i];
    if (c->nseries == CHART_SERIES || e->code != ERR_OK)
        return NULL;
    struct chart_series *s = &c->series[c->nseries];
    s->name = arena_strdup(c->arena, name, e);
    s->style = style;
    c->nseries += s->name != NULL;
    return s->name ? s : NULL;
}

void chart_point(struct chart *c, struct chart_series *s, double x, double y, struct err *e)
{
    if (!s || !isfinite(x) || !isfinite(y) || e->code != ERR_OK)
        return;
    if (arena_grow(c->arena, "chart.points", s->n + 1, &s->cap, &s->x, e) != ERR_OK ||
        arena_grow(c->arena, "chart.points", s->n + 1, &s->cap_y, &s->y, e) != ERR_OK)
        return;
    s->x[s->n] = x;
    s->y[s->n++] = y;
}

void chart_point_once(struct chart *c, struct chart_series *s, double x, double y, struct err *e)
{
    for (int64_t k = 0; s && k < s->n; k++)
        if (s->x[k] == x && s->y[k] == y)
            return;
    chart_point(c, s, x, y, e);
}

void chart_sort(struct chart *c)
{
    /* Insertion: points mostly come in order. */
    for (struct chart_series *s = c->series; s < c->series + c->nseries; s++)
        for (int64_t i = 1; i < s->n; i++)
            for (int64_t j = i; j > 0 && s->x[j - 1] > s->x[j]; j--) {
                double x = s->x[j], y = s->y[j];
                s->x[j] = s->x[j - 1];
                s->y[j] = s->y[j - 1];
                s->x[j - 1] = x;
                s->y[j - 1] = y;
            }
}

int64_t chart_label(struct chart *c, struct keys *l, const char *text, struct err *e)
{
    l->arena = c->arena;
    return keys_add(l, text, e);
}

int chart_block(struct chart *c, const char *title, struct err *e)
{
    int64_t n = c->labels.n * c->columns.n;
    if (c->nblocks == CHART_BLOCKS || e->code != ERR_OK)
        return -1;
    struct chart_block *b = &c->blocks[c->nblocks];
    b->title = title;
    if (arena_array(c->arena, "chart.block", n, &b->values, e) != ERR_OK)
        return -1;
    for (int64_t i = 0; i < n; i++)
        b->values[i] = NAN;
    return c->nblocks++;
}

void chart_set(struct chart *c, int block, int64_t row, int64_t column, double x)
{
    if (block >= 0 && row >= 0 && row < c->labels.n && column >= 0 && column < c->columns.n)
        c->blocks[block].values[row * c->columns.n + column] = x;
}

void chart_mark(struct chart *c, char axis, double value, const char *text)
{
    if (c->nmarks < CHART_MARKS && isfinite(value))
        c->marks[c->nmarks++] = (struct chart_mark){axis, value, text};
}

void chart_range(const struct chart *c, double *least, double *greatest)
{
    *least = *greatest = NAN;
    for (int b = 0; b < c->nblocks; b++)
        for (int64_t i = 0; i < c->labels.n * c->columns.n; i++) {
            *least = fmin(*least, c->blocks[b].values[i]); /* fmin passes over NaN */
            *greatest = fmax(*greatest, c->blocks[b].values[i]);
        }
}

int chart_is_empty(const struct chart *c)
{
    double least, greatest;
    for (int i = 0; i < c->nseries; i++)
        if (c->series[i].n > 0)
            return 0;
    chart_range(c, &least, &greatest);
    return isnan(least);
}

static void field(struct text *out, const char *text, const char *after, struct err *e)
{
    csv_text(out, text, e);
    text_add(out, e, "%s", after);
}

static err_t csv_matrix(const struct chart *c, struct text *out, struct err *e)
{
    field(out, "block", ",", e);
    field(out, c->label_title, ",", e);
    field(out, c->x_title, ",", e);
    field(out, c->value_title, "\r\n", e);
    for (int b = 0; b < c->nblocks; b++)
        for (int64_t i = 0; i < c->labels.n * c->columns.n; i++) {
            if (isnan(c->blocks[b].values[i]))
                continue;
            field(out, c->blocks[b].title, ",", e);
            field(out, c->labels.text[i / c->columns.n], ",", e);
            field(out, c->columns.text[i % c->columns.n], ",", e);
            csv_real(out, c->blocks[b].values[i], e);
            text_add(out, e, "\r\n");
        }
    return e->code;
}

err_t chart_csv(const struct chart *c, struct text *out, struct err *e)
{
    if (c->kind == CHART_MATRIX)
        return csv_matrix(c, out, e);
    field(out, "series", ",", e);
    field(out, c->kind == CHART_ROWS ? c->label_title : c->x_title, ",", e);
    field(out, c->kind == CHART_ROWS ? c->x_title : c->y_title, "\r\n", e);
    for (const struct chart_series *s = c->series; s < c->series + c->nseries; s++)
        for (int64_t i = 0; i < s->n; i++) {
            const struct keys *l = c->kind == CHART_ROWS ? &c->labels : &c->columns;
            double key = c->kind == CHART_ROWS ? s->y[i] : s->x[i];
            field(out, s->name, ",", e);
            if (l->n > 0 && key >= 0 && key < (double)l->n)
                field(out, l->text[(int64_t)key], ",", e);
            else {
                csv_real(out, key, e);
                text_add(out, e, ",");
            }
            csv_real(out, c->kind == CHART_ROWS ? s->x[i] : s->y[i], e);
            text_add(out, e, "\r\n");
        }
    return e->code;
}
