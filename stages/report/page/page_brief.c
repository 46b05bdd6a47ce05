/* What stands before the tables: the results in a few sentences, the words used, and the figures of each
 * section. */
#include "report/figures/figures.h"
#include "report/page/page_part.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- figures ---- */

static void put_figure(const struct figure *f, int wanted, struct text *md, struct err *e)
{
    const struct chart *c = f->chart;
    if (f->svg)
        text_add(md, e,
                 "![%s](figures/%s.png)\n**%s.** %s Data and drawing: [CSV](figures/%s.csv), "
                 "[SVG](figures/%s.svg), [PNG](figures/%s.png).\n\n",
                 c->title, c->name, c->title, c->caption, c->name, c->name, c->name);
    else if (wanted)
        text_add(md, e, "**%s.** Not drawn%s%s. %s Data: [CSV](figures/%s.csv).\n\n", c->title,
                 f->problem[0] ? ": " : "", f->problem, c->caption, c->name);
}

void page_section(struct summary *sum, struct text *md, const char *title, const char *sentence,
                  struct err *e)
{
    text_add(md, e, "## %s\n\n", title);
    if (sentence[0])
        text_add(md, e, "%s\n\n", sentence);
    for (int64_t i = 0; sum->figures && i < sum->figures->n; i++)
        if (strcmp(sum->figures->list[i].chart->section, title) == 0)
            put_figure(&sum->figures->list[i], sum->figures->wanted && !sum->figures->missing[0], md, e);
}

static int has_figures(const struct summary *sum, const char *section)
{
    for (int64_t i = 0; sum->figures && i < sum->figures->n; i++)
        if (strcmp(sum->figures->list[i].chart->section, section) == 0)
            return 1;
    return 0;
}

/* ---- the results in a few sentences ---- */

static void brief_sparsity(struct summary *sum, struct text *md, struct err *e)
{
    int first = summary_first_headline(sum);
    struct tally tuned = {0}, control = {0};
    int64_t ends = 0; /* cells that are no step on the way, where there are any */
    for (int64_t i = 0; i < sum->cells.nrows; i++)
        ends += table_int(&sum->cells, i, "step") < 0;
    for (int64_t i = 0; first >= 0 && i < sum->cells.nrows; i++) {
        if (ends > 0 && table_int(&sum->cells, i, "step") >= 0)
            continue;
        struct tally t =
            pivot_at(&sum->sparsity, table_text(&sum->cells, i, "cell"), sum->measures[first].key);
        tally_add(gather_is_control(table_text(&sum->cells, i, "algorithm")) ? &control : &tuned,
                  tally_mean(&t));
    }
    const char *title = first >= 0 ? summary_measure_title(sum, first, e) : "";
    if (tuned.n > 0)
        text_add(
            md, e,
            "- **%.1f %% untouched.** In the mean cell so many of the parameters stayed as they were (%s); "
            "%.1f to %.1f %% over %lld %s.\n",
            page_percent(tally_mean(&tuned)), title, page_percent(tuned.least), page_percent(tuned.greatest),
            (long long)tuned.n, tuned.n == 1 ? "cell" : "cells");
    if (control.n > 0)
        text_add(
            md, e,
            "- **%.1f %% untouched by the control.** Supervised fine-tuning (SFT), which is no reinforcement "
            "learning; mean of %lld %s.\n",
            page_percent(tally_mean(&control)), (long long)control.n, control.n == 1 ? "cell" : "cells");
}

static void brief_rank(struct summary *sum, struct text *md, struct err *e)
{
    struct tally all = {0};
    for (int64_t i = 0; sum->rank_nodes.n > 0 && i < sum->cells.nrows; i++) {
        struct tally t =
            summary_rank_of(sum, sum->rank_nodes.text[0], table_text(&sum->cells, i, "cell"), "percent", e);
        tally_add(&all, tally_mean(&t));
    }
    if (all.n > 0)
        text_add(md, e,
                 "- **%.1f %% of full rank.** The mean update matrix changes so many of the independent "
                 "directions "
                 "that it could change%s.\n",
                 tally_mean(&all),
                 tally_mean(&all) > 90 ? ": few parameters, but nearly all directions" : "");
}

