#include "command/inputs.h"

#include "base/path.h"
#include "command/presence.h"
#include "compare/match.h"
#include "compare/pair.h"
#include "formats/logits/fit.h"
#include "formats/logits/logits.h"

#include <stdio.h>
#include <string.h>

/* How an input opens: not at all, wholly, or not because a part of it is not there. */
enum { OPENS_NOT, OPENS, OPENS_IN_PART };

static void complain(struct inputs *in, const struct err *e)
{
    if (in->problems++ == 0)
        in->first = *e;
    else if (in->problems == 2)
        fprintf(stderr, "sinew: %s: %s\n", err_name(in->first.code), in->first.text);
    if (in->problems > 1)
        fprintf(stderr, "sinew: %s: %s\n", err_name(e->code), e->text);
}

/* ---- opening ---- */

static err_t note(struct dict *dict, const char *path, struct err *e)
{
    return path ? dict_put(dict, path, 1, e) : ERR_OK;
}

/* What nodes write (simulated checkpoints), so that it need not exist yet, and what was read before it was
 * removed; what is logits, which have formats of their own. */
static err_t note_paths(struct inputs *in, const struct dag *d, struct err *e)
{
    in->by_name.arena = in->made.arena = in->logits.arena = in->arena;
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (!n->stage->writes_files || n->stage->scope != SCOPE_CHECKPOINT)
            continue;
        TRY(note(&in->made, n->checkpoint, e));
        TRY(note(&in->made, n->cell->logits_base, e));
        TRY(note(&in->made, n->cell->logits_tuned, e));
    }
    for (int i = 0; i < d->config->ncells; i++) {
        const struct cell *cell = &d->config->cells[i];
        TRY(note(&in->made, cell->kept ? cell->base : NULL, e));
        TRY(note(&in->made, cell->kept ? cell->tuned : NULL, e));
        TRY(note(&in->logits, d->config->cells[i].logits_base, e));
        TRY(note(&in->logits, d->config->cells[i].logits_tuned, e));
    }
    return ERR_OK;
}

/* Is this file the logits of some cell, as named there or in a folder named there? */
static int is_logits(const struct inputs *in, const char *path, struct arena *scratch, struct err *e)
{
    if (in->logits.n == 0)
        return 0;
    const char *folder = path_dir(scratch, path, e);
    return (dict_find(&in->logits, path) >= 0 && logits_is_file_of(path, path)) ||
           (folder && dict_find(&in->logits, folder) >= 0 && logits_is_file_of(path, folder));
}

static err_t open_logits(const char *path, struct arena *a, struct err *e)
{
    struct logits l;
    err_t code = logits_open(&l, path, a, e);
    logits_close(&l);
    return code;
}

static err_t open_checkpoint(struct inputs *in, const char *path, const char *name, struct err *e)
{
    struct checkpoint *c;
    err_t code = headers_get(in->headers, path, &in->ctx->choice, &c, e);
    if (code == ERR_OK && c->note)
        code = text_add(&in->notes, e, "%s: %s\n", name, c->note);
    headers_put(in->headers, c);
    return code;
}

/* Opens one input's headers; a problem is noted, not passed up. */
static err_t open_input(void *arg, const char *path, struct err *e)
{
    struct inputs *in = arg;
    struct arena scratch;
    struct err bad;
    const char *own = arena_strdup(in->arena, path, e);
    const char *name = own ? choice_name(own, &in->ctx->choice, in->arena, e) : NULL;
    if (!name)
        return e->code;
    if (dict_find(&in->by_name, name) >= 0 || (dict_find(&in->made, own) >= 0 && !checkpoint_exists(own)))
        return ERR_OK;
    err_clear(&bad);
    arena_init(&scratch, in->arena->mem);
    if (is_logits(in, own, &scratch, &bad))
        open_logits(own, &scratch, &bad);
    else if (bad.code == ERR_OK)
        open_checkpoint(in, own, name, &bad);
    arena_release(&scratch);
    in->n++;
    if (bad.code != ERR_OK)
        complain(in, &bad);
    return dict_put(&in->by_name, name, bad.code == ERR_OK ? OPENS : bad.part ? OPENS_IN_PART : OPENS_NOT, e);
}

