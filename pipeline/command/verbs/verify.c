#include "command/cli.h"
#include "engine/verify/again.h"
#include "engine/verify/verify.h"

#include <stdio.h>
#include <stdlib.h>

/* A whole number, from the command line. */
static err_t take_number(const char *option, const char *text, int64_t least, int64_t *out, struct err *e)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || v < least)
        return err_set(e, ERR_CONFIG, "--%s: expected a whole number from %lld on, found '%s'", option,
                       (long long)least, text);
    *out = v;
    return ERR_OK;
}

/* Process 0. What it comes to. */
static err_t conclude(const struct runner *r, const struct verify_counts *n, struct err *e)
{
    char bytes[32];
    printf("%lld files, %s: %lld damaged", (long long)n->files,
           human_bytes((double)n->bytes, bytes, sizeof bytes), (long long)n->damaged);
    if (n->absent > 0)
        printf("; %lld artifacts of the study are not there", (long long)n->absent);
    printf("\n");
    if (n->damaged == 0)
        return ERR_OK;
    return err_set(e, ERR_DATA, "%lld of %lld files are damaged, first %s; 'sinew run %s' makes them anew",
                   (long long)n->damaged, (long long)n->files, n->first, r->dag->config->file);
}

/* Process 0. The same of what was computed again. */
static err_t conclude_again(const struct runner *r, const struct again_counts *n, struct err *e)
{
    printf(
        "%lld updates, %lld tensors, %lld elements computed again, %lld catalogues read again: %lld differ",
        (long long)n->updates, (long long)n->tensors, (long long)n->elements, (long long)n->catalogues,
        (long long)n->otherwise);
    if (n->left > 0)
        printf("; %lld left out", (long long)n->left);
    printf("\n");
    if (n->otherwise == 0)
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%lld artifacts are not what the checkpoints give, first %s; 'sinew run %s' makes them anew",
        (long long)n->otherwise, n->first, r->dag->config->file);
}

static err_t verify_run(struct runner *r, const struct cli *c, struct err *e)
{
    struct verify_counts counts;
    struct again_counts again;
    struct again_sample sample = {.seed = 0};
    if (c->sample)
        TRY(take_number("sample", c->sample, 1, &sample.draws, e));
    if (c->seed)
        TRY(take_number("seed", c->seed, 0, &sample.seed, e));
    if (c->seed && !c->sample)
        return err_set(e, ERR_CONFIG, "--seed says which tensors --sample N draws; there is no --sample");
    if (verify_files(r, &counts, e) == ERR_OK && r->comm->me == 0)
        conclude(r, &counts, e);
    TRY_ALL(r->comm, e);
    if (!c->full && !c->sample)
        return ERR_OK;
    if (again_compare(r, &sample, &again, e) == ERR_OK && r->comm->me == 0)
        conclude_again(r, &again, e);
    return comm_agree(r->comm, e);
}

static const struct verb_option verify_options[] = {
    {"full", 'F', NULL,
     "also compare every stored update with what the checkpoints give,\nbit by bit, and every catalogue with their headers",
     OPTION_FLAG, offsetof(struct cli, full), NULL},
    {"sample", '\0', "N", "the same of N tensors, drawn from all updates of the study", OPTION_TEXT,
     offsetof(struct cli, sample), NULL},
    {"seed", '\0', "S", "which ones; 0 unless it is given", OPTION_TEXT, offsetof(struct cli, seed), NULL},
    {0},
};

const struct verb verb_verify = {
    .name = "verify",
    .args = "CONFIG [--full | --sample N [--seed S]]",
    .brief = "every artifact, the archive and the report's files against the digests written with them",
    .more = "",
    .options = verify_options,
    .run = verify_run,
};
