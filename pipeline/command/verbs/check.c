#include "command/cli.h"

#include "command/inputs.h"

#include <stdio.h>

static err_t check_run(struct runner *r, const struct cli *c, struct err *e)
{
    (void)c;
    struct inputs in = {.arena = r->arena, .headers = r->headers};
    if (r->comm->me == 0 && inputs_check(&in, r->dag, e) == ERR_OK)
        printf(
            "%s%s: study %s: %d cells, %d stages, %d nodes; %d inputs open and match; nothing was written\n",
            in.notes.text ? in.notes.text : "", r->dag->config->file, r->dag->config->study,
            r->dag->config->ncells, r->dag->config->nnodes, r->dag->nnodes, in.n);
    return comm_agree(r->comm, e);
}

const struct verb verb_check = {
    .name = "check",
    .args = "CONFIG",
    .brief = "parse and validate everything, headers of all inputs included; touch nothing",
    .more = "Lists every error found. Exit status: 0 all is well, 2 the config is wrong, 3 an input is.\n",
    .run = check_run,
};
