#include "report/page/page_part.h"

#include "report/page/sections.h"

#include <stdio.h>
#include <string.h>

double page_percent(double share)
{
    return 100 * share;
}

void page_tally(struct sheet *s, struct tally t, double scale, struct err *e)
{
    char mean[32], least[32], greatest[32];
    if (t.n == 0) {
        sheet_cell(s, e, "-");
        return;
    }
    snprintf(mean, sizeof mean, "%.2f", scale * tally_mean(&t));
    snprintf(least, sizeof least, "%.2f", scale * t.least);
    snprintf(greatest, sizeof greatest, "%.2f", scale * t.greatest);
    if (strcmp(least, greatest) == 0)
        sheet_cell(s, e, "%s", mean);
    else
        sheet_cell(s, e, "%s (%s-%s)", mean, least, greatest);
}

void page_mean(struct sheet *s, struct tally t, double scale, int decimals, struct err *e)
{
    sheet_real(s, scale * tally_mean(&t), decimals, e);
}

void page_sheet_only(struct page *p, enum body_place place, const struct sheet *s, struct err *e)
{
    body_sheet(&p->body, s, e);
    body_only(&p->body, place);
    if (p->sum->simulated[0]) {
        body_say(&p->body, BODY_PARAGRAPH, e, "SIMULATED weights: no measurement of a trained model.");
        body_only(&p->body, place);
    }
    arena_reset(p->sum->scratch);
}

void page_sheet(struct page *p, const struct sheet *s, struct err *e)
{
    page_sheet_only(p, BODY_EVERYWHERE, s, e);
}

int page_has_figures(const struct page *p)
{
    for (int64_t i = 0; p->figures && i < p->figures->n; i++)
        if (strcmp(p->figures->list[i].section, p->section->id) == 0)
            return 1;
    return 0;
}
