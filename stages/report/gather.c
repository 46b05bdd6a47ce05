#include "report/gather.h"

#include "elements/stack.h"
#include "elements/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const quantities[GATHER_HISTOGRAMS] = {"abs_delta", "ulp_distance", "magnitude"};

/* ---- cells and their groups ---- */

int gather_is_control(const char *algorithm)
{
    return strncmp(algorithm, "sft", 3) == 0 || strncmp(algorithm, "SFT", 3) == 0;
}

static const char *class_name(struct gather *g, int64_t row, struct err *e)
{
    const struct table *cells = &g->sum->cells;
    const char *data = table_text(cells, row, "data");
    const char *name =
        arena_printf(g->sum->scratch, e, "%s%s%s%s", table_text(cells, row, "algorithm"), data[0] ? "+" : "",
                     data, table_int(cells, row, "step") >= 0 ? " by step" : "");
    return name ? name : "";
}

const char *gather_class(struct gather *g, const char *cell, struct err *e)
{
    if (g->classes.n == 0)
        for (int64_t i = 0; i < g->sum->cells.nrows; i++)
            keys_add(&g->classes, class_name(g, i, e), e);
    int64_t row = keys_find(&g->sum->cell_keys, cell);
    if (row < 0)
        return "";
    if (g->classes.n > GATHER_CURVES)
        return summary_cell_text(g->sum, cell, "algorithm");
    int64_t k = keys_find(&g->classes, class_name(g, row, e));
    return k >= 0 ? g->classes.text[k] : "";
}

const char *gather_curve(struct gather *g, const char *cell, struct err *e)
{
    const struct summary *sum = g->sum;
    if (sum->cells.nrows <= GATHER_CELLS)
        return cell;
    if (sum->algorithms.n <= GATHER_CURVES)
        return gather_class(g, cell, e);
    return sum->families.n <= GATHER_CURVES ? summary_cell_text(g->sum, cell, "family") : "all cells";
}

const char *gather_curve_words(struct gather *g)
{
    const struct summary *sum = g->sum;
    if (sum->cells.nrows == 1)
        return "the one cell";
    if (sum->cells.nrows <= GATHER_CELLS)
        return "each cell";
    if (sum->algorithms.n <= GATHER_CURVES)
        return "all cells of each algorithm taken together";
    return sum->families.n <= GATHER_CURVES ? "all cells of each family taken together"
                                            : "all cells taken together";
}

int64_t gather_cells_on(struct gather *g, const char *base)
{
    struct keys *bases = &g->sum->bases;
    struct err full;
    err_clear(&full);
    if (!g->on_base && arena_array(g->a, "gather.bases", bases->n, &g->on_base, &full) == ERR_OK)
        for (int64_t i = 0; i < g->sum->cells.nrows; i++) {
            int64_t b = keys_find(bases, table_text(&g->sum->cells, i, "base"));
            if (b >= 0)
                g->on_base[b]++;
        }
    int64_t at = keys_find(bases, base);
    return at >= 0 && g->on_base ? g->on_base[at] : 0;
}

/* ---- layer x module: elements from tensors, updated from tensor_sparsity ---- */

int gather_map_layer(const char *row, const char *group, int64_t *layer)
{
    size_t length = strlen(group);
    char *end;
    if (strncmp(row, group, length) != 0 || row[length] != '\t')
        return 0;
    *layer = strtoll(row + length + 1, &end, 10);
    return end > row + length + 1 && *end == '\0';
}

static const char *map_row(struct gather *g, const char *cell, const char *stack, int64_t layer,
                           struct err *e)
{
    const char *family = summary_cell_text(g->sum, cell, "family"),
               *algorithm = summary_cell_text(g->sum, cell, "algorithm");
    const char *group =
        gather_is_control(algorithm) ? arena_printf(g->sum->scratch, e, "%s, %s", family, algorithm) : family;
    if (group && stack[0])
        group = summary_join(g->sum, group, stack, e);
    if (!group || keys_add(&g->groups, group, e) < 0)
        return NULL;
    return arena_printf(g->sum->scratch, e, "%s\t%lld", group, (long long)layer);
}

/* A row of table tensors knows its stack; one of tensor_sparsity has the name alone, which does not tell
 * whether a stack is the main one. */
static void note_stack(struct gather *g, const char *cell, const char *tensor, const char *stack,
                       struct err *e)
{
    struct stack_place place;
    stack_place_of(tensor, &place);
    if (stack[0] == '\0' && place.stack[0] != '\0')
        keys_add(&g->main_stacks, summary_join(g->sum, cell, place.stack, e), e);
}

