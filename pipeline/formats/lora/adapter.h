/* What adapter_config.json says of an adapter, as far as adding it to its base needs it.
 *
 * Source: peft, src/peft/tuners/lora/config.py (the keys and their defaults) and model.py
 * (_create_and_replace: how a module's rank and alpha are found). A kind of adapter, a start or a variant
 * that is not read as s B A on the published base is refused by name, with what to do; a key that is not
 * known changes nothing, as in the library. */
#ifndef SINEW_ADAPTER_H
#define SINEW_ADAPTER_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/lora/pattern.h"

#include <stdint.h>

/* An entry of rank_pattern or alpha_pattern; the first that holds is taken. */
struct adapter_rule {
    const char *key;
    struct module_pattern *pattern;
    double value;
};

struct adapter_rules {
    int64_t n;
    struct adapter_rule *v;
};

/* An entry of trainable_token_indices. */
struct adapter_tokens {
    const char *module; /* the last words of the module's name */
    int64_t n;
    int64_t *rows;
};

struct adapter {
    const char *path; /* of the file; NULL: there is none, and all below are the library's defaults */
    const char *base; /* base_model_name_or_path; NULL where it is not said */
    int64_t r;
    double alpha;
    int rslora, dora, fan_in_fan_out;
    int rounds_first; /* a start whose merge rounds the update before it is added */
    int old_experts;  /* written by a library that took all weights of experts as [experts, in, out] */
    struct adapter_rules ranks, alphas;
    int64_t ntokens, nparameters;
    struct adapter_tokens *tokens;
    const char **parameters; /* target_parameters */
};

/* Local. Reads the file at path; owned by the arena. Errors: DATA for what breaks the format or is refused,
 * with key, expected and found; SYSTEM where it cannot be read. */
err_t adapter_read(struct adapter *x, const char *path, struct arena *a, struct err *e);

/* Local. The library's defaults: r 8, alpha 8. */
void adapter_default(struct adapter *x);

/* Local. Rank of a module (or parameter) by its name as the model has it. */
int64_t adapter_rank(const struct adapter *x, const char *name);

/* Local. What its s is at this rank: alpha / r, or alpha / sqrt(r). */
double adapter_scale(const struct adapter *x, const char *name, int64_t r);

/* Local. The rows that a module's trainable tokens are; NULL where it has none. */
const struct adapter_tokens *adapter_tokens(const struct adapter *x, const char *name);

#endif
