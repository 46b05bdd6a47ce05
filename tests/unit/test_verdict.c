/* Sentences against the figures that made them, on pairs where another sentence would be right; and what
 * rounding explains, against updates whose true steps are known. */
#include "unitlib.h"

#include "compare/verdict.h"

#include <math.h>
#include <string.h>

static int64_t elements[MAGNITUDE_BINS], updated[MAGNITUDE_BINS];

static struct verdict_facts facts(int64_t parameters, int64_t changed)
{
    return (struct verdict_facts){.arithmetic = ARITHMETIC_BF16,
                                  .parameters = parameters,
                                  .bit_changed = changed,
                                  .nonzero = changed,
                                  .tensors = 10,
                                  .touched = 10,
                                  .only = "lm_head.weight",
                                  .elements = elements,
                                  .updated = updated};
}

static void says(struct verdict v, const char *about, double value, const char *sentence)
{
    assert_string_equal(v.about, about);
    assert_string_equal(v.sentence, sentence);
    assert_true(v.value == value);
}

static void test_unchanged(void **state)
{
    (void)state;
    struct verdict_facts f = facts(1234567, 0);
    f.touched = 0;
    f.norms = norms_of(&(struct square_sums){4, 0, 0});
    says(verdict_unchanged(&f), "unchanged", 1,
         "All 1,234,567 compared parameters are the same in bf16, bit for bit.");
    f.norms = norms_of(&(struct square_sums){0, 0, 0}); /* equal, but nothing that was trained */
    says(verdict_unchanged(&f), "unchanged", 1,
         "All 1,234,567 compared parameters are zero on both sides: these files hold no weights (hollow "
         "checkpoints, or downloads that did not arrive), and nothing was measured.");
    f = facts(1000, 1000);
    says(verdict_unchanged(&f), "unchanged", 0,
         "Every one of the 1,000 compared parameters changed in bf16.");
    f = facts(1000, 250);
    says(verdict_unchanged(&f), "unchanged", 0.75,
         "75.00 % of the 1,000 compared parameters are unchanged in bf16; 250 changed, in 10 of 10 tensors.");
    f.touched = 1;
    f.arithmetic = ARITHMETIC_F32;
    says(verdict_unchanged(&f), "unchanged", 0.75,
         "250 of the 1,000 compared parameters changed in float32, all of them in one of 10 tensors, "
         "lm_head.weight.");
    f.nonzero = 240; /* 0 and -0: other bits, the same value */
    assert_non_null(
        strstr(verdict_unchanged(&f).sentence,
               "lm_head.weight. Of these, 10 changed the sign of a zero alone (0 and -0), which is the "
               "same value."));
    f.nonzero = 0;
    assert_non_null(strstr(verdict_unchanged(&f).sentence,
                           ". The values are the same: only zeros have another sign (0 and -0)."));
    f.nonfinite = 1; /* which may be among the nonzero and not among the changed: no telling */
    assert_null(strstr(verdict_unchanged(&f).sentence, "zero"));
    f.nonfinite = 0;
    f.nonzero = 250;
    f.tensors = 1; /* there is no other */
    says(
        verdict_unchanged(&f), "unchanged", 0.75,
        "75.00 % of the 1,000 compared parameters are unchanged in float32; 250 changed, in 1 of 1 tensors.");
    f = facts(100000000, 1); /* never rounded to all */
    assert_non_null(strstr(verdict_unchanged(&f).sentence, "more than 99.99 % of"));
    f = facts(100000000, 99999999);
    assert_non_null(strstr(verdict_unchanged(&f).sentence, "less than 0.01 % of"));
    f = facts(0, 0);
    assert_null(verdict_unchanged(&f).about);
}

