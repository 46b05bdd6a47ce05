#include "command/comparison.h"

#include "command/wording.h"
#include "compare/pair.h"
#include "formats/head.h"
#include "formats/headers.h"
#include "hdf5/h5.h"
#include "hdf5/table.h"
#include "study/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_SKIPPED = 10, /* lines of what was left out; JSON has all */
    MOST_STACKS = 12   /* names of stacks; table layers has all */
};

struct comparison {
    const struct cell *cell;
    struct checkpoint *side[2]; /* base and tuned */
    const struct comparison_asked *asked;
    const char *taken[2]; /* what was taken of each, in the words of the command's options; "" for nothing */
    const char *naming;   /* what was done with names, unasked; "" for nothing */
    struct table cells, sparsity, layers, modules, rank, entropy, skipped, verdicts;
    struct text *out;
};

static const char *const side_names[2] = {"base", "tuned"};

/* ---- reading ---- */

static err_t take_table(struct h5 *f, const char *name, struct table *t, struct arena *a, struct err *e)
{
    table_start(t, tables_find(name), a);
    return h5_has_table(f, name) ? h5_table_read(f, name, t, 0, -1, NULL, e) : ERR_OK;
}

static err_t take_tables(struct comparison *x, const char *archive, struct arena *a, struct err *e)
{
    const struct {
        const char *name;
        struct table *t;
    } all[] = {{"cells", &x->cells},     {"sparsity", &x->sparsity}, {"layers", &x->layers},
               {"modules", &x->modules}, {"rank", &x->rank},         {"entropy", &x->entropy},
               {"skipped", &x->skipped}, {"verdicts", &x->verdicts}};
    struct h5 *f;
    TRY(h5_open_sealed(archive, a, &f, e));
    err_t code = ERR_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && code == ERR_OK; i++)
        code = take_table(f, all[i].name, all[i].t, a, e);
    err_t closed = h5_close(f, e);
    TRY(code != ERR_OK ? code : closed);
    return x->cells.nrows == 1 ? ERR_OK
                               : err_set(e, ERR_DATA, "%s: expected one compared pair, found %lld", archive,
                                         (long long)x->cells.nrows);
}

/* The type that most parameters have. */
static const char *main_type(const struct checkpoint *c)
{
    int64_t of[DTYPE_COUNT] = {0};
    int most = 0;
    for (int64_t i = 0; i < c->ntensors; i++)
        of[c->tensors[i].dtype] += c->tensors[i].elements;
    for (int t = 1; t < DTYPE_COUNT; t++)
        most = of[t] > of[most] ? t : most;
    return dtype_name((enum dtype)most);
}

/* ---- as text ---- */

static const char *given_of(const struct comparison *x, int k)
{
    return k == 0 ? x->asked->base : x->asked->tuned;
}

/* Where below the path that was named the weights lie, such as the step to which a run's folder led; into
 * out, which is returned; "": in it. */
static const char *folder_of(const struct checkpoint *c, char *out, size_t size)
{
    size_t n = strlen(c->path);
    const char *file = c->nfiles > 0 ? c->files[0].path : "", *last = strrchr(file, '/');
    while (n > 1 && c->path[n - 1] == '/')
        n--;
    out[0] = '\0';
    if (last && strncmp(file, c->path, n) == 0 && file[n] == '/' && last > file + n)
        snprintf(out, size, "%.*s", (int)(last - (file + n + 1)), file + n + 1);
    return out;
}

/* The revision of a snapshot in the hub's cache; into out, which is returned; "" where it is none. */
static const char *commit_of(const struct checkpoint *c, char *out, size_t size)
{
    static const char folder[] = "/snapshots/";
    const char *at = c->nfiles > 0 ? strstr(c->files[0].path, folder) : NULL;
    out[0] = '\0';
    if (at)
        snprintf(out, size, "%.*s", (int)strcspn(at + sizeof folder - 1, "/"), at + sizeof folder - 1);
    return out;
}

static err_t print_side(struct comparison *x, int k, struct err *e)
{
    const struct checkpoint *c = x->side[k];
    char folder[300], commit[80];
    folder_of(c, folder, sizeof folder);
    commit_of(c, commit, sizeof commit);
    TRY(text_add(x->out, e, "%-6s %s", side_names[k], given_of(x, k)));
    if (commit[0] && !strstr(given_of(x, k), commit) && !strstr(x->taken[k], commit))
        TRY(text_add(x->out, e, ", commit %s", commit));
    if (folder[0] && !commit[0])
        TRY(text_add(x->out, e, ", in it %s", folder));
    TRY(text_add(x->out, e, "\n       %s, %s, %lld tensors, %lld parameters%s%s\n", c->format, main_type(c),
                 (long long)c->ntensors, (long long)c->parameters, x->taken[k][0] ? "; " : "", x->taken[k]));
    return c->simulated ? text_add(x->out, e, "       simulated: %s\n", c->simulated) : ERR_OK;
}