static void place_again(struct gather *g, const char *cell, const char *tensor, struct stack_place *place,
                        struct err *e)
{
    stack_place_of(tensor, place);
    if (place->stack[0] && keys_find(&g->main_stacks, summary_join(g->sum, cell, place->stack, e)) >= 0)
        place->stack[0] = '\0';
}

static void take_tensors(struct gather *g, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(t, i, "cell"), *stack = table_text(t, i, "stack");
        const char *row = map_row(g, cell, stack, table_int(t, i, "layer"), e);
        if (!row)
            return;
        note_stack(g, cell, table_text(t, i, "tensor"), stack, e);
        pivot_add(&g->map_elements, row, table_text(t, i, "module"), (double)table_int(t, i, "parameters"),
                  e);
    }
}

/* Rows of the headline measure only: the first mask, or what delta counted at 1e-5. */
static void take_tensor_sparsity(struct gather *g, const struct table *t, struct err *e)
{
    int first = summary_first_headline(g->sum);
    if (first < 0)
        return;
    const struct measure *m = &g->sum->measures[first];
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        char module[96];
        if (strcmp(table_text(t, i, "node"), m->node) != 0 ||
            strcmp(table_text(t, i, "criterion"), m->criterion) != 0 ||
            table_real(t, i, "tolerance") != m->tolerance)
            continue;
        const char *tensor = table_text(t, i, "tensor");
        struct stack_place place;
        place_again(g, table_text(t, i, "cell"), tensor, &place, e);
        const char *row = map_row(g, table_text(t, i, "cell"), place.stack, place.layer, e);
        tensor_module(tensor, module, sizeof module);
        if (row)
            pivot_add(&g->map_updated, row, module, (double)table_int(t, i, "updated"), e);
    }
}

/* ---- distributions ---- */

enum { MOST_BIN = 1 << 16 }; /* far more than any number format has */

static void take_histograms(struct gather *g, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        char bin[24];
        int q = 0;
        while (q < GATHER_HISTOGRAMS && strcmp(quantities[q], table_text(t, i, "quantity")) != 0)
            q++;
        if (q == GATHER_HISTOGRAMS || keys_add(&g->histogram_nodes, table_text(t, i, "node"), e) != 0)
            continue;
        if (llabs(table_int(t, i, "bin")) > MOST_BIN) { /* each bin between two has its place on an axis */
            err_set(e, ERR_DATA, "table histograms: %s has a bin %lld, expected %d to %d", quantities[q],
                    (long long)table_int(t, i, "bin"), -MOST_BIN, MOST_BIN);
            return;
        }
        const char *curve = gather_curve(g, table_text(t, i, "cell"), e);
        snprintf(bin, sizeof bin, "%lld", (long long)table_int(t, i, "bin"));
        pivot_add(&g->elements[q], bin, "lower", table_real(t, i, "lower"), e);
        pivot_add(&g->elements[q], bin, curve, (double)table_int(t, i, "elements"), e);
        pivot_add(&g->updated[q], bin, curve, (double)table_int(t, i, "updated"), e);
    }
}

static void take_entropy_histogram(struct gather *g, const struct table *t, struct err *e)
{
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        char edge[40];
        const char *cell = table_text(t, i, "cell"), *policy = table_text(t, i, "policy");
        if (g->sum->entropy_nodes.n > 0 &&
            strcmp(g->sum->entropy_nodes.text[0], table_text(t, i, "node")) != 0)
            continue;
        snprintf(edge, sizeof edge, "%.9g", table_real(t, i, "lower"));
        const char *row = summary_join(g->sum, summary_cell_text(g->sum, cell, "family"), edge, e);
        const char *curve = strcmp(policy, "base") == 0 ? "before tuning" : gather_curve(g, cell, e);
        pivot_add(&g->entropy, row, "lower", table_real(t, i, "lower"), e);
        pivot_add(&g->entropy, row, "upper", table_real(t, i, "upper"), e);
        pivot_add(&g->entropy, row, curve, (double)table_int(t, i, "count"), e);
    }
}

/* ---- overlap ---- */

/* Takes a place of the layer's picture. Returns 0 where it was taken, or there is none. */
static int take_place(struct gather *g, int64_t layer, double x, double y, struct err *e)
{
    const int64_t places = (int64_t)GATHER_PLACES * GATHER_PLACES;
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1) ||
        arena_grow(g->a, "gather.places", (layer + 1) * places, &g->cap_taken, &g->taken, e) != ERR_OK)
        return 0;
    char *taken = &g->taken[layer * places + lround(x * (GATHER_PLACES - 1)) * GATHER_PLACES +
                            lround(y * (GATHER_PLACES - 1))];
    int is_new = !*taken;
    *taken = 1;
    return is_new;
}

