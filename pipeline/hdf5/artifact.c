#include "hdf5/artifact.h"

#include "base/path.h"

#include <unistd.h>

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
    out->created = 1;
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

err_t artifact_end(struct artifact *out, int complete, struct err *e)
{
    struct h5 *bulk = out->bulk, *tables = out->tables;
    out->bulk = out->tables = NULL;
    if (complete) {
        h5_close(bulk, e);
        if (tables)
            h5_close(tables, e);
        if (out->comm->me == 0 && e->code == ERR_OK)
            out->committed = file_commit(out->partial, out->path, e) == ERR_OK;
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
