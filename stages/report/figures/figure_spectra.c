/* Figures of spectra: the singular values of a few updates, by module and by algorithm. */
#include "report/figures/figures.h"

#include <string.h>

enum { MOST_SPECTRA = 8 };

static void put_spectrum(struct chart *c, const struct gather_spectrum *s, const char *name, struct err *e)
{
    struct chart_series *to = c->nseries < MOST_SPECTRA ? chart_series(c, name, CHART_LINE, e) : NULL;
    for (int64_t k = 0; k < s->n && to; k++)
        chart_point(c, to, 100 * s->share[k], s->value[k], e);
}

void figures_spectra(struct figures *f, struct err *e)
{
    struct gather *g = f->g;
    if (g->nspectra == 0)
        return;
    struct chart *modules = chart_new(g->a, CHART_CURVES, e, "spectra-modules");
    struct chart *cells = chart_new(g->a, CHART_CURVES, e, "spectra-cells");
    if (!modules || !cells)
        return;
    const char *module = g->spectra[0].module, *first = g->spectra[0].cell;
    for (int64_t i = 0; i < g->nspectra; i++)
        if (strcmp(g->spectra[i].module, "o_proj") == 0)
            module = "o_proj";
    double drawn = 0, across = 0;
    for (int64_t i = 0; i < g->nspectra; i++) {
        const struct gather_spectrum *s = &g->spectra[i];
        int before = modules->nseries;
        if (strcmp(s->cell, first) == 0)
            put_spectrum(modules, s, s->module, e);
        drawn += modules->nseries > before ? (double)s->rows * (double)s->cols : 0;
        before = cells->nseries;
        if (strcmp(s->module, module) == 0)
            put_spectrum(cells, s, s->label, e);
        across += cells->nseries > before ? (double)s->rows * (double)s->cols : 0;
    }
    struct chart *const both[] = {modules, cells};
    for (int i = 0; i < 2; i++) {
        both[i]->x_title = "place in the spectrum, % of min(rows, columns)";
        both[i]->y_title = "singular value / largest";
        both[i]->log_y = 1;
        both[i]->x_min = 0;
        both[i]->x_max = 100;
        both[i]->y_max = 1;
    }
    const char *how =
        "The singular values of an update say how strongly it acts in each direction, strongest first. A "
        "low-rank update (such as LoRA's) would fall to nothing early; a curve that stays up has full rank.";
    const char *layer = g->middle < 0 ? "Matrices without layer"
                                      : chart_text(modules, e, "Layer %lld%s%s", (long long)g->middle,
                                                   g->middle_stack[0] ? " of " : "", g->middle_stack);
    modules->title = chart_text(modules, e, "Spectra of one cell's updates: %s", first);
    modules->caption = chart_text(
        modules, e,
        "%s %s, one curve per module, as shares of the largest value; %.6g parameters in these matrices.",
        how, layer, drawn);
    cells->title = chart_text(cells, e, "Spectra of the update of %s by algorithm", module);
    cells->caption = chart_text(
        cells, e,
        "%s Module %s (%s) of family %s, first cell of each algorithm; %.6g parameters in these matrices.",
        how, module, layer, g->sum->families.text[0], across);
    figures_add_where(f, modules, "cell", first, e);
    if (cells->nseries > 1)
        figures_add(f, cells, cells->nseries, across, e);
}