/* bf16 has too few digits for an adapter's own update: its rank is then that of the rounding. */
static int is_rounded_update(const struct comparison *x)
{
    return x->asked->bf16 && cell_is_exact(x->cell);
}

static err_t print_pair(struct comparison *x, struct err *e)
{
    if (x->naming[0])
        TRY(text_add(x->out, e, "names  %s\n", x->naming));
    if (is_rounded_update(x))
        TRY(text_add(
            x->out, e,
            "bf16   rounds the adapter's own update, and its rank is that of the rounding; --arithmetic "
            "f32 keeps it\n"));
    return text_add(x->out, e, "\n");
}

/* Only delta's rows have all tolerances, and norms. */
static int is_delta(const struct table *t, int64_t row)
{
    return strcmp(table_text(t, row, "node"), "delta") == 0;
}

static err_t print_sparsity(struct comparison *x, struct err *e)
{
    const struct table *t = &x->sparsity;
    TRY(text_add(x->out, e, "\n%-22s %16s %12s\n", "counts as updated", "updated", "sparsity"));
    for (int64_t i = 0; i < t->nrows; i++) {
        const char *criterion = table_text(t, i, "criterion");
        double tolerance = table_real(t, i, "tolerance");
        char words[60];
        if (!is_delta(t, i))
            continue;
        if (strcmp(criterion, "bits") == 0)
            snprintf(words, sizeof words, "bits differ");
        else if (strcmp(criterion, "relative") == 0)
            snprintf(words, sizeof words, "|d| > %g max(|w|)", tolerance);
        else
            snprintf(words, sizeof words, "|d| > %g", tolerance);
        TRY(text_add(x->out, e, "%-22s %16lld %11.4f%%\n", words, (long long)table_int(t, i, "updated"),
                     100 * table_real(t, i, "sparsity")));
    }
    return ERR_OK;
}

static const char *stack_words(const char *stack)
{
    return stack[0] ? stack : "the language model's own";
}

/* Are layers of multi-token prediction told of, and in no total? */
static int leaves_mtp_out(const struct comparison *x)
{
    static const char reason[] = "multi-token";
    for (int64_t i = 0; i < x->skipped.nrows; i++)
        if (strncmp(table_text(&x->skipped, i, "reason"), reason, sizeof reason - 1) == 0)
            return 1;
    return 0;
}

/* A module may stand in several stacks (gate_proj of the vision tower and of the language model), which one
 * row adds up: which they are. Layers stand stack by stack, those that are in no total among them. */
static err_t print_stacks(struct comparison *x, struct err *e)
{
    const struct table *t = &x->layers;
    const char *first = "", *last = NULL;
    int without_mtp = leaves_mtp_out(x);
    int64_t n = 0;
    for (int64_t i = 0; i < t->nrows; i++) {
        const char *stack = table_text(t, i, "stack");
        if (!is_delta(t, i) || (last && strcmp(last, stack) == 0) ||
            (without_mtp && strcmp(stack, "mtp") == 0))
            continue;
        last = stack;
        if (n++ == 0)
            first = stack;
        else if (n == 2)
            TRY(text_add(x->out, e, "modules add up all stacks of layers: %s, %s", stack_words(first),
                         stack));
        else if (n <= MOST_STACKS)
            TRY(text_add(x->out, e, ", %s", stack));
    }
    if (n > MOST_STACKS)
        TRY(text_add(x->out, e, " and %lld more", (long long)(n - MOST_STACKS)));
    return n > 1 ? text_add(x->out, e, "\n") : ERR_OK;
}

/* The longest text in a column; what is longer than a line is cut. */
static int width_of(const struct table *t, const char *column, int least)
{
    enum { MOST = 100 };
    size_t n = (size_t)least;
    for (int64_t i = 0; i < t->nrows; i++)
        n = strlen(table_text(t, i, column)) > n ? strlen(table_text(t, i, column)) : n;
    return n < MOST ? (int)n : MOST;
}

