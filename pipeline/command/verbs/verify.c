#include "command/cli.h"
#include "engine/verify/verify.h"

#include <stdio.h>

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

static err_t verify_run(struct runner *r, const struct cli *c, struct err *e)
{
    struct verify_counts counts;
    (void)c;
    if (verify_files(r, &counts, e) == ERR_OK && r->comm->me == 0)
        conclude(r, &counts, e);
    return comm_agree(r->comm, e);
}

const struct verb verb_verify = {
    .name = "verify",
    .args = "CONFIG",
    .brief = "every artifact, the archive and the report's files against the digests written with them",
    .more = "",
    .run = verify_run,
};
