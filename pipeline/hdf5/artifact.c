#include "hdf5/artifact.h"

#include "hdf5/digest.h"
#include "hdf5/seen.h"
#include "base/path.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SEAL_TAG = 3 };

err_t artifact_begin(struct artifact *out, const struct comm *c, const char *path, struct arena *a,
                     struct err *e)
{
    *out = (struct artifact){.comm = c, .arena = a};
    out->path = arena_strdup(a, path, e);
    file_mark(out->mark);
    comm_bcast(c, out->mark, FILE_MARK, 0);
    out->partial = out->path ? file_partial(a, path, out->mark, e) : NULL;
    if (out->partial && c->me == 0) {
        char *dir = path_dir(a, path, e);
        if (dir && path_make_dir(dir, e) == ERR_OK)
            file_sweep(path);
    }
    if (e->code == ERR_OK)
        seen_create(&out->seen, a, e);
    return comm_agree(c, e);
}

err_t artifact_bulk(struct artifact *out, struct h5 **f, struct err *e)
{
    if (out->comm->np == 1)
        return artifact_tables(out, f, e);
    if (!out->bulk)
        TRY(h5_create_parallel(out->comm, out->partial, out->bare ? NULL : out->seen, out->arena, &out->bulk,
                               e));
    out->created = out->shared = 1;
    *f = out->bulk;
    return ERR_OK;
}

err_t artifact_bulk_done(struct artifact *out, struct err *e)
{
    struct h5 *f = out->bulk;
    out->bulk = NULL;
    return h5_close(f, e);
}

err_t artifact_tables(struct artifact *out, struct h5 **f, struct err *e)
{
    struct seen_file *seen = out->bare ? NULL : out->seen;
    if (!out->tables && out->created)
        TRY(h5_open_seen(out->partial, seen, out->arena, &out->tables, e));
    else if (!out->tables)
        TRY(h5_create_seen(out->partial, seen, out->arena, &out->tables, e));
    out->created = 1;
    *f = out->tables;
    return ERR_OK;
}

/* What this process wrote is on the disk: on a file system of several machines each holds its own part back.
 */
static void flush_share(const struct artifact *out, int fd, struct err *e)
{
    if (fd >= 0 && out->shared && fsync(fd) != 0)
        file_cannot(e, out->partial, "flushed to the disk", errno, 0, 0);
}

/* A page of the list as it is made up. */
struct seal_page {
    uint64_t hashes[DIGEST_PAGE];
    uint16_t marks[DIGEST_PAGE];
};

/* Collective. What all processes together know of page k, for process `to`. */
static void gather_page(const struct artifact *out, int64_t k, int to, struct seal_page *mine,
                        struct seal_page *all)
{
    const struct comm *c = out->comm;
    seen_page(out->seen, k, mine->hashes, mine->marks);
    MPI_TRY(MPI_Reduce(mine->hashes, all->hashes, DIGEST_PAGE, MPI_UINT64_T, MPI_SUM, to, c->mpi));
    MPI_TRY(MPI_Reduce(mine->marks, all->marks, DIGEST_PAGE, MPI_UINT16_T, MPI_SUM, to, c->mpi));
}

/* Collective. Page k of the list is completed by process k modulo np; process 0 puts them in order. Nobody
 * leaves early: what fails is carried on, and then nothing is complete. */
static void seal_pages(const struct artifact *out, struct digest_writer *w, struct err *e)
{
    const struct comm *c = out->comm;
    struct seal_page mine, all;
    memset(&all, 0, sizeof all);
    for (int64_t first = 0; first < w->npages; first += c->np) {
        int n = 0, has = first + c->me < w->npages;
        for (int p = 0; p < c->np && first + p < w->npages; p++)
            gather_page(out, first + p, p, &mine, &all);
        if (has && e->code == ERR_OK)
            digest_writer_page(w, first + c->me, all.marks, all.hashes, &n, e);
        if (has && c->me > 0)
            MPI_TRY(MPI_Send(all.hashes, DIGEST_PAGE, MPI_UINT64_T, 0, SEAL_TAG, c->mpi));
        for (int p = 0; c->me == 0 && p < c->np && first + p < w->npages; p++) {
            if (p > 0)
                MPI_TRY(
                    MPI_Recv(all.hashes, DIGEST_PAGE, MPI_UINT64_T, p, SEAL_TAG, c->mpi, MPI_STATUS_IGNORE));
            if (e->code == ERR_OK)
                digest_writer_put(w, all.hashes, (int)min64(DIGEST_PAGE, w->nblocks - w->put * DIGEST_PAGE),
                                  e);
        }
    }
}

/* Collective. Seals the closed partial file into which all have written. */
static void seal_together(const struct artifact *out, struct err *e)
{
    const struct comm *c = out->comm;
    struct digest_writer w = {.fd = -1};
    struct file_stamp stamp = {.size_bytes = 0};
    if (c->me == 0 && e->code == ERR_OK && !file_stamp_of(out->partial, &stamp))
        err_set(e, ERR_SYSTEM, "%s: cannot be examined: %s", out->partial, strerror(errno));
    int64_t bytes = e->code == ERR_OK ? stamp.size_bytes : 0;
    comm_bcast(c, &bytes, (int64_t)sizeof bytes, 0);
    digest_writer_open(&w, out->partial, bytes, c->me == 0, out->arena, e);
    if (!out->bare)
        seal_pages(out, &w, e);
    if (c->me == 0 && e->code == ERR_OK && !out->bare)
        digest_writer_end(&w, e);
    if (c->me > 0)
        flush_share(out, w.fd, e);
    digest_writer_close(&w);
}

/* What process 0 alone has written is sealed by it alone. */
static void seal(const struct artifact *out, struct err *e)
{
    if (out->shared)
        seal_together(out, e);
    else if (out->comm->me == 0 && e->code == ERR_OK && !out->bare)
        digest_seal_seen(out->partial, out->seen, out->arena, e);
}

err_t artifact_end(struct artifact *out, int complete, struct err *e)
{
    struct h5 *bulk = out->bulk, *tables = out->tables;
    out->bulk = out->tables = NULL;
    if (complete) {
        h5_close(bulk, e);
        if (tables)
            h5_close(tables, e);
        seal(out, e);
        if (out->shared)
            comm_agree(out->comm, e);
        if (out->comm->me == 0 && e->code == ERR_OK)
            out->committed = file_commit(out->partial, out->path, e) == ERR_OK;
        if (out->committed)
            digest_note_remove(out->path);
        comm_agree(out->comm, e);
    } else {
        h5_drop(bulk);
        h5_drop(tables);
    }
    if (out->comm->me == 0 && out->partial && (!complete || e->code != ERR_OK))
        unlink(out->partial);
    return complete ? e->code : ERR_OK;
}
