/* What the tests of config share: stand-ins for the stages, a config from its text, and what must be said of
 * it. */
#ifndef SINEW_CONFIGLIB_H
#define SINEW_CONFIGLIB_H

#include "unitlib.h"

#include "study/config.h"
#include "study/registry.h"

/* ---- stand-ins for the stages ---- */

struct mask_params {
    int criterion;
    double tolerance, eta;
    const char *note;
};
struct delta_params {
    int arithmetic;
    struct real_list tolerances;
    int64_t blocks;
    int store;
};

static const char *const criteria[] = {"absolute", "bits", "relative", NULL};
static const char *const arithmetics[] = {"bf16", "f32", NULL};

static const struct param mask_params[] = {
    {"criterion", PARAM_CHOICE, offsetof(struct mask_params, criterion), NULL, "absolute", 0, 0, criteria,
     ""},
    {"tolerance", PARAM_REAL, offsetof(struct mask_params, tolerance), NULL, "1e-5", 0, 1, NULL, ""},
    {"eta", PARAM_REAL, offsetof(struct mask_params, eta), NULL, "1e-3", 0, 1, NULL, ""},
    {"note", PARAM_TEXT, offsetof(struct mask_params, note), NULL, "", 0, 0, NULL, ""},
    {0},
};
static const struct param delta_params[] = {
    {"arithmetic", PARAM_CHOICE, offsetof(struct delta_params, arithmetic), NULL, "bf16", 0, 0, arithmetics,
     ""},
    {"tolerances", PARAM_REALS, offsetof(struct delta_params, tolerances), NULL, "[0, 1e-5]", 0, 1, NULL, ""},
    {"blocks", PARAM_INT, offsetof(struct delta_params, blocks), NULL, "4", 1, 100, NULL, ""},
    {"store", PARAM_BOOL, offsetof(struct delta_params, store), NULL, "true", 0, 0, NULL, ""},
    {0},
};

static inline int delta_check(const void *params, char *problem, int size)
{
    const struct delta_params *p = params;
    if (p->tolerances.n > 0)
        return 0;
    snprintf(problem, (size_t)size, "tolerances: at least one is needed");
    return -1;
}

static const char *const of_load[] = {"load", NULL};
static const char *const of_delta[] = {"delta", "?load", NULL};
static const char *const of_mask[] = {"mask", NULL};
static const char *const of_any[] = {"*mask", "?*" STAGE_REPORTED, NULL};

static const struct stage stage_load = {.kind = "load"};
static const struct stage stage_delta = {.kind = "delta",
                                         .inputs = of_load,
                                         .params = delta_params,
                                         .params_size = sizeof(struct delta_params),
                                         .check = delta_check};
static const struct stage stage_mask = {
    .kind = "mask", .inputs = of_delta, .params = mask_params, .params_size = sizeof(struct mask_params)};
static const struct stage stage_rank = {.kind = "rank", .inputs = of_delta, .reported = 1};
static const struct stage stage_overlap = {.kind = "overlap", .inputs = of_mask};
static const struct stage stage_report = {.kind = "report", .inputs = of_any};
static const struct stage *const stages[] = {&stage_load, &stage_delta,   &stage_mask,
                                             &stage_rank, &stage_overlap, &stage_report};

const struct stage *const *registry_stages(int *n)
{
    *n = 6;
    return stages;
}

const struct stage *registry_find(const char *kind)
{
    for (int i = 0; i < 6; i++)
        if (strcmp(stages[i]->kind, kind) == 0)
            return stages[i];
    return NULL;
}

/* ---- helpers ---- */

struct fixture {
    struct bench bench;
    struct problems problems;
    struct config config;
};

static inline int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITHOUT_FOLDER) != 0)
        return -1;
    setenv("MODELS", "/models", 1);
    setenv("EMPTY", "", 1);
    unsetenv("SINEW_UNSET");
    return 0;
}

static inline int teardown(void **state)
{
    return bench_delete(state);
}