static void test_size(void **state)
{
    (void)state;
    struct verdict_facts f = facts(10, 5);
    f.norms = norms_of(&(struct square_sums){4, 0.04, 0});
    says(verdict_size(&f), "size", 0.1,
         "The update's norm is 0.1 of the base's (0.2 of 2); 1 - cosine of old and new is 0.005.");
    f.norms = norms_of(&(struct square_sums){4, 0, 0});
    says(verdict_size(&f), "size", 0, "The update is zero.");
    f.norms = norms_of(&(struct square_sums){0, 4, 4}); /* a ratio to nothing */
    assert_string_equal(
        verdict_size(&f).sentence,
        "The update's norm is 2; the base's weights are all zero, so that it has no share of theirs and "
        "no angle to them.");
    f.norms = norms_of(&(struct square_sums){4, 4, -4});
    assert_string_equal(verdict_size(&f).sentence,
                        "The tuned side's weights are all zero: the update is the base itself, of norm 2.");
    f.norms = norms_of(&(struct square_sums){NAN, NAN, NAN});
    assert_null(verdict_size(&f).about);
}

static void test_nonfinite(void **state)
{
    (void)state;
    struct verdict_facts f = facts(1000, 7);
    assert_null(verdict_nonfinite(&f).about);
    f.nonfinite = 1;
    says(
        verdict_nonfinite(&f), "nonfinite", 1,
        "1 compared element is NaN or infinite on a side: no size tells of it, and it counts as updated at every "
        "tolerance, even where both sides are the same.");
    f.nonfinite = 1234;
    says(
        verdict_nonfinite(&f), "nonfinite", 1234,
        "1,234 compared elements are NaN or infinite on a side: no size tells of them, and they count as updated at "
        "every tolerance, even where both sides are the same.");
}

static void test_concentration(void **state)
{
    (void)state;
    struct verdict_facts f = facts(100001, 5000);
    f.nonzero = 4004;
    f.concentration = (struct concentration){{0.1, 0.75, 1}};
    says(
        verdict_concentration(&f), "concentration", 0.75,
        "The 1 % of the compared parameters that moved furthest hold 75.00 % of the update's energy (its sum of "
        "squares); had all that moved gone equally far, it would be 25.00 %.");
    f.nonzero = 30; /* fewer than 1 % */
    f.concentration.top[1] = 1;
    assert_non_null(strstr(verdict_concentration(&f).sentence, "it would be 100"));
    f.concentration = CONCENTRATION_UNKNOWN; /* nothing moved */
    assert_null(verdict_concentration(&f).about);
}

static void test_coverage(void **state)
{
    (void)state;
    struct verdict_facts f = facts(900, 5);
    says(verdict_coverage(&f), "coverage", 1, "All parameters of both sides are compared.");
    f.left_out = 100;
    f.coverage = (struct coverage){.parameters = {990, 910}, .compared = {900, 900}};
    says(
        verdict_coverage(&f), "coverage", 0.9,
        "90.90 % of the base's parameters and 98.90 % of the tuned side's are compared; 100 are left out, and "
        "no figure tells of them (table skipped says which and why).");
    f = facts(0, 0);
    assert_null(verdict_coverage(&f).about);
}

static void test_rank(void **state)
{
    (void)state;
    double some[] = {99, 100, 98, 10}, one[] = {50};
    const struct layout_drawn all = {0, 0}, drawn = {7, 2}, only = {3, 0};
    says(
        verdict_rank(some, 4, 0, &all), "full_rank", 98.5,
        "The updates of the 4 matrices measured have 98.5 % of full rank in the median, from 10 % to 100 %.");
    says(
        verdict_rank(some, 3, 2, &all), "full_rank", 98,
        "The updates of the 3 matrices measured (2 more did not change) have 98 % of full rank in the median, "
        "from 10 % to 99 %.");
    says(verdict_rank(one, 1, 0, &all), "full_rank", 50,
         "The update of the one matrix measured has 50 % of full rank.");
    assert_null(verdict_rank(one, 0, 3, &all).about);
    says(
        verdict_rank(some, 3, 0, &drawn), "full_rank", 98,
        "The updates of the 3 matrices measured, drawn from the 7 that changed (2 more did not change) have 98 % of "
        "full rank in the median, from 10 % to 99 %.");
    says(verdict_rank(one, 1, 0, &only), "full_rank", 50,
         "The update of the one matrix measured, drawn from the 3 that changed, has 50 % of full rank.");
}