/* Pairs that differ in their seed alone, as the published table begins; all pairs where there are none. */
static void brief_overlap(struct summary *sum, struct text *md, struct err *e)
{
    struct tally sums[3] = {{0}}; /* measured, uniform, matched */
    static const char *const columns[] = {"jaccard", "random_jaccard", "matched_jaccard"};
    const char *node = sum->overlap_nodes.n > 0 ? sum->overlap_nodes.text[0] : "";
    int seeds = pivot_at(&sum->by_varies, summary_join(sum, node, "seed", e), columns[0]).n > 0;
    for (int64_t i = 0; i < sum->by_varies.rows.n; i++) {
        const char *key = sum->by_varies.rows.text[i];
        if (strcmp(summary_piece(sum, key, 0, e), node) != 0 ||
            (seeds && strcmp(summary_piece(sum, key, 1, e), "seed") != 0))
            continue;
        for (int k = 0; k < 3; k++) {
            struct tally t = pivot_at(&sum->by_varies, key, columns[k]);
            sums[k].n += t.n;
            sums[k].sum += t.sum;
        }
    }
    if (sums[0].n == 0 || sums[2].n == 0)
        return;
    double measured = page_percent(tally_mean(&sums[0])), matched = page_percent(tally_mean(&sums[2])),
           left = measured - matched;
    text_add(md, e,
             "- **%.0f %% of updates in common.** Two %s share so much of what either updates; uniform "
             "chance gives "
             "%.0f %%, chance among weights of one tensor and one size %.0f %%: ",
             measured, seeds ? "runs that differ in their seed alone" : "cells on one base",
             page_percent(tally_mean(&sums[1])), matched);
    if (left <= 0)
        text_add(md, e, "beyond that, nothing is left to explain.\n");
    else
        text_add(md, e, "what is left to explain beyond that is %.1f percentage points.\n", left);
}

static void brief_entropy(struct summary *sum, struct text *md, struct err *e)
{
    struct tally before = {0}, after = {0};
    for (int64_t i = 0; i < sum->entropy.nrows; i++)
        if (strcmp(table_text(&sum->entropy, i, "node"), sum->entropy_nodes.text[0]) == 0)
            tally_add(strcmp(table_text(&sum->entropy, i, "policy"), "base") == 0 ? &before : &after,
                      table_real(&sum->entropy, i, "mean"));
    if (before.n > 0 && after.n > 0)
        text_add(md, e,
                 "- **%.3f nats before, %.3f after.** Mean entropy of a token: how open the choice of the "
                 "next token "
                 "was; lower is more certain.\n",
                 tally_mean(&before), tally_mean(&after));
}

/* "99.21 % of all; 12 tensors, or rows of them, were left out": cut, not rounded, so that 100 % means all. */
const char *page_covered(struct summary *sum, struct err *e)
{
    int64_t skipped = 0;
    for (int64_t i = 0; i < sum->cells.nrows; i++)
        skipped += table_int(&sum->cells, i, "skipped");
    double covered = summary_covered(sum, -1);
    const char *all = summary_absent(sum) > 0 ? "all that the measured cells have" : "all that there are";
    if (!(covered < 1) && skipped == 0)
        return all;
    const char *text =
        covered < 1
            ? arena_printf(sum->scratch, e, "%.2f %% of all; %lld tensors, or rows of them, were left out",
                           floor(1e4 * covered) / 100, (long long)skipped)
            : arena_printf(sum->scratch, e, "%s; %lld tensors beside them hold no parameters of their own",
                           all, (long long)skipped);
    return text ? text : "";
}

/* What the figures leave out, where that is anything. */
static void brief_covered(struct summary *sum, struct text *md, struct err *e)
{
    double covered = summary_covered(sum, -1), least = 1;
    if (!(covered < 1))
        return;
    for (int64_t i = 0; i < sum->cells.nrows; i++)
        if (summary_covered(sum, i) < least)
            least = summary_covered(sum, i);
    text_add(md, e,
             "- **%.2f %% of the parameters covered.** The others are in no total here; section Left out "
             "says why.",
             floor(1e4 * covered) / 100);
    if (sum->cells.nrows > 1)
        text_add(md, e, " The cell covered least: %.2f %%.", floor(1e4 * least) / 100);
    text_add(md, e, "\n");
}

