#include "compare/verdict.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of weights of the finest gaps so many are asked at least, one in so many, and until so many of them have
 * changed: their rate is then known to some percent. */
enum { FINEST_LEAST = 1000, FINEST_SHARE = 10000, FINEST_CHANGED = 400 };

/* A share in percent, never rounded to all or nothing where it is neither. */
static const char *percent(double share, char *out, size_t size)
{
    double x = 100 * share;
    if (share <= 0 || share >= 1)
        snprintf(out, size, "%.0f %%", x);
    else if (x < 0.005)
        snprintf(out, size, "less than 0.01 %%");
    else if (x > 99.995)
        snprintf(out, size, "more than 99.99 %%");
    else
        snprintf(out, size, "%.2f %%", x);
    return out;
}

static const char *type_name(enum arithmetic a)
{
    return a == ARITHMETIC_BF16 ? "bf16" : "float32";
}

enum { KIN_LEAST = 1000 }; /* elements of a matrix: unrelated ones have a cosine of 0.03 at most, then */

struct verdict_kin verdict_kin_of(const struct layout *l, const struct square_sums *squares)
{
    struct verdict_kin k = {.matrices = 0};
    for (int64_t i = 0; i < l->ntensors; i++) {
        const double cosine = norms_of(&squares[i]).cosine;
        if (l->tensors[i].ndim < 2 || l->tensors[i].elements < KIN_LEAST || !isfinite(cosine))
            continue;
        k.matrices++;
        if (cosine >= VERDICT_KIN)
            continue;
        k.apart++;
        k.parameters += l->tensors[i].elements;
        k.apart_squares.base += squares[i].base;
        k.apart_squares.delta += squares[i].delta;
        k.apart_squares.gain += squares[i].gain;
    }
    return k;
}

struct verdict verdict_kinship(const struct verdict_facts *f)
{
    const struct verdict_kin *k = &f->kin;
    char share[32];
    if (k->apart == 0 || f->parameters == 0)
        return (struct verdict){.about = NULL};
    struct verdict v = {.about = "kinship", .value = norms_of(&k->apart_squares).cosine};
    const double shown = fabs(v.value) < 0.0005 ? 0 : v.value; /* no -0.000 */
    snprintf(
        v.sentence, sizeof v.sentence,
        "In %lld of %lld matrices, with %s of the compared parameters, old and new weights have a cosine "
        "of %.3f; unrelated weights have about 0, and fine-tuning stays near 1: is the base what the "
        "tuned side was trained from, with its rows and layers in the same order?",
        (long long)k->apart, (long long)k->matrices,
        percent((double)k->parameters / (double)f->parameters, share, sizeof share), shown);
    return v;
}

/* Elements whose bits differ and whose values do not: 0 and -0 are one value. */
static const char *signs_of_zero(const struct verdict_facts *f, char *out, size_t size)
{
    char n[32];
    int64_t signs = f->bit_changed - f->nonzero;
    out[0] = '\0';
    if (f->nonfinite > 0) /* NaN on both sides is counted as no zero, and as no other bits */
        return out;
    if (signs > 0 && f->nonzero == 0)
        snprintf(out, size, " The values are the same: only zeros have another sign (0 and -0).");
    else if (signs > 0)
        snprintf(out, size,
                 " Of these, %s changed the sign of a zero alone (0 and -0), which is the same value.",
                 text_grouped(signs, n, sizeof n));
    return out;
}