/* A pair's matrices by their sums: of like and of unlike weights, and what tells nothing. */
static void test_kinship(void **state)
{
    (void)state;
    struct layout_tensor t[5] = {{.ndim = 2, .elements = 4000},
                                 {.ndim = 2, .elements = 2000},
                                 {.ndim = 1, .elements = 2000},  /* no matrix */
                                 {.ndim = 2, .elements = 900},   /* too small to tell */
                                 {.ndim = 3, .elements = 2000}}; /* without a cosine */
    const struct square_sums apart = {100, 200, 0}, near = {100, 1e-4, 0}, opposite = {100, 400, 0},
                             sixty = {100, 100, 0}, nothing = {0, 5, 5};
    const struct layout l = {.ntensors = 5, .tensors = t};
    struct verdict_facts f = facts(10900, 10900);
    f.kin = verdict_kin_of(&l, (struct square_sums[]){near, near, apart, apart, nothing});
    assert_true(f.kin.matrices == 2);
    assert_null(verdict_kinship(&f).about);
    f.kin = verdict_kin_of(&l, (struct square_sums[]){near, apart, near, near, near});
    says(
        verdict_kinship(&f), "kinship", 0,
        "In 1 of 3 matrices, with 18.35 % of the compared parameters, old and new weights have a cosine of 0.000; "
        "unrelated weights have about 0, and fine-tuning stays near 1: is the base what the tuned side was trained "
        "from, with its rows and layers in the same order?");
    f.kin = verdict_kin_of(&l, (struct square_sums[]){sixty, near, near, near, near});
    assert_non_null(strstr(verdict_kinship(&f).sentence, "a cosine of 0.500;"));
    f.kin = verdict_kin_of(&l, (struct square_sums[]){opposite, near, near, near, near});
    assert_non_null(strstr(verdict_kinship(&f).sentence, "a cosine of -1.000;"));
    f.parameters = 0;
    assert_null(verdict_kinship(&f).about);
}

/* Half the gap from a bf16 to the next larger one. */
static double half_gap(uint16_t bits)
{
    return 0.5 * ((double)bf16_to_float((uint16_t)(bits + 1)) - (double)bf16_to_float(bits));
}

