#include "command/cli.h"

#include "base/path.h"
#include "command/comparison.h"
#include "command/naming.h"
#include "command/wording.h"
#include "compare/coverage.h"
#include "compare/names/rename.h"
#include "engine/scratch.h"
#include "formats/checkpoint.h"
#include "formats/folders/hub.h"
#include "study/param.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern const struct verb verb_run;

enum { SAMPLE = 8 };

/* ---- what is asked ---- */

static err_t check_word(const char *option, const char *value, const char *const *words, struct err *e)
{
    int n = 0;
    for (; words[n]; n++)
        if (value && strcmp(value, words[n]) == 0)
            return ERR_OK;
    struct text_hint hint;
    return value ? err_set(e, ERR_CONFIG, "--%s: '%s' is not known%s; 'sinew compare --help' lists what is",
                           option, value, text_meant(&hint, value, words, n, ", ", "'", ""))
                 : ERR_OK;
}

static err_t check_values(const struct compare_request *x, struct err *e)
{
    double least;
    char why[400], smallest[32];
    if (x->coverage && coverage_parse(x->coverage, &least) != 0)
        return err_set(e, ERR_CONFIG, "--coverage: expected any, or a share from 0 to 1, found '%.60s'",
                       x->coverage);
    if (x->memory && bytes_parse(x->memory) < CONFIG_LEAST_MEMORY)
        return err_set(e, ERR_CONFIG,
                       "--memory: expected a size (\"2 GiB\", \"512 MB\") of at least %s, found '%.60s'",
                       bytes_text(CONFIG_LEAST_MEMORY, smallest, sizeof smallest), x->memory);
    for (int i = 0; i < x->rename.n; i++)
        if (rename_check(x->rename.v[i], why, sizeof why) != 0)
            return err_set(e, ERR_CONFIG, "--rename: %s", why);
    return ERR_OK;
}

/* BASE TUNED, and behind --logits A the second of them. */
static err_t compare_words(struct cli *c, int n, char **words, struct err *e)
{
    static const char
        *const weights[] = {"masters", "model", NULL},
               *const adapters[] = {"merged", "exact", NULL}, *const merges[] = {"default", "safe", NULL},
               *const types[] = {"bf16", "f32", NULL}, *const ranks[] = {"sample", "all", "none", NULL},
               *const unmatched[] = {"fail", "skip", NULL}, *const rows[] = {"fail", "common", "skip", NULL},
               *const mtp[] = {"exclude", "include", NULL};
    struct compare_request *x = &c->compare;
    if (n != (x->logits_base ? 3 : 2))
        return err_set(
            e, ERR_CONFIG,
            "'sinew compare' wants BASE and TUNED%s, %d words given; 'sinew compare --help' explains",
            x->logits_base ? ", then --logits with both files" : "", x->logits_base ? n + 1 : n);
    x->base = words[0];
    x->tuned = words[1];
    x->logits_tuned = n == 3 ? words[2] : NULL;
    TRY(check_word("weights", x->weights, weights, e));
    TRY(check_word("adapter", x->adapter, adapters, e));
    TRY(check_word("merge", x->merge, merges, e));
    TRY(check_word("arithmetic", x->arithmetic, types, e));
    TRY(check_word("rank", x->rank, ranks, e));
    TRY(check_word("unmatched", x->unmatched, unmatched, e));
    TRY(check_word("rows", x->rows, rows, e));
    TRY(check_word("mtp", x->mtp, mtp, e));
    TRY(check_values(x, e));
    c->terse = !c->verbose || c->compare.json; /* the comparison is what it says */
    return ERR_OK;
}

/* ---- the study ---- */

/* ~ and ~/PATH, which a shell leaves as they are behind an = or in quotes. */
static char *expand_home(const char *path, struct arena *a, struct err *e)
{
    const char *home = getenv("HOME");
    int is_home = path[0] == '~' && (path[1] == '/' || path[1] == '\0');
    return is_home && home ? arena_printf(a, e, "%s%s", home, path + 1) : arena_strdup(a, path, e);
}

