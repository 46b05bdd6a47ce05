#include "command/cli.h"

#include "command/presence.h"
#include "engine/fresh.h"

#include <stdio.h>
#include <unistd.h>

static err_t status_root(struct runner *r, struct err *e)
{
    const struct dag *d = r->dag;
    struct freshness *all;
    struct arena scratch;
    int count[STATE_COUNT] = {0}, missing = 0;
    struct presence presence;
    TRY(arena_array(r->arena, "status.states", d->nnodes, &all, e));
    TRY(presence_index(&presence, d, r->arena, e));
    headers_round(r->headers);
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        TRY(fresh_node(d, i, all, r->headers, r->arena, e));
        count[all[i].state]++;
        missing += n->stage->scope != SCOPE_STUDY && all[i].state != STATE_FRESH;
        printf("%-8s %-16s %s%s%s\n", fresh_name(all[i].state), d->config->nodes[n->decl].name, n->label,
               all[i].why[0] ? ": " : "", all[i].why);
    }
    for (int i = d->config->ncells; i < d->config->ncells + d->config->nabsent; i++) {
        const char *why = presence_why_absent(&presence, &d->config->cells[i], r->arena, e);
        if (!why)
            return e->code;
        printf("%-8s %-16s %s: %s\n", "absent", "checkpoint", d->config->cells[i].name, why);
    }
    arena_init(&scratch, r->mem);
    const char *archive = access(d->archive, F_OK) != 0                        ? "missing"
                          : missing == 0 && archive_is_fresh(d, all, &scratch) ? "fresh"
                                                                               : "stale";
    arena_release(&scratch);
    printf("%-8s %-16s %s\n", archive, "archive", d->archive);
    printf("%d nodes: %d fresh, %d stale, %d partial, %d missing\n", d->nnodes, count[STATE_FRESH],
           count[STATE_STALE], count[STATE_PARTIAL], count[STATE_MISSING]);
    return ERR_OK;
}

static err_t status_run(struct runner *r, const struct cli *c, struct err *e)
{
    (void)c;
    if (r->comm->me == 0)
        status_root(r, e);
    return comm_agree(r->comm, e);
}

const struct verb verb_status = {
    .name = "status",
    .args = "CONFIG",
    .brief = "each node: fresh, stale (and why), partial, missing",
    .more = "",
    .run = status_run,
};
