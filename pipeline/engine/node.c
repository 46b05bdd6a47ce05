#include "engine/node.h"

#include "formats/catalogue.h"
#include "study/tables.h"

#include <math.h>

/* Collective on c. Wall and processor time, bytes and memory of a node over its processes, into the artifact.
 */
static void write_times(const struct comm *c, double sec, double processor, size_t peak, struct h5 *artifact,
                        double bytes, struct err *e)
{
    double min = sec, max = sec, sum = sec;
    int64_t most = (int64_t)peak;
    if (c->np > 1) {
        MPI_TRY(MPI_Allreduce(&sec, &min, 1, MPI_DOUBLE, MPI_MIN, c->mpi));
        MPI_TRY(MPI_Allreduce(&sec, &max, 1, MPI_DOUBLE, MPI_MAX, c->mpi));
        MPI_TRY(MPI_Allreduce(&sec, &sum, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
        MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
        MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &processor, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
        comm_max(c, &most, 1);
    }
    if (!artifact)
        return;
    h5_set_real(artifact, "/", "time_min_sec", min, e);
    h5_set_real(artifact, "/", "time_mean_sec", sum / c->np, e);
    h5_set_real(artifact, "/", "time_max_sec", max, e);
    h5_set_real(artifact, "/", "processor_sec", processor, e);
    h5_set_real(artifact, "/", "bytes_moved", bytes, e);
    h5_set_real(artifact, "/", "peak_bytes", (double)most, e);
    h5_set_int(artifact, "/", "processes", c->np, e);
}

/* The checkpoints below a node of a cell, which it may have read through their catalogues, whether their own
 * nodes ran in this run or not. */
static err_t ground_has_stood(const struct dag *d, int i, struct arena *scratch, struct err *e)
{
    const struct node *n = &d->nodes[i];
    for (int k = 0; n->stage->scope == SCOPE_CELL && k < n->ninputs; k++) {
        const struct node *below = &d->nodes[n->input_nodes[k]];
        if (below->stage->scope == SCOPE_CHECKPOINT)
            TRY(catalogue_stood(below->path, scratch, e));
        TRY(ground_has_stood(d, n->input_nodes[k], scratch, e));
    }
    return ERR_OK;
}

/* Has nothing changed that the node has read, by which its key would be another's and its figures a mixture?
 * What it has kept of its steps goes then, too. */
static int has_stood(struct work *w, int i, struct arena *scratch, struct err *e)
{
    const struct runner *r = w->r;
    if (headers_still(r->headers, e) == ERR_OK && ground_has_stood(r->dag, i, scratch, e) == ERR_OK)
        fresh_still(r->dag, i, &w->all[i], r->headers, r->mem, e);
    if (e->code != ERR_OK && r->dag->nodes[i].stage->keeps_steps)
        journal_remove(r->dag->nodes[i].path);
    return e->code == ERR_OK;
}

err_t node_run(struct work *w, int i, const struct comm *c, struct progress *progress, int64_t done,
               struct err *e)
{
    struct runner *r = w->r;
    const struct node *n = &r->dag->nodes[i];
    const struct node_decl *decl = &r->dag->config->nodes[n->decl];
    struct arena arena;
    struct artifact out = {.comm = c};
    double before = w->stage_bytes, started = clock_sec(), worked = processor_sec();
    arena_init(&arena, r->mem);
    r->mem->peak_bytes = r->mem->live_bytes;
    struct ctx ctx = node_ctx(r->dag, n, &arena);
    if (n->stage->scope == SCOPE_STUDY)
        tables_of_archive(&arena, &ctx.tables, &ctx.ntables, e);
    ctx.comm = c;
    ctx.headers = r->headers;
    ctx.log = r->log;
    ctx.progress = progress;
    ctx.progress_done = done;
    ctx.out = &out;
    ctx.bytes_done = &w->stage_bytes;
    ctx.watch = w->heartbeat ? heartbeat_share : NULL;
    ctx.watch_item = heartbeat_item;
    ctx.watch_arg = w->heartbeat;
    heartbeat_at(w->heartbeat, decl->name, n->label, n->path);
    headers_round(r->headers);
    log_detail(r->log, "%s of %s", decl->name, n->label);
    err_t code = artifact_begin(&out, c, n->path, &arena, e);
    if (code == ERR_OK && n->stage->keeps_steps)
        code = journal_open(&ctx.journal, c, n->path, w->all[i].key, w->selection->force, r->log, &arena, e);
    journal_keep_from(ctx.journal, w->stop->keep_sec);
    if (code == ERR_OK)
        code = n->stage->run(&ctx, e);
    journal_close(ctx.journal);
    if (code == ERR_OK && (code = artifact_bulk_done(&out, e)) == ERR_OK) {
        struct h5 *h = NULL;
        if (c->me == 0 && artifact_tables(&out, &h, e) == ERR_OK && has_stood(w, i, &arena, e))
            fresh_mark(r->dag, i, &w->all[i], h, e);
        write_times(c, clock_sec() - started, processor_sec() - worked, r->mem->peak_bytes, h,
                    w->stage_bytes - before, e);
        code = comm_agree(c, e);
    }
    double ends = clock_sec();
    artifact_end(&out, code == ERR_OK, e);
    if (out.committed && n->stage->keeps_steps)
        journal_remove(n->path);
    w->committed += out.committed;
    stop_measured(w->stop, clock_sec() - ends);
    w->longest_sec = fmax(w->longest_sec, clock_sec() - started);
    code = e->code;
    if (code != ERR_OK)
        w->steps += journal_written(ctx.journal);
    err_item(e, "%s of %s", decl->name, n->label);
    w->busy_sec += clock_sec() - started;
    w->peak_bytes = r->mem->peak_bytes > w->peak_bytes ? r->mem->peak_bytes : w->peak_bytes;
    heartbeat_at(w->heartbeat, "", "", "");
    arena_release(&arena);
    return code;
}