/* Where a side lies: a path, or a name of the hub that its cache has. */
static err_t locate(const char *given, const char **out, struct arena *a, struct err *e)
{
    const char *path = expand_home(given, a, e), *in_cache, *cache;
    if (!path)
        return e->code;
    *out = path;
    struct stat st;
    if (stat(path, &st) == 0)
        return ERR_OK;
    TRY(hub_locate(given, &in_cache, &cache, a, e));
    if (in_cache)
        *out = in_cache;
    else if (cache)
        return err_set(
            e, ERR_DATA,
            "%s: no such folder, and not in the hub's cache %s; fetch it with: SINEW_MODELS=FOLDER "
            "jobs/stage-in.sh %s --run, then name FOLDER/%s",
            given, cache, given, given);
    else
        return err_set(e, ERR_DATA, "%s: no such file or folder", given);
    return ERR_OK;
}

/* A word of a cell's name: what the folder is called, of letters that names have. */
static char *word_of(const char *path, const char *otherwise, struct arena *a, struct err *e)
{
    char *absolute = path_absolute(a, path, e), *name = NULL;
    if (!absolute || naming_folder(absolute, &name, a, e) != ERR_OK)
        return NULL;
    for (char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p))
            *p = '-';
    return name[0] && name[0] != '-' && name[0] != '.' ? name : arena_strdup(a, otherwise, e);
}

static err_t add_key(struct text *out, const char *key, const char *value, struct err *e)
{
    if (!value)
        return ERR_OK;
    TRY(text_add(out, e, ", %s: ", key));
    return param_quote(out, value, e);
}

static err_t add_cell(struct text *out, const struct compare_request *x, const char *base, const char *tuned,
                      struct arena *a, struct err *e)
{
    char *family = word_of(base, "base", a, e), *algorithm = family ? word_of(tuned, "tuned", a, e) : NULL;
    if (!algorithm)
        return e->code;
    TRY(text_add(out, e, "cells:\n  - {family: \"%s\", algorithm: \"%s\", seed: 0", family, algorithm));
    TRY(add_key(out, "base", base, e));
    TRY(add_key(out, "tuned", tuned, e));
    TRY(add_key(out, "weights", x->weights, e));
    TRY(add_key(out, "adapter", x->adapter, e));
    TRY(add_key(out, "merge", x->merge, e));
    if (x->logits_base) {
        TRY(text_add(out, e, ", logits: {base: "));
        TRY(param_quote(out, expand_home(x->logits_base, a, e), e));
        TRY(add_key(out, "tuned", expand_home(x->logits_tuned, a, e), e));
        TRY(text_add(out, e, "}"));
    }
    return text_add(out, e, "}\n");
}

/* An adapter's own update has more digits than bf16, in which all that is left of its low rank is rounding.
 */
static const char *arithmetic_of(const struct compare_request *x)
{
    int exact = x->adapter && strcmp(x->adapter, "exact") == 0;
    return x->arithmetic ? x->arithmetic : exact ? "f32" : "bf16";
}

static err_t add_stages(struct text *out, const struct compare_request *x, struct err *e)
{
    int with_rank = !x->rank || strcmp(x->rank, "none") != 0, all = x->rank && strcmp(x->rank, "all") == 0;
    TRY(text_add(
        out, e,
        "stages:\n  load: {}\n  delta: {needs: [load], arithmetic: %s, relative_tolerances: [1e-3], store: none, "
        "unmatched: %s",
        arithmetic_of(x), x->unmatched ? x->unmatched : "fail"));
    TRY(add_key(out, "coverage", x->coverage, e));
    TRY(add_key(out, "rows", x->rows, e));
    TRY(add_key(out, "mtp", x->mtp, e));
    TRY(text_add(out, e, ", rename: ["));
    for (int i = 0; i < x->rename.n; i++) {
        TRY(text_add(out, e, "%s", i > 0 ? ", " : ""));
        TRY(param_quote(out, x->rename.v[i], e));
    }
    TRY(text_add(out, e, "]}\n"));
    if (x->report) /* the page's headline is of the tolerance that the field uses */
        TRY(text_add(out, e, "  mask: {needs: [delta], criterion: absolute, tolerance: 1e-5}\n"));
    if (with_rank)
        TRY(text_add(out, e, "  rank: {needs: [delta], spectrum: none, sample: %d}\n", all ? 0 : SAMPLE));
    if (x->logits_base)
        TRY(text_add(out, e, "  token-entropy: {needs: [load]}\n"));
    if (x->report)
        TRY(text_add(out, e, "  report: {needs: [mask%s%s]}\n", with_rank ? ", rank" : "",
                     x->logits_base ? ", token-entropy" : ""));
    return ERR_OK;
}

