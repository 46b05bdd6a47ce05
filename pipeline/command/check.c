#include "command/verbs.h"

#include "command/inputs.h"

#include <stdio.h>

err_t verb_check(struct runner *r, struct err *e)
{
    struct inputs in = {.arena = r->arena, .headers = r->headers};
    if (r->comm->me == 0 && inputs_check(&in, r->dag, e) == ERR_OK)
        printf("%s: study %s: %d cells, %d stages, %d nodes; %d inputs open and match; nothing was written\n",
               r->dag->config->file, r->dag->config->study, r->dag->config->ncells, r->dag->config->nnodes,
               r->dag->nnodes, in.n);
    return comm_agree(r->comm, e);
}