static err_t open_inputs(struct inputs *in, const struct dag *d, struct err *e)
{
    struct arena scratch;
    err_t code = ERR_OK;
    arena_init(&scratch, in->arena->mem);
    for (int i = 0; i < d->nnodes && code == ERR_OK; i++) {
        const struct node *n = &d->nodes[i];
        if (!n->stage->files)
            continue;
        struct ctx ctx = node_ctx(d, n, &scratch);
        in->ctx = &ctx;
        code = n->stage->files(&ctx, open_input, in, e);
        arena_reset(&scratch);
    }
    in->ctx = NULL;
    arena_release(&scratch);
    return code;
}

/* How the side of a cell opens; -1: it was not looked at. */
static int opens(const struct inputs *in, const char *path, const struct choice *choice, struct err *e)
{
    struct arena scratch;
    arena_init(&scratch, in->arena->mem);
    const char *name = choice_name(path, choice, &scratch, e);
    int64_t found = name ? dict_find(&in->by_name, name) : -1;
    arena_release(&scratch);
    return (int)found;
}

/* ---- matching ---- */

/* The different ways in which stages compare two checkpoints, in the stages' order. */
static err_t find_policies(const struct config *c, struct match_policy **out, int *n, struct arena *a,
                           struct err *e)
{
    *n = 0;
    TRY(arena_array(a, "check.policies", c->nnodes, out, e));
    for (int i = 0; i < c->nnodes; i++) {
        struct match_policy *policy = &(*out)[*n];
        int known = 0;
        if (!c->nodes[i].stage->matches)
            continue;
        c->nodes[i].stage->matches(c->nodes[i].params, policy);
        for (int k = 0; k < *n && !known; k++)
            known = match_policy_same(policy, &(*out)[k]);
        *n += !known;
    }
    return ERR_OK;
}

/* What a pair covers, a line where that is not all. */
static err_t note_coverage(struct inputs *in, const struct cell *cell, const struct coverage *c,
                           struct err *e)
{
    enum { SHOWN = 20 };
    char words[160];
    double share = coverage_share(c, -1);
    in->covered = share < in->covered ? share : in->covered;
    if (share >= COVERAGE_WHOLE || in->in_part++ >= SHOWN)
        return ERR_OK;
    return text_add(&in->notes, e, "%s: %s\n", cell->name, coverage_words(c, words, sizeof words));
}

/* Do the two checkpoints of a cell match in each of these ways? */
static err_t match_cell(struct inputs *in, const struct cell *cell, const struct match_policy *policies,
                        int npolicies, struct err *e)
{
    struct checkpoint *base = NULL, *tuned = NULL;
    struct arena scratch;
    err_t code = headers_get(in->headers, cell->base, &cell->base_choice, &base, e);
    if (code == ERR_OK)
        code = headers_get(in->headers, cell->tuned, &cell->tuned_choice, &tuned, e);
    arena_init(&scratch, in->arena->mem);
    for (int i = 0; i < npolicies && code == ERR_OK; i++) {
        struct err bad;
        const char *naming = NULL;
        struct coverage covered;
        err_clear(&bad);
        if (pair_check(base, tuned, &policies[i], cell->name, &naming, &covered, &scratch, &bad) != ERR_OK)
            complain(in, &bad);
        else
            code = note_coverage(in, cell, &covered, e);
        if (bad.code == ERR_OK && code == ERR_OK && naming)
            code = text_add(&in->notes, e, "%s: %s\n", cell->name, naming);
        arena_reset(&scratch);
    }
    arena_release(&scratch);
    headers_put(in->headers, tuned);
    headers_put(in->headers, base);
    return code;
}

/* Are the logits of a cell over its models' vocabulary? Only those that opened are asked. */
static err_t fit_logits(struct inputs *in, const struct cell *cell, struct err *e)
{
    const char *const models[2] = {cell->base, cell->tuned}, *const paths[2] = {cell->logits_base,
                                                                                cell->logits_tuned};
    const struct choice *const choices[2] = {&cell->base_choice, &cell->tuned_choice};
    struct checkpoint *model[2] = {NULL, NULL};
    struct fit_side side[2] = {{0}};
    struct arena scratch;
    err_t code = ERR_OK;
    arena_init(&scratch, in->arena->mem);
    for (int k = 0; k < 2 && code == ERR_OK; k++) {
        const char *file = paths[k] ? logits_file(paths[k], &scratch, e) : NULL;
        side[k].path = file && dict_find(&in->by_name, file) > 0 ? file : NULL;
        if (side[k].path && opens(in, models[k], choices[k], e) > 0)
            code = headers_get(in->headers, models[k], choices[k], &model[k], e);
        side[k].model = model[k];
    }
    struct err bad;
    err_clear(&bad);
    if (code == ERR_OK && fit_check(side, &scratch, &bad) != ERR_OK)
        complain(in, &bad);
    arena_release(&scratch);
    headers_put(in->headers, model[1]);
    headers_put(in->headers, model[0]);
    return e->code;
}