static err_t compare_study(struct cli *c, struct text *out, struct arena *a, struct err *e)
{
    struct compare_request *x = &c->compare;
    const char *base = NULL, *tuned = NULL, *tmp = getenv("TMPDIR");
    TRY(locate(x->base, &base, a, e));
    TRY(locate(x->tuned, &tuned, a, e));
    if (!x->report && !x->print_config)
        TRY(scratch_make(tmp && tmp[0] ? tmp : "/tmp", "sinew-compare", &x->scratch, a, e));
    const char *output = x->report    ? expand_home(x->report, a, e)
                         : x->scratch ? x->scratch
                                      : "results/compare";
    if (!output)
        return e->code;
    TRY(text_add(out, e, "study: compare\noutput: "));
    TRY(param_quote(out, output, e));
    TRY(text_add(out, e, "\nmemory_per_process: "));
    TRY(param_quote(out, x->memory ? x->memory : "2 GiB", e));
    TRY(text_add(out, e, "\n"));
    TRY(add_cell(out, x, base, tuned, a, e));
    return add_stages(out, x, e);
}

/* ---- the run ---- */

static void compare_end(const struct cli *c)
{
    (void)c;
    scratch_remove();
}

/* What is to be kept is kept by whoever stops in good order; the rest goes at once. */
static void compare_listen(const struct cli *c, const struct comm *world)
{
    if (!c->compare.report && !c->compare.print_config)
        scratch_listen(world);
}

/* The run's words on its end speak of a config's file. */
static void say_stopped(const struct compare_request *x, struct err *e)
{
    char why[200];
    snprintf(why, sizeof why, "%.*s", (int)strcspn(e->text, ";"), e->text);
    err_clear(e);
    err_set(e, ERR_STOPPED, "%s; %s", why,
            x->report
                ? "what was done is kept, and the same command goes on from here"
                : "nothing is kept, and the same command begins anew; with --report DIR it would go on");
}

/* Process 0. Nothing is left of the run when the first word is out: who reads it may go away. */
static err_t print(const struct runner *r, const struct cli *c, struct err *e)
{
    struct text out = {.arena = r->arena};
    const struct comparison_asked asked = {.base = c->compare.base,
                                           .tuned = c->compare.tuned,
                                           .json = c->compare.json,
                                           .bf16 = strcmp(arithmetic_of(&c->compare), "bf16") == 0};
    TRY(comparison_write(&out, r, &asked, r->arena, e));
    compare_end(c);
    if (c->compare.report && !c->compare.json)
        TRY(text_add(&out, e, "\npage and archive: %s\n", r->dag->config->output));
    return fputs(out.text, stdout) >= 0 && fflush(stdout) == 0
               ? ERR_OK
               : err_set(e, ERR_SYSTEM, "the comparison cannot be written to the standard output");
}

static err_t compare_run(struct runner *r, const struct cli *c, struct err *e)
{
    const struct compare_request *x = &c->compare;
    if (x->print_config) {
        if (r->comm->me == 0)
            fputs(r->dag->config->text, stdout);
        return ERR_OK;
    }
    if (verb_run.run(r, c, e) == ERR_STOPPED)
        say_stopped(x, e);
    if (e->code != ERR_OK)
        return e->code;
    if (r->comm->me == 0)
        print(r, c, e);
    return comm_agree(r->comm, e);
}

