/* Figures of sparsity by layer and module, one per group of cells. */
#include "report/figures/figures.h"

#include <stdio.h>
#include <string.h>

enum { MAPS_SHOWN = 2 }; /* figures of one kind that the page shows unasked */

/* Layer and module of a row of the group's map: 0 where the row is another group's. */
static int layer_of(const char *row, const char *group, long long *layer)
{
    size_t length = strlen(group);
    return strncmp(row, group, length) == 0 && row[length] == '\t' &&
           sscanf(row + length + 1, "%lld", layer) == 1;
}

/* Rows: all layers up to the last one, then what has no layer; columns: modules. Returns the last layer. */
static int64_t map_axes(struct chart *c, struct pivot *elements, const char *group, struct err *e)
{
    char label[32];
    int64_t last = -1, without = 0;
    for (int64_t r = 0; r < elements->rows.n; r++) {
        const char *row = elements->rows.text[r];
        long long layer;
        if (!layer_of(row, group, &layer))
            continue;
        last = layer > last ? layer : last;
        without |= layer < 0;
        for (int64_t k = 0; k < elements->cols.n; k++)
            if (pivot_at(elements, row, elements->cols.text[k]).n > 0)
                chart_label(c, &c->columns, elements->cols.text[k], e);
    }
    for (int64_t layer = 0; layer <= last; layer++) {
        snprintf(label, sizeof label, "%lld", (long long)layer);
        chart_label(c, &c->labels, label, e);
    }
    if (without)
        chart_label(c, &c->labels, "no layer", e);
    return last;
}

static void map_fields(struct chart *c, struct gather *g, const char *group, int64_t last, struct err *e)
{
    int block = chart_block(c, "sparsity", e);
    for (int64_t r = 0; r < c->labels.n && e->code == ERR_OK; r++)
        for (int64_t k = 0; k < c->columns.n; k++) {
            char row[512];
            snprintf(row, sizeof row, "%s\t%lld", group, (long long)(r <= last ? r : -1));
            struct tally n = pivot_at(&g->map_elements, row, c->columns.text[k]);
            struct tally u = pivot_at(&g->map_updated, row, c->columns.text[k]);
            if (n.n > 0 && n.sum > 0 && u.n > 0)
                chart_set(c, block, r, k, 100 * (1 - u.sum / n.sum));
        }
}

static void map_figure(struct figures *f, int64_t nth, struct err *e)
{
    struct summary *sum = f->g->sum;
    const char *group = f->g->groups.text[nth];
    struct chart *c = chart_new(sum->a, CHART_MATRIX, e, "layer-module-%s", group);
    if (!c)
        return;
    c->title = chart_text(c, e, "Sparsity by layer and module: %s", group);
    c->label_title = "layer";
    c->x_title = "module (kind of weight matrix)";
    c->value_title = "not updated, %";
    c->extra = nth >= MAPS_SHOWN;
    int64_t last = map_axes(c, &f->g->map_elements, group, e);
    map_fields(c, f->g, group, last, e);
    const char *family = arena_strndup(sum->scratch, group, strcspn(group, ","), e);
    double parameters = 0;
    int64_t cells = 0, others = 0, control = strchr(group, ',') != NULL;
    for (int64_t i = 0; family && i < sum->cells.nrows; i++) {
        if (strcmp(table_text(&sum->cells, i, "family"), family) != 0)
            continue;
        int same = gather_is_control(table_text(&sum->cells, i, "algorithm")) == control;
        parameters += same ? (double)table_int(&sum->cells, i, "parameters") : 0;
        cells += same;
        others += !same;
    }
    c->caption = chart_text(
        c, e,
        "Each field is the share of parameters of one kind of weight matrix in one layer that were not "
        "updated (%s), in percent, over all cells of %s%s. Yellow: nearly untouched. The colour scale "
        "begins at the least value.",
        summary_measure_title(sum, summary_first_headline(sum), e), group,
        !control && others > 0 ? " but the controls by supervised fine-tuning" : "");
    figures_add(f, c, cells, parameters, e);
}

void figures_maps(struct figures *f, struct err *e)
{
    for (int64_t i = 0; i < f->g->groups.n && e->code == ERR_OK; i++)
        map_figure(f, i, e);
}