static inline err_t parse_bytes(struct fixture *b, const char *text, int64_t n)
{
    arena_reset(&b->bench.arena);
    err_clear(&b->bench.err);
    return config_parse(&b->config, "s.yaml", text, n, &b->problems, &b->bench.arena, &b->bench.err);
}

static inline err_t parse(struct fixture *b, const char *text)
{
    return parse_bytes(b, text, (int64_t)strlen(text));
}

static inline void show(const struct fixture *b)
{
    for (int i = 0; i < b->problems.n; i++)
        print_message("  %s\n", b->problems.list[i].text);
    if (b->bench.err.code)
        print_message("  (%s)\n", b->bench.err.text);
}

static inline void accept(struct fixture *b, const char *text)
{
    if (parse(b, text) == ERR_OK)
        return;
    show(b);
    fail_msg("refused:\n%s", text);
}

/* Each problem must contain its text, in order, and there must be no other. said ends with NULL. */
static inline void refuse_bytes(struct fixture *b, const char *text, int64_t n, const char *const *said)
{
    err_t code = parse_bytes(b, text, n);
    int count = 0;
    while (said[count])
        count++;
    int good = code == ERR_CONFIG && b->problems.n == count && !b->config.resolved;
    for (int i = 0; good && i < count; i++)
        good = strstr(b->problems.list[i].text, said[i]) != NULL;
    if (good)
        return;
    show(b);
    for (int i = 0; i < count; i++)
        print_message("  expected: %s\n", said[i]);
    fail_msg("other complaints than expected about:\n%s", text);
}

#define REFUSE(b, text, ...) \
    refuse_bytes(b, text, (int64_t)strlen(text), (const char *const[]){__VA_ARGS__, NULL})

#define HEAD "study: demo\noutput: out\n"
#define CELLS "cells: [{family: f, algorithm: a, base: b, tuned: t}]\n"
#define STAGES "stages: {load: {}}\n"
#define AXES "matrix:\n  families: [f, g]\n  algorithms: [a, b]\n  seeds: [0, 1]\n"
#define PATHS "  base: b/{family}\n  tuned: t/{family}/{algorithm}/{seed}\n"

/* Everything that a config can have. */
static const char full[] =
    "study: demo                    # names the archive\n"
    "output: ./results//demo/\n"
    "memory_per_process: 1 GiB\n"
    "matrix:\n"
    "  families:   [tiny-llama, tiny-qwen]\n"
    "  algorithms: [ppo, dpo]\n"
    "  seeds:      [0, 2]\n"
    "  data: [x]\n"
    "  steps: 500\n"
    "  base:   \"${MODELS}/{family}/base\"\n"
    "  tuned:  \"${SINEW_UNSET:-/else}/{family}/{algorithm}//seed-{seed}-{data}@{step}\"\n"
    "  logits: {base: \"l/{family}\", tuned: \"l/{algorithm}\"}\n"
    "  weights: masters\n"
    "  exclude: [{family: tiny-qwen, seed: 2}, {algorithm: dpo, seed: 0}]\n"
    "cells:\n"
    "  - {family: tulu-3-8b, algorithm: dpo, seed: 7, base: \"${MODELS}/b{x}\", tuned: t,\n"
    "     published: {sparsity: 0.814, rank_percent: 99.8, source: \"Table 1\"}}\n"
    "  - family: zephyr\n"
    "    algorithm: kto\n"
    "    base: b\n"
    "    tuned: $${t}/$x\n"
    "    adapter: exact\n    merge: safe\n    weights: default\n"
    "    logits: {tuned: l}\n"
    "    published:\n"
    "      - {source: A, sparsity: 1}\n"
    "      - {sparsity: 1e-1}\n"
    "stages:\n"
    "  report: {needs: [mask, mask-loose, rank]}\n"
    "  load: {}\n"
    "  delta: {needs: load, tolerances: [0, 1e-8, \"${EMPTY:-1e-7}\"], blocks: 7, store: no}\n"
    "  mask: {needs: [delta], note: \"a: b, #c ${MODELS}\"}\n"
    "  mask-loose: {kind: mask, needs: [delta, load], tolerance: 1e-4, criterion: relative}\n"
    "  rank: {needs: [delta]}\n";

#endif