static const struct verb_option compare_options[] = {
    {"report", 'r', "DIR", "keep page and archive in DIR, which may hold an earlier comparison", OPTION_TEXT,
     offsetof(struct cli, compare.report), NULL},
    {"json", 'j', NULL, "one JSON object instead of text", OPTION_FLAG, offsetof(struct cli, compare.json),
     NULL},
    {"rank", '\0', "WHICH",
     "sample (default): the rank of eight matrices' updates, drawn by their names from those that changed; all; none",
     OPTION_TEXT, offsetof(struct cli, compare.rank), NULL},
    {"logits", '\0', "BASE TUNED", "files of both policies' logits (or entropies) of the same tokens",
     OPTION_TEXT, offsetof(struct cli, compare.logits_base), NULL},
    {"arithmetic", '\0', "TYPE",
     "bf16 (default; f32 with --adapter exact) or f32: the type both sides are cast to", OPTION_TEXT,
     offsetof(struct cli, compare.arithmetic), NULL},
    {"weights", '\0', "WHICH", "masters or model: of a trainer's folder that has both", OPTION_TEXT,
     offsetof(struct cli, compare.weights), NULL},
    {"adapter", '\0', "HOW", "merged (default) or exact: what of an adapter on the base", OPTION_TEXT,
     offsetof(struct cli, compare.adapter), NULL},
    {"merge", '\0', "HOW", "default or safe: how it is merged", OPTION_TEXT,
     offsetof(struct cli, compare.merge), NULL},
    {"rename", '\0', "RULE", "\"PATTERN -> REPLACEMENT\" for names of the tuned side (may be repeated)",
     OPTION_LIST, offsetof(struct cli, compare.rename), NULL},
    {"unmatched", '\0', "WHAT", "fail (default) or skip: tensors on one side only", OPTION_TEXT,
     offsetof(struct cli, compare.unmatched), NULL},
    {"rows", '\0', "WHAT",
     "fail (default), common or skip: of embeddings of different height the rows of both, or nothing",
     OPTION_TEXT, offsetof(struct cli, compare.rows), NULL},
    {"mtp", '\0', "WHAT", "exclude (default) or include: layers for multi-token prediction", OPTION_TEXT,
     offsetof(struct cli, compare.mtp), NULL},
    {"coverage", '\0', "SHARE",
     "least share of either side's parameters to be compared (default 0.9), or any", OPTION_TEXT,
     offsetof(struct cli, compare.coverage), NULL},
    {"memory", '\0', "SIZE", "what each process may hold (default 2 GiB)", OPTION_TEXT,
     offsetof(struct cli, compare.memory), NULL},
    {"print-config", '\0', NULL, "print the study that this runs, for 'sinew run', and stop", OPTION_FLAG,
     offsetof(struct cli, compare.print_config), NULL},
    {0},
};

const struct verb verb_compare = {
    .name = "compare",
    .args = "BASE TUNED [--report DIR] [--json] [--rank sample|all|none] [--logits BASE TUNED]",
    .brief = "two checkpoints, without a study: what changed between them, and by how much",
    .more =
        "BASE and TUNED are folders or files as 'sinew check' takes them (a model's, a trainer's, an adapter's\n"
        "on BASE), a folder of the hub's cache, or ORG/NAME[@REVISION] that is in the cache.\n"
        "  sinew compare ~/models/Qwen2.5-7B ~/runs/grpo/global_step_100\n"
        "  mpirun -n 4 sinew compare BASE TUNED --rank all --report results/pair\n"
        "Names are matched without what wrappers of modules put into them (module., _orig_mod., _fsdp_wrapped_module.,\n"
        "base_model.model. and others); where they differ otherwise the message has the --rename that helps.\n"
        "\n"
        "Keys of --json (a number is null where there is none, such as a norm as a share of weights that are all zero):\n"
        "  base, tuned      the paths; taken: {base, tuned: {given, folder, commit, format, dtype, tensors, parameters,\n"
        "                   note}, names}\n"
        "  parameters       that are compared; covered, covered_base, covered_tuned: shares of all, and of each side's\n"
        "  bit_changed      parameters whose bits differ\n"
        "  relative_norm    norm_delta / norm_base; norm_base, norm_tuned, norm_delta, cosine, one_minus_cosine,\n"
        "                   top_0_1_percent_energy, top_1_percent_energy, top_5_percent_energy\n"
        "  sparsity         [{criterion, tolerance, updated, sparsity}]\n"
        "  modules          [{module, parameters, updated, sparsity, relative_norm, cosine, norm_base, norm_delta}], over\n"
        "                   all stacks of layers; updated where the difference is not zero\n"
        "  rank             {median_percent, measured, matrices: [{tensor, rows, cols, matrix_rank, max_rank, stable_rank,\n"
        "                   effective_rank, sigma_max, ambiguous}]}; null where none was measured\n"
        "  entropy          [{policy, tokens, vocabulary, mean, median, p80, share_below_001, caveat}], with --logits\n"
        "  skipped          [{tensor, parameters, reason}]; verdict: [sentence]\n",
    .options = compare_options,
    .words = compare_words,
    .study = compare_study,
    .stops = 1,
    .listen = compare_listen,
    .run = compare_run,
    .reword = wording_error,
    .end = compare_end,
};
