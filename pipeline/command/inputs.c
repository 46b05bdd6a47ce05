#include "command/inputs.h"

#include "command/presence.h"
#include "compare/pair.h"
#include "formats/logits/logits.h"

#include <stdio.h>
#include <string.h>

static void complain(struct inputs *in, const struct err *e)
{
    if (in->problems++ == 0)
        in->first = *e;
    else if (in->problems == 2)
        fprintf(stderr, "sinew: %s: %s\n", err_name(in->first.code), in->first.text);
    if (in->problems > 1)
        fprintf(stderr, "sinew: %s: %s\n", err_name(e->code), e->text);
}

/* Is there a node that writes this checkpoint (a simulated one), so that it need not exist yet? */
static int is_made(const struct dag *d, const char *path)
{
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (!n->stage->writes_files || n->stage->scope != SCOPE_CHECKPOINT)
            continue;
        if (strcmp(n->checkpoint, path) == 0 ||
            (n->cell->logits_base && strcmp(n->cell->logits_base, path) == 0) ||
            (n->cell->logits_tuned && strcmp(n->cell->logits_tuned, path) == 0))
            return 1;
    }
    return 0;
}

/* Is this file the logits of some cell? They are no checkpoint, and have formats of their own. */
static int is_logits(const struct dag *d, const char *path)
{
    for (int i = 0; i < d->config->ncells; i++) {
        const struct cell *c = &d->config->cells[i];
        if ((c->logits_base && logits_is_file_of(path, c->logits_base)) ||
            (c->logits_tuned && logits_is_file_of(path, c->logits_tuned)))
            return 1;
    }
    return 0;
}

static err_t open_logits(const char *path, struct arena *a, struct err *e)
{
    struct logits l;
    err_t code = logits_open(&l, path, a, e);
    logits_close(&l);
    return code;
}

const struct opened *inputs_find(const struct inputs *in, const char *path)
{
    for (int i = 0; i < in->n; i++)
        if (strcmp(in->list[i].path, path) == 0)
            return &in->list[i];
    return NULL;
}

struct open_arg {
    struct inputs *in;
    const struct dag *dag;
};

/* Opens one input's headers; a problem is noted, not passed up. */
static err_t open_input(void *arg, const char *path, struct err *e)
{
    struct open_arg *o = arg;
    struct inputs *in = o->in;
    if (inputs_find(in, path))
        return ERR_OK;
    if (!checkpoint_exists(path) && is_made(o->dag, path))
        return ERR_OK;
    TRY(arena_grow(in->arena, "check.inputs", in->n + 1, &in->cap, &in->list, e));
    struct opened *x = &in->list[in->n];
    if (!(x->path = arena_strdup(in->arena, path, e)))
        return e->code;
    in->n++;
    struct err bad;
    err_clear(&bad);
    x->ok = (is_logits(o->dag, path) ? open_logits(x->path, in->arena, &bad)
                                     : checkpoint_open(&x->checkpoint, x->path, in->arena, &bad)) == ERR_OK;
    checkpoint_close(&x->checkpoint);
    if (!x->ok)
        complain(in, &bad);
    return ERR_OK;
}

/* Do the two checkpoints match as each stage that compares them will have it? */
static void match_inputs(struct inputs *in, const struct config *c, const struct cell *cell,
                         const struct opened *base, const struct opened *tuned)
{
    for (int i = 0; i < c->nnodes; i++) {
        struct match_policy policy, other;
        struct err bad;
        int known = 0;
        if (!c->nodes[i].stage->matches)
            continue;
        c->nodes[i].stage->matches(c->nodes[i].params, &policy);
        for (int k = 0; k < i && !known; k++)
            if (c->nodes[k].stage->matches) {
                c->nodes[k].stage->matches(c->nodes[k].params, &other);
                known = match_policy_same(&policy, &other);
            }
        err_clear(&bad);
        if (!known &&
            pair_check(&base->checkpoint, &tuned->checkpoint, &policy, cell->name, in->arena, &bad) != ERR_OK)
            complain(in, &bad);
    }
}

static err_t open_inputs(struct inputs *in, const struct dag *d, struct err *e)
{
    struct open_arg arg = {in, d};
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (!n->stage->files)
            continue;
        struct ctx ctx = node_ctx(d, n, in->arena);
        TRY(n->stage->files(&ctx, open_input, &arg, e));
    }
    for (int i = 0; i < d->config->ncells; i++) {
        const struct cell *c = &d->config->cells[i];
        const struct opened *base = inputs_find(in, c->base), *tuned = inputs_find(in, c->tuned);
        if (base && tuned && base->ok && tuned->ok)
            match_inputs(in, d->config, c, base, tuned);
    }
    return ERR_OK;
}

/* Where some input is not as it should be: the cells that lack a checkpoint, and those whose checkpoint
 * cannot be used. */
static void list_cells(const struct inputs *in, const struct dag *d)
{
    const struct config *c = d->config;
    int missing = 0, incomplete = 0;
    for (int i = 0; i < c->ncells + c->nabsent; i++) {
        const struct cell *cell = &c->cells[i];
        const char *lacks = presence_lacks(d, cell);
        const struct opened *base = inputs_find(in, cell->base), *tuned = inputs_find(in, cell->tuned);
        int bad = !lacks && ((base && !base->ok) || (tuned && !tuned->ok));
        missing += lacks != NULL;
        incomplete += bad;
        if (lacks)
            printf("missing    %s: expected in %s\n", cell->name, lacks);
        else if (bad)
            printf("incomplete %s: %s\n", cell->name, base && !base->ok ? cell->base : cell->tuned);
    }
    printf("%d cells: %d present, %d incomplete, %d missing\n", c->ncells + c->nabsent,
           c->ncells + c->nabsent - missing - incomplete, incomplete, missing);
    fflush(stdout);
}

err_t inputs_check(struct inputs *in, const struct dag *d, struct err *e)
{
    TRY(open_inputs(in, d, e));
    if (in->problems > 0 || d->config->nabsent > 0)
        list_cells(in, d);
    if (in->problems == 1)
        *e = in->first;
    else if (in->problems > 1)
        err_set(e, ERR_DATA, "%d problems with the inputs of %s", in->problems, d->config->file);
    return e->code;
}