static err_t match_inputs(struct inputs *in, const struct dag *d, struct err *e)
{
    const struct config *c = d->config;
    struct match_policy *policies;
    int npolicies;
    TRY(find_policies(c, &policies, &npolicies, in->arena, e));
    for (int i = 0; i < c->ncells && npolicies > 0; i++) {
        const struct cell *cell = &c->cells[i];
        if (opens(in, cell->base, &cell->base_choice, e) == OPENS &&
            opens(in, cell->tuned, &cell->tuned_choice, e) == OPENS)
            TRY(match_cell(in, cell, policies, npolicies, e));
    }
    for (int i = 0; i < c->ncells && in->logits.n > 0; i++)
        TRY(fit_logits(in, &c->cells[i], e));
    return e->code;
}

/* ---- the whole ---- */

/* What stands on disk of the cells of a study. */
struct cell_counts {
    int missing, in_part, refused, kept;
};

/* One cell's line, unless all of it is there. */
static err_t list_cell(const struct inputs *in, const struct presence *presence, const struct cell *cell,
                       struct cell_counts *n, struct err *e)
{
    const char *lacks = presence_why_absent(presence, cell, in->arena, e);
    int base = opens(in, cell->base, &cell->base_choice, e);
    int tuned = opens(in, cell->tuned, &cell->tuned_choice, e);
    int in_part = !lacks && (base == OPENS_IN_PART || tuned == OPENS_IN_PART);
    int refused = !lacks && !in_part && (base == OPENS_NOT || tuned == OPENS_NOT);
    const char *bad = base == OPENS_NOT || base == OPENS_IN_PART ? cell->base : cell->tuned;
    if (e->code != ERR_OK)
        return e->code;
    n->missing += lacks != NULL;
    n->in_part += in_part;
    n->refused += refused;
    n->kept += cell->kept;
    if (lacks)
        printf("missing    %s: %s\n", cell->name, lacks);
    else if (cell->kept)
        printf("kept       %s: %s\n", cell->name, cell->tuned);
    else if (in_part || refused)
        printf("%-10s %s: %s\n", in_part ? "incomplete" : "refused", cell->name, bad);
    return ERR_OK;
}

/* Where some input is not as it should be: the cells that lack a checkpoint, those of whose checkpoint a part
 * is not there, those whose checkpoint is another thing, and those that do without. */
static err_t list_cells(const struct inputs *in, const struct dag *d, struct err *e)
{
    const struct config *c = d->config;
    struct presence presence;
    struct cell_counts n = {0};
    int all = c->ncells + c->nabsent;
    TRY(presence_index(&presence, d, in->arena, e));
    for (int i = 0; i < all; i++)
        TRY(list_cell(in, &presence, &c->cells[i], &n, e));
    printf("%d cells: %d present, %d incomplete, %d missing", all,
           all - n.missing - n.in_part - n.refused - n.kept, n.in_part, n.missing);
    if (n.refused > 0)
        printf(", %d refused", n.refused);
    if (n.kept > 0)
        printf(", %d kept: their checkpoints are gone, what was read of them is complete", n.kept);
    putchar('\n');
    fflush(stdout);
    return e->code;
}

err_t inputs_check(struct inputs *in, const struct dag *d, struct err *e)
{
    headers_round(in->headers);
    in->notes.arena = in->arena;
    in->covered = 1;
    in->in_part = 0;
    TRY(note_paths(in, d, e));
    TRY(open_inputs(in, d, e));
    TRY(match_inputs(in, d, e));
    if (in->problems > 0 || d->config->nabsent > 0 || d->config->missing == MISSING_KEPT)
        TRY(list_cells(in, d, e));
    if (in->problems == 1)
        *e = in->first;
    else if (in->problems > 1)
        err_set(e, ERR_DATA, "%d problems with the inputs of %s", in->problems, d->config->file);
    return e->code;
}
