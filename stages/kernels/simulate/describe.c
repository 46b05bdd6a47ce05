#include "kernels/simulate/describe.h"

#include <math.h>
#include <stdio.h>

/* ---- names ---- */

/* 'synth knows no WHAT "X" (did you mean "Y"?); it knows a, b' */
void simulate_unknown(char *text, int size, const char *what, const char *name, const char *const *known,
                      int n)
{
    struct text_hint hint;
    int used = snprintf(text, (size_t)size, "synth knows no %s \"%s\"%s; it knows", what, name,
                        text_meant(&hint, name, known, n, " (", "\"", ")"));
    for (int i = 0; i < n && used > 0 && used < size; i++)
        used += snprintf(text + used, (size_t)(size - used), "%s %s", i ? "," : "", known[i]);
}

int simulate_family_names(const char **names)
{
    int n;
    const struct family *list = family_list(&n);
    for (int i = 0; i < n && i < SIMULATE_NAMES; i++)
        names[i] = list[i].name;
    return n < SIMULATE_NAMES ? n : SIMULATE_NAMES;
}

int simulate_algorithm_names(const char **names)
{
    int n;
    const struct simulate_algorithm *list = simulate_algorithms(&n);
    for (int i = 0; i < n && i < SIMULATE_NAMES; i++)
        names[i] = list[i].name;
    return n < SIMULATE_NAMES ? n : SIMULATE_NAMES;
}

/* ---- how a tensor comes about ---- */

/* Standard deviations of trained weights by kind, about 0.02 (the initialisation of nearly all of these
 * models), so that median magnitudes lie where published ones do (0.019 in arXiv:2602.03839). Norms are near
 * 1 and therefore too large to be moved; the biases of qwen2 are large. */
static const struct {
    float centre, spread;
} weights_of[FAMILY_KINDS] = {
    [FAMILY_EMBEDDING] = {0, 0.020f}, [FAMILY_HEAD] = {0, 0.022f}, [FAMILY_QUERY_KEY] = {0, 0.030f},
    [FAMILY_VALUE_OUT] = {0, 0.024f}, [FAMILY_MLP] = {0, 0.025f},  [FAMILY_ROUTER] = {0, 0.030f},
    [FAMILY_NORM] = {1, 0.1f},        [FAMILY_BIAS] = {0, 0.5f},   [FAMILY_CORRECTION] = {0, 0.1f},
};

/* How a tensor's numbers come about: see simulate.h. */
struct simulate_tensor simulate_how(const struct simulate_course *s, const char *name, enum family_kind kind)
{
    struct simulate_tensor t = {.centre = weights_of[kind].centre, .spread = weights_of[kind].spread};
    t.base = simulate_key(simulate_key(s->key, "base"), name);
    if (kind != FAMILY_NORM) /* tensors of one kind differ by some 5 % */
        t.spread *= 1 + 0.05f * simulate_normal(simulate_key(t.base, "spread"), 0);
    if (!s->algorithm || kind == FAMILY_CORRECTION)
        return t;
    uint64_t loss = simulate_key(simulate_key(s->key, "loss"), s->data);
    uint64_t algorithm = simulate_key(simulate_key(s->key, "algorithm"), s->algorithm->name);
    uint64_t seed = simulate_key(simulate_key_number(algorithm, s->seed), s->data);
    t.loss = simulate_key(loss, name);
    t.algorithm = simulate_key(algorithm, name);
    t.seed = simulate_key(seed, name);
    struct simulate_shares share = simulate_shares(s->algorithm);
    double move = s->algorithm->step_size * s->algorithm->coherent;
    t.part_loss = (float)(move * sqrt(share.loss));
    t.part_algorithm = (float)(move * sqrt(share.algorithm));
    t.part_seed = (float)(move * sqrt(share.seed));
    t.part_step = (float)(move * sqrt(share.step));
    t.steps = s->steps;
    return t;
}

/* ---- what a checkpoint says of itself ---- */

static err_t add_int(struct text *t, const char *key, int64_t value, struct err *e)
{
    return text_add(t, e, "  \"%s\": %lld,\n", key, (long long)value);
}

