/* Verdicts: what a pair's figures say, in sentences that say no more than their numbers.
 *
 * Pure functions from figures to sentences. Each is right of any pair: of one that did not change, of one of
 * which a single tensor did, of one where everything moved, of one compared in part. A figure that cannot be
 * had gives no sentence. */
#ifndef SINEW_VERDICT_H
#define SINEW_VERDICT_H

#include "compare/concentration/concentration.h"
#include "compare/coverage.h"
#include "compare/layout.h"
#include "compare/norms.h"
#include "elements/magnitude/magnitude.h"
#include "hdf5/table.h"

#include <stddef.h>

struct verdict {
    const char *about; /* "kinship", "unchanged", "rounding", "size", "nonfinite", "concentration",
                          "coverage", "full_rank" or "entropy"; NULL: nothing can be said */
    double value;      /* the figure that the sentence is about */
    char sentence[480];
};

/* Of the matrices of a pair those whose old and new weights point apart, as no fine-tuning is known to leave
 * them: those of another model, or the same rows or layers in another order. */
struct verdict_kin {
    int64_t matrices;   /* that are large enough to tell, with a cosine */
    int64_t apart;      /* of these, with a cosine below VERDICT_KIN */
    int64_t parameters; /* in those apart */
    struct square_sums apart_squares;
};
#define VERDICT_KIN 0.9

/* Of a cell, all over its compared parameters. */
struct verdict_facts {
    enum arithmetic arithmetic;
    int exact; /* the update is an adapter's own, not the difference of rounded weights */
    int64_t parameters, bit_changed, nonzero;
    int64_t nonfinite;                 /* compared elements that are NaN or Inf on either side */
    int64_t left_out;                  /* parameters of either side that are not compared */
    struct coverage coverage;          /* of each side */
    int64_t tensors, touched;          /* compared; of these, with a changed element */
    const char *only;                  /* the touched tensor where there is one alone */
    const int64_t *elements, *updated; /* by magnitude bin of |w0|, MAGNITUDE_BINS each */
    struct norms norms;
    struct verdict_kin kin;
    struct concentration concentration;
};

/* What rounding does to an update, from the rate of changed weights by magnitude. */
struct verdict_rounding {
    double density;   /* estimated share of weights that were moved, however little */
    double unchanged; /* share that rounding alone would leave unchanged: were all weights moved so */
};

/* Local, pure. The estimate. A weight stored in bf16 changes when its step exceeds half the gap to its
 * neighbour, which grows with |w0|. If steps do not depend on |w0|, the share r of changed weights in a bin
 * is the chance of a step of more than that bin's half gap; the weights of the finest gaps, where nearly
 * every step shows, tell the share that was moved at all, and the others what rounding swallowed. Returns 0;
 * -1 where it cannot be made: another compare type, one tensor alone that changed, or too few weights
 * changed. Source of the idea: arXiv:2602.03839, arXiv:2509.04259. */
int verdict_estimate(const struct verdict_facts *f, struct verdict_rounding *out);

/* Local, pure. From the sums of each tensor of the layout. A cosine of two unrelated matrices of n elements
 * is 0 within 1 / sqrt(n); tensors of fewer than two dimensions, such as scales of norms, which are all near
 * 1 in any model, and those of fewer than a thousand elements tell nothing and are passed over. */
struct verdict_kin verdict_kin_of(const struct layout *l, const struct square_sums *squares);

/* Local, pure. What can be said: whether the two sides hardly belong together; how much is unchanged; what
 * rounding explains of it; the size of the update and how concentrated it is, beside one whose changed
 * elements are all equally large; how much of both sides was compared. `about` is NULL where there is nothing
 * to say. */
struct verdict verdict_kinship(const struct verdict_facts *f);
struct verdict verdict_unchanged(const struct verdict_facts *f);
struct verdict verdict_rounding_of(const struct verdict_facts *f);
struct verdict verdict_size(const struct verdict_facts *f);
struct verdict verdict_nonfinite(const struct verdict_facts *f);
struct verdict verdict_concentration(const struct verdict_facts *f);
struct verdict verdict_coverage(const struct verdict_facts *f);

/* Local. All of them that can be said, as rows of table verdicts; coverage comes before all else where less
 * than COVERAGE_WHOLE of a side is compared. */
err_t verdict_rows(const struct verdict_facts *f, const char *cell, const char *node, struct table *out,
                   struct err *e);

/* Local. The ranks of n updated matrices, in percent of full rank, which it sorts; zero: how many of those
 * measured did not change at all; of: from how many they were drawn, both 0 where they are all. */
struct verdict verdict_rank(double *percents, int64_t n, int64_t zero, const struct layout_drawn *of);

/* Of one policy's tokens. */
struct verdict_entropy {
    int given;                     /* 0: nothing is known of it */
    int64_t tokens, vocabulary;    /* vocabulary 0: entropies were given */
    int64_t rows;                  /* of the model's head or embedding; 0: not known */
    int strange;                   /* the vocabulary is not the model's (formats/logits/fit.h) */
    int64_t cut, of_logs, lacking; /* tokens whose rows are so (whole.h of the entropy kernels) */
    double mean;                   /* nats */
};

/* Local, pure. What keeps the figures of policy k (0 base, 1 tuned) from being the entropies of its whole
 * distribution, over the same vocabulary as the other's, in words; "" where nothing does. Returns text. */
const char *verdict_caveat(const struct verdict_entropy policy[2], int k, char *text, size_t size);

/* Local, pure. The mean entropies of base and tuned policy, with what keeps them from being compared in the
 * same sentence. value: tuned less base in nats, of one policy alone its mean; NaN where there is a caveat.
 */
struct verdict verdict_entropy(const struct verdict_entropy policy[2]);

#endif