static err_t print_modules(struct comparison *x, struct err *e)
{
    const struct table *t = &x->modules;
    int width = width_of(t, "module", 28), nothing = 0;
    TRY(text_add(x->out, e, "\n%-*s %16s %12s %14s\n", width, "module", "parameters", "|d| = 0",
                 "relative norm"));
    for (int64_t i = 0; i < t->nrows; i++) {
        double relative = table_real(t, i, "relative_norm");
        char words[32];
        if (!is_delta(t, i))
            continue;
        snprintf(words, sizeof words, "%.3g", relative);
        nothing += isnan(relative);
        TRY(text_add(x->out, e, "%-*.*s %16lld %11.4f%% %14s\n", width, width, table_text(t, i, "module"),
                     (long long)table_int(t, i, "parameters"), 100 * table_real(t, i, "sparsity"),
                     isnan(relative) ? "-" : words));
    }
    if (nothing > 0)
        TRY(text_add(x->out, e, "-: the base's weights are all zero, and nothing is a share of them\n"));
    return print_stacks(x, e);
}

static err_t print_rank(struct comparison *x, struct err *e)
{
    const struct table *t = &x->rank;
    if (t->nrows == 0)
        return ERR_OK;
    int width = width_of(t, "tensor", 40);
    TRY(text_add(x->out, e, "\n%-*s %14s %10s %12s\n", width, "rank of the update", "shape", "rank",
                 "stable rank"));
    for (int64_t i = 0; i < t->nrows; i++) {
        char shape[60];
        snprintf(shape, sizeof shape, "%lldx%lld", (long long)table_int(t, i, "rows"),
                 (long long)table_int(t, i, "cols"));
        TRY(text_add(x->out, e, "%-*.*s %14s %10lld %12.4g\n", width, width, table_text(t, i, "tensor"),
                     shape, (long long)table_int(t, i, "matrix_rank"), table_real(t, i, "stable_rank")));
    }
    return ERR_OK;
}

static err_t print_entropy(struct comparison *x, struct err *e)
{
    const struct table *t = &x->entropy;
    for (int64_t i = 0; i < t->nrows; i++)
        TRY(text_add(x->out, e, "%sentropy of the %s policy: mean %.4g nats over %lld tokens%s%s\n",
                     i == 0 ? "\n" : "", table_text(t, i, "policy"), table_real(t, i, "mean"),
                     (long long)table_int(t, i, "tokens"), table_text(t, i, "caveat")[0] ? "; but " : "",
                     table_text(t, i, "caveat")));
    return ERR_OK;
}

/* Is the row about what was compared, weights or logits, rather than about what got no rank? */
static int is_left_out(const struct table *t, int64_t row)
{
    return is_delta(t, row) || strcmp(table_text(t, row, "node"), "token-entropy") == 0;
}

static err_t print_skipped(struct comparison *x, struct err *e)
{
    const struct table *t = &x->skipped;
    int64_t n = 0, shown = 0;
    for (int64_t i = 0; i < t->nrows; i++)
        n += is_left_out(t, i);
    for (int64_t i = 0; i < t->nrows && shown < MOST_SKIPPED; i++)
        if (is_left_out(t, i))
            TRY(text_add(x->out, e, "%s  %s (%lld): %s\n", shown++ == 0 ? "\nnot compared:\n" : "",
                         table_text(t, i, "tensor"), (long long)table_int(t, i, "parameters"),
                         table_text(t, i, "reason")));
    return n > shown ? text_add(x->out, e, "  and %lld more\n", (long long)(n - shown)) : ERR_OK;
}

static err_t print_text(struct comparison *x, struct err *e)
{
    TRY(print_side(x, 0, e));
    TRY(print_side(x, 1, e));
    TRY(print_pair(x, e));
    for (int64_t i = 0; i < x->verdicts.nrows; i++)
        TRY(text_add(x->out, e, "%s\n", table_text(&x->verdicts, i, "sentence")));
    TRY(print_sparsity(x, e));
    TRY(print_modules(x, e));
    TRY(print_rank(x, e));
    TRY(print_entropy(x, e));
    return print_skipped(x, e);
}

/* ---- as JSON ---- */

static err_t json_text(struct comparison *x, const char *key, const char *value, struct err *e)
{
    TRY(text_add(x->out, e, "\"%s\": ", key));
    return text_add_json(x->out, e, value);
}

/* JSON has no NaN. */
static err_t json_real(struct comparison *x, const char *key, double value, struct err *e)
{
    return isfinite(value) ? text_add(x->out, e, "\"%s\": %.17g", key, value)
                           : text_add(x->out, e, "\"%s\": null", key);
}