static void add_pair(struct gather *g, const struct table *t, int64_t i, struct err *e)
{
    int64_t varies = keys_add(&g->varies, table_text(t, i, "varies"), e);
    struct gather_pair pair = {table_real(t, i, "jaccard"), table_real(t, i, "random_jaccard"),
                               table_real(t, i, "matched_jaccard"), varies};
    if (varies < 0)
        return;
    g->all_pairs++;
    g->counted += !isnan(pair.jaccard) && !isnan(pair.matched);
    g->above += pair.jaccard > pair.matched;
    int is_new = take_place(g, 0, pair.random, pair.jaccard, e);
    is_new |= take_place(g, 1 + varies, pair.matched, pair.jaccard, e);
    if ((is_new || g->npairs < GATHER_PAIRS) &&
        arena_grow(g->a, "gather.pairs", g->npairs + 1, &g->cap_pairs, &g->pairs, e) == ERR_OK)
        g->pairs[g->npairs++] = pair;
}

static void take_overlap(struct gather *g, const struct table *t, struct err *e)
{
    struct summary *sum = g->sum;
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        if (strcmp(table_text(t, i, "scope"), "model") != 0 ||
            strcmp(table_text(t, i, "node"), sum->overlap_nodes.text[0]) != 0)
            continue;
        const char *base = table_text(t, i, "base");
        const char *one = table_text(t, i, "cell_1"), *two = table_text(t, i, "cell_2");
        add_pair(g, t, i, e);
        if (gather_cells_on(g, base) > GATHER_MATRIX) {
            one = gather_class(g, one, e);
            two = gather_class(g, two, e);
        }
        const char *row_1 = summary_join(sum, base, one, e), *row_2 = summary_join(sum, base, two, e);
        pivot_add(&g->measured, row_1, two, table_real(t, i, "o1"), e);
        pivot_add(&g->measured, row_2, one, table_real(t, i, "o2"), e);
        pivot_add(&g->matched, row_1, two, table_real(t, i, "matched_o1"), e);
        pivot_add(&g->matched, row_2, one, table_real(t, i, "matched_o2"), e);
        pivot_add(&g->uniform, row_1, two, table_real(t, i, "random_o1"), e);
        pivot_add(&g->uniform, row_2, one, table_real(t, i, "random_o2"), e);
    }
}

/* ---- spectra ---- */

/* The layer of a group that is nearest the middle: numbers may be missing. -1: it has none. */
static int64_t middle_layer(struct gather *g, const char *group)
{
    const struct keys *rows = &g->map_elements.rows;
    int64_t best = -1, last = -1, layer;
    for (int64_t r = 0; r < rows->n; r++)
        if (gather_map_layer(rows->text[r], group, &layer) && layer > last)
            last = layer;
    for (int64_t r = 0; r < rows->n; r++)
        if (gather_map_layer(rows->text[r], group, &layer) && layer >= 0 &&
            (best < 0 || llabs(layer - last / 2) < llabs(best - last / 2)))
            best = layer;
    return best;
}

/* That of the first family's main stack, or where it has none of its first one with layers. */
static void find_middle(struct gather *g)
{
    const char *family = g->sum->families.text[0];
    size_t length = strlen(family);
    g->middle = middle_layer(g, family);
    g->middle_stack = "";
    for (int64_t i = 0; i < g->groups.n && g->middle < 0; i++) {
        const char *group = g->groups.text[i];
        if (strncmp(group, family, length) == 0 && group[length] == '\t') {
            g->middle = middle_layer(g, group);
            g->middle_stack = group + length + 1;
        }
    }
    if (g->middle < 0)
        g->middle_stack = "";
}

