#include "hdf5/artifact.h"

#include "hdf5/digest.h"
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
    return comm_agree(c, e);
}

err_t artifact_bulk(struct artifact *out, struct h5 **f, struct err *e)
{
    if (out->comm->np == 1)
        return artifact_tables(out, f, e);
    if (!out->bulk)
        TRY(h5_create_parallel(out->comm, out->partial, out->arena, &out->bulk, e));
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
    if (!out->tables && out->created)
        TRY(h5_open(out->partial, 1, out->arena, &out->tables, e));
    else if (!out->tables)
        TRY(h5_create(out->partial, out->arena, &out->tables, e));
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

/* Collective. Page k of the list is computed by process k modulo np; process 0 puts them in order. Nobody
 * leaves early: what fails is carried on, and then nothing is complete. */
static void seal_pages(const struct artifact *out, struct digest_writer *w, struct err *e)
{
    const struct comm *c = out->comm;
    uint64_t hashes[DIGEST_PAGE];
    for (int64_t first = 0; first < w->npages; first += c->np) {
        int n = 0, mine = first + c->me < w->npages;
        memset(hashes, 0, sizeof hashes);
        if (mine && e->code == ERR_OK)
            digest_writer_page(w, first + c->me, hashes, &n, e);
        if (mine && c->me > 0)
            MPI_TRY(MPI_Send(hashes, DIGEST_PAGE, MPI_UINT64_T, 0, SEAL_TAG, c->mpi));
        for (int p = 0; c->me == 0 && p < c->np && first + p < w->npages; p++) {
            if (p > 0)
                MPI_TRY(MPI_Recv(hashes, DIGEST_PAGE, MPI_UINT64_T, p, SEAL_TAG, c->mpi, MPI_STATUS_IGNORE));
            if (e->code == ERR_OK)
                digest_writer_put(w, hashes, (int)min64(DIGEST_PAGE, w->nblocks - w->put * DIGEST_PAGE), e);
        }
    }
}

/* Collective. Seals the closed partial file. A file of one page is process 0's, unless all wrote into it. */
static void seal(const struct artifact *out, struct err *e)
{
    const struct comm *c = out->comm;
    struct digest_writer w = {.fd = -1};
    struct file_stamp stamp = {.size_bytes = 0};
    if (c->me == 0 && e->code == ERR_OK && !file_stamp_of(out->partial, &stamp))
        err_set(e, ERR_SYSTEM, "%s: cannot be examined: %s", out->partial, strerror(errno));
    int64_t bytes = e->code == ERR_OK ? stamp.size_bytes : 0;
    comm_bcast(c, &bytes, (int64_t)sizeof bytes, 0);
    if (c->me == 0 || out->shared || bytes > (int64_t)DIGEST_PAGE * DIGEST_BLOCK)
        digest_writer_open(&w, out->partial, bytes, c->me == 0, out->arena, e);
    seal_pages(out, &w, e);
    if (c->me == 0 && e->code == ERR_OK)
        digest_writer_end(&w, e);
    if (c->me > 0)
        flush_share(out, w.fd, e);
    digest_writer_close(&w);
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
    } else if (e->code == ERR_SYSTEM) { /* a write may have failed: HDF5 cannot close such a file */
        h5_abandon(bulk);
        h5_abandon(tables);
    } else {
        struct err dropped; /* closing must not hide the failure that there was */
        err_clear(&dropped);
        h5_close(bulk, &dropped);
        if (tables)
            h5_close(tables, &dropped);
    }
    if (out->comm->me == 0 && out->partial && (!complete || e->code != ERR_OK))
        unlink(out->partial);
    return complete ? e->code : ERR_OK;
}
