/* The section on token entropy. */
#include "report/page/sections.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *column, *title;
    double scale;
    int decimals;
} columns[] = {
    {"mean", "mean", 1, 4},
    {"median", "median", 1, 4},
    {"p80", "p80", 1, 4},
    {"share_below_001", "below 0.01 %", 100, 2},
    {"threshold", "forking from", 1, 4},
    {"forking", "forking %", 100, 2},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* The figures of a node by cell or algorithm and policy; *temperature is that of its last row. */
static void take_node(struct summary *sum, const char *node, struct pivot *p, double *temperature,
                      struct err *e)
{
    const struct table *t = &sum->entropy;
    for (int64_t i = 0; i < t->nrows; i++) {
        if (strcmp(table_text(t, i, "node"), node) != 0)
            continue;
        int64_t tokens = table_int(t, i, "tokens");
        const char *key =
            summary_join(sum, summary_row_of(sum, table_text(t, i, "cell")), table_text(t, i, "policy"), e);
        *temperature = table_real(t, i, "temperature");
        pivot_add(p, key, "tokens", (double)tokens, e);
        for (int c = 0; c < COLUMNS - 1; c++)
            pivot_add(p, key, columns[c].column, table_real(t, i, columns[c].column), e);
        pivot_add(p, key, "forking",
                  tokens > 0 ? (double)table_int(t, i, "forking_tokens") / (double)tokens : NAN, e);
    }
}

static void put_node(struct page *page, struct pivot *p, struct err *e)
{
    struct summary *sum = page->sum;
    struct sheet s;
    sheet_init(&s, sum->a);
    sheet_column(&s, summary_is_detailed(sum) ? 'c' : 'l', e,
                 summary_is_detailed(sum) ? "cell" : "algorithm");
    sheet_column(&s, 'l', e, "policy");
    sheet_column(&s, 'r', e, "tokens");
    for (int c = 0; c < COLUMNS; c++)
        sheet_column(&s, 'r', e, "%s", columns[c].title);
    for (int64_t row = 0; row < p->rows.n; row++) {
        const char *key = p->rows.text[row];
        sheet_cell(&s, e, "%s", summary_piece(sum, key, 0, e));
        sheet_cell(&s, e, "%s", summary_piece(sum, key, 1, e));
        sheet_count(&s, (int64_t)pivot_at(p, key, "tokens").sum, e);
        for (int c = 0; c < COLUMNS; c++)
            page_mean(&s, pivot_at(p, key, columns[c].column), columns[c].scale, columns[c].decimals, e);
    }
    page_sheet(page, &s, e);
}

enum { MOST_CAVEATS = 10 }; /* of a node that are shown */

/* Which figures of a node are not those of a policy's whole distribution, and why. */
static void say_caveats(struct page *p, const char *node, struct err *e)
{
    const struct table *t = &p->sum->entropy;
    int64_t n = 0;
    for (int64_t i = 0; i < t->nrows; i++) {
        const char *caveat = table_text(t, i, "caveat");
        if (!caveat[0] || strcmp(table_text(t, i, "node"), node) != 0 || n++ >= MOST_CAVEATS)
            continue;
        body_say(&p->body, BODY_PARAGRAPH, e, "%s, %s: %s.", table_text(t, i, "cell"),
                 table_text(t, i, "policy"), caveat);
    }
    if (n > MOST_CAVEATS)
        body_say(&p->body, BODY_PARAGRAPH, e, "And %lld more: column caveat of entropy.csv.",
                 (long long)(n - MOST_CAVEATS));
}

int section_entropy(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    for (int64_t node = 0; node < sum->entropy_nodes.n && e->code == ERR_OK; node++) {
        struct pivot means;
        double temperature = NAN;
        pivot_init(&means, sum->a);
        take_node(sum, sum->entropy_nodes.text[node], &means, &temperature, e);
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "Node %s, in nats at temperature %g%s. Forking tokens are those of highest entropy; "
                 "token_ids.csv has the mean per\n"
                 "token id, entropy_quantiles.csv the quantiles.",
                 sum->entropy_nodes.text[node], temperature,
                 summary_is_detailed(sum) ? "" : ", mean over cells");
        put_node(p, &means, e);
        say_caveats(p, sum->entropy_nodes.text[node], e);
    }
    return sum->entropy.nrows > 0;
}
