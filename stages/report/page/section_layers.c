/* The sections on sparsity by layer and by module. */
#include "report/page/sections.h"

#include <string.h>

/* Of what the columns are. */
static const char *columns_words(const struct summary *sum)
{
    static const char *const words[] = {"per cell", "mean over the cells of each algorithm",
                                        "mean over the cells of each family", "mean over all cells"};
    return words[summary_columns(sum)];
}

/* A pivot as it is: row keys by column keys, means in percent. */
static void put_pivot(struct page *p, struct pivot *mean, const char *title, struct err *e)
{
    struct sheet s;
    pivot_sort_rows(mean, e);
    sheet_init(&s, p->sum->a);
    sheet_column(&s, 'l', e, "%s", title);
    for (int64_t c = 0; c < mean->cols.n; c++)
        sheet_column(&s, 'r', e, "%s", mean->cols.text[c]);
    for (int64_t row = 0; row < mean->rows.n; row++) {
        sheet_cell(&s, e, "%s", mean->rows.text[row]);
        for (int64_t c = 0; c < mean->cols.n; c++)
            page_mean(&s, pivot_at(mean, mean->rows.text[row], mean->cols.text[c]), 100, 2, e);
    }
    page_sheet(p, &s, e);
}

/* Bytes of the stack's name in front of the layer's number; 0: the language model's own. */
static size_t stack_bytes(const char *layer)
{
    const char *space = strrchr(layer, ' ');
    return space ? (size_t)(space - layer) : 0;
}

/* Are two layers of one stack? */
static int same_stack(const char *a, const char *b)
{
    size_t n = stack_bytes(a);
    return n == stack_bytes(b) && memcmp(a, b, n) == 0;
}

/* Over the layers of one stack, of which row is the first; *row becomes the first behind them. */
static struct tally stack_tally(struct pivot *layers, int64_t *row)
{
    struct tally all = {0};
    const char *first = layers->rows.text[*row];
    for (; *row < layers->rows.n && same_stack(first, layers->rows.text[*row]); ++*row)
        for (int64_t c = 0; c < layers->cols.n; c++) {
            struct tally t = pivot_at(layers, layers->rows.text[*row], layers->cols.text[c]);
            tally_add(&all, tally_mean(&t));
        }
    return all;
}

static void say_density(struct page *p, struct err *e)
{
    struct pivot *density = &p->sum->density;
    pivot_sort_rows(density, e); /* stack by stack, the language model's own first */
    for (int64_t row = 0; row < density->rows.n && e->code == ERR_OK;) {
        const char *layer = density->rows.text[row];
        int begins = row == 0, bytes = (int)stack_bytes(layer);
        struct tally all = stack_tally(density, &row);
        double mean = page_percent(tally_mean(&all)), least = page_percent(all.least),
               most = page_percent(all.greatest);
        if (begins)
            body_say(
                &p->body, BODY_PARAGRAPH, e,
                "The published script's layer figure, the share of non-zero differences with each tensor "
                "of a layer weighing\n"
                "the same, is %.2f %% in the mean layer%s%.*s (%.2f to %.2f %% by layer and column); "
                "layers.csv has it as\n"
                "mean_tensor_density of node %s.",
                mean, bytes > 0 ? " of " : "", bytes, layer, least, most, p->sum->density_nodes.text[0]);
        else
            body_say(&p->body, BODY_PARAGRAPH, e,
                     "In the mean layer of %.*s it is %.2f %% (%.2f to %.2f %%).", bytes, layer, mean, least,
                     most);
    }
}

static int has_stacks(const struct pivot *layers)
{
    int has = 0;
    for (int64_t row = 0; row < layers->rows.n; row++)
        has |= stack_bytes(layers->rows.text[row]) > 0;
    return has;
}

int section_layers(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    if (sum->layers.rows.n == 0 && sum->density.rows.n == 0)
        return 0;
    if (sum->layers.rows.n == 0) {
        body_say(&p->body, BODY_PARAGRAPH, e, "%s", p->section->without);
    } else {
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "Node %s, %s, in percent. Embeddings, final norm and head have no layer.%s",
                 sum->layer_nodes.text[0], columns_words(sum),
                 has_stacks(&sum->layers) ? " A word before the number names a stack of layers beside the "
                                            "language model's own."
                                          : "");
        put_pivot(p, &sum->layers, "layer", e);
    }
    if (sum->density.rows.n > 0)
        say_density(p, e);
    return 1;
}

int section_modules(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    if (sum->modules.rows.n == 0)
        return 0;
    body_say(&p->body, BODY_PARAGRAPH, e, "Node %s, over all layers%s, %s, in percent.",
             sum->layer_nodes.text[0], has_stacks(&sum->layers) ? " of all stacks" : "", columns_words(sum));
    put_pivot(p, &sum->modules, "module", e);
    return 1;
}