static err_t json_row(struct comparison *x, const struct table *t, int64_t row, const char *const *columns,
                      struct err *e)
{
    TRY(text_add(x->out, e, "{"));
    for (int k = 0; columns[k]; k++) {
        const struct column *c = &t->schema->columns[schema_column(t->schema, columns[k])];
        TRY(text_add(x->out, e, "%s", k > 0 ? ", " : ""));
        if (c->kind == COLUMN_TEXT)
            TRY(json_text(x, c->name, table_text(t, row, c->name), e));
        else if (c->kind == COLUMN_INT)
            TRY(text_add(x->out, e, "\"%s\": %lld", c->name, (long long)table_int(t, row, c->name)));
        else
            TRY(json_real(x, c->name, table_real(t, row, c->name), e));
    }
    return text_add(x->out, e, "}");
}

/* "key": [rows for which `of` holds]. */
static err_t json_rows(struct comparison *x, const char *key, const struct table *t,
                       int (*of)(const struct table *t, int64_t row), const char *const *columns,
                       struct err *e)
{
    int n = 0;
    TRY(text_add(x->out, e, ",\n \"%s\": [", key));
    for (int64_t i = 0; i < t->nrows; i++) {
        if (of && !of(t, i))
            continue;
        TRY(text_add(x->out, e, "%s\n  ", n++ > 0 ? "," : ""));
        TRY(json_row(x, t, i, columns, e));
    }
    return text_add(x->out, e, "]");
}

static err_t json_taken(struct comparison *x, struct err *e)
{
    TRY(text_add(x->out, e, ",\n \"taken\": {"));
    for (int k = 0; k < 2; k++) {
        const struct checkpoint *c = x->side[k];
        TRY(text_add(x->out, e, "%s\"%s\": {", k > 0 ? ", " : "", side_names[k]));
        char folder[300], commit[80];
        TRY(json_text(x, "given", given_of(x, k), e));
        TRY(text_add(x->out, e, ", "));
        TRY(json_text(x, "folder", folder_of(c, folder, sizeof folder), e));
        TRY(text_add(x->out, e, ", "));
        TRY(json_text(x, "commit", commit_of(c, commit, sizeof commit), e));
        TRY(text_add(x->out, e, ", "));
        TRY(json_text(x, "format", c->format, e));
        TRY(text_add(x->out, e, ", "));
        TRY(json_text(x, "dtype", main_type(c), e));
        TRY(text_add(x->out, e, ", \"tensors\": %lld, \"parameters\": %lld, ", (long long)c->ntensors,
                     (long long)c->parameters));
        TRY(json_text(x, "note", x->taken[k], e));
        TRY(text_add(x->out, e, "}"));
    }
    TRY(text_add(x->out, e, ", "));
    TRY(json_text(x, "names", x->naming, e));
    return text_add(x->out, e, "}");
}

/* "rank": {summary, matrices}; null where none was measured. */
static err_t json_rank(struct comparison *x, struct err *e)
{
    static const char *const columns[] = {"tensor",    "rows",        "cols",           "matrix_rank",
                                          "max_rank",  "stable_rank", "effective_rank", "sigma_max",
                                          "ambiguous", NULL};
    const struct table *v = &x->verdicts;
    double median = NAN;
    if (x->rank.nrows == 0)
        return text_add(x->out, e, ",\n \"rank\": null");
    for (int64_t i = 0; i < v->nrows; i++)
        if (strcmp(table_text(v, i, "about"), "full_rank") == 0)
            median = table_real(v, i, "value");
    TRY(text_add(x->out, e, ",\n \"rank\": {"));
    TRY(json_real(x, "median_percent", median, e));
    TRY(text_add(x->out, e, ", \"measured\": %lld", (long long)x->rank.nrows));
    TRY(json_rows(x, "matrices", &x->rank, NULL, columns, e));
    return text_add(x->out, e, "}");
}