struct verdict verdict_unchanged(const struct verdict_facts *f)
{
    struct verdict v = {.about = "unchanged"};
    char all[32], changed[32], share[32], signs[120];
    if (f->parameters == 0)
        return (struct verdict){.about = NULL};
    v.value = 1 - (double)f->bit_changed / (double)f->parameters;
    text_grouped(f->parameters, all, sizeof all);
    text_grouped(f->bit_changed, changed, sizeof changed);
    if (f->bit_changed == 0 && f->norms.base == 0 && f->nonfinite == 0)
        snprintf(
            v.sentence, sizeof v.sentence,
            "All %s compared parameters are zero on both sides: these files hold no weights (hollow checkpoints, "
            "or downloads that did not arrive), and nothing was measured.",
            all);
    else if (f->bit_changed == 0)
        snprintf(v.sentence, sizeof v.sentence, "All %s compared parameters are the same in %s, bit for bit.",
                 all, type_name(f->arithmetic));
    else if (f->bit_changed == f->parameters)
        snprintf(v.sentence, sizeof v.sentence, "Every one of the %s compared parameters changed in %s.", all,
                 type_name(f->arithmetic));
    else if (f->touched == 1 && f->tensors > 1)
        snprintf(
            v.sentence, sizeof v.sentence,
            "%s of the %s compared parameters changed in %s, all of them in one of %lld tensors, %.200s.",
            changed, all, type_name(f->arithmetic), (long long)f->tensors, f->only);
    else
        snprintf(v.sentence, sizeof v.sentence,
                 "%s of the %s compared parameters are unchanged in %s; %s changed, in %lld of %lld tensors.",
                 percent(v.value, share, sizeof share), all, type_name(f->arithmetic), changed,
                 (long long)f->touched, (long long)f->tensors);
    size_t used = strlen(v.sentence);
    snprintf(v.sentence + used, sizeof v.sentence - used, "%s", signs_of_zero(f, signs, sizeof signs));
    return v;
}

int verdict_estimate(const struct verdict_facts *f, struct verdict_rounding *out)
{
    int64_t asked = 0, moved = 0, least = f->parameters / FINEST_SHARE, all = 0, changed = 0;
    if (f->arithmetic != ARITHMETIC_BF16 || f->exact || f->bit_changed == 0)
        return -1;
    if (f->touched == 1 && f->tensors > 1) /* steps are not alike then: what is untouched was not stepped */
        return -1;
    least = least < FINEST_LEAST ? FINEST_LEAST : least;
    for (int b = 0; b < MAGNITUDE_INFINITE; b++) {
        all += f->elements[b];
        changed += f->updated[b];
        if (asked < least || moved < FINEST_CHANGED) {
            asked += f->elements[b];
            moved += f->updated[b];
        }
    }
    if (asked < least || moved < FINEST_CHANGED)
        return -1;
    double rate = (double)changed / (double)all;
    out->density = (double)moved / (double)asked;
    if (out->density < rate) /* by chance, or because steps do depend on |w0|: nothing is swallowed then */
        out->density = rate;
    out->unchanged = 1 - rate / out->density;
    return 0;
}

struct verdict verdict_rounding_of(const struct verdict_facts *f)
{
    struct verdict_rounding r;
    char density[32], unchanged[32];
    if (verdict_estimate(f, &r) != 0)
        return (struct verdict){.about = NULL};
    struct verdict v = {.about = "rounding", .value = r.unchanged};
    snprintf(v.sentence, sizeof v.sentence,
             "Rounding to bf16 alone would leave %s unchanged: of the weights nearest to zero, where the "
             "smallest steps show, %s changed (an estimate; it takes steps to be as large for small weights "
             "as for large ones).",
             percent(r.unchanged, unchanged, sizeof unchanged), percent(r.density, density, sizeof density));
    return v;
}

struct verdict verdict_size(const struct verdict_facts *f)
{
    const struct norms *n = &f->norms;
    struct verdict v = {.about = "size", .value = n->relative};
    if (n->delta == 0)
        snprintf(v.sentence, sizeof v.sentence, "The update is zero.");
    else if (n->base == 0)
        snprintf(
            v.sentence, sizeof v.sentence,
            "The update's norm is %.4g; the base's weights are all zero, so that it has no share of theirs "
            "and no angle to them.",
            n->delta);
    else if (n->tuned == 0)
        snprintf(v.sentence, sizeof v.sentence,
                 "The tuned side's weights are all zero: the update is the base itself, of norm %.4g.",
                 n->base);
    else if (!isfinite(n->relative) || !isfinite(n->one_minus_cosine))
        return (struct verdict){.about = NULL};
    else
        snprintf(v.sentence, sizeof v.sentence,
                 "The update's norm is %.3g of the base's (%.4g of %.4g); 1 - cosine of old and new is %.3g.",
                 n->relative, n->delta, n->base, n->one_minus_cosine);
    return v;
}

