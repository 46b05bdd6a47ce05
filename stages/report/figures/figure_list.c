#include "report/figures/figure_list.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* 1,234,567 */
static const char *grouped(double x, char *text, int size)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%.0f", x), at = 0;
    for (int i = 0; i < len && at < size - 2; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

void figures_add(struct figures *f, struct chart *c, int64_t cells, double parameters, struct err *e)
{
    char all[48], each[48];
    struct summary *sum = f->g->sum;
    if (!c || e->code != ERR_OK || chart_is_empty(c))
        return;
    grouped(parameters, all, sizeof all);
    grouped(cells > 0 ? parameters / (double)cells : 0, each, sizeof each);
    const char *shown =
        cells == 1 ? chart_text(c, e, "Shown: one cell of %s parameters.", all)
                   : chart_text(c, e, "Shown: %lld cells, %s parameters in all, %s in the mean cell.",
                                (long long)cells, all, each);
    c->caption = chart_text(c, e, "%s %s %s", c->caption, shown,
                            sum->simulated[0] ? "SIMULATED weights: no measurement of a trained model."
                                              : "Measured on the checkpoints listed in cells.csv.");
    if (arena_grow(f->g->a, "figures", f->n + 1, &f->cap, &f->list, e) == ERR_OK)
        f->list[f->n++] = (struct figure){.chart = c, .section = f->section, .problem = ""};
}

void figures_note(struct figures *f, struct err *e, const char *fmt, ...)
{
    struct text text = {.arena = f->g->a};
    va_list args;
    va_start(args, fmt);
    text_add_args(&text, e, fmt, args);
    va_end(args);
    if (e->code == ERR_OK &&
        arena_grow(f->g->a, "figures.notes", f->nnotes + 1, &f->cap_notes, &f->notes, e) == ERR_OK)
        f->notes[f->nnotes++] = (struct figure_note){f->section, text.text};
}

void figures_add_where(struct figures *f, struct chart *c, const char *column, const char *value,
                       struct err *e)
{
    const struct table *cells = &f->g->sum->cells;
    double parameters = 0;
    int64_t n = 0, absent = 0;
    for (int64_t i = 0; i < cells->nrows; i++) {
        if (column && strcmp(table_text(cells, i, column), value) != 0)
            continue;
        absent += table_int(cells, i, "parameters") == 0;
        n += table_int(cells, i, "parameters") != 0;
        parameters += (double)table_int(cells, i, "parameters");
    }
    if (c && absent > 0)
        c->caption = chart_text(c, e, "%s Not measured: %lld %s.", c->caption, (long long)absent,
                                absent == 1 ? "cell" : "cells");
    figures_add(f, c, n, parameters, e);
}

void figures_add_study(struct figures *f, struct chart *c, struct err *e)
{
    figures_add_where(f, c, NULL, NULL, e);
}