static err_t print_json(struct comparison *x, struct err *e)
{
    static const char *const sparsity[] = {"criterion", "tolerance", "updated", "sparsity", NULL},
                             *const modules[] = {"module",    "parameters",    "updated",
                                                 "sparsity",  "relative_norm", "cosine",
                                                 "norm_base", "norm_delta",    NULL},
                             *const entropy[] = {"policy", "tokens",          "vocabulary", "mean", "median",
                                                 "p80",    "share_below_001", "caveat",     NULL},
                             *const skipped[] = {"tensor", "parameters", "reason", NULL};
    const struct table *c = &x->cells;
    int64_t parameters = table_int(c, 0, "parameters"), left_out = table_int(c, 0, "skipped_parameters");
    TRY(text_add(x->out, e, "{"));
    TRY(json_text(x, "base", x->cell->base, e));
    TRY(text_add(x->out, e, ",\n "));
    TRY(json_text(x, "tuned", x->cell->tuned, e));
    TRY(text_add(x->out, e, ",\n \"parameters\": %lld, ", (long long)parameters));
    TRY(json_real(x, "covered", (double)parameters / ((double)parameters + (double)left_out), e));
    TRY(text_add(x->out, e, ", "));
    TRY(json_real(x, "covered_base", table_real(c, 0, "covered_base"), e));
    TRY(text_add(x->out, e, ", "));
    TRY(json_real(x, "covered_tuned", table_real(c, 0, "covered_tuned"), e));
    TRY(text_add(x->out, e, ", \"bit_changed\": %lld, ", (long long)table_int(c, 0, "bit_changed")));
    static const char *const reals[] = {"relative_norm",
                                        "cosine",
                                        "norm_base",
                                        "norm_tuned",
                                        "norm_delta",
                                        "one_minus_cosine",
                                        "top_0_1_percent_energy",
                                        "top_1_percent_energy",
                                        "top_5_percent_energy"};
    enum { REALS = sizeof reals / sizeof *reals };
    for (int i = 0; i < REALS; i++) {
        TRY(json_real(x, reals[i], table_real(c, 0, reals[i]), e));
        TRY(text_add(x->out, e, "%s", i < REALS - 1 ? ", " : ""));
    }
    TRY(json_taken(x, e));
    TRY(json_rows(x, "sparsity", &x->sparsity, is_delta, sparsity, e));
    TRY(json_rows(x, "modules", &x->modules, is_delta, modules, e));
    TRY(json_rank(x, e));
    TRY(json_rows(x, "entropy", &x->entropy, NULL, entropy, e));
    TRY(json_rows(x, "skipped", &x->skipped, is_left_out, skipped, e));
    TRY(text_add(x->out, e, ",\n \"verdict\": ["));
    for (int64_t i = 0; i < x->verdicts.nrows; i++) {
        TRY(text_add(x->out, e, "%s\n  ", i > 0 ? "," : ""));
        TRY(text_add_json(x->out, e, table_text(&x->verdicts, i, "sentence")));
    }
    return text_add(x->out, e, "]}\n");
}

/* ---- both ---- */

/* What was done with names is found again from headers: the archive says it in words of a study. */
static err_t look_at_pair(struct comparison *x, const struct runner *r, struct arena *a, struct err *e)
{
    const struct config *c = r->dag->config;
    struct match_policy policy;
    const char *naming = NULL;
    for (int i = 0; i < c->nnodes; i++)
        if (c->nodes[i].stage->matches) {
            c->nodes[i].stage->matches(c->nodes[i].params, &policy);
            TRY(pair_check(x->side[0], x->side[1], &policy, x->cell->name, &naming, NULL, a, e));
            break;
        }
    x->naming = naming ? naming : "";
    for (int k = 0; k < 2; k++)
        if (!(x->taken[k] = wording_options(x->side[k]->note ? x->side[k]->note : "", a, e)))
            return e->code;
    return ERR_OK;
}

err_t comparison_write(struct text *out, const struct runner *r, const struct comparison_asked *asked,
                       struct arena *a, struct err *e)
{
    struct comparison x = {.cell = &r->dag->config->cells[0], .out = out, .asked = asked, .naming = ""};
    const struct choice *const choices[2] = {&x.cell->base_choice, &x.cell->tuned_choice};
    const char *const paths[2] = {x.cell->base, x.cell->tuned};
    err_t code = take_tables(&x, r->dag->archive, a, e);
    for (int k = 0; k < 2 && code == ERR_OK; k++)
        code = headers_get(r->headers, paths[k], choices[k], &x.side[k], e);
    for (int k = 0; k < 2 && code == ERR_OK; k++)
        code = head_look(x.side[k], a, e);
    if (code == ERR_OK)
        code = look_at_pair(&x, r, a, e);
    if (code == ERR_OK)
        code = asked->json ? print_json(&x, e) : print_text(&x, e);
    headers_put(r->headers, x.side[1]);
    headers_put(r->headers, x.side[0]);
    return code;
}
