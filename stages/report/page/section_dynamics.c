/* The section on training dynamics. */
#include "report/page/sections.h"

int section_dynamics(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    if (!page_has_figures(p))
        return 0;
    const struct table *t = gather_table(p->figures->g, "dynamics_totals");
    if (t->nrows == 0)
        return 1;
    struct sheet s;
    sheet_init(&s, sum->a);
    s.rest = "dynamics_totals.csv";
    sheet_column(&s, 'l', e, "run");
    sheet_column(&s, 'l', e, "base");
    sheet_column(&s, 'l', e, "node");
    sheet_column(&s, 'r', e, "steps");
    sheet_column(&s, 'r', e, "never updated %%");
    sheet_column(&s, 'r', e, "cancelled %%");
    sheet_column(&s, 'r', e, "final subnetwork %%");
    for (int64_t i = 0; i < t->nrows; i++) {
        sheet_cell(&s, e, "%s", table_text(t, i, "run"));
        sheet_cell(&s, e, "%s", summary_base_label(sum, table_text(t, i, "base")));
        sheet_cell(&s, e, "%s", table_text(t, i, "node"));
        sheet_count(&s, table_int(t, i, "steps"), e);
        sheet_real(&s, page_percent(table_real(t, i, "never_updated_share")), 2, e);
        sheet_real(&s, page_percent(table_real(t, i, "cancelled_share")), 2, e);
        sheet_real(&s, page_percent(table_real(t, i, "final_subnetwork_share")), 2, e);
    }
    page_sheet(p, &s, e);
    return 1;
}