void page_brief(struct summary *sum, struct text *md, struct err *e)
{
    int64_t begin = md->used;
    text_add(md, e, "## In short\n\n");
    int64_t empty = md->used;
    brief_sparsity(sum, md, e);
    brief_covered(sum, md, e);
    brief_rank(sum, md, e);
    brief_overlap(sum, md, e);
    brief_entropy(sum, md, e);
    if (md->used == empty && e->code == ERR_OK) {
        md->used = begin; /* nothing was measured */
        md->text[begin] = '\0';
        return;
    }
    text_add(md, e, "\n");
    if (sum->figures && sum->figures->missing[0])
        text_add(md, e, "> **No figures.** %s\n\n", sum->figures->missing);
    text_add(md, e,
             "## Words\n\n"
             "- **Parameter** or weight: one of the numbers that a model is made of.\n"
             "- **Cell**: one tuned checkpoint and the base checkpoint that it was tuned from; called "
             "FAMILY/ALGORITHM/SEED.\n"
             "- **Update**: the difference of the two. **Sparsity**: the share of parameters that it leaves "
             "as they were.\n"
             "- **Tolerance**: the largest difference that still counts as none. **Mask**: which parameters "
             "count as "
             "updated.\n"
             "- **Layer** and **module**: a model is a stack of layers; each has weight matrices of several "
             "kinds, such as "
             "q_proj (attention) or up_proj.\n"
             "- **Uniform chance**: two sets of the same sizes drawn at random from all parameters. "
             "**Matched chance**: "
             "drawn among the weights of the same tensor and the same size, since rounding lets small "
             "weights move more "
             "easily.\n"
             "- **Node**: a step of the study as its config names it.\n\n");
}

/* ---- sections without a table of their own ---- */

void page_weights(struct summary *sum, struct text *md, struct err *e)
{
    static const char title[] = "Which weights move";
    page_section(
        sum, md, title,
        "Weights are stored with few digits. A change much smaller than the weight is rounded away, so "
        "whether a weight moves depends on its size.",
        e);
    if (!has_figures(sum, title))
        text_add(md, e, "Not measured: the study has no delta, or nothing changed.\n\n");
    else
        text_add(md, e, "[histograms.csv](histograms.csv) has the numbers of each cell.\n\n");
}

void page_dynamics(struct summary *sum, struct text *md, struct err *e)
{
    static const char title[] = "Training dynamics";
    page_section(sum, md, title,
                 "Checkpoints saved during a run show when its parameters moved, and whether they came back.",
                 e);
    if (!has_figures(sum, title)) {
        text_add(md, e, "Not measured: no cell of the study has a training step.\n\n");
        return;
    }
    const struct table *t = sum->figures ? &sum->figures->g->dynamics_totals : NULL;
    if (!t || t->nrows == 0)
        return;
    struct sheet s;
    sheet_init(&s, sum->a);
    sheet_column(&s, 'l', e, "run");
    sheet_column(&s, 'l', e, "base");
    sheet_column(&s, 'l', e, "node");
    sheet_column(&s, 'r', e, "steps");
    sheet_column(&s, 'r', e, "never updated %%");
    sheet_column(&s, 'r', e, "cancelled %%");
    sheet_column(&s, 'r', e, "final subnetwork %%");
    for (int64_t i = 0; i < t->nrows && i < 200; i++) {
        sheet_cell(&s, e, "%s", table_text(t, i, "run"));
        sheet_cell(&s, e, "%s", summary_base_label(sum, table_text(t, i, "base")));
        sheet_cell(&s, e, "%s", table_text(t, i, "node"));
        sheet_count(&s, table_int(t, i, "steps"), e);
        sheet_real(&s, page_percent(table_real(t, i, "never_updated_share")), 2, e);
        sheet_real(&s, page_percent(table_real(t, i, "cancelled_share")), 2, e);
        sheet_real(&s, page_percent(table_real(t, i, "final_subnetwork_share")), 2, e);
    }
    page_sheet(sum, md, &s, e);
}
