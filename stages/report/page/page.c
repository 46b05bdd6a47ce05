#include "report/page/page.h"

#include "report/body/textpage.h"
#include "report/page/headline.h"
#include "report/page/sections.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void page_init(struct page *p, struct summary *sum, const struct figures *figures, struct err *e)
{
    *p = (struct page){.sum = sum, .figures = figures};
    body_init(&p->body, sum->a);
    headline_sheet(sum, &p->cells, e);
}

/* ---- the sparsity table ---- */

err_t page_sparsity(const struct page *p, int markdown, struct text *out, struct err *e)
{
    struct summary *sum = p->sum;
    struct body b;
    body_init(&b, sum->a);
    body_say(&b, BODY_TITLE, e, "Update sparsity of study %s", sum->study);
    if (sum->simulated[0]) {
        body_begin(&b, BODY_QUOTE, e);
        if (markdown)
            body_strong(&b, e, "SIMULATED.");
        body_text(&b, e,
                  markdown ? " Weights of this study are made up (%s)."
                           : "SIMULATED: weights of this study are made up (%s).",
                  sum->simulated);
    }
    headline_failed(sum, markdown, &b, e);
    headline_absent(sum, markdown, &b, e);
    body_sheet(&b, &p->cells, e);
    headline_measures(sum, &b, e);
    if (markdown)
        textpage_markdown(&b, out, e);
    else
        textpage_plain(&b, out, e);
    if (sum->simulated[0])
        text_add(out, e, "SIMULATED weights: no measurement of a trained model.\n");
    return e->code;
}

/* ---- the report ---- */

static void link_figure(struct body *b, const char *name, const char *ending, const char *text, struct err *e)
{
    char file[256];
    snprintf(file, sizeof file, "figures/%s.%s", name, ending);
    body_link(b, e, file, text);
}

/* A figure with its caption; one that could not be drawn has its caption alone, and why. */
static void put_figure(struct page *p, const struct figure *f, struct err *e)
{
    const struct chart *c = f->chart;
    struct body *b = &p->body;
    body_figure(b, f, e);
    body_strong(b, e, "%s.", c->title);
    if (!f->svg) {
        body_text(b, e, " Not drawn%s%s. %s Data: ", f->problem[0] ? ": " : "", f->problem, c->caption);
        link_figure(b, c->name, "csv", "CSV", e);
        body_text(b, e, ".");
        return;
    }
    body_text(b, e, " %s Data and drawing: ", c->caption);
    link_figure(b, c->name, "csv", "CSV", e);
    body_text(b, e, ", ");
    link_figure(b, c->name, "svg", "SVG", e);
    body_text(b, e, ", ");
    link_figure(b, c->name, "png", "PNG", e);
    body_text(b, e, ".");
}

/* Where the section has figures, the file with their numbers. */
static int say_numbers(struct page *p, struct err *e)
{
    char file[128];
    if (!page_has_figures(p))
        return 0;
    if (p->section->numbers) {
        snprintf(file, sizeof file, "%s.csv", p->section->numbers);
        body_begin(&p->body, BODY_PARAGRAPH, e);
        body_link(&p->body, e, file, file);
        body_text(&p->body, e, " has the numbers of each cell.");
    }
    return 1;
}

/* One sentence of table verdicts, with whose it is where there are several. */
static void put_verdict(struct page *p, int64_t row, int64_t of, const char *which, struct err *e)
{
    const struct table *t = &p->sum->verdicts;
    body_begin(&p->body, BODY_ITEM, e);
    if (of > 1)
        body_strong(&p->body, e, "%s%s:", table_text(t, row, "cell"), which);
    body_text(&p->body, e, "%s%s", of > 1 ? " " : "", table_text(t, row, "sentence"));
}

/* What the figures of the cells say in words: of each of a few cells, of many the two ends. Returns how many
 * there are. */
