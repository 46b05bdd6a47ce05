/* Figures of sparsity by layer and module, one per group of cells. */
#include "report/figures/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAPS_SHOWN = 2, /* figures of one kind that the page shows unasked */
    MAP_ROWS = 400  /* layers of a map; taller pictures are not drawn by every program */
};

static int ascending(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Rows: all layers up to the last one, then what has no layer; columns: modules. Where numbers of layers
 * leap, only those that are there; of more than can be drawn the first. layers: receives each row's, -1 for
 * none. Returns how many layers are not drawn. */
static int64_t map_axes(struct chart *c, struct pivot *elements, const char *group,
                        int64_t layers[MAP_ROWS + 1], struct err *e)
{
    int64_t *found, n = 0, without = 0, shown = 0;
    if (arena_array(c->arena, "map.layers", elements->rows.n, &found, e) != ERR_OK)
        return 0;
    for (int64_t r = 0; r < elements->rows.n; r++) {
        const char *row = elements->rows.text[r];
        int64_t layer;
        if (!gather_map_layer(row, group, &layer))
            continue;
        without |= layer < 0;
        if (layer >= 0)
            found[n++] = layer;
        for (int64_t k = 0; k < elements->cols.n; k++)
            if (pivot_at(elements, row, elements->cols.text[k]).n > 0)
                chart_label(c, &c->columns, elements->cols.text[k], e);
    }
    qsort(found, (size_t)n, sizeof *found, ascending);
    int all = n > 0 && found[n - 1] < MAP_ROWS; /* a layer that lacks is a row, too */
    for (int64_t i = 0; shown < MAP_ROWS && i < (all ? found[n - 1] + 1 : n); i++)
        layers[shown++] = all ? i : found[i];
    int64_t left = all ? 0 : n - shown;
    if (without)
        layers[shown++] = -1;
    for (int64_t i = 0; i < shown; i++) {
        char label[32] = "no layer";
        if (layers[i] >= 0)
            snprintf(label, sizeof label, "%lld", (long long)layers[i]);
        chart_label(c, &c->labels, label, e);
    }
    arena_drop(c->arena, found);
    return left;
}

/* Returns the parameters of what is shown. */
static double map_fields(struct chart *c, struct gather *g, const char *group, const int64_t *layers,
                         struct err *e)
{
    double shown = 0;
    int block = chart_block(c, "sparsity", e);
    for (int64_t r = 0; r < c->labels.n && e->code == ERR_OK; r++)
        for (int64_t k = 0; k < c->columns.n; k++) {
            const char *row = arena_printf(g->sum->scratch, e, "%s\t%lld", group, (long long)layers[r]);
            if (!row)
                return shown;
            struct tally n = pivot_at(&g->map_elements, row, c->columns.text[k]);
            struct tally u = pivot_at(&g->map_updated, row, c->columns.text[k]);
            if (n.n > 0 && n.sum > 0 && u.n > 0) {
                chart_set(c, block, r, k, 100 * (1 - u.sum / n.sum));
                shown += n.sum;
            }
        }
    return shown;
}

/* Is there a map of another stack beside that of a group's main one? */
static int has_stacks(const struct gather *g, const char *group)
{
    size_t n = strlen(group);
    for (int64_t i = 0; i < g->groups.n; i++)
        if (strncmp(g->groups.text[i], group, n) == 0 && g->groups.text[i][n] == '\t')
            return 1;
    return 0;
}

/* key: the group, and behind a tab the stack where it is not the main one; nth of the figures. */
static void map_figure(struct figures *f, const char *key, int64_t nth, struct err *e)
{
    struct summary *sum = f->g->sum;
    const char *group = arena_strndup(sum->scratch, key, strcspn(key, "\t"), e);
    const char *stack = strchr(key, '\t') ? strchr(key, '\t') + 1 : "", *dash = stack[0] ? "-" : "";
    struct chart *c =
        group ? chart_new(sum->a, CHART_MATRIX, e, "layer-module-%s%s%s", group, dash, stack) : NULL;
    if (!c)
        return;
    int several = stack[0] || has_stacks(f->g, group);
    c->title = chart_text(c, e, "Sparsity by layer and module: %s%s%s", group, stack[0] ? ", " : "", stack);
    c->label_title = "layer";
    c->x_title = "module (kind of weight matrix)";
    c->value_title = "not updated, %";
    c->extra = nth >= MAPS_SHOWN;
    int64_t layers[MAP_ROWS + 1], left = map_axes(c, &f->g->map_elements, key, layers, e);
    double shown = map_fields(c, f->g, key, layers, e);
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
        "Each field is the share of parameters of one kind of weight matrix in one layer%s%s that were not "
        "updated (%s), in percent, over all cells of %s%s. Yellow: nearly untouched. The colour scale "
        "begins at the least value.",
        stack[0]  ? " of "
        : several ? " of the language model's own stack"
                  : "",
        stack, summary_measure_title(sum, summary_first_headline(sum), e), group,
        !control && others > 0 ? " but the controls by supervised fine-tuning" : "");
    if (left > 0)
        c->caption = chart_text(c, e, "%s Further layers, which are not drawn: %lld; tensors.csv has them.",
                                c->caption, (long long)left);
    figures_add(f, c, cells, several ? shown : parameters, e);
}

void figures_maps(struct figures *f, struct err *e)
{
    int64_t n[2] = {0, 0}; /* main stacks come first, as most of a page stays folded; and those beside them */
    for (int other = 0; other < 2; other++)
        for (int64_t i = 0; i < f->g->groups.n && e->code == ERR_OK; i++)
            if ((strchr(f->g->groups.text[i], '\t') != NULL) == other && n[other]++ < FIGURES_ALIKE)
                map_figure(f, f->g->groups.text[i], (other ? min64(n[0], FIGURES_ALIKE) : 0) + n[other] - 1,
                           e);
    for (int other = 0; other < 2; other++)
        if (n[other] > FIGURES_ALIKE)
            figures_note(
                f, e,
                "Maps are drawn for the first %d of %lld %s; tensor_sparsity.csv has the numbers of all.",
                FIGURES_ALIKE, (long long)n[other],
                other ? "stacks beside the main ones" : "groups of cells");
}