struct verdict verdict_nonfinite(const struct verdict_facts *f)
{
    char n[32];
    int one = f->nonfinite == 1;
    struct verdict v = {.about = "nonfinite", .value = (double)f->nonfinite};
    if (f->nonfinite == 0)
        return (struct verdict){.about = NULL};
    snprintf(
        v.sentence, sizeof v.sentence,
        "%s compared element%s NaN or infinite on a side: no size tells of %s, and %s as updated at every "
        "tolerance, even where both sides are the same.",
        text_grouped(f->nonfinite, n, sizeof n), one ? " is" : "s are", one ? "it" : "them",
        one ? "it counts" : "they count");
    return v;
}

struct verdict verdict_concentration(const struct verdict_facts *f)
{
    enum { TOP_1_PERCENT = 1 };
    char share[32], alike[32];
    if (!isfinite(f->concentration.top[TOP_1_PERCENT]) || f->nonzero == 0)
        return (struct verdict){.about = NULL};
    const int64_t k = f->parameters / 100 + (f->parameters % 100 > 0); /* as concentration_cuts has it */
    const double even = k < f->nonzero ? (double)k / (double)f->nonzero : 1;
    struct verdict v = {.about = "concentration", .value = f->concentration.top[TOP_1_PERCENT]};
    snprintf(
        v.sentence, sizeof v.sentence,
        "The 1 %% of the compared parameters that moved furthest hold %s of the update's energy (its sum of "
        "squares); had all that moved gone equally far, it would be %s.",
        percent(v.value, share, sizeof share), percent(even, alike, sizeof alike));
    return v;
}

struct verdict verdict_coverage(const struct verdict_facts *f)
{
    struct verdict v = {.about = "coverage"};
    char words[160], left[32];
    if (f->parameters == 0 && f->left_out == 0)
        return (struct verdict){.about = NULL};
    v.value = (double)f->parameters / ((double)f->parameters + (double)f->left_out);
    if (f->left_out == 0)
        snprintf(v.sentence, sizeof v.sentence, "All parameters of both sides are compared.");
    else
        snprintf(v.sentence, sizeof v.sentence,
                 "%s; %s are left out, and no figure tells of them (table skipped says which and why).",
                 coverage_words(&f->coverage, words, sizeof words),
                 text_grouped(f->left_out, left, sizeof left));
    return v;
}

err_t verdict_rows(const struct verdict_facts *f, const char *cell, const char *node, struct table *out,
                   struct err *e)
{
    const struct verdict covered = verdict_coverage(f), none = {.about = NULL};
    int in_part = coverage_share(&f->coverage, -1) < COVERAGE_WHOLE;
    const struct verdict all[] = {in_part ? covered : none, verdict_kinship(f),      verdict_unchanged(f),
                                  verdict_rounding_of(f),   verdict_size(f),         verdict_nonfinite(f),
                                  verdict_concentration(f), in_part ? none : covered};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].about)
            TRY(TABLE_ADD(out, e, V_TEXT(cell), V_TEXT(node), V_TEXT(all[i].about), V_REAL(all[i].value),
                          V_TEXT(all[i].sentence)));
    return ERR_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct verdict verdict_rank(double *percents, int64_t n, int64_t zero, const struct layout_drawn *of)
{
    char unchanged[80] = "", drawn[80] = "";
    zero = of->unchanged > zero ? of->unchanged : zero;
    if (n == 0)
        return (struct verdict){.about = NULL};
    qsort(percents, (size_t)n, sizeof *percents, ascending);
    double median = n % 2 ? percents[n / 2] : (percents[n / 2 - 1] + percents[n / 2]) / 2;
    struct verdict v = {.about = "full_rank", .value = median};
    if (zero > 0)
        snprintf(unchanged, sizeof unchanged, " (%lld more did not change)", (long long)zero);
    if (of->changed > n)
        snprintf(drawn, sizeof drawn, ", drawn from the %lld that changed", (long long)of->changed);
    if (n == 1)
        snprintf(v.sentence, sizeof v.sentence,
                 "The update of the one matrix measured%s%s has %.4g %% of full rank%s.", drawn,
                 drawn[0] ? "," : "", percents[0], unchanged);
    else
        snprintf(
            v.sentence, sizeof v.sentence,
            "The updates of the %lld matrices measured%s%s%s have %.4g %% of full rank in the median, from "
            "%.4g %% to %.4g %%.",
            (long long)n, drawn, unchanged, drawn[0] && !zero ? "," : "", median, percents[0],
            percents[n - 1]);
    return v;
}

