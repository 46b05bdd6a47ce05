/* The section that says what the study is made of. */
#include "report/page/sections.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

static void say_axis(struct page *p, const struct keys *k, const char *one, const char *many, struct err *e)
{
    const char *list = keys_list(k, 12, e);
    if (k->n > 0 && list)
        body_say(&p->body, BODY_ITEM, e, "%lld %s: %s", (long long)k->n, k->n == 1 ? one : many, list);
}

/* "99.21 % of all; 12 tensors, or rows of them, were left out": cut, not rounded, so that 100 % means all. */
static const char *covered_words(struct summary *sum, struct err *e)
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

/* What was taken of folders that could mean more than one thing: the first lines, and how many there are
 * more. */
static void say_notes(struct page *p, const char *notes, struct err *e)
{
    enum { SHOWN = 12 };
    long long n = 0;
    if (!notes[0])
        return;
    body_say(&p->body, BODY_PARAGRAPH, e, "Of checkpoints that could mean more than one thing was taken:");
    for (const char *line = notes; *line; n++) {
        size_t length = strcspn(line, "\n");
        if (n < SHOWN)
            body_say(&p->body, BODY_ITEM, e, "%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
    if (n > SHOWN)
        body_say(&p->body, BODY_ITEM, e, "and of %lld more, as /provenance/notes of the archive lists",
                 n - SHOWN);
}

int section_study(struct page *p, struct err *e)
{
    struct summary *sum = p->sum;
    long long cells = sum->cells.nrows, parameters = 0, tensors = 0;
    for (int64_t i = 0; i < sum->cells.nrows; i++) {
        parameters += table_int(&sum->cells, i, "parameters");
        tensors += table_int(&sum->cells, i, "tensors");
    }
    const int pair = cells == 1;
    char all[32];
    if (pair)
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "One cell, %s: the tuned checkpoint %s beside its base %s. %s parameters in %lld tensors "
                 "were compared, %s.%s",
                 table_text(&sum->cells, 0, "cell"), table_text(&sum->cells, 0, "tuned"),
                 table_text(&sum->cells, 0, "base"), text_grouped(parameters, all, sizeof all), tensors,
                 covered_words(sum, e),
                 sum->skipped.rows.n > 0 ? " What was left out stands at the end, with the reason." : "");
    else
        body_say(&p->body, BODY_PARAGRAPH, e,
                 "%lld cells: each compares a tuned checkpoint with the base it was tuned from. In all %.4g "
                 "parameters in %lld\n"
                 "tensors were compared, %s. What each stage left out stands at the end, with the reason.",
                 cells, (double)parameters, tensors, covered_words(sum, e));
    if (!pair) { /* of which the cell's name says all */
        say_axis(p, &sum->families, "family", "families", e);
        say_axis(p, &sum->algorithms, "algorithm", "algorithms", e);
        say_axis(p, &sum->seeds, "seed", "seeds", e);
        say_axis(p, &sum->data, "training-data name", "training-data names", e);
        say_axis(p, &sum->steps, "training step", "training steps", e);
    }
    say_notes(p, sum->notes, e);
    body_say(&p->body, BODY_PARAGRAPH, e,
             "Update sparsity is the share of parameters that were not updated. Figures are percent unless "
             "said otherwise;\n"
             "\"81.38 (80.11-82.02)\" is a mean with the least and the greatest value. Every table of the "
             "archive stands beside this\n"
             "page as CSV, complete.");
    body_say(&p->body, BODY_PARAGRAPH, e, "Archive of %s, sinew %s.", sum->created, sum->version);
    return 1;
}
