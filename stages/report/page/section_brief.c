/* The sections that open the page: the results in a few sentences, and the words used. */
#include "report/page/sections.h"

#include <math.h>
#include <string.h>

/* ---- the results in a few sentences ---- */

static void brief_sparsity(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
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
    if (tuned.n > 0) {
        body_begin(&p->body, BODY_ITEM, e);
        body_strong(&p->body, e, "%.1f %% untouched.", page_percent(tally_mean(&tuned)));
        body_text(
            &p->body, e,
            " In the mean cell so many of the parameters stayed as they were (%s); %.1f to %.1f %% over "
            "%lld %s.",
            title, page_percent(tuned.least), page_percent(tuned.greatest), (long long)tuned.n,
            tuned.n == 1 ? "cell" : "cells");
    }
    if (control.n > 0) {
        body_begin(&p->body, BODY_ITEM, e);
        body_strong(&p->body, e, "%.1f %% untouched by the control.", page_percent(tally_mean(&control)));
        body_text(&p->body, e,
                  " Supervised fine-tuning (SFT), which is no reinforcement learning; mean of %lld %s.",
                  (long long)control.n, control.n == 1 ? "cell" : "cells");
    }
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

static void brief_rank(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    struct tally all = {0};
    for (int64_t i = 0; sum->rank_nodes.n > 0 && i < sum->cells.nrows; i++) {
        struct tally t =
            summary_rank_of(sum, sum->rank_nodes.text[0], table_text(&sum->cells, i, "cell"), "percent", e);
        tally_add(&all, tally_mean(&t));
    }
    if (all.n == 0)
        return;
    body_begin(&p->body, BODY_ITEM, e);
    body_strong(&p->body, e, "%.1f %% of full rank.", tally_mean(&all));
    body_text(&p->body, e,
              " The mean update matrix changes so many of the independent directions that it could change%s.",
              tally_mean(&all) > 90 ? ": nearly all of them" : "");
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
} words[] = {
    {"Parameter", " or weight: one of the numbers that a model is made of.", NULL, NULL},
    {"Cell",
     ": one tuned checkpoint and the base checkpoint that it was tuned from; called FAMILY/ALGORITHM/SEED.",
     NULL, NULL},
    {"Update", ": the difference of the two. ", "Sparsity",
     ": the share of parameters that it leaves as they were."},
    {"Tolerance", ": the largest difference that still counts as none. ", "Mask",
     ": which parameters count as updated."},
    {"Layer", " and ", "module",
     ": a model is a stack of layers; each has weight matrices of several kinds, such as q_proj (attention) or "
     "up_proj."},
    {"Uniform chance", ": two sets of the same sizes drawn at random from all parameters. ", "Matched chance",
     ": drawn among the weights of the same tensor and the same size, since rounding lets small weights move "
     "more easily."},
    {"Node", ": a step of the study as its config names it.", NULL, NULL},
};

/* Where there are results to be read. */
int section_words(struct page *p, struct err *e)
{
    if (!body_has_section(&p->body, "in-short"))
        return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
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