/* ---- token entropy ---- */

/* A vocabulary below this is none of a language model's: bytes alone are so many. */
enum { LEAST_VOCABULARY = 256 };

const char *verdict_caveat(const struct verdict_entropy policy[2], int k, char *text, size_t size)
{
    const struct verdict_entropy *y = &policy[k], *other = &policy[1 - k];
    char some[32], all[32];
    text[0] = '\0';
    if (!y->given || y->vocabulary == 0)
        return text;
    text_grouped(y->cut, some, sizeof some);
    text_grouped(y->tokens, all, sizeof all);
    if (y->cut > 0)
        snprintf(text, size, "for %s of %s tokens fewer than half of the logits are there, the rest were cut",
                 some, all);
    else if (y->lacking > 0 && y->of_logs == y->tokens)
        snprintf(text, size,
                 "the logits are log-probabilities that do not sum to 1, the largest of a longer list");
    else if (other->given && other->vocabulary > 0 && other->vocabulary != y->vocabulary)
        snprintf(text, size, "the vocabularies differ: %lld in the base's logits, %lld in the tuned's",
                 (long long)policy[0].vocabulary, (long long)policy[1].vocabulary);
    else if (y->strange)
        snprintf(text, size, "a vocabulary of %lld logits, and the model's head has %lld rows",
                 (long long)y->vocabulary, (long long)y->rows);
    else if (y->rows == 0 && y->vocabulary < LEAST_VOCABULARY)
        snprintf(text, size, "a vocabulary of %lld logits, and nothing says that the model's is so small",
                 (long long)y->vocabulary);
    return text;
}

/* "0.6931 nats over 1,000 tokens" */
static const char *mean_of(const struct verdict_entropy *y, char *out, size_t size)
{
    char tokens[32];
    snprintf(out, size, "%.4g nats over %s tokens", y->mean, text_grouped(y->tokens, tokens, sizeof tokens));
    return out;
}

struct verdict verdict_entropy(const struct verdict_entropy policy[2])
{
    static const char *const names[2] = {"base", "tuned"};
    struct verdict v = {.about = "entropy"};
    char mean[2][64], caveat[2][120], why[264] = "";
    int both = policy[0].given && policy[1].given, only = policy[0].given ? 0 : 1;
    if (!policy[0].given && !policy[1].given)
        return (struct verdict){.about = NULL};
    for (int k = 0; k < 2; k++) {
        mean_of(&policy[k], mean[k], sizeof mean[k]);
        verdict_caveat(policy, k, caveat[k], sizeof caveat[k]);
    }
    if (strcmp(caveat[0], caveat[1]) == 0)
        snprintf(why, sizeof why, "%s", caveat[0]);
    else
        for (int k = 0; k < 2; k++)
            if (caveat[k][0])
                snprintf(why + strlen(why), sizeof why - strlen(why), "%s%s: %s", why[0] ? "; " : "",
                         names[k], caveat[k]);
    v.value = why[0] ? NAN : both ? policy[1].mean - policy[0].mean : policy[only].mean;
    if (both)
        snprintf(v.sentence, sizeof v.sentence, "%s%s%s base %s, tuned %s.",
                 why[0] ? "The token entropies are not to be compared as they stand, " : "",
                 why[0] ? why : "The mean token entropy:", why[0] ? ":" : "", mean[0], mean[1]);
    else
        snprintf(v.sentence, sizeof v.sentence, "The mean token entropy of the %s policy is %s%s%s.",
                 names[only], mean[only], why[0] ? "; but " : "", why);
    return v;
}