static int64_t put_verdicts(struct page *p, const char *about, struct err *e)
{
    const struct table *t = &p->sum->verdicts;
    int64_t n = 0, least = -1, most = -1;
    for (int64_t i = 0; i < t->nrows; i++) {
        if (strcmp(table_text(t, i, "about"), about) != 0)
            continue;
        const double x = table_real(t, i, "value");
        n++;
        if (isnan(x)) /* of which nothing is more or less */
            continue;
        least = least < 0 || x < table_real(t, least, "value") ? i : least;
        most = most < 0 || x > table_real(t, most, "value") ? i : most;
    }
    if (n > SUMMARY_COLUMN_CELLS) {
        if (least >= 0)
            put_verdict(p, least, n, ", the least", e);
        if (most != least)
            put_verdict(p, most, n, ", the greatest", e);
        return n;
    }
    for (int64_t i = 0; i < t->nrows && n > 0; i++)
        if (strcmp(table_text(t, i, "about"), about) == 0)
            put_verdict(p, i, n, "", e);
    return n;
}

static void put_all_verdicts(struct page *p, const struct section *s, struct err *e)
{
    int64_t most = 0;
    for (int i = 0; i < (int)(sizeof s->about / sizeof *s->about) && s->about[i]; i++) {
        const int64_t n = put_verdicts(p, s->about[i], e);
        most = n > most ? n : most;
    }
    if (most <= SUMMARY_COLUMN_CELLS)
        return;
    body_say(&p->body, BODY_ITEM, e, "The sentences of all %lld stand in ", (long long)most);
    body_link(&p->body, e, "verdicts.csv", "verdicts.csv");
    body_text(&p->body, e, ".");
}

static void put_section(struct page *p, const struct section *s, struct err *e)
{
    struct body *b = &p->body;
    int64_t before = b->n;
    int tried = p->figures && p->figures->wanted && !p->figures->missing[0];
    p->section = s;
    body_section(b, s->id, s->title, s->list ? s->list : "", e);
    if (s->sentence)
        body_say(b, BODY_PARAGRAPH, e, "%s", s->sentence);
    const int64_t after_title = b->n;
    headline_lacks(p->sum, s->kinds, (int)(sizeof s->kinds / sizeof *s->kinds), b, e);
    put_all_verdicts(p, s, e);
    for (int64_t i = 0; p->figures && i < p->figures->n; i++) {
        const struct figure *f = &p->figures->list[i];
        if (strcmp(f->section, s->id) == 0 && (f->svg || tried))
            put_figure(p, f, e);
    }
    for (int64_t i = 0; p->figures && i < p->figures->nnotes; i++)
        if (strcmp(p->figures->notes[i].section, s->id) == 0 && tried)
            body_say(b, BODY_PARAGRAPH, e, "%s", p->figures->notes[i].text);
    int64_t head = b->n;
    int said = s->write ? s->write(p, e) : say_numbers(p, e);
    /* What the study of one pair did not ask for is no news to who compares two checkpoints. */
    const int bare = b->n == after_title && p->sum->cells.nrows == 1;
    if (!said && s->without && !bare)
        body_say(b, BODY_PARAGRAPH, e, "%s", s->without);
    if ((s->optional && b->n == head) || (!said && bare))
        body_cut(b, before);
}

err_t page_report(struct page *p, struct err *e)
{
    const struct summary *sum = p->sum;
    int n;
    const struct section *all = sections(&n);
    body_say(&p->body, BODY_TITLE, e, "%s: what fine-tuning changed", sum->study);
    if (sum->simulated[0]) {
        body_begin(&p->body, BODY_QUOTE, e);
        body_strong(&p->body, e, "SIMULATED.");
        body_text(&p->body, e,
                  " Weights of this study are made up (%s).\nNo figure on this page is a measurement of a "
                  "trained model.",
                  sum->simulated);
    }
    headline_failed(p->sum, 1, &p->body, e);
    headline_absent(p->sum, 1, &p->body, e);
    for (int i = 0; i < n && e->code == ERR_OK; i++)
        put_section(p, &all[i], e);
    return e->code;
}