static err_t add_real(struct text *t, const char *key, double value, struct err *e)
{
    return text_add(t, e, "  \"%s\": %.15g,\n", key, value);
}

static err_t add_string(struct text *t, const char *key, const char *value, struct err *e)
{
    TRY(text_add(t, e, "  \"%s\": ", key));
    TRY(text_add_json(t, e, value));
    return text_add(t, e, ",\n");
}

static err_t add_algorithm(const struct simulate_run *r, struct text *t, struct err *e)
{
    struct simulate_shares share = simulate_shares(r->algorithm);
    TRY(add_string(t, "algorithm", r->algorithm->name, e));
    TRY(add_int(t, "cell_seed", r->cell_seed, e));
    TRY(add_string(t, "data", r->data, e));
    TRY(add_int(t, "simulated_steps", r->simulated_steps, e));
    TRY(add_real(t, "step_size", r->algorithm->step_size, e));
    TRY(add_int(t, "optimiser_steps_per_simulated_step", r->algorithm->coherent, e));
    TRY(add_string(t, "optimiser_steps_are",
                   "chosen so that sparsity lies in the published range; not measured", e));
    TRY(add_real(t, "share_loss", share.loss, e));
    TRY(add_real(t, "share_algorithm", share.algorithm, e));
    TRY(add_real(t, "share_seed", share.seed, e));
    TRY(add_real(t, "share_step", share.step, e));
    return add_string(
        t, "rule_text",
        r->float32
            ? "w <- w + step_size * optimiser_steps_per_simulated_step * u_t in float32, from the bf16 base"
            : "w <- bf16(w + step_size * optimiser_steps_per_simulated_step * u_t), no float32 copy of w",
        e);
}

char *simulate_sentence(const struct simulate_run *r, struct arena *a, struct err *e)
{
    if (r->hollow)
        return arena_printf(
            a, e,
            "hollow: no weights, only holes in their place that read as zeros, by sinew synth, rule %d; names, shapes "
            "and types of %s at scale %g; no trained model",
            r->rule, r->full->name, r->scale);
    if (!r->algorithm)
        return arena_printf(
            a, e, "random base weights by sinew synth, rule %d: %s at scale %g, seed %lld; no trained model",
            r->rule, r->full->name, r->scale, (long long)r->seed);
    return arena_printf(
        a, e,
        "simulated optimiser steps by sinew synth, rule %d: %lld %s steps of %s, each %d x %g, on %s at "
        "scale %g, seed %lld; no trained model",
        r->rule, (long long)r->simulated_steps, r->float32 ? "float32" : "bf16", r->algorithm->name,
        r->algorithm->coherent, r->algorithm->step_size, r->full->name, r->scale, (long long)r->cell_seed);
}

err_t simulate_run_text(const struct simulate_run *r, struct text *t, struct err *e)
{
    int64_t tensors, parameters = family_parameters(r->full, &tensors);
    TRY(text_add(t, e, "{\n  \"simulated\": true,\n%s", r->hollow ? "  \"hollow\": true,\n" : ""));
    char *sentence = simulate_sentence(r, t->arena, e);
    if (!sentence)
        return e->code;
    TRY(add_string(t, "what", sentence, e));
    TRY(add_string(t, "role", r->algorithm ? "tuned" : "base", e));
    TRY(add_string(t, "family", r->family, e));
    TRY(add_string(t, "architecture", r->full->name, e));
    TRY(add_string(t, "stands_for", r->full->stands_for, e));
    if (r->algorithm && !r->hollow)
        TRY(add_algorithm(r, t, e));
    TRY(add_int(t, "rule", r->rule, e));
    TRY(add_real(t, "scale", r->scale, e));
    TRY(add_int(t, "layers", r->layers, e));
    TRY(add_int(t, "steps", r->steps, e));
    TRY(add_int(t, "seed", r->seed, e));
    TRY(add_int(t, "shards", r->shards, e));
    TRY(add_string(t, "dtype_tuned", r->dtype_tuned, e));
    TRY(add_int(t, "logits", r->logits, e));
    TRY(add_int(t, "tensors", tensors, e));
    return text_add(t, e, "  \"parameters\": %lld\n}\n", (long long)parameters);
}
