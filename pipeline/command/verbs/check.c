#include "command/cli.h"

#include "command/inputs.h"
#include "command/presence.h"
#include "compare/coverage.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

/* For scripts: a line per cell, of what stands on disk. */
static err_t list_cells(const struct runner *r, struct err *e)
{
    const struct config *config = r->dag->config;
    struct presence presence;
    TRY(presence_index(&presence, r->dag, r->arena, e));
    for (int i = 0; i < config->ncells; i++) {
        const struct cell *cell = &config->cells[i];
        int missing = cell->lost || presence_lacks(&presence, cell);
        printf("%s\t%s\t%s\t%s\n", cell->name,
               cell->kept ? "kept"
               : missing  ? "missing"
                          : "present",
               cell->base, cell->tuned);
    }
    return ERR_OK;
}

/* What was found to be in order. */
static void say_checked(const struct dag *d, const struct inputs *in)
{
    char covered[80] = "";
    if (in->covered < COVERAGE_WHOLE)
        snprintf(covered, sizeof covered, ", %lld pairs in part, the least %.2f %% of a side",
                 (long long)in->in_part, floor(1e4 * in->covered) / 100);
    printf("%s%s: study %s: %d cells, %d stages, %d nodes; %d inputs open and match%s; nothing was written\n",
           in->notes.text ? in->notes.text : "", d->config->file, d->config->study, d->config->ncells,
           d->config->nnodes, d->nnodes, in->n, covered);
}

static err_t check_run(struct runner *r, const struct cli *c, struct err *e)
{
    if (c->list_cells) {
        if (r->comm->me == 0)
            list_cells(r, e);
        return comm_agree(r->comm, e);
    }
    struct inputs in = {.arena = r->arena, .headers = r->headers};
    if (r->comm->me == 0 && inputs_check(&in, r->dag, e) == ERR_OK)
        say_checked(r->dag, &in);
    return comm_agree(r->comm, e);
}

static const struct verb_option check_options[] = {
    {"cells", '\0', NULL,
     "only a line per cell: its name, present, kept (its checkpoints are gone, and what was\n"
     "read of them is complete) or missing, base and tuned, between tabs; the line's number\n"
     "is what run --cell-index takes",
     OPTION_FLAG, offsetof(struct cli, list_cells), NULL},
    {0},
};

const struct verb verb_check = {
    .name = "check",
    .args = "CONFIG [--cells]",
    .brief = "parse and validate everything, headers of all inputs included; touch nothing",
    .more = "Lists every error found. Exit status: 0 all is well, 2 the config is wrong, 3 an input is.\n",
    .options = check_options,
    .run = check_run,
};
