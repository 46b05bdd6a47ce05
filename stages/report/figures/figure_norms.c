/* The figure of relative norms by module. */
#include "report/figures/figures.h"

/* Rows of dots: modules, by name; a series for each column of the layer and module tables. */
void figures_norms(struct figures *f, struct err *e)
{
    static const char *const words[] = {"Each cell by itself.", "Means over the cells of each algorithm.",
                                        "Means over the cells of each family.", "Means over all cells."};
    struct summary *sum = f->g->sum;
    struct pivot *norms = &sum->module_norms;
    struct chart *c = chart_new(sum->a, CHART_ROWS, e, "relative-norm");
    if (!c)
        return;
    pivot_sort_rows(norms, e);
    c->title = "Size of the update by module, beside the size of the weights";
    c->x_title = "relative norm, in thousandths";
    c->label_title = "modules";
    c->x_min = 0;
    for (int64_t k = 0; k < norms->cols.n; k++) {
        struct chart_series *s = chart_series(c, norms->cols.text[k], CHART_DOTS, e);
        for (int64_t r = 0; r < norms->rows.n && e->code == ERR_OK; r++) {
            const struct tally t = pivot_at(norms, norms->rows.text[r], norms->cols.text[k]);
            chart_point(c, s, 1e3 * tally_mean(&t),
                        (double)chart_label(c, &c->labels, norms->rows.text[r], e), e);
        }
    }
    c->caption = chart_text(
        c, e,
        "Euclidean norm of the difference over that of the base, of all weights of one kind over all "
        "layers, in thousandths. %s",
        words[summary_columns(sum)]);
    figures_add_study(f, c, e);
}