/* Of the first family: one cell of each class, its middle layer. */
static void take_rank(struct gather *g, const struct table *t, struct err *e)
{
    struct summary *sum = g->sum;
    if (g->middle < -1 && t->nrows > 0)
        find_middle(g);
    for (int64_t i = 0; i < t->nrows && e->code == ERR_OK; i++) {
        const char *cell = table_text(t, i, "cell"), *tensor = table_text(t, i, "tensor");
        int64_t layer = table_int(t, i, "layer");
        if (g->nspectra == GATHER_SPECTRA || table_int(t, i, "spectrum_offset") < 0 ||
            !(table_real(t, i, "sigma_max") > 0) ||
            strcmp(table_text(t, i, "node"), sum->rank_nodes.text[0]) != 0 ||
            strcmp(summary_cell_text(sum, cell, "family"), sum->families.text[0]) != 0)
            continue;
        if (layer != g->middle || strcmp(table_text(t, i, "stack"), g->middle_stack) != 0)
            continue;
        const char *class = gather_class(g, cell, e);
        int other = 0;
        for (int64_t k = 0; k < g->nspectra; k++)
            other |= strcmp(g->spectra[k].label, class) == 0 && strcmp(g->spectra[k].cell, cell) != 0;
        if (other ||
            arena_grow(g->a, "gather.spectra", g->nspectra + 1, &g->cap_spectra, &g->spectra, e) != ERR_OK)
            continue;
        struct gather_spectrum *s = &g->spectra[g->nspectra];
        s->cell = arena_strdup(g->a, cell, e);
        s->label = s->cell ? arena_strdup(g->a, class, e) : NULL;
        s->tensor = s->label ? arena_strdup(g->a, tensor, e) : NULL;
        s->module = s->tensor ? arena_strdup(g->a, table_text(t, i, "module"), e) : NULL;
        s->rows = table_int(t, i, "rows");
        s->cols = table_int(t, i, "cols");
        s->offset = table_int(t, i, "spectrum_offset");
        s->length = table_int(t, i, "spectrum_length");
        g->nspectra += s->module != NULL;
    }
}

void gather_spectrum_set(struct gather_spectrum *s, const double *values)
{
    int64_t last = s->length - 1, n = s->length < GATHER_SAMPLES ? s->length : GATHER_SAMPLES;
    s->n = 0;
    for (int64_t k = 0; k < n && values[0] > 0; k++) {
        int64_t i = n > 1 ? k * last / (n - 1) : 0;
        if (!(values[i] > 0))
            break; /* nothing that a logarithmic axis could show */
        s->share[s->n] = last > 0 ? (double)i / (double)last : 0;
        s->value[s->n++] = values[i] / values[0];
    }
}

/* ---- all ---- */

void gather_init(struct gather *g, struct summary *sum)
{
    *g = (struct gather){.sum = sum, .a = sum->a, .middle = -2, .middle_stack = ""};
    struct keys *const keys[] = {&g->classes, &g->groups, &g->histogram_nodes, &g->varies, &g->main_stacks};
    struct pivot *const pivots[] = {&g->map_updated, &g->map_elements, &g->entropy,
                                    &g->measured,    &g->matched,      &g->uniform};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        *keys[i] = (struct keys){.arena = g->a};
    for (size_t i = 0; i < sizeof pivots / sizeof *pivots; i++)
        pivot_init(pivots[i], g->a);
    for (int q = 0; q < GATHER_HISTOGRAMS; q++) {
        pivot_init(&g->elements[q], g->a);
        pivot_init(&g->updated[q], g->a);
    }
}

void gather_keep(struct gather *g, const char *table, struct err *e)
{
    for (int i = 0; i < g->nkept; i++)
        if (strcmp(g->kept[i].name, table) == 0)
            return;
    if (e->code != ERR_OK ||
        arena_grow(g->a, "gather.kept", g->nkept + 1, &g->cap_kept, &g->kept, e) != ERR_OK)
        return;
    struct gather_kept *k = &g->kept[g->nkept++];
    k->name = table;
    table_start(&k->rows, NULL, g->a); /* what columns it has the archive's table says */
}

const struct table *gather_table(const struct gather *g, const char *table)
{
    static const struct table none;
    for (int i = 0; i < g->nkept; i++)
        if (strcmp(g->kept[i].name, table) == 0)
            return &g->kept[i].rows;
    return &none;
}

void gather_take(struct gather *g, const struct table *t, struct err *e)
{
    static const struct {
        const char *table;
        void (*take)(struct gather *, const struct table *, struct err *);
    } takers[] = {{"tensors", take_tensors},
                  {"tensor_sparsity", take_tensor_sparsity},
                  {"rank", take_rank},
                  {"overlap", take_overlap},
                  {"histograms", take_histograms},
                  {"entropy_histogram", take_entropy_histogram}};
    for (size_t k = 0; k < sizeof takers / sizeof *takers; k++)
        if (strcmp(takers[k].table, t->schema->name) == 0)
            takers[k].take(g, t, e);
    for (int k = 0; k < g->nkept; k++)
        if (strcmp(g->kept[k].name, t->schema->name) == 0)
            table_add_all(&g->kept[k].rows, t, e);
}
