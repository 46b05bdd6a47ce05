/* The sections that open the page: the results in a few sentences, and the words used. */
#include "report/page/headline.h"
#include "report/page/sections.h"

#include <math.h>
#include <string.h>

/* ---- the results in a few sentences ---- */

/* Of the tuned cells or of the control's: the sparsity that the study measures, and what is unchanged. */
struct brief_shares {
    struct tally sparse, unchanged;
};

/* The two are not one: what counts as updated is a choice, which the measure's title names, and "unchanged"
 * means equal bits, here as in the verdicts. */
static void say_shares(struct page *p, const struct brief_shares *x, const char *whose, struct err *e)
{
    struct summary *sum = p->sum;
    const int first = summary_first_headline(sum);
    if (first < 0 || x->sparse.n == 0)
        return;
    const int bits = strcmp(sum->measures[first].criterion, "bits") == 0;
    body_begin(&p->body, BODY_ITEM, e);
    if (bits)
        body_strong(&p->body, e, "%.2f %% unchanged%s.", page_percent(tally_mean(&x->unchanged)), whose);
    else
        body_strong(&p->body, e, "%.2f %% sparse %s%s.", page_percent(tally_mean(&x->sparse)),
                    summary_measure_title(sum, first, e), whose);
    body_text(&p->body, e, " That share of the parameters ");
    headline_criterion(&sum->measures[first], 0, &p->body, e);
    if (x->sparse.n > 1)
        body_text(&p->body, e, ": mean of %lld cells, %.2f to %.2f %%", (long long)x->sparse.n,
                  page_percent(x->sparse.least), page_percent(x->sparse.greatest));
    if (!bits)
        body_text(&p->body, e, "; %.2f %% are unchanged, bit for bit",
                  page_percent(tally_mean(&x->unchanged)));
    body_text(&p->body, e, ".");
}

static void brief_sparsity(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    int first = summary_first_headline(sum);
    struct brief_shares tuned = {{0}, {0}}, control = {{0}, {0}};
    int64_t ends = 0; /* cells that are no step on the way, where there are any */
    for (int64_t i = 0; i < sum->cells.nrows; i++)
        ends += table_int(&sum->cells, i, "step") < 0;
    for (int64_t i = 0; first >= 0 && i < sum->cells.nrows; i++) {
        const double n = (double)table_int(&sum->cells, i, "parameters");
        if ((ends > 0 && table_int(&sum->cells, i, "step") >= 0) || !summary_is_measured(sum, i))
            continue;
        struct tally t =
            pivot_at(&sum->sparsity, table_text(&sum->cells, i, "cell"), sum->measures[first].key);
        struct brief_shares *of =
            gather_is_control(table_text(&sum->cells, i, "algorithm")) ? &control : &tuned;
        tally_add(&of->sparse, tally_mean(&t));
        tally_add(&of->unchanged, n > 0 ? 1 - (double)table_int(&sum->cells, i, "bit_changed") / n : NAN);
    }
    say_shares(p, &tuned, "", e);
    say_shares(p, &control, ", of the control", e);
    if (control.sparse.n > 0)
        body_text(&p->body, e,
                  " The control is supervised fine-tuning (SFT), which is no reinforcement learning.");
}

/* Cells whose two sides hardly belong together: before anything is believed of them. */
static void brief_kinship(struct page *p, struct err *e)
{
    const struct summary *sum = p->sum;
    long long n = 0;
    for (int64_t i = 0; i < sum->verdicts.nrows; i++)
        n += strcmp(table_text(&sum->verdicts, i, "about"), "kinship") == 0;
    if (n == 0)
        return;
    body_begin(&p->body, BODY_ITEM, e);
    body_strong(&p->body, e, "Is it the right base?");
    body_text(
        &p->body, e,
        " Old and new weights of matrices point apart%s, as fine-tuning is not known to leave them; section "
        "Size and direction has the numbers.",
        sum->cells.nrows == 1 ? ""
        : n == 1              ? " in one cell"
                              : " in several cells");
}

/* The smaller share of a side that a cell compares; 1 where it was not measured. */
static double side_covered(const struct summary *sum, int64_t row)
{
    double base = table_real(&sum->cells, row, "covered_base"),
           tuned = table_real(&sum->cells, row, "covered_tuned"), least = base < tuned ? base : tuned;
    return isfinite(least) ? least : 1;
}

/* What the figures leave out, where that is anything; shares are cut, not rounded, so that 100 means all. */
static void brief_covered(struct page *p, struct err *e)
{
    const struct summary *sum = p->sum;
    double covered = summary_covered(sum, -1);
    int64_t least = -1;
    if (!(covered < 1))
        return;
    for (int64_t i = 0; i < sum->cells.nrows; i++)
        if (side_covered(sum, i) < (least < 0 ? 1 : side_covered(sum, least)))
            least = i;
    body_begin(&p->body, BODY_ITEM, e);
    body_strong(&p->body, e, "%.2f %% of the parameters covered.", floor(1e4 * covered) / 100);
    body_text(&p->body, e, " The others are in no total here; section Left out says why.");
    if (least >= 0)
        body_text(&p->body, e, " %s: %.4g %% of the base's parameters and %.4g %% of the tuned side's.",
                  sum->cells.nrows > 1 ? "The cell covered least" : "Of each side",
                  floor(1e4 * table_real(&sum->cells, least, "covered_base")) / 100,
                  floor(1e4 * table_real(&sum->cells, least, "covered_tuned")) / 100);
}

