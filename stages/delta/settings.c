#include "delta/settings.h"

#include "kernels/change/change.h"
#include "compare/coverage.h"
#include "compare/names/rename.h"

#include <stdio.h>

static const char *const arithmetics[] = {"bf16", "f32", NULL};
static const char *const stores[] = {"update", "none", NULL};
static const char *const rows_choices[] = {"fail", "common", "skip", NULL}; /* enum match_rows */
static const char *const unmatched_choices[] = {"fail", "skip", NULL};
static const char *const mtp_choices[] = {"exclude", "include", NULL};

const struct param delta_params[] = {
    {"arithmetic", PARAM_CHOICE, offsetof(struct delta_params, arithmetic), NULL, "bf16", 0, 0, arithmetics,
     "type both sides are cast to before comparing; bf16 rounds the difference to bf16 too, as the published "
     "scripts do"},
    {"tolerances", PARAM_REALS, offsetof(struct delta_params, tolerances), "weight units",
     "[0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]", 0, 1e30, NULL,
     "an element counts as updated where |difference| > tolerance"},
    {"relative_tolerances", PARAM_REALS, offsetof(struct delta_params, relative), "1", "[]", 0, 1e30, NULL,
     "an element counts as updated where |difference| > tolerance * max(|w0|, |w1|), as criterion relative of mask "
     "has it, counted in the same reading; up to 8"},
    {"store", PARAM_CHOICE, offsetof(struct delta_params, store), NULL, "update", 0, 0, stores,
     "update: keep the changed elements' old and new bits; none: keep statistics only, later stages read the "
     "pair again"},
    {"rows", PARAM_CHOICE, offsetof(struct delta_params, rows), NULL, "fail", 0, 0, rows_choices,
     "tensors that differ in the number of rows: fail; common: the rows that both have are compared; skip: "
     "left out"},
    {"unmatched", PARAM_CHOICE, offsetof(struct delta_params, unmatched), NULL, "fail", 0, 0,
     unmatched_choices,
     "tensors on one side only: fail; skip: left out; a head that is tied to the embedding on the other side "
     "is compared with it"},
    {"coverage", PARAM_TEXT, offsetof(struct delta_params, coverage), NULL, "0.9", 0, 0, NULL,
     "least share of either side's parameters that must be compared, 0 to 1; any: figures may be of a part"},
    {"rename", PARAM_TEXTS, offsetof(struct delta_params, rename), NULL, "[]", 0, 0, NULL,
     "\"PATTERN -> REPLACEMENT\" for names of the tuned side: one * on both sides, or beginnings of names; "
     "\"WORD.\", to be taken out; or torchtitan: its names and orders of rows as the base has them"},
    {"mtp", PARAM_CHOICE, offsetof(struct delta_params, mtp), NULL, "exclude", 0, 0, mtp_choices,
     "layers of multi-token prediction, which are those beyond num_hidden_layers of the base's config.json and "
     "what is called mtp: exclude from all totals and later stages, or include"},
    {0}};

void delta_matches(const void *params, struct match_policy *out)
{
    const struct delta_params *p = params;
    *out = (struct match_policy){.rows = (enum match_rows)p->rows,
                                 .skip_unmatched = p->unmatched != 0,
                                 .include_mtp = p->mtp != 0,
                                 .rename = p->rename};
    coverage_parse(p->coverage, &out->coverage); /* delta_check has seen that it is one */
}

int delta_check(const void *params, char *problem, int size)
{
    const struct delta_params *p = params;
    char why[400];
    double least;
    for (int i = 0; i < p->rename.n; i++)
        if (rename_check(p->rename.v[i], why, sizeof why) != 0) {
            snprintf(problem, (size_t)size, "rename: %s", why);
            return -1;
        }
    if (coverage_parse(p->coverage, &least) != 0) {
        snprintf(problem, (size_t)size, "coverage: expected any, or a share from 0 to 1, found %.60s",
                 p->coverage);
        return -1;
    }
    int relative = p->relative.n > CHANGE_RELATIVES;
    if (p->tolerances.n <= CHANGE_TOLERANCES && !relative)
        return 0;
    snprintf(problem, (size_t)size, "%s: at most %d values, found %d",
             relative ? "relative_tolerances" : "tolerances", relative ? CHANGE_RELATIVES : CHANGE_TOLERANCES,
             relative ? p->relative.n : p->tolerances.n);
    return -1;
}