static double normal(uint64_t *seed)
{
    double u = ((double)(next_random(seed) >> 11) + 1) * 0x1p-53,
           v = (double)(next_random(seed) >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* Weights of a normal distribution, of which `share` move by a normal step: the truth is known. */
static void simulate(double share, double step, int64_t n, struct verdict_facts *f, double *swallowed)
{
    uint64_t seed = 11;
    int64_t changed = 0, small = 0;
    memset(elements, 0, sizeof elements);
    memset(updated, 0, sizeof updated);
    for (int64_t i = 0; i < n; i++) {
        uint16_t w = bf16_from_float((float)(0.02 * normal(&seed)));
        double d = fabs(step * normal(&seed));
        int moves = (double)(next_random(&seed) >> 11) * 0x1p-53 < share;
        uint16_t magnitude = w & 0x7fff;
        int shows = d > half_gap(magnitude);
        small += !shows;
        elements[magnitude >> 5]++;
        updated[magnitude >> 5] += moves && shows;
        changed += moves && shows;
    }
    *f = facts(n, changed);
    *swallowed = (double)small / (double)n;
}

/* The estimate finds the share that was moved, and what rounding alone would swallow. */
static void test_rounding(void **state)
{
    (void)state;
    static const double shares[] = {1, 0.4, 0.05}, steps[] = {1e-5, 3e-5, 1e-6};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            struct verdict_facts f;
            struct verdict_rounding r;
            double swallowed;
            simulate(shares[i], steps[k], 2000000, &f, &swallowed);
            assert_int_equal(verdict_estimate(&f, &r), 0);
            /* of the finest weights some steps are lost too: a few percent for steps of 1e-6 */
            /* few moved, by steps near the finest gaps: some of those are lost */
            double off = i == 2 && k == 2 ? 0.25 : 0.15;
            if (fabs(r.density - shares[i]) > off * shares[i] ||
                fabs(r.unchanged - swallowed) > 0.01 + off * (1 - swallowed))
                fail_msg("share %g, step %g: density %g; swallowed %g, found %g", shares[i], steps[k],
                         r.density, swallowed, r.unchanged);
        }
    struct verdict_facts f;
    struct verdict_rounding r;
    double swallowed;
    simulate(1, 1e-5, 2000000, &f, &swallowed);
    struct verdict v = verdict_rounding_of(&f);
    assert_string_equal(v.about, "rounding");
    assert_non_null(strstr(v.sentence, "an estimate"));
    f.touched = 1; /* of several: the others were not stepped */
    f.tensors = 2;
    assert_int_equal(verdict_estimate(&f, &r), -1);
    f.tensors = 1;
    assert_int_equal(verdict_estimate(&f, &r), 0);
    f.arithmetic = ARITHMETIC_F32;
    assert_int_equal(verdict_estimate(&f, &r), -1);
    assert_null(verdict_rounding_of(&f).about);
    simulate(1, 1e-5, 500, &f, &swallowed); /* too few */
    assert_int_equal(verdict_estimate(&f, &r), -1);
    simulate(0, 1e-5, 20000, &f, &swallowed); /* nothing moved */
    assert_int_equal(verdict_estimate(&f, &r), -1);
}

static void test_entropy(void **state)
{
    (void)state;
    struct verdict_entropy p[2] = {
        {.given = 1, .tokens = 1500, .vocabulary = 151936, .rows = 152064, .mean = 1.25}, {.given = 0}};
    says(verdict_entropy(p), "entropy", 1.25,
         "The mean token entropy of the base policy is 1.25 nats over 1,500 tokens.");
    p[1] = p[0];
    p[1].mean = 0.75;
    p[1].tokens = 20;
    says(verdict_entropy(p), "entropy", -0.5,
         "The mean token entropy: base 1.25 nats over 1,500 tokens, tuned 0.75 nats over 20 tokens.");
    const struct verdict_entropy fine = p[1];
    p[1].cut = 3;
    struct verdict v = verdict_entropy(p);
    assert_true(isnan(v.value));
    assert_string_equal(
        v.sentence,
        "The token entropies are not to be compared as they stand, tuned: for 3 of 20 tokens fewer "
        "than half of the logits are there, the rest were cut: base 1.25 nats over 1,500 tokens, "
        "tuned 0.75 nats over 20 tokens.");
    p[1] = fine;
    p[1].vocabulary = 151668;
    assert_non_null(
        strstr(verdict_entropy(p).sentence,
               "stand, the vocabularies differ: 151936 in the base's logits, 151668 in the tuned's:"));
    p[1].vocabulary = 0; /* entropies beside logits: each is its own */
    assert_true(verdict_entropy(p).value == -0.5);
    p[1] = fine;
    p[1].of_logs = 20;
    assert_true(verdict_entropy(p).value == -0.5);
    p[1].lacking = 1;
    assert_non_null(
        strstr(verdict_entropy(p).sentence, "tuned: the logits are log-probabilities that do not sum to 1"));
    p[1].of_logs = 19; /* one row is none */
    assert_true(verdict_entropy(p).value == -0.5);
    p[0].vocabulary = p[1].vocabulary = 20;
    assert_true(verdict_entropy(p).value == -0.5);
    p[1].strange = 1;
    assert_non_null(strstr(verdict_entropy(p).sentence,
                           "tuned: a vocabulary of 20 logits, and the model's head has 152064 rows"));
    p[0].rows = p[1].rows = p[1].strange = 0;
    assert_non_null(
        strstr(verdict_entropy(p).sentence, "stand, a vocabulary of 20 logits, and nothing says"));
    p[0].given = p[1].given = 0;
    assert_null(verdict_entropy(p).about);
    p[0] = p[1] = fine; /* the longest: nothing is cut off */
    p[0].tokens = p[1].tokens = p[0].cut = p[1].cut = INT64_MAX;
    p[0].cut--;
    v = verdict_entropy(p);
    assert_true(v.sentence[strlen(v.sentence) - 1] == '.');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entropy),       cmocka_unit_test(test_unchanged),
        cmocka_unit_test(test_size),          cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_concentration), cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_rank),          cmocka_unit_test(test_kinship),
        cmocka_unit_test(test_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