/* Over the matrices that changed; how many did not stands beside. */
static void brief_rank(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    double percents = 0;
    int64_t changed = 0, zero = 0;
    for (int64_t i = 0; sum->rank_nodes.n > 0 && i < sum->cells.nrows; i++) {
        const char *cell = table_text(&sum->cells, i, "cell"), *node = sum->rank_nodes.text[0];
        const struct tally t = summary_rank_of(sum, node, cell, "percent", e);
        const int64_t still = (int64_t)summary_rank_of(sum, node, cell, "zero", e).sum;
        percents += t.sum; /* to which those that did not change add nothing */
        changed += t.n - still;
        zero += still;
    }
    if (changed + zero == 0)
        return;
    body_begin(&p->body, BODY_ITEM, e);
    if (changed == 0) {
        body_strong(&p->body, e, "No rank.");
        body_text(&p->body, e, " None of the %lld matrices measured changed.", (long long)zero);
        return;
    }
    const double mean = percents / (double)changed;
    body_strong(&p->body, e, "%.1f %% of full rank.", mean);
    if (changed == 1)
        body_text(&p->body, e, " Of the one matrix measured that changed");
    else
        body_text(&p->body, e, " Mean over the %lld matrices measured that changed", (long long)changed);
    if (zero > 0)
        body_text(&p->body, e, " (%lld did not)", (long long)zero);
    body_text(&p->body, e,
              ": an update changes so many of the independent directions that it could change%s.",
              mean > 90 ? ", nearly all of them" : "");
}

/* Pairs that differ in their seed alone, as the published table begins; all pairs where there are none. */
static void brief_overlap(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
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
    body_begin(&p->body, BODY_ITEM, e);
    body_strong(&p->body, e, "%.0f %% of updates in common.", measured);
    body_text(
        &p->body, e,
        " Two %s share so much of what either updates; uniform chance gives %.0f %%, chance among weights "
        "of one tensor and one size %.0f %%: ",
        seeds ? "runs that differ in their seed alone" : "cells on one base",
        page_percent(tally_mean(&sums[1])), matched);
    if (left <= 0)
        body_text(&p->body, e, "beyond that, nothing is left to explain.");
    else
        body_text(&p->body, e, "what is left to explain beyond that is %.1f percentage points.", left);
}

static void brief_entropy(struct page *p, struct err *e)
{
    const struct summary *sum = p->sum;
    struct tally before = {0}, after = {0};
    const char *caveat = NULL;
    for (int64_t i = 0; i < sum->entropy.nrows; i++)
        if (strcmp(table_text(&sum->entropy, i, "node"), sum->entropy_nodes.text[0]) == 0) {
            if (!caveat && table_text(&sum->entropy, i, "caveat")[0])
                caveat = table_text(&sum->entropy, i, "caveat");
            tally_add(strcmp(table_text(&sum->entropy, i, "policy"), "base") == 0 ? &before : &after,
                      table_real(&sum->entropy, i, "mean"));
        }
    if (before.n == 0 || after.n == 0)
        return;
    body_begin(&p->body, BODY_ITEM, e);
    body_strong(&p->body, e, "%.3f nats before, %.3f after%s", tally_mean(&before), tally_mean(&after),
                caveat ? ", not to be compared as they stand." : ".");
    if (caveat)
        body_text(&p->body, e, " The section on token entropy says why: %s.", caveat);
    body_text(&p->body, e,
              " Mean entropy of a token: how open the choice of the next token was; lower is more certain.");
}

int section_brief(struct page *p, struct err *e)
{
    int64_t before = p->body.n;
    brief_kinship(p, e);
    brief_sparsity(p, e);
    brief_covered(p, e);
    brief_rank(p, e);
    brief_overlap(p, e);
    brief_entropy(p, e);
    if (p->body.n == before)
        return 0;
    if (p->figures && p->figures->missing[0]) {
        body_begin(&p->body, BODY_QUOTE, e);
        body_strong(&p->body, e, "No figures.");
        body_text(&p->body, e, " %s", p->figures->missing);
    }
    return 1;
}

/* ---- the words used ---- */

/* Explanations: a word of weight and what it means, at most twice each. */
static const struct {
    const char *word, *meaning, *other, *other_meaning;
    int of_pairs; /* is about pairs of cells, which not every study has */
} words[] = {
    {"Parameter", " or weight: one of the numbers that a model is made of.", NULL, NULL, 0},
    {"Cell",
     ": one tuned checkpoint and the base checkpoint that it was tuned from; called FAMILY/ALGORITHM/SEED.",
     NULL, NULL, 0},
    {"Update", ": the difference of the two. ", "Sparsity",
     ": the share of parameters that do not count as updated, at the tolerance named; unchanged: of those whose "
     "bits are equal.",
     0},
    {"Tolerance", ": the largest difference that still counts as none. ", "Mask",
     ": which parameters count as updated.", 0},
    {"Layer", " and ", "module",
     ": a model is a stack of layers; each has weight matrices of several kinds, such as q_proj (attention) or "
     "up_proj.",
     0},
    {"Uniform chance", ": two sets of the same sizes drawn at random from all parameters. ", "Matched chance",
     ": drawn among the weights of the same tensor and the same size, since rounding lets small weights move "
     "more easily.",
     1},
    {"Node", ": a step of the study as its config names it.", NULL, NULL, 0},
};

/* Where there are results to be read. */
int section_words(struct page *p, struct err *e)
{
    if (!body_has_section(&p->body, "in-short"))
        return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i].of_pairs && p->sum->overlap_nodes.n == 0)
            continue;
        body_begin(&p->body, BODY_ITEM, e);
        body_strong(&p->body, e, "%s", words[i].word);
        body_text(&p->body, e, "%s", words[i].meaning);
        if (words[i].other) {
            body_strong(&p->body, e, "%s", words[i].other);
            body_text(&p->body, e, "%s", words[i].other_meaning);
        }
    }
    return 1;
}
