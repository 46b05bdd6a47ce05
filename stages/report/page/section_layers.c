/* The sections on sparsity by layer and by module. */
#include "report/page/sections.h"

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

static void say_density(struct page *p, struct err *e)
{
    struct pivot *density = &p->sum->density;
    struct tally all = {0};
    for (int64_t row = 0; row < density->rows.n; row++)
        for (int64_t c = 0; c < density->cols.n; c++) {
            struct tally t = pivot_at(density, density->rows.text[row], density->cols.text[c]);
            tally_add(&all, tally_mean(&t));
        }
    body_say(&p->body, BODY_PARAGRAPH, e,
             "The published script's layer figure, the share of non-zero differences with each tensor of "
             "a layer weighing\n"
             "the same, is %.2f %% in the mean layer (%.2f to %.2f %% by layer and column); layers.csv "
             "has it as\n"
             "mean_tensor_density of node %s.",
             page_percent(tally_mean(&all)), page_percent(all.least), page_percent(all.greatest),
             p->sum->density_nodes.text[0]);
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
                 "Node %s, %s, in percent. Embeddings, final norm and head have no layer.",
                 sum->layer_nodes.text[0], columns_words(sum));
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
    body_say(&p->body, BODY_PARAGRAPH, e, "Node %s, over all layers, %s, in percent.",
             sum->layer_nodes.text[0], columns_words(sum));
    put_pivot(p, &sum->modules, "module", e);
    return 1;
}
